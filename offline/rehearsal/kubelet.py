"""What nodes and their kubelets would do, played against the real API server by one polling thread.

* An instance of a NodeClaim becomes a Node with what Karpenter expects of it, tainted as a fresh node is.
* A node whose instance has ended falls silent and its pods are gone, without the five minutes that Kubernetes waits.
* Pods bound to a node become Running and Ready, pods of Jobs then Succeeded; deleted pods go at once.
* Stand-in agents act once they run on a node: NFD makes the GPU labels, the device plugin advertises the GPUs, CSI
  node pods remove their startup taints. Without the agent nothing of it happens, as on a real node.
* A claim of a storage class with an external provisioner gets a volume; binding is the real controller's business.
"""

import datetime as dt
import itertools
import threading
import traceback
from collections import defaultdict
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

from components.scheduling import EFA_RESOURCE, GPU_RESOURCE
from offline.rehearsal.ec2 import Market
from offline.rehearsal.kube import ApiError, Kube, Obj
from offline.rehearsal.stand_ins import ADVERTISES, CLEARS_TAINT, DETAIL, FINDS_GPUS, ROLE
from offline.rehearsal.watch import Watch

POLL_S = 0.2
UNREGISTERED = {"key": "karpenter.sh/unregistered", "effect": "NoExecute"}
_NOT_READY = "node.kubernetes.io/not-ready"  # admission puts it on every new Node; node-lifecycle, left out, removes it
NO_DEVICE_PLUGIN = "nvidia.com/gpu.deploy.device-plugin"
"""Label that is "false" on nodes whose operating system advertises the GPUs itself (Bottlerocket)."""
_GPU_LABELS = {
    "feature.node.kubernetes.io/pci-10de.present": "true", "nvidia.com/gpu.present": "true",
    **{f"nvidia.com/gpu.deploy.{operand}": "true" for operand in (
        "device-plugin", "gpu-feature-discovery", "dcgm-exporter", "operator-validator")},
}  # fmt: skip
_PROVISIONER = "volume.kubernetes.io/storage-provisioner"


class Kubelets:
    """``with Kubelets(kube, cluster, market, agents={...}) as kubelets``: runs until the context closes.

    ``agents`` are the resources that some DaemonSet of the stack advertises; others are there from the start
    (Bottlerocket's built-in device plugin). ``chores`` are further things to do each round.
    """

    def __init__(
        self, kube: Kube, cluster: Watch, market: Market, agents: Collection[str],
        chores: Collection[Callable[[], None]] = (),
    ) -> None:  # fmt: skip
        self.kube, self.cluster, self.market, self.agents = kube, cluster, market, frozenset(agents)
        self.errors: list[str] = []
        self.frozen = threading.Lock()
        """While somebody holds it, no node and no pod changes."""
        self._chores = (self._nodes, self._pods, self._volumes, *chores)
        self._address = itertools.count(1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelets", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(POLL_S):
            for chore in self._chores:
                try:
                    with self.frozen:
                        chore()
                except ApiError as error:
                    if error.status not in {404, 409}:  # gone or changed meanwhile: the next round sees it
                        self.errors.append(str(error))
                except Exception:  # noqa: BLE001 - a dead kubelet thread would look like a broken manifest
                    self.errors.append(traceback.format_exc(limit=4))

    def add_node(
        self, name: str, resources: tuple[Obj, Obj], labels: Obj, taints: list[Obj], provider_id: str
    ) -> None:
        """Register a Ready node; ``resources`` are capacity and allocatable."""
        node = self.kube.create({
            "apiVersion": "v1", "kind": "Node", "spec": {"providerID": provider_id, "taints": taints},
            "metadata": {"name": name, "labels": {
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", **labels}},
        })  # fmt: skip
        number = next(self._address)
        healthy = {"Ready": "True", "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False"}
        status = {
            "capacity": resources[0], "allocatable": resources[1],
            "addresses": [{"type": "InternalIP", "address": f"10.0.{number // 250}.{number % 250 + 1}"}],
            "conditions": [
                {"type": kind, "status": value, "reason": "Rehearsed", "message": "", "lastHeartbeatTime": _now(),
                 "lastTransitionTime": _now()} for kind, value in healthy.items()],
            "nodeInfo": {
                "kubeletVersion": "v0-rehearsed", "operatingSystem": "linux", "architecture": "amd64",
                "osImage": "rehearsed", "kernelVersion": "", "containerRuntimeVersion": "", "bootID": "",
                "machineID": "", "systemUUID": "", "kubeProxyVersion": ""},
        }  # fmt: skip
        self.kube.patch(node, {"status": status}, "/status")

    def _nodes(self) -> None:
        nodes = self.cluster.list("Node")
        claims = {c["status"]["providerID"]: c for c in _launched(self.cluster.list("NodeClaim"))}
        known = {node["spec"].get("providerID") for node in nodes}
        for provider_id, claim in claims.items():
            if provider_id not in known and not claim["metadata"].get("deletionTimestamp"):
                self._boot(provider_id, claim)
        acting, running = self._acting_agents(), self.market.instances()
        for node in nodes:
            if node["spec"].get("providerID") in claims and instance_of(node) not in running:
                self._lose(node)
            self._mature(node, claims.get(node["spec"].get("providerID", "")), acting[node["metadata"]["name"]])

    def _lose(self, node: Obj) -> None:
        """Do what the node controller does when a kubelet has fallen silent."""
        if _is_ready(node):
            silent = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "lastTransitionTime": _now()}
            others = [c for c in node["status"]["conditions"] if c["type"] != "Ready"]
            self.kube.patch(node, {"status": {"conditions": [*others, silent]}}, "/status")

    def _acting_agents(self) -> dict[str, list[tuple[str, str]]]:
        """(role, detail) of the running stand-ins, by node."""
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for pod in self.cluster.list("Pod"):
            role = pod["metadata"].get("labels", {}).get(ROLE)
            if role and pod["status"].get("phase") == "Running":
                detail = pod["metadata"].get("annotations", {}).get(DETAIL, "")
                found[pod["spec"]["nodeName"]].append((role, detail))
        return found

    def _boot(self, provider_id: str, claim: Obj) -> None:
        status, spec, labels = claim["status"], claim["spec"], dict(claim["metadata"].get("labels", {}))
        labels["topology.kubernetes.io/region"] = labels.get("topology.kubernetes.io/zone", "")[:-1]
        built_in = {GPU_RESOURCE} if labels.get(NO_DEVICE_PLUGIN) == "false" else set()
        later = self.agents - built_in
        resources = tuple(
            {k: v for k, v in status[part].items() if k not in later} for part in ("capacity", "allocatable")
        )
        taints = [*spec.get("taints", []), *spec.get("startupTaints", []), UNREGISTERED]
        instance = instance_of(claim)
        self.add_node(f"{instance}.ec2.internal", (resources[0], resources[1]), labels, taints, provider_id)

    def _mature(self, node: Obj, claim: Obj | None, acting: list[tuple[str, str]]) -> None:
        """Lets a node's agents act on it."""
        labels, allocatable = node["metadata"]["labels"], node["status"].get("allocatable", {})
        has_gpus = claim is not None and GPU_RESOURCE in claim["status"]["capacity"]
        if has_gpus and any(role == FINDS_GPUS for role, _ in acting) and not _GPU_LABELS.keys() <= labels.keys():
            self.kube.patch(node, {"metadata": {"labels": {**_GPU_LABELS, **labels}}})
        if claim:
            ready = {d for role, d in acting if role == ADVERTISES} & {GPU_RESOURCE, EFA_RESOURCE}
            for resource in sorted(ready & claim["status"]["capacity"].keys() - allocatable.keys()):
                count = {part: {resource: claim["status"][part][resource]} for part in ("capacity", "allocatable")}
                self.kube.patch(node, {"status": count}, "/status")
        cleared = {_NOT_READY} | {d for role, d in acting if role == CLEARS_TAINT}
        taints = node["spec"].get("taints", [])
        left = [t for t in taints if t["key"] not in cleared]
        if len(left) < len(taints):  # with the version: Karpenter edits the same list
            version = node["metadata"]["resourceVersion"]
            self.kube.patch(node, {"metadata": {"resourceVersion": version}, "spec": {"taints": left}})

    def _pods(self) -> None:
        alive = {n["metadata"]["name"] for n in self.cluster.list("Node") if _is_ready(n)}
        for pod in self.cluster.list("Pod"):
            node, phase = pod["spec"].get("nodeName"), pod["status"].get("phase")
            if not node:
                continue
            if node not in alive or pod["metadata"].get("deletionTimestamp"):
                self.kube.delete(pod, at_once=True)
            elif phase == "Pending":
                self._report(pod, "Running")
            elif phase == "Running" and _owner_kind(pod) == "Job":
                self._report(pod, "Succeeded")

    def _report(self, pod: Obj, phase: str) -> None:
        spec, done = pod["spec"], phase == "Succeeded"
        ready = not done
        number = next(self._address)
        address = f"10.1.{number // 250 % 250}.{number % 250 + 1}"
        conditions = {"Initialized": True, "Ready": ready, "ContainersReady": ready}
        scheduled = [c for c in pod["status"].get("conditions", []) if c["type"] == "PodScheduled"]
        self.kube.patch(pod, {"status": {
            "phase": phase, "hostIP": "10.0.0.1", "podIP": address, "podIPs": [{"ip": address}],
            "startTime": pod["status"].get("startTime") or _now(),
            "conditions": scheduled + [
                {"type": kind, "status": str(value), "lastTransitionTime": _now()}
                for kind, value in conditions.items()],
            "containerStatuses": [_container(c, done=done, ready=ready) for c in spec["containers"]],
            "initContainerStatuses": [
                _container(c, done=c.get("restartPolicy") != "Always", ready=True)
                for c in spec.get("initContainers", [])],
        }}, "/status")  # fmt: skip

    def _volumes(self) -> None:
        for claim in self.cluster.list("PersistentVolumeClaim"):
            meta, spec = claim["metadata"], claim["spec"]
            wanted = _PROVISIONER in meta.get("annotations", {}) and not spec.get("volumeName")
            if not wanted or claim["status"].get("phase") == "Bound":
                continue
            reference = {
                "kind": "PersistentVolumeClaim", "apiVersion": "v1", "name": meta["name"],
                "namespace": meta["namespace"], "uid": meta["uid"],
            }  # fmt: skip
            self.kube.apply({
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"pvc-{meta['uid']}"},
                "spec": {
                    "capacity": spec["resources"]["requests"], "accessModes": spec["accessModes"],
                    "storageClassName": spec["storageClassName"], "claimRef": reference,
                    "csi": {"driver": meta["annotations"][_PROVISIONER], "volumeHandle": meta["uid"]},
                },
            })  # fmt: skip


def instance_of(obj: Obj) -> str:
    """Return the EC2 instance id of a NodeClaim or a Node."""
    return (obj["spec"].get("providerID") or obj.get("status", {}).get("providerID", "")).rpartition("/")[2]


def _is_ready(node: Obj) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node.get("status", {}).get("conditions", []))


def _launched(claims: list[Obj]) -> list[Obj]:
    return [c for c in claims if c.get("status", {}).get("providerID")]


def _owner_kind(pod: Obj) -> str:
    return next((o["kind"] for o in pod["metadata"].get("ownerReferences", []) if o.get("controller")), "")


def _container(container: Obj, *, done: bool, ready: bool) -> Obj:
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": _now(), "finishedAt": _now()}
    return {
        "name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0,
        "containerID": f"rehearsed://{container['name']}", "ready": ready, "started": not done,
        "state": {"terminated": ended} if done else {"running": {"startedAt": _now()}},
    }  # fmt: skip


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
