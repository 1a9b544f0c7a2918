"""What the controllers have made of a stack: pods, nodes, pools and claims as rows, with the events' own words."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.scheduling import GPU_RESOURCE, POOL_LABEL
from offline.rehearsal.ec2 import Market
from offline.rehearsal.kube import Obj
from offline.rehearsal.quantities import MIB, asked, gpus, number
from offline.rehearsal.stand_ins import SOURCE
from offline.rehearsal.watch import Watch

_CAPACITY, _ZONE = "karpenter.sh/capacity-type", "topology.kubernetes.io/zone"
_TYPE = "node.kubernetes.io/instance-type"
_NODEPOOL = "karpenter.sh/nodepool"
_WHY = 3


@dataclass(frozen=True)
class Pod:
    """One pod that nobody has asked to go."""

    namespace: str
    name: str
    uid: str
    labels: Mapping[str, str]
    owner: str
    """Kind of its controller: ReplicaSet, DaemonSet, Job, ..."""
    phase: str
    ready: bool
    node: str | None
    gpus: int
    cpu_millicores: int
    memory_mib: int
    scheduled_after_s: float | None
    why: tuple[str, ...]
    """While pending: what Karpenter and the scheduler said last."""
    refused: bool
    """Whether Karpenter has said that it cannot help."""

    @property
    def stands_for(self) -> str | None:
        """The chart or add-on that a stand-in belongs to."""
        return self.labels.get(SOURCE)


@dataclass(frozen=True)
class Node:
    """One node; those of Karpenter with a claim and a price."""

    name: str
    pool: str | None
    """The logical pool (label of the program)."""
    node_pool: str | None
    instance_type: str
    zone: str
    capacity: str | None
    gpus: int
    cpu_millicores: int
    memory_mib: int
    usd_per_hour: float | None
    """As Karpenter rated the offer: list price, 0 for reserved capacity. None for managed nodes."""


@dataclass(frozen=True)
class Pool:
    """A NodePool's use against its limits, and what keeps it from being ready."""

    name: str
    pool: str | None
    """The logical pool that its nodes belong to."""
    limits: Mapping[str, str]
    used: Mapping[str, str]
    why_not_ready: str | None


@dataclass(frozen=True)
class Observation:
    """The state of the cluster at one moment."""

    pods: tuple[Pod, ...]
    nodes: tuple[Node, ...]
    pools: tuple[Pool, ...]
    classes_not_ready: tuple[str, ...]
    claims: tuple[str, ...]
    """Names of NodeClaims."""
    uninitialized: tuple[str, ...]
    """NodeClaims that are no usable node yet, with the reason."""
    unbound_volumes: tuple[str, ...]
    unfinished_jobs: tuple[str, ...]
    missing_pods: tuple[str, ...]
    """Workloads that have fewer pods than they want, with the reason (an admission refusal, a quota)."""
    moving: bool
    """Whether something is on its way out."""
    picture: Any = field(repr=False)
    """Equal for two observations between which nothing moved."""

    @property
    def by_node(self) -> Mapping[str, Node]:
        """Nodes by name."""
        return {node.name: node for node in self.nodes}

    @property
    def pending(self) -> tuple[Pod, ...]:
        """Pods without a node."""
        return tuple(pod for pod in self.pods if pod.node is None)

    @property
    def empty_nodes(self) -> tuple[Node, ...]:
        """Karpenter's nodes that only DaemonSets and finished Jobs use."""
        used = {p.node for p in self.pods if p.owner != "DaemonSet" and p.phase != "Succeeded"}
        return tuple(node for node in self.nodes if node.node_pool and node.name not in used)

    @property
    def at_rest(self) -> bool:
        """Everything asked for is there and nothing is on its way."""
        running = all(p.node and p.phase in {"Running", "Succeeded"} for p in self.pods)
        waiting = self.uninitialized or self.unbound_volumes or self.unfinished_jobs or self.missing_pods
        return running and not waiting and not self.moving

    @property
    def refused(self) -> bool:
        """Nothing moves, and Karpenter has said of every pending pod that it cannot help.

        Of pods whose claim the volume controller has yet to bind it says so too, and takes it back a moment later.
        """
        able = not self.classes_not_ready and not any(pool.why_not_ready for pool in self.pools)
        able = able and not self.unbound_volumes
        return able and not self.uninitialized and not self.moving and all(pod.refused for pod in self.pending)

    def on_gpu_nodes(self) -> Iterable[tuple[Pod, Node]]:
        """(pod, node) of everything on nodes that have GPUs."""
        placed = [(pod, self.by_node.get(pod.node or "")) for pod in self.pods]
        return [(pod, node) for pod, node in placed if node and node.gpus]


WATCHED = (
    ("v1", "Pod"), ("v1", "Node"), ("v1", "Event"), ("v1", "PersistentVolumeClaim"), ("batch/v1", "Job"),
    ("apps/v1", "ReplicaSet"), ("apps/v1", "DaemonSet"), ("karpenter.sh/v1", "NodeClaim"),
    ("karpenter.sh/v1", "NodePool"), ("karpenter.k8s.aws/v1", "EC2NodeClass"),
)  # fmt: skip
"""What ``observe`` looks at."""


def observe(cluster: Watch, market: Market) -> Observation:
    """Read the cluster."""
    pods, nodes = cluster.list("Pod"), cluster.list("Node")
    claims = cluster.list("NodeClaim")
    events = _events(cluster)
    able = [*cluster.list("NodePool"), *cluster.list("EC2NodeClass")]
    going = [o for o in (*pods, *claims, *nodes) if o["metadata"].get("deletionTimestamp")]
    staying = [p for p in pods if not p["metadata"].get("deletionTimestamp")]
    return Observation(
        pods=tuple(_pod(p, events.get(p["metadata"]["uid"], [])) for p in staying),
        nodes=tuple(_node(n, market) for n in nodes),
        pools=tuple(_pool(p) for p in cluster.list("NodePool")),
        classes_not_ready=tuple(_not_ready(cluster.list("EC2NodeClass"))),
        claims=tuple(c["metadata"]["name"] for c in claims),
        uninitialized=tuple(
            f"{c['metadata']['name']}: {_message(c, 'Launched', 'Registered', 'Initialized')}"
            for c in claims if _condition(c, "Initialized").get("status") != "True"
        ),
        unbound_volumes=tuple(
            identity(v) for v in cluster.list("PersistentVolumeClaim") if v["status"].get("phase") != "Bound"
        ),
        unfinished_jobs=tuple(identity(j) for j in cluster.list("Job") if _unfinished(j)),
        missing_pods=tuple(_missing(cluster, events)),
        moving=bool(going),
        picture=(
            sorted((p["metadata"]["uid"], p["spec"].get("nodeName", ""), p["status"].get("phase", "")) for p in pods),
            sorted((c["metadata"]["uid"], str(_condition(c, "Initialized").get("status"))) for c in claims),
            sorted(o["metadata"]["uid"] for o in going),
            sorted(n["metadata"]["name"] for n in able if _condition(n, "Ready").get("status") == "True"),
        ),
    )  # fmt: skip


def _events(cluster: Watch) -> dict[str, list[Obj]]:
    """Events by the uid of what they speak of, oldest first."""
    found: dict[str, list[Obj]] = defaultdict(list)
    for event in sorted(cluster.list("Event"), key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or ""):
        found[event["involvedObject"].get("uid", "")].append(event)
    return found


def _speaker(event: Obj) -> str:
    return event.get("source", {}).get("component") or event.get("reportingComponent") or "?"


def _pod(pod: Obj, events: list[Obj]) -> Pod:
    meta, spec, status = pod["metadata"], pod["spec"], pod["status"]
    node = spec.get("nodeName")
    said = [e for e in events if e.get("type") == "Warning" or e.get("reason") == "FailedScheduling"]
    words = list(dict.fromkeys(f"{_speaker(e)}: {e.get('message', '')}" for e in said))
    owner = next((o["kind"] for o in meta.get("ownerReferences", []) if o.get("controller")), "")
    return Pod(
        namespace=meta["namespace"], name=meta["name"], uid=meta["uid"], labels=meta.get("labels", {}), owner=owner,
        phase=status.get("phase", ""), ready=_condition(pod, "Ready").get("status") == "True", node=node,
        gpus=gpus(spec), cpu_millicores=round(1000 * asked(spec, "cpu")),
        memory_mib=round(asked(spec, "memory") / MIB),
        scheduled_after_s=_seconds(meta["creationTimestamp"], _condition(pod, "PodScheduled")) if node else None,
        why=() if node else tuple(words[-_WHY:]),
        refused=any(_speaker(e) == "karpenter" and e.get("reason") == "FailedScheduling" for e in said),
    )  # fmt: skip


def _seconds(begin: str, condition: Obj) -> float | None:
    if condition.get("status") != "True":
        return None
    first, last = (dt.datetime.fromisoformat(t) for t in (begin, condition["lastTransitionTime"]))
    return (last - first).total_seconds()


def _node(node: Obj, market: Market) -> Node:
    labels, allocatable = node["metadata"]["labels"], node["status"].get("allocatable", {})
    instance = node["spec"].get("providerID", "").rpartition("/")[2]
    return Node(
        name=node["metadata"]["name"], pool=labels.get(POOL_LABEL), node_pool=labels.get(_NODEPOOL),
        instance_type=labels.get(_TYPE, "?"), zone=labels.get(_ZONE, "?"), capacity=labels.get(_CAPACITY),
        gpus=int(number(allocatable.get(GPU_RESOURCE, 0))),
        cpu_millicores=round(1000 * number(allocatable.get("cpu", 0))),
        memory_mib=round(number(allocatable.get("memory", 0)) / MIB), usd_per_hour=market.prices.get(instance),
    )  # fmt: skip


def _pool(pool: Obj) -> Pool:
    ready = _condition(pool, "Ready")
    why = None if ready.get("status") == "True" else ready.get("message") or "no status yet"
    used = pool.get("status", {}).get("resources", {})
    labels = pool["spec"]["template"].get("metadata", {}).get("labels", {})
    return Pool(pool["metadata"]["name"], labels.get(POOL_LABEL), pool["spec"].get("limits", {}), used, why)


def _not_ready(classes: list[Obj]) -> Iterable[str]:
    for found in classes:
        if _condition(found, "Ready").get("status") != "True":
            bad = [c for c in found.get("status", {}).get("conditions", []) if c["status"] != "True"]
            why = "; ".join(f"{c['type']}: {c.get('message') or c.get('reason')}" for c in bad)
            yield f"{found['metadata']['name']}: {why or 'no status yet'}"


def _unfinished(job: Obj) -> bool:
    return _condition(job, "Complete").get("status") != "True"


def _missing(cluster: Watch, events: Mapping[str, list[Obj]]) -> Iterable[str]:
    """Workloads whose controller could not create their pods."""
    for kind in ("ReplicaSet", "DaemonSet", "Job"):
        for owner in cluster.list(kind):
            failed = [e for e in events.get(owner["metadata"]["uid"], []) if e.get("reason") == "FailedCreate"]
            status, spec = owner.get("status", {}), owner["spec"]
            short = {
                "ReplicaSet": status.get("replicas", 0) < spec.get("replicas", 1),
                "DaemonSet": status.get("currentNumberScheduled", 0) < status.get("desiredNumberScheduled", 0),
                "Job": not status.get("active") and _unfinished(owner),
            }[kind]
            if failed and short:
                yield f"{identity(owner)}: {failed[-1].get('message')}"


def _condition(obj: Obj, kind: str) -> Obj:
    return next((c for c in obj.get("status", {}).get("conditions", []) if c["type"] == kind), {})


def _message(obj: Obj, *kinds: str) -> str:
    """Return the first of these conditions that is not true, in words."""
    for kind in kinds:
        condition = _condition(obj, kind)
        if condition.get("status") != "True":
            return f"{kind}: {condition.get('message') or condition.get('reason') or 'waiting'}"
    return "ready"


def identity(obj: Obj) -> str:
    """How an object is called in a report."""
    meta = obj["metadata"]
    return "/".join(part for part in (obj["kind"], meta.get("namespace"), meta["name"]) if part)
