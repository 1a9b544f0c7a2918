"""Start-up budgets and shutdown steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.cold_start import LONGEST_BUDGET, SHORTEST_BUDGET, cold_start
from components.vllm.drain import LONGEST_S, drain
from tests.components.serving import BIG

sizes = st.floats(1e8, 1e12)
networks = st.floats(1, 3200)
sources = st.sampled_from(["elastic", "provisioned", "s3"])


def expected(start: object) -> float:
    """Return the expected seconds that the container's probes wait for."""
    return sum(stage.expected_s for stage in start.in_container)  # type: ignore[attr-defined]


@given(sizes, networks, sources)
def test_budgets_neither_kill_good_starts_nor_hide_bad_ones(size: float, gbps: float, source: str) -> None:
    """Prevents the flat ten minutes that kill a 400 GB model, and the flat three hours that hide a crash loop."""
    start = cold_start(size, gbps, source)
    assert SHORTEST_BUDGET <= start.startup_budget_s / expected(start) <= LONGEST_BUDGET + 0.01


@given(sizes, networks, sources)
def test_pessimistic_stages_are_not_faster_than_expected_ones(size: float, gbps: float, source: str) -> None:
    """Prevents a safety margin of the wrong sign."""
    start = cold_start(size, gbps, source)
    assert all(stage.pessimistic_s >= stage.expected_s for stage in (*start.before_container, *start.in_container))


def test_weights_arrive_at_the_slower_of_storage_and_network() -> None:
    """Prevents the promise of 1,500 MiB/s on a g5.xlarge, whose network carries 298 MiB/s when its credits are gone."""
    size = 16 * 2**30
    slow, fast = (cold_start(size, gbps).to_json()["weights_s"] for gbps in (2.5, 100))
    assert slow == pytest.approx(16 * 1024 / 298.0, rel=0.01)
    assert fast == pytest.approx(16 * 1024 / 1500, rel=0.01)


def test_provisioned_throughput_is_a_third_as_fast() -> None:
    """Prevents budgets that forget how the file system was bought."""
    size = 100 * 2**30
    assert cold_start(size, 100, "provisioned").to_json()["weights_s"] > cold_start(size, 100).to_json()["weights_s"]


def test_a_drain_lasts_as_long_as_a_long_answer() -> None:
    """Prevents requests from being aborted on every rollout, which the engine's default timeout of 0 does."""
    steps = drain(BIG, output_tokens=1000)
    assert steps.shutdown_timeout_s == pytest.approx(1.5 + 4 * 1000 * 0.09, abs=1)
    assert steps.grace_period_s > steps.pre_stop_s + steps.shutdown_timeout_s


@given(st.integers(1, 10**7))
def test_a_drain_never_outlasts_its_node(tokens: int) -> None:
    """Prevents a pod that holds a node back for longer than Karpenter waits (an hour)."""
    assert drain(BIG, tokens).grace_period_s <= LONGEST_S + 60
