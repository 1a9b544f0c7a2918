"""A node that serves is left alone; a node that nobody uses goes; what may be evicted at once is bounded."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from offline.rehearsal.kube import ApiError, Obj
from offline.rehearsal.simulation import Simulation
from tests.cluster.steps import by_model, one_more_of_each

EXPIRY = "40s"
CLAIM, POOL, NODE_CLASS = "NodeClaim", "NodePool", "EC2NodeClass"
KARPENTER = "karpenter.sh/v1"


def test_busy_nodes_survive_drift_and_consolidation_and_empty_nodes_go(simulation: Simulation) -> None:
    """Prevents Karpenter from evicting a loaded model to save money or to roll a change of the nodes out.

    The node that the extra server leaves empty is the control: once it is gone, Karpenter has judged all the others.
    """
    busy = _servers(simulation)
    with _drifted(simulation):
        with one_more_of_each(simulation) as grown:
            extra = {node.name for r in by_model(simulation, grown).values() for node in r.nodes} - set(busy.values())
            assert extra, "no control"
        seen = simulation.observe()
        assert extra & set(seen.by_node) == set(), "empty nodes stay and cost"
        assert _servers(simulation) == busy


def test_a_busy_node_is_not_taken_when_it_expires(simulation: Simulation) -> None:
    """Prevents an expired node from being drained at once under a loaded model.

    A pool like the model's own but with a short expiry and first in weight gets one more server.
    """
    name, result = next(iter(by_model(simulation, simulation.observe()).items()))
    pool = next(p for p in simulation.bundle.of_kind(POOL) if p["metadata"]["name"] == result.nodes[0].node_pool)
    brief = copy.deepcopy(pool)
    brief["metadata"] = {"name": "brief"}
    brief["spec"] |= {"weight": 100}
    brief["spec"]["template"]["spec"]["expireAfter"] = EXPIRY
    simulation.kube.apply(brief)
    try:
        with one_more_of_each(simulation) as grown:
            new = next(n for n in by_model(simulation, grown)[name].nodes if n.node_pool == "brief")
            pods = {p.uid for p in grown.pods if p.node == new.name and p.gpus}
            claim = next(c for c in simulation.kube.list(KARPENTER, CLAIM) if c["status"].get("nodeName") == new.name)
            _wait(simulation, "it expires", lambda: _going(simulation, claim))
            _wait(simulation, "its drain is held up", lambda: _drain_blocked(simulation, new.name))
            still = {p.uid for p in simulation.observe().pods if p.node == new.name and p.gpus and p.ready}
            assert still == pods
    finally:
        simulation.kube.delete(brief)
        _wait(simulation, "the brief pool is gone", lambda: simulation.kube.find(brief) is None)


def test_disruption_budgets_let_one_server_go_at_a_time(simulation: Simulation) -> None:
    """Prevents a drain from taking all servers of a model at once, and one that no drain could ever pass."""
    with one_more_of_each(simulation):
        for model in simulation.replicas:
            first, second, *_ = simulation.pods_of(model)
            simulation.kube.evict(first)
            with pytest.raises(ApiError, match="disruption budget"):
                simulation.kube.evict(second)


def _servers(simulation: Simulation) -> dict[str, str]:
    """Node by uid of every model pod."""
    pods = [pod for model in simulation.replicas for pod in simulation.pods_of(model)]
    return {pod["metadata"]["uid"]: pod["spec"]["nodeName"] for pod in pods}


@contextmanager
def _drifted(simulation: Simulation) -> Iterator[None]:
    """Every node is drifted: its class asks for a larger disk, as after a change of configuration."""
    classes = simulation.bundle.of_kind(NODE_CLASS)
    for original in classes:
        changed = copy.deepcopy(original)
        for mapping in changed["spec"]["blockDeviceMappings"]:
            mapping["ebs"]["volumeSize"] = "999Gi"
        simulation.kube.apply(changed)
    try:
        _wait(simulation, "every node is drifted", lambda: all(_drift(simulation)))
        yield
    finally:
        for original in classes:
            simulation.kube.apply(original)
        _wait(simulation, "no node is drifted", lambda: not any(_drift(simulation)))


def _drift(simulation: Simulation) -> list[bool]:
    claims = simulation.kube.list(KARPENTER, CLAIM)
    conditions = [{c["type"]: c["status"] for c in claim["status"].get("conditions", [])} for claim in claims]
    return [found.get("Drifted") == "True" for found in conditions]


def _going(simulation: Simulation, claim: Obj) -> bool:
    stored = simulation.kube.find(claim)
    return stored is None or "deletionTimestamp" in stored["metadata"]


def _drain_blocked(simulation: Simulation, node: str) -> bool:
    events = simulation.kube.list("v1", "Event")
    return any(e["reason"] == "FailedDraining" and e["involvedObject"]["name"] == node for e in events)


def _wait(simulation: Simulation, what: str, condition: object) -> None:
    simulation.plane.group.wait(what, condition, 240)  # pyright: ignore[reportArgumentType]
