"""The planner's accuracy as a promise: what docs/accuracy.md shows must not get worse."""

import pytest

from tests.accuracy import memory, oracle, timing
from tests.accuracy.peers import PEERS
from tests.accuracy.report import build
from tests.accuracy.speeds import speeds


def test_weights_are_those_that_vllm_logs() -> None:
    """Prevents an inventory that misses or doubles tensors."""
    errors = [abs(case.relative) for case in memory.weights_cases()]
    assert len(errors) >= 90
    assert (memory.quantile(errors, 0.5) or 1) <= 0.003
    assert (memory.quantile(errors, 0.9) or 1) <= 0.021


def test_expected_kv_cache_is_near_what_vllm_logs() -> None:
    """Prevents memory terms that drift away from the releases that they describe."""
    cases = memory.strict(memory.kv_cases())
    assert len(cases) >= 35
    assert (memory.mean_absolute(cases) or 9) <= 0.30


def test_safe_kv_cache_promises_nothing_that_was_not_there() -> None:
    """Prevents a plan whose server refuses to start."""
    assert not memory.over_promises(memory.strict(memory.kv_cases(safe=True)))


def test_infeasible_start_ups_are_called_infeasible() -> None:
    """Prevents paying for GPUs on which the model does not start."""
    called = [each for each in memory.verdicts() if not each.started]
    assert len(called) >= 14
    assert [each.startup.label for each in called if not each.right] == []


def test_feasible_start_ups_are_called_feasible() -> None:
    """Prevents refusing what others run."""
    called = [each for each in memory.verdicts() if each.started]
    assert len(called) >= 95
    assert sum(each.right for each in called) / len(called) >= 0.97


def test_vectors_of_vllm_are_reproduced() -> None:
    """Prevents a KV planner that only resembles vLLM's."""
    assert [each for each in oracle.kv_answers() if not oracle.equal(each)] == []
    assert [each for each in oracle.weights_answers() if abs(each.error) > 0.0015] == []


def test_times_per_token() -> None:
    """Prevents a latency model that looks physical and is wrong."""
    assert len(speeds()[0]) >= 40
    assert timing.mape(timing.tpot()) <= 0.10
    assert timing.mape(timing.tpot(replayed=True)) <= 0.07
    assert abs(timing.bias(timing.tpot(replayed=True))) <= 0.05


def test_times_to_the_first_token() -> None:
    """Prevents a queueing model that is off by the size of the queue."""
    assert len(timing.ttft()) >= 18
    assert timing.mape(timing.ttft()) <= 0.25


def test_bands_hold_the_published_times() -> None:
    """Prevents bands that are too narrow to be believed."""
    inside, total = timing.in_band()
    assert inside / total >= 0.95


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_the_planner_beats_every_peer(peer: object) -> None:
    """Prevents shipping a planner that a one-line formula outdoes."""
    chosen = next(each for each in PEERS if each is peer)
    ours, theirs = memory.strict(memory.kv_cases()), memory.strict(memory.peer_kv_cases(chosen))
    assert (memory.mean_absolute(ours) or 9) < (memory.mean_absolute(theirs) or 0) / 2
    assert len(memory.over_promises(theirs)) > 10


def test_rows_left_out_say_why() -> None:
    """Prevents dropping a measurement because it is inconvenient."""
    assert all(each.reason for each in speeds()[1])
    assert all(reason for _, reason in memory.undecidable())
    reasons = {each.row["concurrency/req rate"]: each.reason for each in speeds()[1]}
    assert "no fixed concurrency" in reasons["inf (1000 prompts)"]


def test_the_report_has_every_part() -> None:
    """Prevents a report that hides what the planner cannot do."""
    text = build()
    for part in ("Summary", "Weights", "KV cache", "Verdicts", "Vectors of vLLM's own planner", "Latency"):
        assert f"\n## {part}\n" in text
    for word in ("KAITO", "llm-d-planner", "naive", "Undecidable", "left out", "Not compared"):
        assert word in text
