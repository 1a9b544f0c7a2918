"""What several cluster tests do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from offline.rehearsal.judgement import ModelResult
from offline.rehearsal.observation import Node, Observation
from offline.rehearsal.simulation import PATIENCE_S, Simulation
from offline.rehearsal.stages import model_results


def by_model(simulation: Simulation, seen: Observation) -> dict[str, ModelResult]:
    """Return the rows of the report by model."""
    return {result.name: result for result in model_results(simulation, seen)}


def new_nodes(result: ModelResult, before: Observation) -> list[Node]:
    """Return the nodes of a model that were not there before."""
    return [node for node in result.nodes if node.name not in before.by_node]


def wait(simulation: Simulation, what: str, condition: Callable[[], bool]) -> None:
    """Return when the condition holds; raises TimeoutError."""
    simulation.plane.group.wait(what, condition, PATIENCE_S)


@contextmanager
def restored(simulation: Simulation) -> Iterator[None]:
    """Afterwards EC2 has everything again and every model as many servers as before."""
    before = dict(simulation.replicas)
    try:
        yield
    finally:
        simulation.market.exhausted.clear()
        for model, replicas in before.items():
            simulation.scale(model, replicas)
        simulation.settle()
