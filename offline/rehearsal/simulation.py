"""One stack in the rehearsal: applied in the program's order, moved by steps, taken down in the program's order."""

import contextlib
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from components import versions
from offline.rehearsal import crds, stand_ins
from offline.rehearsal import groups as groups_imitation
from offline.rehearsal.build import Toolchain
from offline.rehearsal.bundle import Bundle, Release
from offline.rehearsal.cloud import Cloud
from offline.rehearsal.control_plane import ControlPlane
from offline.rehearsal.ec2 import Market, Reservation
from offline.rehearsal.groups import Groups
from offline.rehearsal.instances import SystemNode, market_of
from offline.rehearsal.kube import ApiError, Obj
from offline.rehearsal.kubelet import Kubelets, instance_of
from offline.rehearsal.observation import WATCHED, Observation, identity, observe
from offline.rehearsal.processes import POLL_S, Process, free_port
from offline.rehearsal.quantities import gpus
from offline.rehearsal.watch import Watch

PATIENCE_S = 240
"""Longest wait for anything: a slow machine makes a rehearsal slow, not red."""
QUIET_S = 3
"""Settled once everything asked for is there and nothing has changed for so long."""
STUCK_S = 25
"""Settled as well when pods stay pending and nothing has changed for so long: Karpenter tries every 10 s."""
REFUSED_S = 12
"""The same when Karpenter has said of every one of them that it cannot help."""
CONSOLIDATE_AFTER = "5s"
"""What pools get in place of their own patience when a rehearsal waits for empty nodes to go."""
ROLL_ANNOTATION = "rehearsal/revision"
_NO_SERVER_BEHIND = {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService"}
_GOING = {"metadata": {"deletionTimestamp": "gone"}}
_WORKLOADS = {"Deployment", "StatefulSet", "LeaderWorkerSet"}


class Simulation:
    """``with Simulation(plane, toolchain, bundle) as simulation: simulation.settle()``.

    One at a time on a control plane. Leaving it takes everything down again, so that another can follow.
    """

    def __init__(self, plane: ControlPlane, toolchain: Toolchain, bundle: Bundle, *reservations: Reservation) -> None:
        self.plane, self.toolchain, self.bundle, self.kube = plane, toolchain, bundle, plane.kube
        self.market: Market = market_of(bundle, reservations)
        self.cloud = Cloud(bundle.account, self.market)
        self.refused: list[str] = []
        """Objects that the API server did not take, in its words."""
        self.left_out: list[str] = []
        """Objects whose kind nobody serves here, and charts without a stand-in."""
        self.replicas: dict[str, int] = {}
        """Servers (of groups: groups) that each model should have now."""
        self._karpenter: Process | None = None
        self._health = 0

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            opening.enter_context(self.cloud)
            self._install_crds()
            self.cluster = opening.enter_context(Watch(self.kube, self._watched()))
            groups = Groups(self.kube, self.cluster)
            self.kubelets = Kubelets(self.kube, self.cluster, self.market, self._advertised(), [groups.step])
            opening.callback(self._clear)
            opening.enter_context(self.kubelets)
            self._add_system_nodes()
            for addon in self.bundle.addons:
                self._apply_all(stand_ins.of(addon))
            for batch in self.bundle.batches:
                for item in batch:
                    self._make(item)
            if self._karpenter is None:
                raise ValueError("the stack installs no Karpenter: there is nothing to rehearse")
            self.plane.group.wait("Karpenter is ready", self._karpenter_ready, PATIENCE_S)
            self.replicas = {m["name"]: self._declared_replicas(m["name"]) for m in self.bundle.models}
            self._open = opening.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    # -- making -----------------------------------------------------------------------------------------------------
    def _install_crds(self) -> None:
        unknown = {(crds.group_of(o), o["kind"]) for o in self.bundle.objects if not self._served(o)}
        self.kube.install(crds.find(self.toolchain, unknown))

    def _watched(self) -> list[tuple[str, str]]:
        groups = [(groups_imitation.API, groups_imitation.KIND)] if self._declares(groups_imitation.KIND) else []
        return [*WATCHED, *groups]

    def _declares(self, kind: str) -> bool:
        return any(self._served(o) for o in self.bundle.of_kind(kind))

    def _served(self, obj: Obj) -> bool:
        try:
            self.kube.path(obj["apiVersion"], obj["kind"])
        except ApiError:
            return False
        return True

    def _advertised(self) -> set[str]:
        """Resources that a DaemonSet of the stack has to advertise before a node has them."""
        made = [o for source in (*self.bundle.releases, *self.bundle.addons) for o in stand_ins.of(source)]
        templates = [o["spec"]["template"]["metadata"] for o in made]
        return {
            t["annotations"][stand_ins.DETAIL] for t in templates
            if t["labels"].get(stand_ins.ROLE) == stand_ins.ADVERTISES
        }  # fmt: skip

    def _add_system_nodes(self) -> None:
        zones = self.bundle.zones
        for group in self.bundle.node_groups:
            size = SystemNode.of(group.instance_type)
            for number in range(group.nodes):
                zone = zones[number % len(zones)]
                labels = {
                    **group.labels, "eks.amazonaws.com/nodegroup": group.name,
                    "topology.kubernetes.io/zone": zone, "topology.kubernetes.io/region": self.bundle.account.region,
                    "node.kubernetes.io/instance-type": group.instance_type,
                }  # fmt: skip
                name = f"{group.name}-{number}"
                self.kubelets.add_node(
                    name, (size.capacity, size.allocatable), labels, list(group.taints), f"aws:///{zone}/i-{name}"
                )

    def _make(self, item: Obj | Release) -> None:
        if isinstance(item, Release):
            self._apply_all(stand_ins.of(item))
            self.left_out += [f"chart {name}" for name in stand_ins.unknown([item])]
            if item.chart == versions.KARPENTER.name:
                self._start_karpenter(item.values)
        else:
            self._apply_all([item])

    def _apply_all(self, objects: list[Obj]) -> None:
        for obj in objects:
            if not self._served(obj) or obj["kind"] in _NO_SERVER_BEHIND:
                self.left_out.append(identity(obj))
                continue
            try:
                self.kube.apply(obj)
            except ApiError as error:
                self.refused.append(f"{identity(obj)}: {error}")

    def _start_karpenter(self, values: Mapping[str, Any]) -> None:
        """Start the controller with the settings that the chart would hand it."""
        settings = values.get("settings", {})
        gates = settings.get("featureGates", {})
        self._health = free_port()
        environment = {
            **self.cloud.environment, "KUBECONFIG": str(self.plane.kubeconfig),
            "CLUSTER_NAME": settings.get("clusterName", ""), "CLUSTER_ENDPOINT": self.plane.url,
            "INTERRUPTION_QUEUE": settings.get("interruptionQueue", ""), "ISOLATED_VPC": "true",
            "METRICS_PORT": str(free_port()), "HEALTH_PROBE_PORT": str(self._health),
            "DISABLE_LEADER_ELECTION": "true", "KARPENTER_SERVICE": "karpenter", "SYSTEM_NAMESPACE": "kube-system",
            "VM_MEMORY_OVERHEAD_PERCENT": str(settings.get("vmMemoryOverheadPercent", 0.075)),
            "FEATURE_GATES": ",".join(f"{k[:1].upper()}{k[1:]}={str(v).lower()}" for k, v in gates.items()),
        }  # fmt: skip
        server = str(self.toolchain.servers / "karpenter")
        self._karpenter = self.plane.group.start("karpenter", [server], environment)

    def _karpenter_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._health}/readyz", timeout=5) as reply:
                return reply.status == 200
        except (OSError, urllib.error.URLError):
            return False

    def workload(self, model: str) -> Obj:
        """Return the stored Deployment, StatefulSet or LeaderWorkerSet of a model. Raises LookupError without one."""
        found = [o for o in self.bundle.objects if o["kind"] in _WORKLOADS and o["metadata"]["name"] == model]
        stored = self.kube.find(found[0]) if found else None
        if stored is None:
            raise LookupError(f"no workload is called {model}; models: {', '.join(self.replicas) or 'none'}")
        return stored

    def _declared_replicas(self, model: str) -> int:
        return int(self.workload(model)["spec"].get("replicas", 1))

    # -- steps ------------------------------------------------------------------------------------------------------
    def scale(self, model: str, replicas: int) -> None:
        """Asks for so many servers of a model."""
        self.kube.patch(self.workload(model), {"spec": {"replicas": replicas}})
        self.replicas[model] = replicas

    def exhaust(self, pattern: str) -> None:
        """From now on EC2 has nothing of ``type/zone/capacity-type`` (each may be ``*``)."""
        self.market.exhausted.add(pattern)

    def interrupt(self, model: str) -> list[str]:
        """EC2 takes back the nodes of a model's servers; returns the names of their pods.

        The warning goes first; once Karpenter has acted on it, the two minutes are over and the instances end.
        Raises TimeoutError where nobody acts on the warning.
        """
        claims = {c["status"].get("nodeName"): c for c in self.kube.list("karpenter.sh/v1", "NodeClaim")}
        pods = [p for p in self.pods_of(model) if p["spec"].get("nodeName") in claims]
        lost = [claims[node] for node in {p["spec"]["nodeName"] for p in pods}]
        for claim in lost:
            self.cloud.interrupt(instance_of(claim))
        self.plane.group.wait(
            "Karpenter acts on the warning",
            lambda: all((self.kube.find(c) or _GOING)["metadata"].get("deletionTimestamp") for c in lost),
            PATIENCE_S,
        )
        self.cloud.reclaim([instance_of(claim) for claim in lost])
        self._await_gone(pods)
        return [p["metadata"]["name"] for p in pods]

    def delete_pods(self, model: str) -> None:
        """Delete a model's pods, as an operator would to restart it."""
        pods = self.pods_of(model)
        for pod in pods:
            self.kube.delete(pod)
        self._await_gone(pods)

    def roll_out(self, *models: str) -> dict[str, int]:
        """Roll a new revision of each model out, all at once; return the most GPUs that each held at one time."""
        labels = {model: self._labels(model) for model in models}
        most = dict.fromkeys(models, 0)

        def count() -> None:
            pods = [p for p in self.cluster.list("Pod") if p["spec"].get("nodeName")]
            for model in models:
                held = sum(gpus(p["spec"]) for p in pods if labels[model].items() <= _labels_of(p).items())
                most[model] = max(most[model], held)

        self.cluster.listeners.append(count)
        try:
            for model in models:
                revision = {"metadata": {"annotations": {ROLL_ANNOTATION: str(time.monotonic_ns())}}}
                self.kube.patch(self.workload(model), {"spec": {"template": revision}})
            self.plane.group.wait("the rollout is complete", lambda: all(map(self._rolled_out, models)), PATIENCE_S)
        finally:
            self.cluster.listeners.remove(count)
        return most

    def _rolled_out(self, model: str) -> bool:
        now = self.workload(model)
        status, wanted = now.get("status", {}), now["spec"].get("replicas", 1)
        current = status.get("observedGeneration") == now["metadata"]["generation"]
        return current and [status.get(k, 0) for k in ("replicas", "updatedReplicas", "readyReplicas")] == [wanted] * 3

    def consolidate(self) -> None:
        """Make pools impatient and return when no node is left that only DaemonSets use. Raises TimeoutError."""
        for pool in self.kube.list("karpenter.sh/v1", "NodePool"):
            if "disruption" in pool["spec"]:
                self.kube.patch(pool, {"spec": {"disruption": {"consolidateAfter": CONSOLIDATE_AFTER}}})
        self.plane.group.wait("empty nodes go", lambda: not self.observe().empty_nodes, PATIENCE_S)

    def pods_of(self, model: str) -> list[Obj]:
        """Return a model's pods that nobody has asked to go."""
        labels, namespace = self._labels(model), self.workload(model)["metadata"]["namespace"]
        staying = [p for p in self.kube.list("v1", "Pod", namespace) if not p["metadata"].get("deletionTimestamp")]
        return [p for p in staying if labels.items() <= _labels_of(p).items()]

    def _labels(self, model: str) -> dict[str, str]:
        """Labels that all pods of a model carry and no others."""
        spec = self.workload(model)["spec"]
        if "template" in spec:
            return spec["selector"]["matchLabels"]
        return {groups_imitation.NAME: model}

    def _await_gone(self, pods: list[Obj]) -> None:
        uids = {p["metadata"]["uid"] for p in pods}

        def gone() -> bool:
            return not uids & {p["metadata"]["uid"] for p in self.kube.list("v1", "Pod")}

        self.plane.group.wait("the old pods are gone", gone, PATIENCE_S)

    # -- waiting ----------------------------------------------------------------------------------------------------
    def observe(self) -> Observation:
        """Return what is there now."""
        return observe(self.cluster, self.market)

    def settle(self) -> Observation:
        """Wait until nothing moves any more: all is well, or what is pending stays so. Returns what is there then."""
        end = time.monotonic() + PATIENCE_S
        before, since = None, time.monotonic()
        while True:
            for process in self.plane.group.members:
                process.check()
            seen = self.observe()
            if seen.picture != before:
                before, since = seen.picture, time.monotonic()
            patience = QUIET_S if seen.at_rest else REFUSED_S if seen.refused else STUCK_S
            if time.monotonic() - since >= patience or time.monotonic() > end:
                return seen
            time.sleep(POLL_S)

    # -- taking down ------------------------------------------------------------------------------------------------
    def tear_down(self, timeout_s: float = PATIENCE_S) -> list[str]:
        """Delete batch by batch as ``pulumi destroy`` would; return what would not go, stopping at its batch."""
        for batch in reversed(self.bundle.batches):
            objects = [o for item in batch for o in ([item] if not isinstance(item, Release) else stand_ins.of(item))]
            served = [o for o in objects if self._served(o)]
            for obj in served:
                self.kube.delete(obj, propagation="Foreground")
            if self._karpenter and any(isinstance(i, Release) and i.chart == versions.KARPENTER.name for i in batch):
                self.plane.group.stop(self._karpenter)
                self._karpenter = None
            if left := list(self._left_after(served, timeout_s)):
                return left
        return []

    def _left_after(self, objects: list[Obj], timeout_s: float) -> Iterator[str]:
        def all_gone() -> bool:
            return all(self.kube.find(o) is None for o in objects)

        try:
            self.plane.group.wait("a batch is deleted", all_gone, timeout_s)
        except TimeoutError:
            yield from (identity(o) for o in objects if self.kube.find(o) is not None)

    def _clear(self) -> None:
        """Leaves the control plane empty, whatever state the rehearsal ended in."""
        if any(process.popen.poll() is not None for process in self.plane.group.members):
            return
        if self._karpenter:
            self.plane.group.stop(self._karpenter)
        doomed = [*self.bundle.objects]
        for source in (*self.bundle.releases, *self.bundle.addons):
            doomed += stand_ins.of(source)
        for kind, version in (("NodeClaim", "karpenter.sh/v1"), ("Node", "v1"), ("Pod", "v1"),
                              ("PersistentVolume", "v1")):  # fmt: skip
            doomed += self.kube.list(version, kind)
        doomed = [o for o in doomed if self._served(o)]
        for obj in doomed:
            self.kube.delete(obj, at_once=obj["kind"] == "Pod")
        for obj in doomed:
            stored = self.kube.find(obj)
            if stored and stored["metadata"].get("finalizers"):
                with contextlib.suppress(ApiError):
                    self.kube.patch(stored, {"metadata": {"finalizers": None}})
        left = [o for o in doomed if o["kind"] != "Pod"]
        self.plane.group.wait("the control plane is empty", lambda: not any(map(self.kube.find, left)), PATIENCE_S)


def _labels_of(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("labels", {})
