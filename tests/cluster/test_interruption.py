"""What EC2 takes back is replaced. Behind the other files: the replacements run on whatever the chain has left."""

from offline.rehearsal.simulation import Simulation
from offline.rehearsal.stages import Step, perform

STACKS = ("capacity-chain",)
MODEL = "llama-8b"


def test_an_interrupted_node_is_replaced(simulation: Simulation) -> None:
    """Prevents a spot interruption that nobody hears of: no queue, or a controller that does not know its name.

    Karpenter counts a reservation's free slots again only after minutes: until then the next ways to buy serve.
    """
    before = {pod["metadata"]["name"] for pod in simulation.pods_of(MODEL)}
    stage = perform(simulation, Step("interrupt", MODEL))
    result = next(each for each in stage.models if each.name == MODEL)
    assert {server.pod.name for server in result.servers} & before == set()
    allowed = {result.decision["instance_type"], *result.decision["alternates"]}
    landed = [server.node and (server.node.instance_type in allowed, server.node.capacity) for server in result.servers]
    assert len(landed) == result.wanted
    assert all(each and each[0] and each[1] in result.decision["capacity"] for each in landed)
