"""One control plane for all cluster tests; each stack is rehearsed once, and its tests run one after the other on it.

The fixture ``simulation`` is session-scoped and parametrized by stack, so pytest groups the tests of all files by
stack and runs the files in alphabetical order for each: as deployed first, then growing and shrinking, a rollout, and
the teardown, which ends the stack.
"""

from collections.abc import Iterator

import pytest

from offline.program import deploy_file
from offline.rehearsal.build import Toolchain, ToolchainMissingError, ensure_available, toolchain
from offline.rehearsal.bundle import from_deployment
from offline.rehearsal.control_plane import ControlPlane
from offline.rehearsal.instances import assumed_reservations
from offline.rehearsal.observation import Observation
from offline.rehearsal.simulation import Simulation
from tests.cluster import stacks


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Offer every test every stack: pytest groups by the position in this list, so it must be the same everywhere."""
    if "simulation" in metafunc.fixturenames:
        names = list(stacks.ALL)
        metafunc.parametrize("simulation", names, indirect=True, scope="session", ids=names)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a test on the stacks that its file is about: ``STACKS``, or all that are shipped."""
    items[:] = [item for item in items if _is_about(item)]


def _is_about(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    if callspec is None or "simulation" not in callspec.params:
        return True
    return callspec.params["simulation"] in getattr(getattr(item, "module", None), "STACKS", stacks.SHIPPED)


@pytest.fixture(scope="session")
def servers() -> Toolchain:
    """Return the real servers; skip tests that need them where they can be neither found nor built."""
    try:
        ensure_available()
    except ToolchainMissingError as missing:
        pytest.skip(str(missing))
    return toolchain()


@pytest.fixture(scope="session")
def plane(servers: Toolchain) -> Iterator[ControlPlane]:
    """Run the control plane of the whole suite."""
    with ControlPlane(servers.servers) as running:
        yield running


@pytest.fixture(scope="session")
def simulation(request: pytest.FixtureRequest, plane: ControlPlane, servers: Toolchain) -> Iterator[Simulation]:
    """Deploy a stack and wait until it has settled."""
    stack = stacks.ALL[request.param]
    bundle = stack.change(from_deployment(deploy_file(stack.path)))
    with Simulation(plane, servers, bundle, *assumed_reservations(bundle)) as running:
        running.settle()
        yield running


@pytest.fixture
def seen(simulation: Simulation) -> Observation:
    """Return what is there when the test begins."""
    return simulation.observe()
