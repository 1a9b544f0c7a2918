"""A new revision of a model is rolled out with the GPUs that the plan allows for it."""

from offline.rehearsal.judgement import gpu_use
from offline.rehearsal.simulation import Simulation
from tests.cluster.steps import by_model, restored


def test_a_rollout_completes_with_no_more_than_its_surge(simulation: Simulation) -> None:
    """Prevents a rollout that waits for ever (no room in the pool) or takes more GPUs than were planned for it."""
    with restored(simulation):
        for name, result in by_model(simulation, simulation.observe()).items():
            strategy = simulation.workload(name)["spec"]["strategy"]["rollingUpdate"]
            gpus = result.decision["gpus"]
            most = simulation.roll_out(name)
            assert most == gpus * (simulation.replicas[name] + strategy["maxSurge"]), name
            pods = {pod["metadata"]["uid"] for pod in simulation.pods_of(name)}
            assert pods & {server.pod.uid for server in result.servers} == set(), f"{name}: old pods still serve"
        seen = simulation.observe()
        assert all(used <= limit for used, limit in filter(None, map(gpu_use, seen.pools)))
