"""One control plane for all cluster tests; each stack is rehearsed once, and its tests run one after the other on it.

The fixture ``simulation`` is session-scoped and parametrized by stack, so pytest groups the tests of all files by
stack and runs the files in alphabetical order for each: as deployed first, then growing and shrinking, a rollout, and
the teardown, which ends the stack.
"""

from collections.abc import Iterator

import pytest

from offline.program import ROOT, deploy_file
from offline.rehearsal.build import Toolchain, ToolchainMissingError, ensure_available, toolchain
from offline.rehearsal.bundle import from_deployment
from offline.rehearsal.control_plane import ControlPlane
from offline.rehearsal.instances import assumed_reservations
from offline.rehearsal.observation import Observation
from offline.rehearsal.simulation import Simulation
from offline.stack_files import stack_name

SHIPPED = sorted(ROOT.glob("Pulumi.*.yaml"))
EXAMPLES = sorted(ROOT.glob("examples/**/Pulumi.*.yaml"))
BRIEFLY = ("test_admission", "test_deployed", "test_teardown")
"""Files that run on the examples too; the others take a minute a stack and run on the shipped stacks."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on every stack, or on the one that its file names in ``STACK``."""
    if "simulation" not in metafunc.fixturenames:
        return
    stacks = [*SHIPPED, *EXAMPLES] if metafunc.definition.path.stem in BRIEFLY else SHIPPED
    if only := getattr(metafunc.module, "STACK", None):
        stacks = [path for path in [*SHIPPED, *EXAMPLES] if stack_name(path) == only]
    names = [stack_name(path) for path in stacks]
    metafunc.parametrize("simulation", stacks, indirect=True, scope="session", ids=names)


@pytest.fixture(scope="session")
def servers() -> Toolchain:
    """Return the real servers; tests that need them are skipped where they can be neither found nor built."""
    try:
        ensure_available()
    except ToolchainMissingError as missing:
        pytest.skip(str(missing))
    return toolchain()


@pytest.fixture(scope="session")
def plane(servers: Toolchain) -> Iterator[ControlPlane]:
    """Return the control plane of the whole suite."""
    with ControlPlane(servers.servers) as running:
        yield running


@pytest.fixture(scope="session")
def simulation(request: pytest.FixtureRequest, plane: ControlPlane, servers: Toolchain) -> Iterator[Simulation]:
    """Return a stack as deployed, settled."""
    bundle = from_deployment(deploy_file(request.param))
    with Simulation(plane, servers, bundle, *assumed_reservations(bundle)) as running:
        running.settle()
        yield running


@pytest.fixture
def seen(simulation: Simulation) -> Observation:
    """Return what is there when the test begins."""
    return simulation.observe()
