"""An imitation of the LeaderWorkerSet controller, whose module the registry does not serve.

Covers what scheduling sees: leaders first, workers with them (LeaderCreated) or after them (LeaderReady); under
exclusive topology one group per domain, its workers pinned to the leader's; a group of which any pod goes is
recreated as a whole (RecreateGroupOnPodRestart). Rolling updates of groups are not imitated.
"""

import copy

from offline.rehearsal.kube import ApiError, Kube, Obj
from offline.rehearsal.watch import Watch

API = "leaderworkerset.x-k8s.io/v1"
KIND = "LeaderWorkerSet"
PREFIX = "leaderworkerset.sigs.k8s.io/"
NAME, GROUP, INDEX = f"{PREFIX}name", f"{PREFIX}group-key", f"{PREFIX}worker-index"


class Groups:
    """Call ``step`` again and again; it brings every LeaderWorkerSet one step nearer to its specification."""

    def __init__(self, kube: Kube, cluster: Watch) -> None:
        self.kube, self.cluster = kube, cluster
        self._complete: set[str] = set()
        """Groups that were complete once: from then on a missing pod means a restart."""

    def step(self) -> None:
        """One round over all sets."""
        pods = [p for p in self.cluster.list("Pod") if GROUP in p["metadata"].get("labels", {})]
        wanted: set[str] = set()
        for lws in self.cluster.list(KIND):
            if lws["metadata"].get("deletionTimestamp"):
                continue
            for number in range(lws["spec"].get("replicas", 1)):
                key = f"{lws['metadata']['namespace']}/{lws['metadata']['name']}-{number}"
                wanted.add(key)
                self._group(lws, number, key, [p for p in pods if _key(p) == key])
        for pod in pods:
            if _key(pod) not in wanted:
                self.kube.delete(pod)

    def _group(self, lws: Obj, number: int, key: str, pods: list[Obj]) -> None:
        size = lws["spec"]["leaderWorkerTemplate"].get("size", 1)
        going = any(p["metadata"].get("deletionTimestamp") for p in pods)
        if key in self._complete and (going or len(pods) < size):
            self._complete.discard(key)
            for pod in pods:
                self.kube.delete(pod)
            return
        if going:
            return
        present = {int(p["metadata"]["labels"][INDEX]): p for p in pods}
        if 0 not in present:
            self._create(_pod(lws, number, 0))
        elif self._workers_may_come(lws, present[0]):
            domain = self._domain(lws, present[0])
            for index in set(range(1, size)) - present.keys():
                self._create(_pod(lws, number, index, domain))
        if len(present) == size:
            self._complete.add(key)

    def _create(self, pod: Obj) -> None:
        try:
            self.kube.create(pod)
        except ApiError as error:
            if error.status != 409:
                raise

    def _workers_may_come(self, lws: Obj, leader: Obj) -> bool:
        if lws["spec"].get("startupPolicy") == "LeaderReady":
            return leader["status"].get("phase") == "Running"
        return not _topology(lws) or bool(leader["spec"].get("nodeName"))

    def _domain(self, lws: Obj, leader: Obj) -> dict[str, str]:
        topology = _topology(lws)
        if not topology:
            return {}
        name = leader["spec"]["nodeName"]
        node = self.kube.find({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        return {topology: node["metadata"]["labels"][topology]} if node else {}


def _key(pod: Obj) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['labels'][GROUP]}"


def _topology(lws: Obj) -> str | None:
    return lws["metadata"].get("annotations", {}).get(f"{PREFIX}exclusive-topology")


def _pod(lws: Obj, number: int, index: int, selector: dict[str, str] | None = None) -> Obj:
    meta, template = lws["metadata"], lws["spec"]["leaderWorkerTemplate"]
    worker = template["workerTemplate"]
    body = copy.deepcopy(worker if index else template.get("leaderTemplate") or worker)
    group = f"{meta['name']}-{number}"
    labels = {NAME: meta["name"], GROUP: group, INDEX: str(index)}
    own = body.get("metadata", {})
    spec = body["spec"]
    spec["nodeSelector"] = {**spec.get("nodeSelector", {}), **(selector or {})}
    if _topology(lws) and not index:
        same = {"key": GROUP, "operator": "In", "values": [group]}
        others = [{"key": GROUP, "operator": "Exists"}, {**same, "operator": "NotIn"}]
        for kind, terms in (("podAffinity", [same]), ("podAntiAffinity", others)):
            term = {"topologyKey": _topology(lws), "labelSelector": {"matchExpressions": terms}}
            required = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
            spec.setdefault("affinity", {})[kind] = required
    return {
        "apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": {
            "name": group + (f"-{index}" if index else ""), "namespace": meta["namespace"],
            "labels": {**own.get("labels", {}), **labels}, "annotations": own.get("annotations", {}),
            "ownerReferences": [{"apiVersion": API, "kind": KIND, "name": meta["name"], "uid": meta["uid"]}],
        },
    }  # fmt: skip
