"""A stack grows past its limits, stands at its maximum, and shrinks again while all its nodes are drifted.

The fixtures do it once per stack; the tests look at what was there on the way.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from offline.rehearsal.judgement import ModelResult, gpu_use
from offline.rehearsal.kube import ApiError, Obj
from offline.rehearsal.observation import Observation
from offline.rehearsal.simulation import Simulation
from tests.cluster.steps import by_model, new_nodes, wait


@dataclass(frozen=True)
class Growth:
    """The stack as deployed, then with more servers than its pools allow, then with the plan's maximum."""

    base: Observation
    beyond: Observation
    most: Observation


@pytest.fixture(scope="module")
def growth(simulation: Simulation) -> Growth:
    """Grows while EC2 lacks all zones but one, and the first choice of every model that has another."""
    base = simulation.observe()
    results = by_model(simulation, base)
    for result in results.values():
        for zone in result.decision["zones"][:-1]:
            simulation.exhaust(f"*/{zone}/*")
        if result.decision["alternates"]:
            simulation.exhaust(f"{result.decision['instance_type']}/*/*")
    for name, result in results.items():
        simulation.scale(name, result.decision["replicas_max"])
    for result in _largest_of_each_pool(results):
        pools = {node.pool for node in result.nodes}
        limit = sum(use[1] for pool in base.pools if pool.pool in pools and (use := gpu_use(pool)))
        simulation.scale(result.name, limit // result.decision["gpus"] + 1)
    beyond = simulation.settle()
    for name, result in results.items():
        simulation.scale(name, result.decision["replicas_max"])
    most = simulation.settle()
    simulation.market.exhausted.clear()
    return Growth(base, beyond, most)


def test_the_limit_holds_and_karpenter_says_so(growth: Growth) -> None:
    """Prevents a runaway autoscaler from launching more GPUs than the stack's ceiling of cost counts on."""
    assert growth.beyond.pending, "the limit stops nothing"
    reasons = [" ".join(pod.why) for pod in growth.beyond.pending]
    assert any("exceed limits for nodepool" in reason for reason in reasons), reasons
    assert _within_limits(growth.beyond)


def test_the_plans_maximum_runs(growth: Growth) -> None:
    """Prevents a pool limit, or a quota of the pool's own, that the plan's maximum does not fit."""
    assert {f"{pod.namespace}/{pod.name}": pod.why for pod in growth.most.pending} == {}
    assert _within_limits(growth.most)


def test_other_zones_and_types_of_the_plan_are_tried(simulation: Simulation, growth: Growth) -> None:
    """Prevents a pool or a model from being tied to one zone or one type: EC2 often has none of it there."""
    for name, result in by_model(simulation, growth.most).items():
        decision = result.decision
        added = new_nodes(result, growth.base)
        assert bool(added) == (decision["replicas_max"] > decision["replicas"]), name
        assert {node.zone for node in added} <= {decision["zones"][-1]}, name
        expected = set(decision["alternates"] or [decision["instance_type"]])
        assert {node.instance_type for node in added} <= expected, name


def test_disruption_budgets_let_one_server_go_at_a_time(simulation: Simulation, growth: Growth) -> None:
    """Prevents a drain from taking all servers of a model at once, and one that no drain could ever pass."""
    assert growth.most.pods
    for model in simulation.replicas:
        budget = next(o for o in simulation.bundle.of_kind("PodDisruptionBudget") if o["metadata"]["name"] == model)
        wait(simulation, f"{model} may lose a server", lambda b=budget: _allowed(simulation, b) > 0)
        with simulation.kubelets.frozen:
            first, *others = simulation.pods_of(model)
            simulation.kube.evict(first)
            for other in others:
                with pytest.raises(ApiError, match="disruption budget"):
                    simulation.kube.evict(other)
    simulation.settle()


def test_busy_nodes_survive_drift_and_consolidation_and_empty_nodes_go(simulation: Simulation, growth: Growth) -> None:
    """Prevents Karpenter from evicting a loaded model to save money, or to roll a change of the nodes out.

    The emptied nodes are the control: once they are gone, Karpenter has judged all the others.
    """
    assert growth.most.nodes
    with _drifted(simulation):
        for name, result in by_model(simulation, simulation.observe()).items():
            simulation.scale(name, result.decision["replicas"])
        seen = simulation.settle()
        busy = {pod.uid: pod.node for pod in seen.pods if pod.gpus}
        assert seen.empty_nodes, "no control"
        simulation.consolidate()
        assert {pod.uid: pod.node for pod in simulation.observe().pods if pod.gpus} == busy


def _within_limits(seen: Observation) -> bool:
    return all(used <= limit for used, limit in filter(None, map(gpu_use, seen.pools)))


def _largest_of_each_pool(results: dict[str, ModelResult]) -> list[ModelResult]:
    """One model of each logical pool, the one that asks for the most GPUs."""
    found: dict[str | None, ModelResult] = {}
    for result in sorted(results.values(), key=lambda r: r.decision["gpus"]):
        for node in result.nodes:
            found[node.pool] = result
    return list(found.values())


def _allowed(simulation: Simulation, budget: Obj) -> int:
    stored = simulation.kube.find(budget)
    return stored["status"].get("disruptionsAllowed", 0) if stored else 0


@contextmanager
def _drifted(simulation: Simulation) -> Iterator[None]:
    """Every node is drifted: its class asks for another disk, as after a change of configuration."""
    classes = simulation.bundle.of_kind("EC2NodeClass")
    for original in classes:
        changed = copy.deepcopy(original)
        for mapping in changed["spec"]["blockDeviceMappings"]:
            mapping["ebs"]["volumeSize"] = "999Gi"
        simulation.kube.apply(changed)
    try:
        wait(simulation, "every node is drifted", lambda: all(_drift(simulation)))
        yield
    finally:
        for original in classes:
            simulation.kube.apply(original)
        wait(simulation, "no node is drifted", lambda: not any(_drift(simulation)))


def _drift(simulation: Simulation) -> list[bool]:
    claims = simulation.cluster.list("NodeClaim")
    conditions = [{c["type"]: c["status"] for c in claim["status"].get("conditions", [])} for claim in claims]
    return [found.get("Drifted") == "True" for found in conditions]
