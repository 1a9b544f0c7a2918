"""Laws of the paged KV cache, and hybrid models against what vLLM logged."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.sizing import architecture, catalog
from components.sizing.engine import ResolvedOptions, resolve
from components.sizing.kv import KV_DTYPES, KvLayout, capacity, kv_layout, longest_request
from components.sizing.types import EngineOptions, Parallelism
from tests.sizing.deployments import law, oracle_model

GIB = 2**30
ROWS = {
    row["id"]: row
    for row in csv.DictReader((Path(__file__).parents[1] / "data" / "memory_measurements.csv").open(encoding="utf-8"))
}
MODELS = ("llama3.1-8b", "llama3.1-70b", "gpt-oss-20b", "gemma3-27b-text", "deepseek-v3", "mixtral-8x7b")


def _plan(
    model: str, *, tp: int = 1, pp: int = 1, dtype: str = "auto", **options: object
) -> tuple[KvLayout, ResolvedOptions]:
    arch = oracle_model(model)
    gpu = catalog.gpu("h100")
    asked = EngineOptions(kv_cache_dtype=dtype, **options)  # type: ignore[arg-type]
    shape = Parallelism(tp, pp)
    resolved = resolve(asked, gpu, 80, arch, shape)
    return kv_layout(arch, shape, resolved, dtype), resolved


def _tokens(model: str, gib: float, length: int = 8192, **options: object) -> int:
    layout, resolved = _plan(model, max_model_len=length, **options)  # type: ignore[arg-type]
    blocks = layout.blocks([int(gib * GIB)] * len(layout.bytes_per_block))
    return capacity(layout, blocks, length, resolved).tokens


@law
@given(
    model=st.sampled_from(MODELS),
    gib=st.floats(0, 100),
    more=st.floats(0, 100),
    length=st.integers(1, 131_072),
    tp=st.sampled_from((1, 2, 4, 8)),
)
def test_more_memory_never_holds_fewer_tokens(model: str, gib: float, more: float, length: int, tp: int) -> None:
    """Prevents a rounding that turns more memory into less capacity."""
    assert _tokens(model, gib + more, length, tp=tp) >= _tokens(model, gib, length, tp=tp)


@law
@given(model=st.sampled_from(MODELS), gib=st.floats(0, 100), length=st.integers(1, 131_072))
def test_fewer_bits_never_hold_fewer_tokens(model: str, gib: float, length: int) -> None:
    """Prevents FP8 KV from costing capacity."""
    assert _tokens(model, gib, length, dtype="fp8") >= _tokens(model, gib, length)


@law
@given(model=st.sampled_from(MODELS), gib=st.floats(0.1, 100), limit=st.integers(1, 200_000))
def test_the_longest_request_is_the_longest(model: str, gib: float, limit: int) -> None:
    """Prevents naming a length that does not fit, or a shorter one than fits."""
    layout, options = _plan(model)
    blocks = layout.blocks([int(gib * GIB)])
    longest = longest_request(layout, blocks, limit, options)
    if longest:
        assert capacity(layout, blocks, longest, options).fits_one
    if longest < limit:
        assert not capacity(layout, blocks, longest + 1, options).fits_one


@pytest.mark.parametrize("model", ["llama3.1-8b", "llama3.1-70b", "qwen3-30b-a3b"])
def test_gqa_tokens_double_with_tp_until_the_heads_are_replicated(model: str) -> None:
    """Prevents dividing KV heads below one: beyond them more GPUs hold no more tokens."""
    heads = oracle_model(model).kv_heads
    tokens = {tp: _tokens(model, 8, tp=tp) for tp in (1, 2, 4, 8, 16)}
    for tp in (1, 2, 4, 8):
        factor = 2 if 2 * tp <= heads else 1
        assert tokens[2 * tp] == pytest.approx(factor * tokens[tp], rel=0.001)


def test_mla_tokens_do_not_depend_on_tp() -> None:
    """Prevents the error of two peers, which divide the latent cache by TP and promise eight times too much."""
    assert len({_tokens("deepseek-v3", 8, tp=tp) for tp in (1, 2, 4, 8, 16)}) == 1


def test_mla_caches_one_latent_and_one_rope_vector() -> None:
    """Prevents sizing MLA like attention with heads: 576 values of 2 bytes in each of 61 layers."""
    layout, _ = _plan("deepseek-v3", tp=8)
    assert layout.bytes_per_token == (576 * 2 * 61,)


def test_gqa_is_an_eighth_of_the_hidden_size_formula() -> None:
    """Prevents the widely-read formula batch x seq x hidden x layers x 2 x 2, eight times too high for Llama 70B."""
    layout, _ = _plan("llama3.1-70b")
    arch = oracle_model("llama3.1-70b")
    assert layout.bytes_per_token == (327_680,)
    assert arch.hidden * arch.layers * 2 * 2 == 8 * 327_680


def test_context_parallelism_divides_the_latent_cache() -> None:
    """Prevents ignoring -dcp, the only thing that spreads MLA's cache over ranks."""
    spread = _tokens("deepseek-v3", 8, extra={"--decode-context-parallel-size": 8})
    assert spread == pytest.approx(8 * _tokens("deepseek-v3", 8), rel=0.01)


def test_without_the_hybrid_manager_windows_are_kept_whole() -> None:
    """Prevents ``--disable-hybrid-kv-cache-manager`` from being sized as if windows still saved memory."""
    with_windows, without = (_tokens("gpt-oss-20b", 6.0, 131_072, hybrid_kv_cache=hybrid) for hybrid in (True, False))
    assert with_windows > 1.7 * without


def test_the_smallest_pipeline_stage_decides() -> None:
    """Prevents adding up stages: a request needs its blocks on every one."""
    layout, _ = _plan("llama3.1-70b", pp=2)
    assert layout.blocks([4 * GIB, 8 * GIB]) == layout.blocks([4 * GIB, 4 * GIB])


def test_one_block_is_held_back() -> None:
    """Prevents a request that needs every block from being called possible: vLLM keeps one null block."""
    layout, options = _plan("llama3.1-8b")
    needed = layout.blocks_per_request(16_384, options)
    assert not capacity(layout, needed, 16_384, options).fits_one
    assert capacity(layout, needed + 1, 16_384, options).fits_one


def test_no_budget_means_no_room() -> None:
    """Prevents negative or zero budgets from becoming blocks."""
    layout, options = _plan("llama3.1-8b")
    for budget in (-GIB, 0, 1):
        held = capacity(layout, layout.blocks([budget]), 8192, options)
        assert (held.tokens, held.has_room, held.fits_one) == (0, False, False)


@pytest.mark.parametrize(
    ("dtype", "bytes_per_token"),
    [("fp8", 65_536), ("int8_per_token_head", 65_536 + 32 * 8 * 8), ("nvfp4", 36_864), ("bfloat16", 131_072)],
)
def test_bytes_of_quantized_caches(dtype: str, bytes_per_token: int) -> None:
    """Prevents forgetting the scales that quantized caches store beside the values."""
    layout, _ = _plan("llama3.1-8b", dtype=dtype)
    assert layout.bytes_per_token == (bytes_per_token,)


def test_unknown_dtypes_are_refused_with_what_is_accepted() -> None:
    """Prevents a made-up size for a dtype whose layout is not known."""
    with pytest.raises(ValueError, match=r"int8.*accepted: auto") as refusal:
        _plan("llama3.1-8b", dtype="int8")
    assert all(each in str(refusal.value) for each in KV_DTYPES)


@pytest.mark.parametrize("row_id", ["gt251", "gt252", "gt254", "gt255", "gt346"])
def test_hybrid_models_hold_what_vllm_logged(row_id: str) -> None:
    """Prevents wrong state sizes, padding or group counts of linear-attention hybrids: equal to the token."""
    row = ROWS[row_id]
    arch = architecture.named(row["config_key"])
    gpu = catalog.gpu("h100" if "H100" in row["gpu_name"] else "l40s")
    dtype = row["kv_cache_dtype"] or "auto"
    asked = EngineOptions(
        vllm_version=row["vllm_version"] or "0.33.0", max_model_len=int(row["max_model_len"]), kv_cache_dtype=dtype
    )
    options = resolve(asked, gpu, 80, arch, Parallelism())
    layout = kv_layout(arch, Parallelism(), options, dtype)
    blocks = layout.blocks([int(float(row["kv_cache_gib_per_gpu"]) * GIB)])
    assert capacity(layout, blocks, options.max_model_len, options).tokens == int(row["kv_cache_tokens"])


def test_a_wider_model_of_windows_only_is_one_group() -> None:
    """Prevents splitting models whose layers all share one window."""
    arch = oracle_model("llama3.1-8b")
    windowed = replace(arch, layer_kinds=("sliding",) * arch.layers, sliding_window=4096)
    options = resolve(EngineOptions(), catalog.gpu("a10g"), 22, windowed, Parallelism())
    layout = kv_layout(windowed, Parallelism(), options, "auto")
    assert len(layout.groups) == 1
    assert layout.blocks_per_request(131_072, options) == (4095 + options.in_flight_tokens + 15) // 16 + 1
