"""Deleted in the order of ``pulumi destroy``, a stack leaves nothing that costs. Sorts last: it ends the stack."""

from offline.rehearsal.simulation import Simulation
from tests.cluster import stacks

STACKS = (*stacks.SHIPPED, *stacks.EXAMPLES)


def test_teardown_leaves_no_node_and_no_instance(simulation: Simulation) -> None:
    """Prevents finalizers that nobody is left to remove, and instances that nobody is left to terminate."""
    assert simulation.market.instances(), "nothing to tear down"
    assert simulation.tear_down() == []
    assert simulation.kube.list("karpenter.sh/v1", "NodeClaim") == []
    assert simulation.market.instances() == {}
