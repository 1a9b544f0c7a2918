"""Defaults that depend on the vLLM release, the GPU and the model."""

from dataclasses import replace
from pathlib import Path

import pytest

from components.sizing import catalog
from components.sizing.architecture import Architecture
from components.sizing.cli.options import read_architecture
from components.sizing.engine import (
    ResolvedOptions,
    UnknownVersionError,
    graph_captures,
    kv_cache_dtype,
    model_runner,
    release,
    resolve,
    stage_layers,
)
from components.sizing.quantization import from_config as quantization
from components.sizing.types import EngineOptions, Parallelism

CONFIGS = Path(__file__).parents[1] / "data" / "oracle_configs"


def config(name: str) -> Architecture:
    """Read one of the oracle's models."""
    return read_architecture(None, CONFIGS / f"{name}.json")


def resolved(
    gpu: str = "a10g", model: str = "llama3.1-8b", parallelism: Parallelism | None = None, **options: object
) -> ResolvedOptions:
    """Resolve options on a catalogued GPU."""
    facts = catalog.gpu(gpu)
    asked = EngineOptions(**options)  # type: ignore[arg-type]
    return resolve(asked, facts, facts.memory_expected_gib or 0, config(model), parallelism or Parallelism())


@pytest.mark.parametrize(
    ("gpu", "tokens", "seqs"),
    [
        ("t4", 2048, 256),
        ("a10g", 2048, 256),
        ("l4", 2048, 256),
        ("l40s", 2048, 256),
        ("a100-40gb", 2048, 256),
        ("a100-80gb", 2048, 256),
        ("h100", 8192, 1024),
        ("h200", 8192, 1024),
        ("rtx-pro-6000-server", 8192, 1024),
        ("b200", 16384, 1024),
        ("b300", 16384, 1024),
    ],
)
def test_batch_defaults_by_gpu(gpu: str, tokens: int, seqs: int) -> None:
    """Prevents sizing a small GPU with the sampler buffers of a large one, and A100 as a large one."""
    options = resolved(gpu)
    assert (options.max_num_batched_tokens, options.max_num_seqs) == (tokens, seqs)


def test_the_largest_tier_is_newer_than_b200() -> None:
    """Prevents 0.33's tier for 160 GiB from being applied to releases that did not have it."""
    assert resolved("b200", vllm_version="0.27.1").max_num_batched_tokens == 8192


@pytest.mark.parametrize(("version", "share"), [("0.20.2", 0.9), ("0.21.0", 0.92), ("0.33.0", 0.92)])
def test_utilization_default_by_release(version: str, share: float) -> None:
    """Prevents taking 0.92 of a GPU for a release that takes 0.90."""
    assert resolved(vllm_version=version).gpu_memory_utilization == share


def test_throughput_mode_doubles_both() -> None:
    """Prevents ``--performance-mode throughput`` from being sized like the default."""
    options = resolved(extra={"--performance-mode": "throughput"})
    assert (options.max_num_batched_tokens, options.max_num_seqs) == (4096, 512)


def test_a_short_context_bounds_the_default_batch() -> None:
    """Prevents counting activations of more tokens than all sequences together can have."""
    assert resolved(max_model_len=4, max_num_seqs=8).max_num_batched_tokens == 32


@pytest.mark.parametrize(
    ("parallelism", "extra", "batches"),
    [
        (Parallelism(), {}, 2),
        (Parallelism(pp=4), {}, 5),
        (Parallelism(), {"--async-scheduling": False}, 1),
        (Parallelism(pp=4), {"--async-scheduling": False}, 4),
    ],
)
def test_tokens_in_flight(parallelism: Parallelism, extra: dict[str, object], batches: int) -> None:
    """Prevents undercounting the blocks that windowed layers keep while batches are under way."""
    assert resolved(parallelism=parallelism, extra=extra).in_flight_tokens == batches * 2048


@pytest.mark.parametrize(
    ("text", "minor"),
    [("0.33.0", 33), ("v0.19.1", 19), ("0.29", 29), ("0.28.1rc1.dev580+g385dce36b", 28), ("0.5.0.post1", 5)],
)
def test_versions_that_are_read(text: str, minor: int) -> None:
    """Prevents nightly and post versions of published logs from being refused."""
    assert release(text) == minor


@pytest.mark.parametrize("text", ["0.34.0", "1.0", "0.1.0", "latest", "", "0.x", "0.33.0; rm"])
def test_unknown_versions_are_refused_with_the_range(text: str) -> None:
    """Prevents answers for a release whose rules nobody wrote down."""
    with pytest.raises(UnknownVersionError, match=r"accepted: 0\.2 to 0\.33"):
        release(text)


@pytest.mark.parametrize(
    ("seqs", "capability", "captures"),
    [(256, 86, 35), (1024, 90, 51), (1024, 100, 83), (32, 86, 7), (1, 86, 1)],
)
def test_captured_batch_sizes(seqs: int, capability: int, captures: int) -> None:
    """Prevents charging graphs for batch sizes that decoding never reaches."""
    assert graph_captures(EngineOptions(), seqs, capability) == captures


@pytest.mark.parametrize(
    ("extra", "captures"),
    [
        ({"--max-cudagraph-capture-size": 0}, 0),
        ({"--max-cudagraph-capture-size": 64}, 11),
        ({"--cudagraph-capture-sizes": [1, 2, 4, 512]}, 3),
    ],
)
def test_captures_that_were_asked_for(extra: dict[str, object], captures: int) -> None:
    """Prevents charging the default graphs to a server that bounds them."""
    assert resolved(extra=extra).graph_captures == captures


def test_eager_mode_captures_nothing() -> None:
    """Prevents charging CUDA graphs that are never captured."""
    assert resolved(enforce_eager=True).graph_captures == 0


@pytest.mark.parametrize(("layers", "pp", "sizes"), [(126, 4, [31, 32, 32, 31]), (61, 2, [31, 30]), (80, 8, [10] * 8)])
def test_uneven_pipeline_stages(layers: int, pp: int, sizes: list[int]) -> None:
    """Prevents giving the last stage, which already holds the output matrix, the extra layers."""
    assert [len(stage) for stage in stage_layers(layers, pp)] == sizes


@pytest.mark.parametrize(
    ("model", "minor", "runner"),
    [
        ("llama3.1-8b", 7, 0),
        ("llama3.1-8b", 19, 1),
        ("llama3.1-8b", 23, 2),
        ("llama3.1-8b-awq", 23, 1),
        ("qwen2.5-7b", 26, 1),
        ("qwen2.5-7b", 28, 2),
        ("mixtral-8x7b", 29, 1),
        ("mixtral-8x7b", 30, 2),
    ],
)
def test_model_runner_by_release(model: str, minor: int, runner: int) -> None:
    """Prevents charging one runner's sampler and buffers to the other."""
    assert model_runner(config(model), minor) == runner


def test_recurrent_models_keep_the_first_runner_until_all_changed() -> None:
    """Prevents giving hybrids of 0.29 the second runner, which did not take them by default."""
    hybrid = replace(config("qwen2.5-7b"), layer_kinds=("linear",) * 28)
    assert model_runner(hybrid, 29) == 1


@pytest.mark.parametrize(
    ("section", "asked"),
    [
        ({"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}, "fp8"),
        ({"quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}}, "fp8"),
        (
            {
                "quant_method": "modelopt",
                "quant_algo": "NVFP4",
                "kv_cache_scheme": {"type": "float", "num_bits": 8, "dynamic": False},
            },
            "fp8",
        ),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": None}, "auto"),
        ({"quant_method": "compressed-tensors", "kv_cache_scheme": {"type": "float", "num_bits": 8}}, "fp8"),
        ({"quant_method": "compressed-tensors", "kv_cache_scheme": None}, "auto"),
        ({"quant_method": "fp8", "kv_cache_scheme": "fp8"}, "auto"),
    ],
    ids=str,
)
def test_auto_is_what_the_checkpoint_asks_of_the_kv_cache(section: dict[str, object], asked: str) -> None:
    """Prevents half of the real tokens being promised: since 0.14 ``auto`` follows the checkpoint, an option wins."""
    quant = quantization({"quantization_config": section})
    assert kv_cache_dtype(EngineOptions(), quant) == asked
    assert kv_cache_dtype(EngineOptions(vllm_version="0.13.0"), quant) == "auto"
    assert kv_cache_dtype(EngineOptions(kv_cache_dtype="bfloat16"), quant) == "bfloat16"


@pytest.mark.parametrize(
    ("extra", "captures"),
    [
        ({"--optimization-level": "0"}, 0),
        ({"--compilation-config": {"cudagraph_mode": "NONE"}}, 0),
        ({"--compilation-config.cudagraph_mode": "none"}, 0),
        ({"--optimization-level": "2"}, 51),
        ({"--compilation-config": {"cudagraph_mode": "PIECEWISE"}}, 51),
        ({"--compilation-config": {"mode": 3}}, 51),
    ],
    ids=str,
)
def test_every_way_to_switch_graphs_off(extra: dict[str, object], captures: int) -> None:
    """Prevents memory for graphs that the user's own command does not capture."""
    assert graph_captures(EngineOptions(extra=extra), 1024, 90) == captures
