"""A model server over several nodes lands in one zone and restarts as a whole."""

import pytest

from offline.rehearsal.groups import GROUP as GROUP_KEY
from offline.rehearsal.observation import Observation, Pod
from offline.rehearsal.simulation import Simulation
from tests.cluster import stacks
from tests.cluster.steps import wait

STACKS = (stacks.WITH_GROUP,)


@pytest.fixture(autouse=True)
def _crd(simulation: Simulation) -> None:
    if simulation.left_out:
        pytest.skip(f"the custom resource definition of LeaderWorkerSet is nowhere to be found: {simulation.left_out}")


def test_a_group_lands_in_one_zone_on_nodes_of_its_own(seen: Observation) -> None:
    """Prevents ranks of one server in different zones, where EFA does not reach, and two ranks on one node's GPUs."""
    pods = _ranks(seen)
    nodes = [seen.by_node[pod.node or ""] for pod in pods]
    assert len(pods) == stacks.GROUP_SIZE
    assert len({node.zone for node in nodes}) == 1
    assert len({node.name for node in nodes}) == stacks.GROUP_SIZE


def test_a_group_restarts_as_a_whole(simulation: Simulation, seen: Observation) -> None:
    """Prevents one lost rank from leaving the others in a collective that never ends."""
    before = {pod.uid for pod in _ranks(seen)}
    lost = next(pod for pod in _ranks(seen) if not pod.name.endswith("-0"))
    meta = {"name": lost.name, "namespace": lost.namespace}
    simulation.kube.delete({"apiVersion": "v1", "kind": "Pod", "metadata": meta})

    def recreated() -> bool:
        now = _ranks(simulation.observe())
        return len(now) == stacks.GROUP_SIZE and all(pod.ready and pod.uid not in before for pod in now)

    wait(simulation, "every rank is new and ready", recreated)


def _ranks(seen: Observation) -> list[Pod]:
    return [pod for pod in seen.pods if GROUP_KEY in pod.labels]
