"""A node that is past its age is not taken from under a loaded model."""

import copy

from offline.rehearsal.kube import Obj
from offline.rehearsal.simulation import Simulation
from tests.cluster.steps import by_model, restored, wait

STACKS = ("dev",)
"""The smallest stack is enough: the pools of all stacks come from one component with one default."""
EXPIRY = "30s"


def test_a_busy_node_keeps_its_server_when_it_expires(simulation: Simulation) -> None:
    """Prevents an expired node from being drained at once.

    A pool like the model's own, but first in weight and with a short expiry, gets one more server.
    """
    name, result = next(iter(by_model(simulation, simulation.observe()).items()))
    pools = {pool["metadata"]["name"]: pool for pool in simulation.bundle.of_kind("NodePool")}
    brief = copy.deepcopy(pools[result.nodes[0].node_pool or ""])
    brief["metadata"] = {"name": "brief"}
    brief["spec"]["weight"] = 100
    brief["spec"]["template"]["spec"]["expireAfter"] = EXPIRY
    simulation.kube.apply(brief)
    try:
        with restored(simulation):
            simulation.scale(name, simulation.replicas[name] + 1)
            grown = simulation.settle()
            node = next(n for n in by_model(simulation, grown)[name].nodes if n.node_pool == "brief")
            before = {p.uid for p in grown.pods if p.node == node.name and p.gpus}
            wait(simulation, "its drain is held up", lambda: _drain_held_up(simulation, node.name))
            after = {p.uid for p in simulation.observe().pods if p.node == node.name and p.gpus and p.ready}
            assert after == before
    finally:
        simulation.kube.delete(brief)
        wait(simulation, "the brief pool is gone", lambda: simulation.kube.find(brief) is None)
        wait(simulation, "its node is gone", lambda: not _of_brief(simulation))


def _drain_held_up(simulation: Simulation, node: str) -> bool:
    events = simulation.cluster.list("Event")
    return any(e.get("reason") == "FailedDraining" and e["involvedObject"]["name"] == node for e in events)


def _of_brief(simulation: Simulation) -> list[Obj]:
    claims = simulation.cluster.list("NodeClaim")
    return [c for c in claims if c["metadata"]["labels"]["karpenter.sh/nodepool"] == "brief"]
