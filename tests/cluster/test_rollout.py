"""A new revision of every model is rolled out with the GPUs that the plan allows for it."""

from offline.rehearsal.judgement import gpu_use
from offline.rehearsal.simulation import Simulation
from tests.cluster.steps import by_model


def test_a_rollout_completes_with_one_more_server_at_most(simulation: Simulation) -> None:
    """Prevents a rollout that waits for ever (no room in the pool) or takes more GPUs than were planned for it."""
    before = by_model(simulation, simulation.observe())
    held = simulation.roll_out(*before)
    for name, result in before.items():
        assert held[name] <= result.decision["gpus"] * (simulation.replicas[name] + 1), name
        old = {server.pod.uid for server in result.servers}
        assert {pod["metadata"]["uid"] for pod in simulation.pods_of(name)} & old == set(), f"{name}: old pods serve"
    assert all(used <= limit for used, limit in filter(None, map(gpu_use, simulation.observe().pools)))
