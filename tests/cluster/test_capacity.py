"""Pools grow to what the plan allows and no further; without capacity, the next step of the chain is taken."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from offline.rehearsal.judgement import ModelResult, gpu_use
from offline.rehearsal.observation import Node, Observation
from offline.rehearsal.simulation import Simulation
from tests.cluster.steps import by_model, one_more_of_each, restored


def test_maximum_replicas_run_and_the_limit_holds_beyond(simulation: Simulation) -> None:
    """Prevents a pool limit that the plan's own maximum does not fit, and one that does not stop a runaway."""
    with restored(simulation):
        for name, result in by_model(simulation, simulation.observe()).items():
            simulation.scale(name, result.decision["replicas_max"])
        most = simulation.settle()
        assert [f"{pod.namespace}/{pod.name}: {pod.why}" for pod in most.pending] == []
        assert _within_limits(most)

        for result in _largest_of_each_pool(by_model(simulation, most)):
            pools = {node.pool for node in result.nodes}
            uses = [use for pool in most.pools if pool.pool in pools and (use := gpu_use(pool))]
            room = sum(limit - used for used, limit in uses)
            simulation.scale(result.name, result.decision["replicas_max"] + room // result.decision["gpus"] + 1)
        beyond = simulation.settle()
        assert beyond.pending, "the limit stops nothing"
        assert any("limit" in " ".join(pod.why) for pod in beyond.pending)
        assert _within_limits(beyond)


def test_other_zones_are_tried(simulation: Simulation) -> None:
    """Prevents a pool or a model from being tied to one zone: EC2 often has none of a type in one of them."""
    last = {}
    for name, result in by_model(simulation, simulation.observe()).items():
        *others, last[name] = result.decision["zones"]
        for zone in others:
            simulation.exhaust(f"*/{zone}/*")
    with _new_nodes(simulation) as new:
        assert {name: {node.zone for node in nodes} for name, nodes in new.items()} == {n: {z} for n, z in last.items()}


def test_other_types_of_the_plan_are_tried(simulation: Simulation) -> None:
    """Prevents a shortage of one type from blocking a model whose plan names types that serve as well."""
    decisions = {name: r.decision for name, r in by_model(simulation, simulation.observe()).items()}
    with_others = {name: decision for name, decision in decisions.items() if decision["alternates"]}
    if not with_others:
        pytest.skip("no model of this stack has another type in its pools")
    for decision in with_others.values():
        simulation.exhaust(f"{decision['instance_type']}/*/*")
    with _new_nodes(simulation) as new:
        for name, decision in with_others.items():
            assert {node.instance_type for node in new[name]} <= set(decision["alternates"])
            assert new[name], name


def test_other_ways_to_buy_are_tried_in_order(simulation: Simulation) -> None:
    """Prevents a chain of capacity that stops at, or does not start with, its first link."""
    chains = {name: r.decision["capacity"] for name, r in by_model(simulation, simulation.observe()).items()}
    longest = max(map(len, chains.values()))
    if longest == 1:
        pytest.skip("this stack buys in one way only")
    with restored(simulation):
        for link in range(1, longest):
            before = set(simulation.observe().by_node)
            for chain in chains.values():
                simulation.exhaust(f"*/*/{chain[link - 1]}")
            for name in chains:
                simulation.scale(name, simulation.replicas[name] + 1)
            results = by_model(simulation, simulation.settle())
            got = {name: {n.capacity for n in r.nodes if n.name not in before} for name, r in results.items()}
            assert got == {name: {chain[link]} for name, chain in chains.items() if len(chain) > link}


def _within_limits(seen: Observation) -> bool:
    return all(used <= limit for used, limit in filter(None, map(gpu_use, seen.pools)))


def _largest_of_each_pool(results: dict[str, ModelResult]) -> list[ModelResult]:
    """One model of each logical pool, the one that asks for the most GPUs."""
    found: dict[str | None, ModelResult] = {}
    for result in sorted(results.values(), key=lambda r: r.decision["gpus"]):
        for node in result.nodes:
            found[node.pool] = result
    return list(found.values())


@contextmanager
def _new_nodes(simulation: Simulation) -> Iterator[dict[str, list[Node]]]:
    """The nodes that one more server of every model brings, by model."""
    before = set(simulation.observe().by_node)
    with one_more_of_each(simulation) as seen:
        results = by_model(simulation, seen)
        yield {name: [n for n in r.nodes if n.name not in before] for name, r in results.items()}
