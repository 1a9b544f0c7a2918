"""Laws that hold for every requirement: the planner is deterministic, and more freedom never costs more."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from components.sizing import catalog, explain
from components.sizing.recommend import recommend
from components.sizing.requirement import Requirement
from components.sizing.types import Load
from tests.sizing.questions import requirement

FAMILIES = ("g4dn", "g5", "g6", "g6e", "g7e", "p4d", "p5", "p5en", "p6-b200")
MODELS = ("llama3.1-8b", "llama3.1-70b-awq", "qwen2.5-7b", "qwen3-30b-a3b", "gpt-oss-20b", "gemma3-27b-text")
FEW = settings(max_examples=12, deadline=None, derandomize=True)


@st.composite
def requirements(draw: st.DrawFn) -> Requirement:
    """Draw a requirement that makes sense."""
    asked = requirement(
        draw(st.sampled_from(MODELS)),
        draw(st.integers(1, 200)),
        input_tokens=draw(st.sampled_from([128, 1024, 3000])),
        output_tokens=draw(st.sampled_from([64, 256, 1000])),
        families=tuple(draw(st.sets(st.sampled_from(FAMILIES), min_size=1, max_size=3))),
        max_model_len=draw(st.sampled_from([None, 4096, 8192])),
        replicas_max=draw(st.sampled_from([None, 2, 8])),
    )
    return replace(asked, tpot_ms=draw(st.sampled_from([None, 20.0, 60.0, 150.0])))


def _cost(asked: Requirement) -> float:
    chosen = recommend(asked).chosen
    return float("inf") if chosen is None else chosen.usd_per_hour


@FEW
@given(requirements())
def test_the_same_question_has_the_same_answer(asked: Requirement) -> None:
    """Prevents plans that differ between runs: every preview would show a change."""
    assert recommend(asked).to_json() == recommend(asked).to_json()


@FEW
@given(requirements(), st.sets(st.sampled_from(FAMILIES), max_size=4))
def test_more_families_never_cost_more(asked: Requirement, more: set[str]) -> None:
    """Prevents a search that misses what it found with less to look at."""
    wider = replace(asked, families=tuple(dict.fromkeys((*asked.families, *sorted(more)))))
    assert _cost(wider) <= _cost(asked)


@FEW
@given(requirements(), st.floats(1.0, 4.0))
def test_relaxing_service_levels_never_costs_more(asked: Requirement, factor: float) -> None:
    """Prevents paying more for less."""
    strict = replace(asked, tpot_ms=asked.tpot_ms or 50.0, ttft_ms=3000.0)
    relaxed = replace(strict, tpot_ms=(strict.tpot_ms or 0) * factor, ttft_ms=(strict.ttft_ms or 0) * factor)
    assert _cost(relaxed) <= _cost(strict)
    assert _cost(replace(strict, tpot_ms=None, ttft_ms=None)) <= _cost(relaxed)


@FEW
@given(requirements())
def test_a_choice_satisfies_what_was_asked(asked: Requirement) -> None:
    """Prevents a choice outside the families, above the replicas, too slow, or without room for its requests."""
    answer = recommend(asked)
    chosen = answer.chosen
    if chosen is None:
        assert answer.rejected
        return
    assert catalog.instance_type(chosen.instance_type).family in asked.families
    assert asked.replicas_max is None or chosen.replicas <= asked.replicas_max
    assert asked.tpot_ms is None or chosen.tpot_ms <= asked.tpot_ms
    assert chosen.replicas * chosen.concurrency >= asked.load.concurrency
    assert chosen.max_num_seqs >= chosen.concurrency
    assert chosen.max_concurrency >= 1
    assert chosen.max_model_len >= asked.request_tokens
    for other in answer.alternatives:
        assert other.usd_per_hour >= chosen.usd_per_hour
    for each in answer.rejected:
        assert each.text.endswith(explain.comparison(each.actual, each.limit, each.unit))
        assert each.actual != each.limit


@FEW
@given(st.sampled_from(["llama3.1-8b", "llama3.1-70b", "llama3.1-405b"]), st.integers(1, 64))
def test_fewer_bits_never_need_more_gpus(name: str, concurrency: int) -> None:
    """Prevents a quantized checkpoint that needs a larger machine (these models divide at every TP)."""
    gpus = []
    for precision in ("bf16", "fp8", "awq-int4"):
        asked = requirement(name, concurrency, precisions=(precision,), families=("p5",), max_model_len=4096)
        chosen = recommend(asked).chosen
        gpus.append(float("inf") if chosen is None else chosen.gpus * chosen.replicas)
    assert gpus == sorted(gpus, reverse=True)


@FEW
@given(st.integers(1, 300), st.integers(1, 64))
def test_more_load_never_costs_less(concurrency: int, more: int) -> None:
    """Prevents a plan that gets cheaper by asking for more."""
    asked = requirement("llama3.1-8b", concurrency, families=("g5", "g6"), max_model_len=4096, tpot_ms=100.0)
    busier = replace(asked, load=Load(concurrency + more, 1024, 256))
    assert _cost(asked) <= _cost(busier)
