"""One control plane for all cluster tests; each stack is rehearsed once, and its tests run one after the other on it.

The fixture ``simulation`` is session-scoped and parametrized by stack, so pytest groups all tests of all files by
stack. Every test leaves the stack as it found it, but for the teardown, whose file sorts last.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from offline.program import ROOT, deploy_file
from offline.rehearsal.build import Toolchain, toolchain, unavailable
from offline.rehearsal.bundle import from_deployment
from offline.rehearsal.control_plane import ControlPlane
from offline.rehearsal.instances import assumed_reservations
from offline.rehearsal.observation import Observation
from offline.rehearsal.simulation import Simulation
from tests.cluster.capacity_chain import capacity_chain_stack

STACK_FILES = sorted([*ROOT.glob("Pulumi.*.yaml"), *ROOT.glob("examples/**/Pulumi.*.yaml")])
CHAIN = "capacity-chain"


@pytest.fixture(scope="session")
def servers() -> Toolchain:
    """The real servers; tests that need them are skipped where they can be neither found nor built."""
    if reason := unavailable():
        pytest.skip(f"no rehearsal here: {reason}")
    return toolchain()


@pytest.fixture(scope="session")
def plane(servers: Toolchain) -> Iterator[ControlPlane]:
    """The control plane of the whole suite."""
    with ControlPlane(servers.servers) as running:
        yield running


@pytest.fixture(scope="session", params=[*STACK_FILES, CHAIN], ids=lambda p: getattr(p, "stem", p))
def simulation(
    request: pytest.FixtureRequest, plane: ControlPlane, servers: Toolchain, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Simulation]:
    """A stack as deployed, settled."""
    path = request.param
    if not isinstance(path, Path):
        path = capacity_chain_stack(tmp_path_factory.mktemp(CHAIN))
    bundle = from_deployment(deploy_file(path))
    with Simulation(plane, servers, bundle, *assumed_reservations(bundle)) as running:
        running.settle()
        yield running


@pytest.fixture
def seen(simulation: Simulation) -> Observation:
    """What is there when the test begins."""
    return simulation.observe()
