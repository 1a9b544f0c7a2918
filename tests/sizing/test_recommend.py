"""What the planner chooses: the prod stack, preferences, bounds, and refusals that can be recomputed."""

import re
from dataclasses import replace

import pytest

from components.sizing import catalog, explain
from components.sizing.decision import Recommendation
from components.sizing.host import HostOverhead
from components.sizing.ranking import GATES
from components.sizing.recommend import recommend
from components.sizing.requirement import InvalidRequirementError
from components.sizing.types import Load, Rejection
from tests.sizing.questions import prod_8b, prod_70b, prod_405b, requirement

NUMBER = r"-?[\d,]+(?:\.\d+)?"


def _rejections(answer: Recommendation, name: str, tp: int, pp: int = 1) -> list[Rejection]:
    return [each for each in answer.rejected if (each.instance_type, each.tp, each.pp) == (name, tp, pp)]


def test_prod_70b_awq_takes_four_a10g() -> None:
    """Prevents the wide-spread error that 70B AWQ fits fewer than four 24 GB cards."""
    answer = recommend(prod_70b())
    assert answer.chosen is not None
    assert (answer.chosen.instance_type, answer.chosen.tp, answer.chosen.pp) == ("g5.12xlarge", 4, 1)
    assert answer.chosen.replicas == 1
    assert answer.chosen.max_num_seqs == 8
    assert answer.chosen.usd_per_hour == pytest.approx(5.672)
    (two,) = _rejections(answer, "g5.12xlarge", 2)
    assert two.gate == "memory_one"
    assert answer.cheaper_outside is not None
    assert answer.cheaper_outside.usd_per_hour < answer.chosen.usd_per_hour


def test_prod_8b_takes_one_a10g() -> None:
    """Prevents several GPUs for a model that one serves, and a host too small for its processes."""
    answer = recommend(prod_8b())
    assert answer.chosen is not None
    assert answer.chosen.instance_type == "g5.2xlarge"
    assert (answer.chosen.gpus, answer.chosen.replicas, answer.chosen.max_num_seqs) == (1, 1, 16)
    assert answer.chosen.alternates == ("g5.4xlarge",)
    (small,) = _rejections(answer, "g5.xlarge", 1)
    assert small.gate == "host"


def test_prod_405b_fp8_takes_eight_h100() -> None:
    """Prevents pipeline stages or several nodes where one p5.48xlarge serves with plain TP."""
    answer = recommend(prod_405b(max_nodes=6))
    assert answer.chosen is not None
    assert (answer.chosen.instance_type, answer.chosen.tp, answer.chosen.pp) == ("p5.48xlarge", 8, 1)
    assert answer.chosen.nodes == 1
    assert answer.chosen.memory["weights"] == pytest.approx(47.75, abs=0.15)


def test_the_budget_adds_up_to_what_cuda_shows() -> None:
    """Prevents a memory table whose lines do not explain the card."""
    for asked in (prod_70b(), prod_8b(), prod_405b()):
        chosen = recommend(asked).chosen
        assert chosen is not None
        assert sum(chosen.memory.values()) == pytest.approx(catalog.gpu(chosen.gpu).memory_safe_gib)


def test_concurrency_is_the_whole_models() -> None:
    """Prevents replicas that each are sized for the whole load, or too few of them."""
    for concurrency in (1, 16, 40, 130):
        chosen = recommend(prod_8b(max_sequences=None, replicas_max=None, max_model_len=4096)).chosen
        asked = replace(prod_8b(max_sequences=None, replicas_max=None), load=Load(concurrency, 1024, 256))
        chosen = recommend(asked).chosen
        assert chosen is not None
        assert chosen.replicas * chosen.concurrency >= concurrency
        assert (chosen.replicas - 1) * chosen.concurrency < concurrency
        assert chosen.kv_tokens_safe >= chosen.concurrency * (1024 + 256)
        assert chosen.max_num_seqs >= chosen.concurrency


def test_replicas_stay_within_their_bounds() -> None:
    """Prevents fewer replicas than the floor, and a plan above the ceiling."""
    chosen = recommend(prod_8b(replicas_min=3)).chosen
    assert chosen is not None
    assert (chosen.replicas, chosen.replicas_min, chosen.replicas_max) == (3, 3, 4)
    refused = recommend(replace(prod_8b(replicas_max=1), families=("g5",), load=Load(5000, 1024, 256)))
    assert refused.chosen is None
    assert {each.gate for each in _rejections(refused, "g5.2xlarge", 1)} == {"memory_conc"}


def test_sequences_are_capped() -> None:
    """Prevents more sequences than the config allows: the rest must go to more replicas."""
    chosen = recommend(prod_8b(max_sequences=8)).chosen
    assert chosen is not None
    assert (chosen.max_num_seqs, chosen.replicas) == (8, 2)


def test_service_levels_are_kept_or_refused() -> None:
    """Prevents a choice that misses its own service level."""
    for tpot in (120.0, 60.0, 30.0):
        chosen = recommend(prod_70b(families=(), tpot_ms=tpot, replicas_max=None)).chosen
        assert chosen is not None
        assert chosen.tpot_ms <= tpot
    refused = recommend(prod_70b(tpot_ms=5.0))
    assert refused.chosen is None
    assert "slo" in {each.gate for each in _rejections(refused, "g5.12xlarge", 4)}


def test_several_nodes_only_where_one_does_not_fit() -> None:
    """Prevents six p5.4xlarge, which look cheaper than a p5.48xlarge; allows the fewest nodes for what none holds."""
    bf16 = {"precisions": ("bf16",), "families": ("p5",)}
    assert recommend(prod_405b(**bf16)).chosen is None
    chosen = recommend(prod_405b(**bf16, max_nodes=16)).chosen
    assert chosen is not None
    assert (chosen.nodes, chosen.tp, chosen.pp, chosen.gpus) == (2, 8, 2, 16)
    assert chosen.usd_per_hour == pytest.approx(2 * 55.04)


def test_quantizes_before_adding_nodes_and_says_what_that_costs() -> None:
    """Prevents two nodes of BF16 where an allowed FP8 checkpoint needs one."""
    chosen = recommend(prod_405b(precisions=("bf16", "fp8"), max_nodes=2)).chosen
    assert chosen is not None
    assert (chosen.precision, chosen.nodes) == ("fp8", 1)
    assert "aclanthology.org" in chosen.quality
    assert any(each.name == "quality" for each in chosen.assumptions)


def test_fewer_bits_are_suggested_where_sixteen_need_several_nodes() -> None:
    """Prevents a second node for want of a hint, and a quantization that nobody asked for."""
    answer = recommend(requirement("llama3.1-405b", families=("p5",), max_model_len=8192, max_nodes=2))
    assert answer.chosen is not None
    assert answer.quantized is not None
    assert (answer.chosen.precision, answer.chosen.nodes) == ("bf16", 2)
    assert (answer.quantized.precision, answer.quantized.nodes) == ("fp8", 1)
    assert recommend(prod_8b()).quantized is None


def test_zones_without_the_type_are_named() -> None:
    """Prevents a cluster whose GPU pods silently share one zone."""
    answer = recommend(prod_70b(families=("g7e",), zones=("us-east-1a", "us-east-1b")))
    assert answer.chosen is not None
    assert answer.chosen.zones == ("us-east-1a",)
    assert any("us-east-1b" in each for each in answer.warnings)


def test_a_host_without_room_for_the_page_cache_reads_lazily() -> None:
    """Prevents paying for a larger host only to prefetch, and a request that no node can give."""
    answer = recommend(requirement("llama3.1-70b-ctfp8", 8, families=("g7e",), max_model_len=8192, tpot_ms=120.0))
    assert answer.chosen is not None
    assert (answer.chosen.instance_type, answer.chosen.load_strategy) == ("g7e.2xlarge", "lazy")
    assert any("prefetch" in each for each in answer.warnings)
    assert recommend(prod_8b()).chosen.load_strategy == "prefetch"  # type: ignore[union-attr]


def test_quality_is_not_traded_for_nothing() -> None:
    """Prevents 4-bit weights or an FP8 cache where 16 bit costs the same."""
    chosen = recommend(prod_8b(precisions=("awq-int4", "bf16"))).chosen
    assert chosen is not None
    assert (chosen.precision, chosen.kv_cache_dtype, chosen.quality) == ("bf16", "auto", "")


def test_fp8_cache_is_taken_where_it_saves_a_replica() -> None:
    """Prevents paying for a second replica that a smaller KV dtype makes needless."""
    asked = prod_8b(max_sequences=None, replicas_max=None)
    asked = replace(asked, load=Load(30, 1024, 256))
    sixteen = recommend(replace(asked, kv_cache_dtypes=("auto",))).chosen
    either = recommend(asked).chosen
    assert sixteen is not None
    assert either is not None
    assert (sixteen.replicas, either.replicas) == (2, 1)
    assert (either.kv_cache_dtype, either.usd_per_hour) == ("fp8", sixteen.usd_per_hour / 2)
    assert "8-bit KV cache" in either.quality


def test_the_shown_context_takes_the_smallest_budget() -> None:
    """Prevents a context that a request of full length could not use, or more than the model's positions."""
    for profile in ("long-context", "balanced", "burst"):
        chosen = recommend(prod_8b(max_model_len=None, profile=profile)).chosen
        assert chosen is not None
        assert 1280 <= chosen.max_model_len <= 131072
        assert chosen.kv_tokens_safe >= chosen.max_model_len


def test_only_what_the_region_offers() -> None:
    """Prevents a plan for eu-west-1 on g6, which EC2 does not sell there, or for a zone without the type."""
    chosen = recommend(prod_70b(families=(), region="eu-west-1", replicas_max=None)).chosen
    assert chosen is not None
    assert chosen.zones
    assert all(zone.startswith("eu-west-1") for zone in chosen.zones)
    assert recommend(prod_70b(families=("g6",), region="eu-west-1")).chosen is None
    nowhere = recommend(prod_70b(families=("p4d",), region="eu-west-1", zones=("eu-west-1a",)))
    assert nowhere.chosen is None
    assert {each.gate for each in _rejections(nowhere, "p4d.24xlarge", 8)} == {"availability"}


def test_another_regions_prices_are_named() -> None:
    """Prevents us-east-1 prices that pass as those of another region."""
    answer = recommend(prod_70b(region="eu-west-1"))
    assert any("no price list for eu-west-1" in each for each in answer.warnings)
    prices = [each for each in answer.assumptions if each.name == "usd_per_hour"]
    assert "standing in for eu-west-1" in prices[0].value


def test_reservations_say_what_they_change() -> None:
    """Prevents a plan that hides how reserved and spot capacity are counted."""
    chosen = recommend(prod_70b(capacity=("reserved", "on-demand", "spot"))).chosen
    assert chosen is not None
    assert chosen.capacity == ("reserved", "on-demand", "spot")
    names = {each.name for each in chosen.assumptions}
    assert names >= {"reserved", "capacity_block", "spot", "savings_plan"}


def test_types_without_a_price_are_refused() -> None:
    """Prevents a free p5e: no list has its price in us-east-1 (nor is it offered there)."""
    answer = recommend(requirement("llama3.1-8b", families=("p5e",), region="us-west-2"))
    assert answer.chosen is None
    gates = {each.gate for each in answer.rejected if each.instance_type == "p5e.48xlarge"}
    assert gates == {"price"}


def test_alternates_run_the_same_pods() -> None:
    """Prevents an alternate with fewer GPUs, a weaker GPU, or outside the allowed families."""
    chosen = recommend(prod_70b(families=("g5", "g6e"))).chosen
    assert chosen is not None
    assert chosen.alternates
    own = catalog.instance_type(chosen.instance_type)
    for name in chosen.alternates:
        other = catalog.instance_type(name)
        assert other.family in ("g5", "g6e")
        assert other.gpu_count == own.gpu_count
        assert other.gpu.compute_capability >= own.gpu.compute_capability
        assert (other.gpu.memory_safe_gib or 0) >= (own.gpu.memory_safe_gib or 0)
        assert other.allocatable_memory_mib - HostOverhead().memory_mib >= chosen.host_memory_mib


def test_excluded_families_are_refused_with_the_reason() -> None:
    """Prevents choosing fractional GPUs, arm64 hosts or g7, and silence about it."""
    answer = recommend(prod_8b(families=("g5g", "g6f", "g7")))
    assert answer.chosen is None
    assert {each.gate for each in answer.rejected} == {"policy"}
    texts = " ".join(each.text for each in answer.rejected)
    assert "driver 595" in texts
    assert "arm64" in texts
    assert "fractional" in texts


@pytest.mark.parametrize(
    "asked", [prod_70b(), prod_8b(), prod_405b(), prod_70b(families=(), tpot_ms=30.0), prod_8b(families=("g5", "g7"))]
)
def test_every_rejection_has_two_numbers_and_a_text_that_follows_from_them(asked) -> None:  # noqa: ANN001
    """Prevents explanations that cannot be checked: texts end with the comparison, and sums in them are right."""
    answer = recommend(asked)
    assert answer.rejected
    for each in answer.rejected:
        assert each.gate in GATES
        assert each.text.endswith(explain.comparison(each.actual, each.limit, each.unit))
        if each.gate == "memory_one":
            _check_memory_arithmetic(each)
        if each.gate == "memory_conc":
            total, replicas, needed = map(int, re.findall(r"(\d+)", each.text)[:3])
            assert needed == -(-total // replicas) == each.limit


def _check_memory_arithmetic(each: Rejection) -> None:
    found = re.match(
        rf"({NUMBER}) GiB × ({NUMBER}) = ({NUMBER}); weights ({NUMBER}) \+ runtime ({NUMBER}) leave ({NUMBER})",
        each.text,
    )
    if found is None:
        assert re.match(rf"\S+ weights per GPU against {NUMBER} GiB × {NUMBER} = {NUMBER}: ", each.text)
        assert each.actual >= each.limit
        return
    visible, share, usable, weights, runtime, left = (float(text.replace(",", "")) for text in found.groups())
    assert visible * share == pytest.approx(usable, abs=0.006)
    assert usable - weights - runtime == pytest.approx(left, abs=0.02)
    assert left == pytest.approx(each.actual, abs=0.006)


def test_nonsense_is_refused_with_every_problem() -> None:
    """Prevents an error per run: all problems come at once, each with option, value and what is accepted."""
    asked = prod_8b(families=("g9",), region="us-est-1", objective="cheap", replicas_min=5, replicas_max=2)
    with pytest.raises(InvalidRequirementError) as caught:
        recommend(asked)
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    for part in ("families = g9", "region = us-est-1", "objective = cheap", "replicas-max = 2"):
        assert part in text


def test_exact_totals_count_for_the_stored_format_only() -> None:
    """Prevents the size of one checkpoint from being taken for that of another format."""
    stored = requirement("llama3.1-8b", families=("g5",), max_model_len=8192)
    total = 16_500_000_000
    exact = replace(stored, weights_index={"metadata": {"total_size": total}})
    plain, with_index = recommend(stored).chosen, recommend(exact).chosen
    assert plain is not None
    assert with_index is not None
    assert with_index.checkpoint_bytes == pytest.approx(total, rel=0.01)
    assert with_index.checkpoint_bytes != plain.checkpoint_bytes
    other = [recommend(replace(each, precisions=("awq-int4",))).chosen for each in (stored, exact)]
    assert None not in other
    assert len({each.checkpoint_bytes for each in other if each}) == 1


def test_options_that_the_planner_chose_say_why() -> None:
    """Prevents a number that looks as if the user had given it."""
    chosen = recommend(prod_8b(max_model_len=None)).chosen
    assert chosen is not None
    told = {each.name: each.source for each in chosen.assumptions}
    assert "busiest moment" in told["max_num_seqs"]
    assert "profile balanced" in told["max_model_len"]
    small = recommend(requirement("qwen3-0.6b", 4, families=("g4dn",), max_model_len=4096)).chosen
    assert small is not None
    assert small.gpu_memory_utilization == 0.89
