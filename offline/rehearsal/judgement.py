"""What the controllers did beside what the plan promised: one row per model, and every difference in words."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from components.scheduling import GPU_RESOURCE, SYSTEM_POOL
from components.sizing import catalog
from offline.rehearsal.observation import Node, Observation, Pod, Pool
from offline.rehearsal.quantities import number

PRICE_TOLERANCE = 0.01
"""Karpenter's price list and the catalogue are both us-east-1 list prices; more than a rounding apart is a mistake."""


@dataclass(frozen=True)
class Server:
    """One pod of a model and the node that it got."""

    pod: Pod
    node: Node | None


@dataclass(frozen=True)
class ModelResult:
    """One model: the plan's decision and what became of it."""

    decision: Mapping[str, Any]
    wanted: int
    """Pods that should run now."""
    servers: tuple[Server, ...]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.decision["name"]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The different nodes that its pods run on."""
        return tuple({s.node.name: s.node for s in self.servers if s.node}.values())

    @property
    def usd_per_hour(self) -> float:
        """Of the nodes launched for it. Reserved capacity counts at list price: it is paid whether used or not."""
        return sum(_price(node) for node in self.nodes)

    @property
    def planned_usd_per_hour(self) -> float:
        """Of the servers that should run, by the plan."""
        return self.decision["usd_per_hour"] / self.decision["replicas"] * self.wanted / self.decision["nodes"]


def results(
    models: Iterable[Mapping[str, Any]], pods: Mapping[str, Iterable[str]], replicas: Mapping[str, int],
    seen: Observation,
) -> list[ModelResult]:  # fmt: skip
    """Return the rows. ``pods``: uids of each model's pods; ``replicas``: servers that each should have."""
    by_uid = {pod.uid: pod for pod in seen.pods}
    found = []
    for decision in models:
        own = [by_uid[uid] for uid in pods[decision["name"]] if uid in by_uid]
        servers = tuple(Server(pod, seen.by_node.get(pod.node or "")) for pod in own)
        wanted = replicas[decision["name"]] * decision["nodes"]
        found.append(ModelResult(decision, wanted, servers))
    return found


def differences(
    models: Iterable[ModelResult], seen: Observation, exhausted: Iterable[str] = (), *, reserved: bool = True
) -> list[str]:
    """Everything that is not as planned; empty when the rehearsal agrees with the plan.

    ``exhausted``: the offers that EC2 was told to lack, which excuse another choice of the same plan. ``reserved``:
    whether reservations have room left; where not, the next way to buy is right.
    """
    patterns = tuple(exhausted)
    return [*(text for model in models for text in _of_model(model, patterns, reserved=reserved)), *_of_cluster(seen)]


def _of_model(model: ModelResult, exhausted: tuple[str, ...], *, reserved: bool) -> Iterator[str]:
    running = [s for s in model.servers if s.node and s.pod.ready]
    if len(running) != model.wanted or len(model.servers) != model.wanted:
        yield f"{model.name}: {len(running)} of {model.wanted} pods run, {len(model.servers)} exist"
    decision = model.decision
    planned, alternates = decision["instance_type"], decision["alternates"]
    short = any(fnmatch(planned, pattern.split("/")[0]) for pattern in exhausted)
    for node in model.nodes:
        if node.instance_type != planned and not (short and node.instance_type in alternates):
            yield f"{model.name}: {node.name} is a {node.instance_type}, planned was {planned}"
        if node.capacity not in _open_ways(decision["capacity"], exhausted, reserved=reserved):
            yield f"{model.name}: {node.name} is {node.capacity}, planned was {', then '.join(decision['capacity'])}"
    priced = all(node.capacity != "spot" and node.instance_type == planned for node in model.nodes)
    planned_cost = model.planned_usd_per_hour
    if priced and running and abs(model.usd_per_hour - planned_cost) > PRICE_TOLERANCE * planned_cost:
        yield f"{model.name}: costs ${model.usd_per_hour:.2f}/h, planned were ${planned_cost:.2f}/h"


def _open_ways(chain: list[str], exhausted: tuple[str, ...], *, reserved: bool) -> list[str]:
    """Return the ways to buy that are right: the first of the chain, and the next where EC2 lacks those before."""
    for length, capacity in enumerate(chain, 1):
        used_up = capacity == "reserved" and not reserved
        if not used_up and not any(fnmatch(capacity, pattern.split("/")[2]) for pattern in exhausted):
            return chain[:length]
    return chain


def _of_cluster(seen: Observation) -> Iterator[str]:
    for pod in seen.pending:
        yield f"{pod.namespace}/{pod.name} is pending: {'; '.join(pod.why) or 'nothing was said about it'}"
    yield from (f"no pods: {text}" for text in seen.missing_pods)
    yield from (f"{name} is not bound" for name in seen.unbound_volumes)
    yield from (f"{name} is not complete" for name in seen.unfinished_jobs)
    yield from (f"EC2NodeClass {text}" for text in seen.classes_not_ready)
    yield from (f"NodePool {pool.name}: {pool.why_not_ready}" for pool in seen.pools if pool.why_not_ready)
    yield from (f"NodeClaim {text}" for text in seen.uninitialized)
    for pool in seen.pools:
        for resource, used, limit in use_of(pool):
            if used > limit:
                yield f"NodePool {pool.name} uses {used:g} {resource} of {limit:g}"
    yield from _of_placement(seen)


def _of_placement(seen: Observation) -> Iterator[str]:
    for pod, node in seen.on_gpu_nodes():
        if not pod.gpus and pod.owner != "DaemonSet":
            yield f"{pod.namespace}/{pod.name} uses no GPU and runs on {node.instance_type} {node.name}"
    for node in seen.nodes:
        if node.node_pool and node.instance_type in _GPU_TYPES and not node.gpus:
            yield f"{node.name}, a {node.instance_type}, never advertised its GPUs"
    for pod in seen.pods:
        if pod.gpus and pod.node and seen.by_node[pod.node].pool == SYSTEM_POOL:
            yield f"{pod.namespace}/{pod.name} runs on system node {pod.node}"


_GPU_TYPES = frozenset(instance.name for instance in catalog.instance_types())


def use_of(pool: Pool) -> list[tuple[str, float, float]]:
    """(resource, used, limit) of each limit of a pool."""
    return [(r, number(pool.used.get(r, 0)), number(limit)) for r, limit in pool.limits.items()]


def gpu_use(pool: Pool) -> tuple[int, int] | None:
    """GPUs used and allowed; None for a pool without a limit on GPUs."""
    return next(((int(used), int(limit)) for r, used, limit in use_of(pool) if r == GPU_RESOURCE), None)


def _price(node: Node) -> float:
    if node.capacity == "reserved" and node.instance_type in _GPU_TYPES:
        return catalog.instance_type(node.instance_type).usd_per_hour or 0.0
    return node.usd_per_hour or 0.0
