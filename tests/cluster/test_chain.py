"""A pool that may buy in three ways takes them in order."""

from offline.rehearsal.simulation import Simulation
from tests.cluster.steps import by_model, new_nodes, restored

STACKS = ("capacity-chain",)
MODEL = "llama-8b"


def test_the_reservation_is_used_first(simulation: Simulation) -> None:
    """Prevents paying for on-demand nodes while paid reservations stand idle."""
    result = by_model(simulation, simulation.observe())[MODEL]
    assert [server.node and server.node.capacity for server in result.servers] == ["reserved"] * result.wanted
    assert sum(reservation.used for reservation in simulation.market.reservations) == result.wanted


def test_the_next_ways_to_buy_follow_in_order(simulation: Simulation) -> None:
    """Prevents a full reservation, or on-demand capacity that EC2 lacks, from leaving pods pending."""
    with restored(simulation):
        for exhausted, expected in (("reserved", "on-demand"), ("on-demand", "spot")):
            before = simulation.observe()
            simulation.exhaust(f"*/*/{exhausted}")
            simulation.scale(MODEL, simulation.replicas[MODEL] + 1)
            result = by_model(simulation, simulation.settle())[MODEL]
            assert [node.capacity for node in new_nodes(result, before)] == [expected]
