"""What several cluster tests do: more servers for a while, one per model."""

from collections.abc import Iterator
from contextlib import contextmanager

from offline.rehearsal.judgement import ModelResult
from offline.rehearsal.observation import Observation
from offline.rehearsal.simulation import Simulation
from offline.rehearsal.stages import model_results


@contextmanager
def restored(simulation: Simulation) -> Iterator[None]:
    """Afterwards EC2 has everything again, every model as many servers as before, and emptied nodes are gone."""
    before = dict(simulation.replicas)
    try:
        yield
    finally:
        simulation.market.exhausted.clear()
        for model, replicas in before.items():
            simulation.scale(model, replicas)
        simulation.settle()
        simulation.consolidate()


@contextmanager
def one_more_of_each(simulation: Simulation) -> Iterator[Observation]:
    """One more server of every model than now, for a while."""
    with restored(simulation):
        for model, replicas in dict(simulation.replicas).items():
            simulation.scale(model, replicas + 1)
        yield simulation.settle()


def by_model(simulation: Simulation, seen: Observation) -> dict[str, ModelResult]:
    """The rows of the report by model."""
    return {result.name: result for result in model_results(simulation, seen)}
