"""Verdicts and laws of an estimate, and claims of well-known articles that are wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.sizing import catalog
from components.sizing.architecture import named
from components.sizing.estimate import Deployment, Estimate, estimate
from components.sizing.types import EngineOptions, Load, Parallelism
from tests.sizing.deployments import judge, law, oracle_model

GIB = 2**30


@law
@given(less=st.floats(16, 90), more=st.floats(0, 60), length=st.sampled_from((2048, 8192, 32_768)))
def test_more_memory_never_reduces_tokens(less: float, more: float, length: int) -> None:
    """Prevents a larger GPU from holding less, below the sizes where vLLM's own defaults change."""
    sizes = [judge(memory_gib=size, max_model_len=length, max_num_seqs=64) for size in (less, less + more)]
    assert _tokens(sizes[1]) >= _tokens(sizes[0])


@law
@given(low=st.floats(0.5, 0.99), high=st.floats(0.5, 0.99), version=st.sampled_from(("0.19.0", "0.28.0", "0.33.0")))
def test_higher_utilization_never_reduces_tokens(low: float, high: float, version: str) -> None:
    """Prevents a larger share of the GPU from holding less."""
    low, high = sorted((low, high))
    lower, higher = (judge(gpu="h100", gpu_memory_utilization=share, vllm_version=version) for share in (low, high))
    assert _tokens(higher) >= _tokens(lower)


@law
@given(few=st.integers(1, 1024), more=st.integers(0, 1024), model=st.sampled_from(("llama3.1-8b", "gpt-oss-20b")))
def test_fewer_sequences_never_reduce_tokens(few: int, more: int, model: str) -> None:
    """Prevents fewer sequences from costing KV cache."""
    lean, wide = (judge(model, "h100", max_num_seqs=seqs, max_model_len=8192) for seqs in (few, few + more))
    assert _tokens(lean) >= _tokens(wide)


@pytest.mark.parametrize("gpu", ["l4", "h100", "b200"])
def test_fewer_kv_bits_never_reduce_tokens(gpu: str) -> None:
    """Prevents FP8 KV from holding less."""
    short, long = (judge(gpu=gpu, kv_cache_dtype=dtype, max_model_len=4096) for dtype in ("fp8", "auto"))
    assert _tokens(short) >= 2 * _tokens(long)


def _tokens(answer: object) -> tuple[int, int]:
    expected, safe = getattr(answer, "expected", None), getattr(answer, "safe", None)
    return (expected.tokens, safe.tokens) if expected and safe else (0, 0)


@law
@given(
    gpu=st.sampled_from(("a10g", "l4", "l40s", "a100-80gb", "h100", "b200")),
    tp=st.sampled_from((1, 2, 4, 8)),
    seqs=st.integers(1, 2048),
    version=st.sampled_from(("0.8.5", "0.16.0", "0.19.0", "0.27.1", "0.33.0")),
)
def test_safe_never_promises_more_than_expected(gpu: str, tp: int, seqs: int, version: str) -> None:
    """Prevents the promise from exceeding the prediction."""
    answer = judge(gpu=gpu, tp=tp, max_num_seqs=seqs, max_model_len=4096, vllm_version=version)
    assert answer.stage is not None
    assert answer.stage.kv_safe <= answer.stage.kv_expected


def test_verdicts_come_in_order() -> None:
    """Prevents a reader from being told of a long context where the weights do not even load."""
    assert judge("llama3.1-70b", "a10g", max_model_len=10**6).verdict == "illegal"
    assert judge("llama3.1-70b", "a10g").verdict == "oom_weights"
    assert judge("llama3.1-8b", memory_gib=17.0).verdict == "oom_kv"
    assert judge("llama3.1-8b", "a10g").verdict == "too_long"
    assert judge("llama3.1-8b", "a10g", max_model_len=8192).verdict == "ok"


def test_reasons_carry_the_numbers() -> None:
    """Prevents a refusal that cannot be recomputed."""
    reason = judge(memory_gib=17.0).reasons[0]
    assert "17.00 GiB x 0.92 = 15.64 GiB" in reason
    assert "weights 14.99" in reason


def test_a_fit_by_expected_values_only_says_so() -> None:
    """Prevents a bare ok where only luck makes it start."""
    fitting = judge(max_model_len=20_000)
    assert fitting.verdict == "ok"
    assert "safe values" in fitting.reasons[0]


def test_a_hair_above_the_limit_is_not_called_fine() -> None:
    """Prevents a start-up that failed by 0.03 GiB (RTX 3090, 0.17.1) from being called possible by a 0.05 GiB error."""
    options = {"vllm_version": "0.17.1", "max_model_len": 8192, "memory_gib": 23.54}
    verdicts = {share: judge("qwen2.5-7b", "rtx-3090", gpu_memory_utilization=share, **options).verdict
                for share in (0.6, 0.65, 0.9)}  # fmt: skip
    assert verdicts == {0.6: "oom_kv", 0.65: "too_long", 0.9: "ok"}


def test_the_named_length_fits_and_a_block_more_does_not() -> None:
    """Prevents a max-model-len that fails when it is taken literally."""
    longest = judge().max_model_len_that_fits
    assert longest is not None
    assert judge(max_model_len=longest).reasons == ()
    assert judge(max_model_len=longest + 16).reasons


def test_auto_takes_the_longest_that_fits() -> None:
    """Prevents ``--max-model-len auto`` from being judged at the model's own maximum."""
    answer = judge(max_model_len=-1)
    assert answer.verdict == "ok"
    assert 16_000 < answer.options.max_model_len < 131_072


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"max_num_seqs": 64, "max_num_batched_tokens": 32}, "32 is below max-num-seqs 64"),
        (
            {"max_num_batched_tokens": 2048, "extra": {"--enable-chunked-prefill": False}},
            "2048 must reach max-model-len 8192",
        ),
        ({"tp": 8, "extra": {"--decode-context-parallel-size": 3}}, "3 must divide TP 8"),
        ({"tp": 8, "extra": {"--decode-context-parallel-size": 2}}, "needs TP of at least 16"),
    ],
)
def test_numbers_that_contradict_each_other_are_illegal(options: dict[str, object], part: str) -> None:
    """Prevents a memory answer for a command that vLLM refuses while it reads its configuration."""
    answer = judge(gpu="h100", max_model_len=8192, **options)  # type: ignore[arg-type]
    assert answer.verdict == "illegal"
    assert part in answer.reasons[0]


@pytest.mark.parametrize(
    ("method", "legal"), [("awq_marlin", True), ("auto_awq", True), ("gptq", False), ("fp8", False)]
)
def test_quantization_must_match_the_checkpoint(method: str, *, legal: bool) -> None:
    """Prevents calling a command fine that vLLM ends because the checkpoint has another format."""
    answer = judge("llama3.1-8b-awq", max_model_len=8192, extra={"--quantization": method})
    assert (answer.verdict == "ok") is legal
    assert legal or "checkpoint, which is awq" in answer.reasons[0]


def test_a_given_budget_is_used_as_it_is() -> None:
    """Prevents subtracting overheads from a KV budget that the caller measured."""
    answer = judge("llama3.1-70b", "a10g", tp=4, max_model_len=8192, kv_memory_gib=3.0)
    assert answer.stage is not None
    assert answer.stage.kv_expected == answer.stage.kv_safe == 3 * GIB


def test_kv_cache_memory_bytes_must_fit_beside_the_weights() -> None:
    """Prevents vLLM's own flag from promising memory that the GPU does not have."""
    flag = {"--kv-cache-memory-bytes": 9 * GIB}
    answer = judge(max_model_len=8192, kv_memory_gib=9.0, extra=flag)
    assert answer.verdict == "oom_kv"
    assert "exceeds the 22.06 GiB" in answer.reasons[0]
    assert judge(gpu="l40s", max_model_len=8192, kv_memory_gib=9.0, extra=flag).verdict == "ok"


def test_the_fullest_stage_is_reported_and_the_smallest_decides() -> None:
    """Prevents reporting an easy stage of an uneven pipeline."""
    answer = judge("llama3.1-405b", "h200", tp=8, pp=4, precision="bf16", max_model_len=8192)
    assert answer.stage is not None
    assert answer.stage.weights.bytes == max(stage.weights.bytes for stage in answer.stages)
    assert answer.layout is not None
    assert answer.expected is not None
    fits = [stage.kv_expected // size for stage, size in zip(answer.stages, answer.layout.bytes_per_block, strict=True)]
    assert answer.expected.blocks == min(fits)


def test_a_stage_that_does_not_exist_is_refused() -> None:
    """Prevents an index error for ``--pp-rank 4`` of four stages."""
    arch = oracle_model("llama3.1-70b")
    asked = Deployment(arch, arch.checkpoint_precision, catalog.gpu("h100"), Parallelism(8, 4), pp_rank=4)
    with pytest.raises(ValueError, match="0 to 3"):
        estimate(asked)


def test_memory_lines_add_up_to_what_cuda_shows() -> None:
    """Prevents a budget whose lines do not account for the whole GPU."""
    assert sum(judge(max_model_len=8192).memory.values()) == pytest.approx(22.0)


@pytest.mark.parametrize(
    ("verdict", "options", "null", "given"),
    [
        ("illegal", {"max_model_len": 10**6}, ("weights_gib_per_gpu", "kv_tokens_safe", "max_concurrency"), ()),
        ("oom_weights", {"memory_gib": 8.0}, ("kv_gib_per_gpu_safe", "kv_tokens_safe"), ("weights_gib_per_gpu",)),
        ("oom_kv", {"memory_gib": 17.0, "max_model_len": 4096}, ("max_model_len_that_fits",), ("kv_gib_per_gpu_safe",)),
        ("too_long", {}, (), ("kv_tokens_expected", "max_model_len_that_fits")),
    ],
)
def test_what_makes_no_sense_under_a_verdict_is_null(
    verdict: str, options: dict[str, object], null: tuple[str, ...], given: tuple[str, ...]
) -> None:
    """Prevents numbers about a deployment that cannot exist, and nulls where a number helps."""
    document = judge(**options).to_json()  # type: ignore[arg-type]
    assert document["verdict"] == verdict
    assert all(document[key] is None for key in null)
    assert all(document[key] is not None for key in given)


def test_latency_appears_with_a_load_only() -> None:
    """Prevents speed keys without the load that they depend on."""
    arch = oracle_model("llama3.1-8b")
    options = EngineOptions(max_model_len=8192)
    asked = Deployment(arch, arch.checkpoint_precision, catalog.gpu("a10g"), options=options, load=Load(4, 1000, 200))
    document = estimate(asked).to_json()
    assert document["tpot_ms"] == document["bands"]["tpot_ms"]["expected"] > 0
    assert "tpot_ms" not in judge(max_model_len=8192).to_json()


def test_every_assumption_has_a_source() -> None:
    """Prevents a number that nobody can dispute."""
    assumptions = judge(max_model_len=8192).to_json()["assumptions"]
    assert {"gpu_memory_gib_safe", "max_num_seqs", "cuda_graph: cuda graphs"} <= {each["name"] for each in assumptions}
    assert all(each["source"] for each in assumptions)


def test_flags_that_are_not_counted_are_said() -> None:
    """Prevents a silent omission where a given option takes memory."""
    extra = {"--enable-lora": True}
    assumptions = judge(max_model_len=8192, extra=extra).to_json()["assumptions"]
    assert any(each["name"] == "--enable-lora" and "not modelled" in each["source"] for each in assumptions)


def test_claim_70b_awq_is_17_gb() -> None:
    """Prevents "70B AWQ = 17 GB" and "= 35 GB": the checkpoint is 37.0 GiB."""
    stage = judge("llama3.1-70b-awq", "h100", max_model_len=8192).stage
    assert stage is not None
    assert stage.weights.bytes / GIB == pytest.approx(37.07, abs=0.05)


def test_claim_70b_awq_fits_one_24_gb_card() -> None:
    """Prevents "fits a 24 GB card" and "TP=1, very tight": TP 1 and TP 2 are short, TP 4 is the least."""
    verdicts = {tp: judge("llama3.1-70b-awq", "a10g", tp=tp, max_model_len=8192).verdict for tp in (1, 2, 4)}
    assert verdicts == {1: "oom_weights", 2: "oom_kv", 4: "ok"}


def test_claim_four_a10g_leave_46_gb() -> None:
    """Prevents (96 x 0.90) - 40 = 46 GB, 140,000 tokens: CUDA shows 22.06 GiB per GPU, of which the runtime takes."""
    expected, safe = _tokens(judge("llama3.1-70b-awq", "a10g", tp=4, max_model_len=8192))
    assert 90_000 < safe < expected < 130_000


def test_claim_tp4_is_right_for_70b_int8_on_a10g() -> None:
    """Prevents "70B INT8 (TP=4)" on g5.48xlarge: a few thousand tokens are left, TP 8 leaves 200,000."""
    tokens = {tp: _tokens(judge("llama3.1-70b-ctw8a8", "a10g", tp=tp, max_model_len=4096))[0] for tp in (4, 8)}
    assert tokens[4] < 25_000
    assert tokens[8] > 200_000


def test_claim_tp4_is_right_for_70b_bf16_on_a100_40gb() -> None:
    """Prevents "70B BF16 (TP=4+)" on p4d: at TP 4 a few thousand tokens are safe, TP 8 is the choice."""
    tokens = {tp: _tokens(judge("llama3.1-70b", "a100-40gb", tp=tp, max_model_len=4096))[1] for tp in (4, 8)}
    assert tokens[4] < 12_000
    assert tokens[8] > 10 * tokens[4]


def test_claim_two_a100_are_enough_for_70b_fp16() -> None:
    """Prevents "2xA100-80 TP2" from sounding roomy: it starts, with some 30,000 tokens in all."""
    answer = judge("llama3.1-70b", "a100-80gb", tp=2, max_model_len=8192)
    assert answer.verdict == "ok"
    assert _tokens(answer)[1] < _tokens(answer)[0] < 40_000


def test_claim_int8_70b_on_one_a100() -> None:
    """Prevents planning 70B INT8 on one A100-80: 67.7 GiB of weights leave less than 10,000 tokens."""
    answer = judge("llama3.1-70b-ctw8a8", "a100-80gb", max_model_len=2048)
    assert _tokens(answer)[0] < 12_000


def test_claim_three_a100_are_the_least_for_mixtral_8x22b() -> None:
    """Prevents "~176 GB, 3xA100-80": the weights are 262 GiB, TP 3 is illegal, four cards are the least."""
    arch = named("mistralai/Mixtral-8x22B-Instruct-v0.1")
    answers = {
        tp: estimate(
            Deployment(arch, arch.checkpoint_precision, catalog.gpu("a100-80gb"), Parallelism(tp),
                       EngineOptions(max_model_len=8192))
        )
        for tp in (2, 3, 4)
    }  # fmt: skip
    assert {tp: answer.verdict for tp, answer in answers.items()} == {2: "oom_weights", 3: "illegal", 4: "ok"}
    assert answers[4].stage is not None
    assert 4 * answers[4].stage.weights.bytes / GIB == pytest.approx(262, abs=1)


def _under(load: Load, **options: object) -> Estimate:
    """Ask for the 70B in AWQ on four A10G with a load."""
    arch = oracle_model("llama3.1-70b-awq")
    asked = EngineOptions(**options)  # type: ignore[arg-type]
    gpu = catalog.gpu("a10g")
    return estimate(Deployment(arch, arch.checkpoint_precision, gpu, Parallelism(tp=4), asked, load=load))


def test_requests_beyond_the_kv_cache_wait() -> None:
    """Prevents a concurrency that the cache cannot hold from being predicted as if all of it ran at once."""
    few, many = (_under(Load(count, 6000, 500), max_model_len=8192).latency for count in (8, 128))
    assert few is not None
    assert many is not None
    assert many.ttft_ms.expected > 10 * few.ttft_ms.expected
    assert {each.name: each.value for each in many.assumptions}["requests_at_once"] < 24
    assert "requests_at_once" not in {each.name for each in few.assumptions}


def test_shared_prompts_do_not_wait_for_room() -> None:
    """Prevents prompts that stand in the prefix cache once from being stored once per request."""
    answers = [_under(Load(64, 6000, 100, share), max_model_len=8192).latency for share in (0.0, 0.97)]
    named = [{each.name for each in answer.assumptions} for answer in answers if answer is not None]
    assert ["requests_at_once" in names for names in named] == [True, False]


def test_speed_does_not_depend_on_a_max_model_len_that_is_too_long() -> None:
    """Prevents an answer without speed where only the longest context, not the load, exceeds the cache."""
    load = Load(4, 1000, 200)
    whole, short = _under(load, kv_memory_gib=3.0), _under(load, kv_memory_gib=3.0, max_model_len=8192)
    assert (whole.verdict, short.verdict) == ("too_long", "ok")
    assert whole.to_json()["tpot_ms"] == short.to_json()["tpot_ms"]


@pytest.mark.parametrize("options", [{"max_model_len": 2048}, {"kv_memory_gib": 0.1}], ids=str)
def test_a_request_that_cannot_be_served_has_no_speed(options: dict[str, float]) -> None:
    """Prevents a speed for requests that vLLM answers with an error, and says why there is none."""
    said = _under(Load(1, 2000, 200), **options).to_json()
    assert said["ttft_ms"] is None
    assert "a request of 2200 tokens" in said["reasons"][-1]
