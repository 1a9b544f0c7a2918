"""What vLLM refuses, and that what it takes is not refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.sizing.architecture import from_config, named
from components.sizing.catalog import gpu
from components.sizing.legality import Illegality, illegal_reasons, legal_tps
from components.sizing.quantization import BF16, from_precision
from components.sizing.quantization import from_config as read_quantization
from components.sizing.types import EngineOptions, Parallelism

LLAMA_70B = "meta-llama/Llama-3.1-70B-Instruct"
LLAMA_8B = "meta-llama/Llama-3.1-8B-Instruct"
QWEN_72B = "Qwen/Qwen2.5-72B-Instruct"
QWEN_FP8 = "Qwen/Qwen3-30B-A3B-Instruct-2507-FP8"


def reasons(
    model: str,
    gpu_key: str,
    parallelism: Parallelism | None = None,
    precision: str | None = None,
    options: EngineOptions | None = None,
) -> tuple[Illegality, ...]:
    """Ask legality about a catalogued model, its own precision unless one is named."""
    arch = named(model)
    quant = from_precision(precision, arch) if precision else arch.checkpoint_precision
    return illegal_reasons(arch, quant, parallelism or Parallelism(), options or EngineOptions(), gpu(gpu_key))


@pytest.mark.parametrize("tp", [3, 5, 6, 7, 12, 128])
def test_heads_must_divide(tp: int) -> None:
    """TP 3 and 6 fail for the 64 query heads; the reason names them and the nearest legal sizes."""
    (reason,) = reasons(LLAMA_70B, "h100", Parallelism(tp))
    assert reason.gate == "divisibility"
    assert f"64 attention heads do not divide by TP {tp}" in reason.text
    assert "legal: TP" in reason.text
    assert reason.text.endswith(f"{64 % tp} > 0 heads left over")


@pytest.mark.parametrize("tp", [1, 2, 4, 8, 16, 32, 64])
def test_kv_heads_are_copied_above_their_count(tp: int) -> None:
    """Articles allow 1, 2, 4, 8 only; vLLM copies 8 KV heads to 16, 32 or 64 ranks."""
    assert reasons(LLAMA_70B, "h100", Parallelism(tp)) == ()


def test_kv_heads_must_split_or_copy_evenly() -> None:
    """48 query heads divide by 3, 8 KV heads do not (Mixtral 8x22B on three cards); 28 heads over 4 KV heads at 8."""
    (reason,) = reasons("mistralai/Mixtral-8x22B-v0.1", "a100-80gb", Parallelism(3))
    assert "8 KV heads" in reason.text
    assert (
        "28 attention heads do not divide by TP 8"
        in reasons("Qwen/Qwen2.5-7B-Instruct", "h100", Parallelism(8))[0].text
    )
    assert legal_tps(named("Qwen/Qwen2.5-7B-Instruct"), BF16, gpu("h100"), 16) == (1, 2, 4)


@pytest.mark.parametrize("tp", [2, 4, 8])
def test_a_group_must_not_straddle_a_shard(tp: int) -> None:
    """A self-quantized Qwen2.5-72B raises at TP 2, 4 and 8 (29568 / 4 = 7392, not whole groups of 128)."""
    for precision in ("awq-int4", "gptq-int4"):
        (reason,) = reasons(QWEN_72B, "a10g", Parallelism(tp), precision)
        assert f"{29568 // tp} inputs per rank" in reason.text
        assert "groups of 128" in reason.text
    assert reasons(QWEN_72B, "a10g", Parallelism(tp)) == ()


@pytest.mark.parametrize("tp", [1, 2, 4, 8])
def test_the_padded_public_awq_runs(tp: int) -> None:
    """The official checkpoint is padded to 29696 = 8 x 29 x 128 and must not be refused."""
    assert reasons("Qwen/Qwen2.5-72B-Instruct-AWQ", "a10g", Parallelism(tp)) == ()


def test_fp8_expert_blocks_depend_on_the_gpu() -> None:
    """768 / 4 = 192: no kernel below 8.9 cuts the block, newer ones refine it to 64; TP 16 leaves 48 for all."""
    (reason,) = reasons(QWEN_FP8, "a10g", Parallelism(4))
    assert "192 columns per rank are not whole FP8 blocks of 128" in reason.text
    assert "legal: TP 2, TP 1, --enable-expert-parallel" in reason.text
    for newer in ("l4", "l40s", "h100", "b200"):
        assert reasons(QWEN_FP8, newer, Parallelism(4)) == ()
    assert reasons(QWEN_FP8, "a10g", Parallelism(4, ep=True)) == ()
    assert "48 columns" in reasons(QWEN_FP8, "h100", Parallelism(16))[0].text
    assert reasons("deepseek-ai/DeepSeek-V3", "h100", Parallelism(16)) == ()


def test_fp8_dense_blocks_must_be_whole() -> None:
    """A row-parallel FP8 block cut by TP raises ValueError at start."""
    config = {
        "architectures": ["LlamaForCausalLM"], "hidden_size": 2048, "num_hidden_layers": 2, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 5504, "vocab_size": 32000,
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    }  # fmt: skip
    arch = from_config(config, "odd")
    ask = lambda tp: illegal_reasons(arch, arch.checkpoint_precision, Parallelism(tp), EngineOptions(), gpu("h100"))  # noqa: E731
    assert ask(1) == ()
    assert "2752 outputs per rank at TP 2 are not whole FP8 blocks of 128" in ask(2)[0].text


def test_fp8_works_on_ampere_weight_only() -> None:
    """'Do not use FP8 on A10G or A100, it will error': it runs through Marlin from 7.5 on."""
    for key in ("a10g", "a100-80gb", "t4"):
        assert reasons(LLAMA_8B, key, precision="fp8", options=EngineOptions(max_model_len=4096)) == ()


@pytest.mark.parametrize(
    ("model", "precision", "least"), [("openai/gpt-oss-20b", None, "8 compute"), (LLAMA_8B, "mxfp4", "8 compute")]
)
def test_each_method_has_a_least_compute_capability(model: str, precision: str | None, least: str) -> None:
    """MXFP4 has no kernel on a T4."""
    found = reasons(model, "t4", precision=precision)
    assert any("7.50 < " in reason.text and least in reason.text for reason in found)


def test_removed_methods_are_named() -> None:
    """Since 0.28 bitsandbytes and GGUF are not in vLLM; a plan on an older release may still use them."""
    arch = named(LLAMA_8B)
    quant = read_quantization({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}})
    (reason,) = illegal_reasons(arch, quant, Parallelism(), EngineOptions(), gpu("a10g"))
    assert "bitsandbytes" in reason.text
    assert "33 > 27" in reason.text
    older = EngineOptions(vllm_version="0.19.0")
    assert illegal_reasons(arch, quant, Parallelism(), older, gpu("a10g")) == ()


def test_experts_and_data_parallelism_are_for_moe() -> None:
    """A dense model scales by replicas; vLLM refuses expert parallelism without experts."""
    assert "expert parallelism needs experts" in reasons(LLAMA_8B, "h100", Parallelism(2, ep=True))[0].text
    assert "use DP 1 and more replicas" in reasons(LLAMA_8B, "h100", Parallelism(dp=2))[0].text
    assert reasons("deepseek-ai/DeepSeek-V3", "h200", Parallelism(dp=8, ep=True)) == ()


def test_length_is_the_models_own() -> None:
    """A start raises above max_position_embeddings unless the override is set."""
    (reason,) = reasons("meta-llama/Meta-Llama-3-8B", "a10g", options=EngineOptions(max_model_len=16384))
    assert reason.text.endswith("16,384 > 8,192 tokens")
    allowed = EngineOptions(max_model_len=16384, allow_long_max_model_len=True)
    assert reasons("meta-llama/Meta-Llama-3-8B", "a10g", options=allowed) == ()


def test_stages_need_layers() -> None:
    """A pipeline with more stages than layers cannot be built."""
    (reason,) = reasons(LLAMA_8B, "h100", Parallelism(pp=33))
    assert reason.text.endswith("33 > 32 stages for its layers")


@pytest.mark.parametrize(
    ("model", "key", "dtype", "is_legal"),
    [
        (LLAMA_8B, "a10g", "fp8", True),
        (LLAMA_8B, "t4", "fp8", False),
        (LLAMA_8B, "t4", "bfloat16", False),
        (LLAMA_8B, "h100", "fp8_e5m2", True),
        (LLAMA_8B, "h100", "int8", False),
        (LLAMA_8B, "a10g", "int8_per_token_head", True),
        (LLAMA_8B, "a10g", "nvfp4", False),
        (LLAMA_8B, "b200", "nvfp4", True),
        ("openai/gpt-oss-20b", "a10g", "fp8", False),
        ("openai/gpt-oss-20b", "h100", "fp8", True),
        ("deepseek-ai/DeepSeek-V3", "h200", "fp8", True),
        ("deepseek-ai/DeepSeek-V3", "a100-80gb", "fp8", False),
        ("deepseek-ai/DeepSeek-V3", "h200", "fp8_e5m2", False),
        ("microsoft/phi-2", "a10g", "fp8", False),
    ],
)
def test_kv_dtype_needs_a_backend(model: str, key: str, dtype: str, *, is_legal: bool) -> None:
    """FP8 caches on Ampere run through FlashInfer only: not with sinks, not with head width 80, not for MLA."""
    options = EngineOptions(kv_cache_dtype=dtype, max_model_len=1024)
    found = [reason for reason in reasons(model, key, Parallelism(), options=options) if reason.gate == "kv_dtype"]
    assert (found == []) == is_legal


def test_sparse_attention_needs_hopper() -> None:
    """DeepSeek-V3.2 has no attention backend on an A100."""
    assert any(
        "sparse MLA" in reason.text for reason in reasons("deepseek-ai/DeepSeek-V3.2", "a100-80gb", Parallelism(8))
    )


def test_a_t4_has_no_bfloat16() -> None:
    """With dtype auto vLLM serves float16 on a T4; asked for bfloat16 it refuses, and Gemma cannot do float16."""
    short = EngineOptions(max_model_len=1024)
    assert reasons(LLAMA_8B, "t4", options=short) == ()
    (asked,) = reasons(LLAMA_8B, "t4", options=replace(short, dtype="bfloat16"))
    assert asked.text.endswith("7.50 < 8 compute capability")
    assert "float32" in reasons("google/gemma-2-2b-it", "t4", options=short)[0].text
    assert (
        "overflows in float16" in reasons("google/gemma-2-2b-it", "a10g", options=replace(short, dtype="half"))[0].text
    )


def test_volta_has_no_build() -> None:
    """p3 (compute capability 7.0) cannot run a CUDA 13 wheel."""
    volta = replace(gpu("t4"), key="v100", compute_capability=70)
    arch = named(LLAMA_8B)
    found = illegal_reasons(arch, BF16, Parallelism(), EngineOptions(), volta)
    assert any("CUDA 13" in reason.text for reason in found)


MODELS = (LLAMA_70B, QWEN_72B, QWEN_FP8, "deepseek-ai/DeepSeek-V3", "openai/gpt-oss-20b", "google/gemma-3-27b-it")


@given(model=st.sampled_from(MODELS), key=st.sampled_from(("a10g", "l40s", "h100", "b200")), tp=st.integers(1, 24))
def test_the_list_of_legal_sizes_agrees_with_the_reasons(model: str, key: str, tp: int) -> None:
    """The nearest choice that a reason offers must itself be legal, and each reason must show its numbers."""
    arch = named(model)
    legal = legal_tps(arch, arch.checkpoint_precision, gpu(key), 24)
    found = [reason for reason in reasons(model, key, Parallelism(tp)) if reason.rule == "split"]
    assert (tp in legal) == (not found)
    for reason in found:
        assert reason.actual > reason.limit
        assert reason.text.endswith(reason.unit)
