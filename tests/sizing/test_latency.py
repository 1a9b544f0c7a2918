"""The latency model: physical limits, laws, and the published figures that it must reproduce."""

import itertools
from collections.abc import Sequence

import pytest

from components.sizing import catalog, latency
from components.sizing.architecture import named
from components.sizing.latency.communication import AllReduce, link
from components.sizing.latency.constants import document, gpu_efficiency
from components.sizing.quantization import from_precision
from components.sizing.types import EngineOptions, Load, Parallelism

LLAMA_8B = "meta-llama/Llama-3.1-8B-Instruct"
LLAMA_70B = "meta-llama/Llama-3.1-70B-Instruct"
DEPLOYMENTS = [
    (LLAMA_8B, "bf16", "a10g", Parallelism()),
    (LLAMA_8B, "fp8", "l4", Parallelism()),
    (LLAMA_70B, "awq-int4", "a10g", Parallelism(tp=4)),
    (LLAMA_70B, "bf16", "h100", Parallelism(tp=4, pp=2)),
    ("openai/gpt-oss-120b", "mxfp4", "h100", Parallelism(tp=2)),
    ("deepseek-ai/DeepSeek-V3", "fp8-block", "h200", Parallelism(tp=8)),
    ("google/gemma-3-27b-it", "bf16", "rtx-pro-6000-server", Parallelism(tp=2)),
    ("Qwen/Qwen3-235B-A22B", "fp8-block", "b200", Parallelism(tp=2, dp=2, ep=True)),
]
Deployment = tuple[str, str, str, Parallelism]
LOADS = [Load(8, 256, 128), Load(8, 2048, 256), Load(8, 12000, 500)]


def ask(deployment: Deployment, load: Load, options: EngineOptions | None = None) -> latency.Latency:
    """Predict one deployment."""
    model, precision, gpu, parallelism = deployment
    arch = named(model)
    quant = from_precision(precision, arch)
    return latency.predict(arch, quant, catalog.gpu(gpu), parallelism, options or EngineOptions(), load)


def ceiling(model: str, precision: str, gpu: str, tp: int = 1) -> float:
    """Tokens per second of one stream by bandwidth alone."""
    arch = named(model)
    quant = from_precision(precision, arch)
    return latency.single_stream_ceiling(arch, quant, catalog.gpu(gpu), Parallelism(tp=tp), EngineOptions())


def never_falls(values: Sequence[float]) -> bool:
    """Whether a sequence is monotonic, up to rounding."""
    return all(after >= before * (1 - 1e-9) for before, after in itertools.pairwise(values))


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=str)
@pytest.mark.parametrize("load", LOADS, ids=str)
def test_more_requests_never_make_tokens_faster(deployment: Deployment, load: Load) -> None:
    """Prevents a search that meets a latency bound by adding users."""
    answers = [
        ask(deployment, Load(count, load.input_tokens, load.output_tokens))
        for count in (1, 2, 3, 5, 8, 16, 32, 64, 100, 180, 256, 400, 1500)
    ]
    assert never_falls([answer.tpot_ms.expected for answer in answers])
    assert never_falls([answer.ttft_ms.expected for answer in answers])


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=str)
def test_longer_prompts_never_make_anything_faster(deployment: Deployment) -> None:
    """Prevents a plan that looks better because its prompts cross a chunk boundary."""
    lengths = (1, 16, 100, 500, 1000, 2000, 2040, 2048, 2060, 4100, 8000, 8192, 8200, 20000, 60000)
    for count in (1, 8, 64):
        answers = [ask(deployment, Load(count, length, 200)) for length in lengths]
        assert never_falls([answer.ttft_ms.expected for answer in answers])
        assert never_falls([answer.tpot_ms.expected for answer in answers])


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=str)
def test_prefix_hits_never_make_the_first_token_later(deployment: Deployment) -> None:
    """Prevents a cache that costs time."""
    for load in LOADS:
        rates = [step / 20 for step in range(21)]
        answers = [ask(deployment, Load(16, load.input_tokens, load.output_tokens, rate)) for rate in reversed(rates)]
        assert never_falls([answer.ttft_ms.expected for answer in answers])
        assert never_falls([answer.tpot_ms.expected for answer in answers])


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=str)
def test_no_stream_is_faster_than_the_memory(deployment: Deployment) -> None:
    """Prevents a promise that no engine can keep, at the fast end of the band too."""
    model, precision, gpu, parallelism = deployment
    arch = named(model)
    limit = latency.single_stream_ceiling(
        arch, from_precision(precision, arch), catalog.gpu(gpu), parallelism, EngineOptions()
    )
    answer = ask(deployment, Load(1, 16, 200))
    assert 1e3 / answer.tpot_ms.expected < limit
    assert 1e3 / answer.tpot_ms.low <= limit * (1 + 1e-9)


@pytest.mark.parametrize(
    ("gpu", "tp", "tokens_per_s"),
    [("a10g", 4, 63), ("l40s", 2, 46), ("rtx-pro-6000-server", 1, 42), ("a100-80gb", 1, 54), ("h100", 1, 89)],
)
def test_ceiling_of_a_70b_at_four_bits(gpu: str, tp: int, tokens_per_s: float) -> None:
    """Prevents a wrong count of the bytes that one token reads: bandwidth over 37.7 GB."""
    assert ceiling(LLAMA_70B, "awq-int4", gpu, tp) == pytest.approx(tokens_per_s, rel=0.02)


@pytest.mark.parametrize(("precision", "tp", "claimed"), [("fp16", 2, 45.0), ("int8", 1, 68.0), ("awq-int4", 1, 112.0)])
def test_published_single_stream_figures_of_a100_are_impossible(precision: str, tp: int, claimed: float) -> None:
    """Prevents repeating a widely read table (70B on A100-80 at 45, 68, 112 tokens/s): memory allows about half."""
    limit = ceiling(LLAMA_70B, precision, "a100-80gb", tp)
    assert limit < claimed * 0.7
    answer = ask((LLAMA_70B, precision, "a100-80gb", Parallelism(tp=tp)), Load(1, 100, 200))
    assert 1e3 / answer.tpot_ms.expected < limit


def test_a_t4_streams_no_280_tokens_of_a_7b() -> None:
    """Prevents repeating "7B INT4 on a T4: 280 tokens/s": 320 GB/s over about 4 GB allow 80."""
    assert ceiling("Qwen/Qwen2.5-7B-Instruct", "awq-int4", "t4") < 90


def test_a_70b_on_four_a10g_saturates_near_one_request_per_second() -> None:
    """Prevents "5 to 10 requests/s at 512/256": the cards' peak allows 2.6, and the model must say clearly less."""
    deployment = (LLAMA_70B, "awq-int4", "a10g", Parallelism(tp=4))
    rates = [ask(deployment, Load(count, 512, 256)).output_tokens_per_s.expected / 256 for count in (1, 8, 32, 64)]
    assert 0.5 < max(rates) < 1.6


def test_time_to_first_token_is_prefill() -> None:
    """Prevents blaming the loading of an already loaded model: 512 prompt tokens of a 70B take about a second."""
    answer = ask((LLAMA_70B, "awq-int4", "a10g", Parallelism(tp=4)), Load(1, 512, 256))
    assert 500 < answer.ttft_ms.expected < 1300


def test_pcie_without_peer_access_is_no_64_gbs() -> None:
    """Prevents "PCIe at 64 GB/s suffices for TP 4" on g5: NCCL goes through the host at a tenth of it."""
    a10g = catalog.gpu("a10g")
    message = 16 * 2**20
    seconds = AllReduce(link(a10g), 4).seconds(message)
    assert link(a10g).name == "pcie-host"
    assert 1.5 * message / seconds < 10e9
    assert AllReduce(link(catalog.gpu("h100")), 4).seconds(message) < seconds / 10


def test_four_a10g_lose_much_of_their_speed_to_exchange() -> None:
    """Prevents treating tensor parallelism over PCIe as free: four cards are far from four times as fast."""
    one = ask(("Qwen/Qwen2.5-7B-Instruct", "bf16", "a10g", Parallelism()), Load(32, 220, 200))
    four = ask(("Qwen/Qwen2.5-7B-Instruct", "bf16", "a10g", Parallelism(tp=4)), Load(32, 220, 200))
    assert 1.3 < one.tpot_ms.expected / four.tpot_ms.expected < 2.0


def test_pipeline_stages_do_not_speed_up_one_stream() -> None:
    """Prevents counting pipeline GPUs as bandwidth of one request."""
    one = ask((LLAMA_8B, "bf16", "a10g", Parallelism()), Load(1, 100, 200))
    two = ask((LLAMA_8B, "bf16", "a10g", Parallelism(pp=2)), Load(1, 100, 200))
    assert two.tpot_ms.expected >= one.tpot_ms.expected * 0.99


def test_fp8_weights_on_ampere_help_decoding_only() -> None:
    """Prevents FP8 speed-ups of prompts on GPUs without FP8 units: weights are unpacked to 16 bit there."""
    load = Load(1, 4000, 200)
    sixteen = ask((LLAMA_8B, "bf16", "a10g", Parallelism()), load)
    eight = ask((LLAMA_8B, "fp8", "a10g", Parallelism()), load)
    assert eight.tpot_ms.expected < 0.65 * sixteen.tpot_ms.expected
    assert eight.ttft_ms.expected >= sixteen.ttft_ms.expected


def test_experts_that_one_token_skips_are_not_read() -> None:
    """Prevents pricing a mixture of experts like a dense model of its size, and its batches like single tokens."""
    deployment = ("openai/gpt-oss-120b", "mxfp4", "h100", Parallelism())
    alone = ask(deployment, Load(1, 16, 200)).tpot_ms.expected
    together = ask(deployment, Load(64, 16, 200)).tpot_ms.expected
    whole_checkpoint_ms = 60.8 * 2**30 / 3350e9 * 1e3
    assert alone < whole_checkpoint_ms / 2
    assert together > whole_checkpoint_ms


def test_latent_cache_is_read_whole_on_every_rank() -> None:
    """Prevents dividing the context's cost of an MLA model by the tensor-parallel size."""

    def per_context(model: str, precision: str, tp: int) -> float:
        deployment = (model, precision, "h200", Parallelism(tp=tp))
        short, long = (ask(deployment, Load(32, tokens, 100, 1.0)).tpot_ms.expected for tokens in (1000, 21000))
        return long - short

    latent = per_context("deepseek-ai/DeepSeek-V3", "fp8-block", 4) / per_context(
        "deepseek-ai/DeepSeek-V3", "fp8-block", 8
    )
    grouped = per_context(LLAMA_70B, "fp8", 4) / per_context(LLAMA_70B, "fp8", 8)
    assert latent == pytest.approx(1.0, rel=0.05)
    assert grouped == pytest.approx(2.0, rel=0.05)


def test_requests_beyond_max_num_seqs_wait() -> None:
    """Prevents promising a first token to requests that the engine has not admitted."""
    options = EngineOptions(max_num_seqs=16)
    deployment = (LLAMA_8B, "bf16", "a10g", Parallelism())
    full, over = (ask(deployment, Load(count, 500, 200), options) for count in (16, 32))
    assert over.tpot_ms.expected == pytest.approx(full.tpot_ms.expected)
    assert over.ttft_ms.expected > 200 * full.tpot_ms.expected
    assert over.output_tokens_per_s.expected == pytest.approx(full.output_tokens_per_s.expected, rel=0.02)


def test_synchronous_scheduling_costs_time_per_request() -> None:
    """Prevents reading old benchmarks as if scheduling had always overlapped with the GPU."""
    deployment = (LLAMA_8B, "fp8", "h100", Parallelism())
    old, new = (ask(deployment, Load(64, 500, 200), EngineOptions(vllm_version=v)) for v in ("0.13.0", "0.14.0"))
    assert old.tpot_ms.expected > new.tpot_ms.expected + 1.5


def test_eager_mode_is_slower() -> None:
    """Prevents hiding what --enforce-eager costs."""
    deployment = (LLAMA_8B, "bf16", "h100", Parallelism())
    graphs, eager = (ask(deployment, Load(1, 100, 200), EngineOptions(enforce_eager=flag)) for flag in (False, True))
    assert eager.tpot_ms.expected > graphs.tpot_ms.expected + 1.0


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=str)
@pytest.mark.parametrize(("ttft_ms", "tpot_ms"), [(None, 60.0), (1500.0, None), (2000.0, 45.0), (1.0, 1.0)])
def test_highest_concurrency_is_the_last_that_meets_the_bounds(
    deployment: Deployment, ttft_ms: float | None, tpot_ms: float | None
) -> None:
    """Prevents a replica count that misses its own bound, or pays for a replica too many."""
    model, precision, gpu, parallelism = deployment
    arch = named(model)
    options = EngineOptions(max_num_seqs=48)
    shape = Load(1, 1024, 256)
    found = latency.max_concurrency(
        arch,
        from_precision(precision, arch),
        catalog.gpu(gpu),
        parallelism,
        options,
        shape,
        latency.Slo(ttft_ms, tpot_ms),
    )

    def meets(count: int) -> bool:
        answer = ask(deployment, Load(count, 1024, 256), options)
        return (ttft_ms is None or answer.ttft_ms.expected <= ttft_ms) and (
            tpot_ms is None or answer.tpot_ms.expected <= tpot_ms
        )

    most = 48 * parallelism.dp
    assert found == max((count for count in range(1, most + 1) if meets(count)), default=0)


def test_bands_widen_where_the_model_is_less_sure() -> None:
    """Prevents one width for everything: crowds and mixtures of experts are harder to predict."""
    deployment = (LLAMA_8B, "bf16", "a10g", Parallelism())
    few, many = (ask(deployment, Load(count, 500, 200)).tpot_ms for count in (8, 9))
    experts = ask(("openai/gpt-oss-120b", "mxfp4", "h100", Parallelism()), Load(4, 500, 200)).tpot_ms
    assert few.high == pytest.approx(1.25 * few.expected)
    assert many.high == pytest.approx(1.4 * many.expected)
    assert experts.high == pytest.approx(1.4 * experts.expected)


def test_throughput_is_what_the_times_say() -> None:
    """Prevents a throughput that contradicts the latencies beside it."""
    answer = ask((LLAMA_8B, "bf16", "a10g", Parallelism()), Load(8, 500, 200))
    seconds = (answer.ttft_ms.expected + 199 * answer.tpot_ms.expected) / 1e3
    assert answer.output_tokens_per_s.expected == pytest.approx(8 * 200 / seconds)
    assert answer.output_tokens_per_s.low < answer.output_tokens_per_s.expected < answer.output_tokens_per_s.high


@pytest.mark.parametrize(
    "load", [Load(0, 10, 10), Load(1, 0, 10), Load(1, 10, 0), Load(1, 10, 10, 1.5), Load(1, 10, 10, -0.1)], ids=str
)
def test_loads_that_make_no_sense_are_refused(load: Load) -> None:
    """Prevents a division by zero, or an answer, for a load that cannot exist."""
    with pytest.raises(ValueError, match="load: "):
        ask((LLAMA_8B, "bf16", "a10g", Parallelism()), load)


def test_every_constant_says_what_it_means_and_where_it_comes_from() -> None:
    """Prevents a number that nobody can dispute because nobody knows its origin."""
    known = set(document()["rows"]) | set("ABCDEFG")
    for entry in document()["constants"].values():
        assert entry["unit"]
        assert entry["meaning"]
        assert entry["rows"] == "general" or set(entry["rows"].split(" ")[0].rstrip(",").split("-")) <= known
    for table in ("gpus", "links", "read_efficiency", "prefill_efficiency"):
        assert all(entry["rows"] for entry in document()[table].values())


def test_assumptions_name_the_measurements() -> None:
    """Prevents an answer whose basis cannot be checked."""
    answer = ask((LLAMA_70B, "awq-int4", "a10g", Parallelism(tp=4)), Load(4, 500, 200, 0.5))
    found = {each.name: each for each in answer.assumptions}
    assert "A, F" in found["bandwidth_efficiency"].source
    assert found["all_reduce_link"].value == "pcie-host"
    assert found["prefix_hit_rate"].value == 0.5
    assert answer.engine == "roofline"


def test_a_gpu_generation_without_constants_takes_the_older_one() -> None:
    """Prevents a crash on the first GPU of a new generation."""
    assert gpu_efficiency(121) == gpu_efficiency(120)
    assert gpu_efficiency(70) == gpu_efficiency(75)
