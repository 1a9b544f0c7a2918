"""What vLLM does when an option is not given: defaults by release, GPU and model.

Sources: vLLM 0.33.0 ``engine/arg_utils.py:2973-3006``, ``config/vllm.py:588-609`` and the pull requests named at each
rule. Releases are compared by their minor number: 0.28.1rc1 counts as 0.28.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from components.sizing.architecture import Architecture
from components.sizing.catalog import Gpu
from components.sizing.quantization import Quantization
from components.sizing.types import EngineOptions, Parallelism

OLDEST_RELEASE, NEWEST_RELEASE = 2, 33
_VERSION = re.compile(r"v?0\.(\d+)(?:\.\d+)?(?:[.+-]?(?:rc|dev|post|a|b|g)?[\w.+-]*)?")

AUTO_MAX_MODEL_LEN = -1
"""``--max-model-len auto``: the longest context that fits."""
_UTILIZATION_092_SINCE = 21
"""https://github.com/vllm-project/vllm/pull/38284 raised 0.90 to 0.92 together with CUDA graph profiling."""
_LARGE_GPU_TIER_SINCE = 28
"""``device_memory >= 160 GiB`` stands in arg_utils.py of tag v0.28.0 (lines 2582-2591)."""
_CHECKPOINT_KV_DTYPE_SINCE = 14
"""https://github.com/vllm-project/vllm/pull/30785: ``--kv-cache-dtype auto`` is what the checkpoint asks for."""
_V1_ENGINE_SINCE = 8
_ASYNC_SCHEDULING_SINCE = 14
"""https://github.com/vllm-project/vllm/pull/27614 made async scheduling the default."""
_V2_RUNNER_CLASSES: tuple[tuple[int, frozenset[str]], ...] = (
    (23, frozenset({"LlamaForCausalLM", "MistralForCausalLM", "Qwen3ForCausalLM"})),
    (24, frozenset({"DeepseekV2ForCausalLM", "Qwen2MoeForCausalLM", "GraniteMoeForCausalLM"})),
)
"""``DEFAULT_V2_MODEL_RUNNER_ARCHITECTURES`` by the release that added them (config/vllm.py)."""
_V2_RUNNER_DENSE_SINCE, _V2_RUNNER_ALL_SINCE = 27, 30
"""Every dense generative model in v0.27; every model since https://github.com/vllm-project/vllm/pull/53183."""


class UnknownVersionError(ValueError):
    """A vLLM version outside the range whose behaviour is known; the message says the range."""


@dataclass(frozen=True)
class ResolvedOptions:
    """Every number that memory depends on, after defaults. Lengths in tokens."""

    release: int
    """Minor number of the vLLM release: 0.33.0 is 33."""
    runner: int
    """0: the V0 engine; 1 and 2: model runner V1 and V2 of the V1 engine."""
    max_model_len: int
    """-1: the longest that fits (``auto``)."""
    max_num_seqs: int
    max_num_batched_tokens: int
    gpu_memory_utilization: float
    block_size: int
    in_flight_tokens: int
    """Tokens scheduled but not settled: windowed layers keep their blocks that long (config/vllm.py:588-609)."""
    graph_captures: int
    """Batch sizes for which CUDA graphs are captured; 0 with ``--enforce-eager``."""
    context_parallel: int
    hybrid_kv_cache: bool
    mamba_blocks: int
    """State blocks that one request holds per Mamba or linear layer group."""


@lru_cache(maxsize=256)
def release(version: str) -> int:
    """Minor number of a vLLM version: ``0.28.1rc1.dev580+g385dce36b`` -> 28.

    Raises UnknownVersionError for anything but 0.2 to the newest release whose behaviour is known.
    """
    match = _VERSION.fullmatch(version.strip())
    minor = int(match[1]) if match else -1
    if not OLDEST_RELEASE <= minor <= NEWEST_RELEASE:
        msg = (
            f"vLLM version {version!r} is not known; accepted: 0.{OLDEST_RELEASE} to 0.{NEWEST_RELEASE} "
            f"(0.{NEWEST_RELEASE}.0, 0.28.1rc1, ...)"
        )
        raise UnknownVersionError(msg)
    return minor


def resolve(
    options: EngineOptions, gpu: Gpu, total_gib: float, arch: Architecture, parallelism: Parallelism
) -> ResolvedOptions:
    """Fill in what ``options`` leaves open.

    Raises UnknownVersionError.
    """
    minor = release(options.vllm_version)
    runner = model_runner(arch, minor)
    seqs, tokens = _batch_defaults(gpu, total_gib, minor)
    if options.extra.get("--performance-mode") == "throughput":
        seqs, tokens = 2 * seqs, 2 * tokens
    length = options.max_model_len or arch.max_positions
    max_num_seqs, max_tokens = _batch(options, seqs, tokens, arch.max_positions if length < 0 else length, minor)
    return ResolvedOptions(
        release=minor,
        runner=runner,
        max_model_len=length,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_tokens,
        gpu_memory_utilization=options.gpu_memory_utilization or default_utilization(minor),
        block_size=options.block_size or (64 if arch.mla is not None else 16),
        in_flight_tokens=_concurrent_batches(options, runner, parallelism.pp, minor) * max_tokens,
        graph_captures=graph_captures(options, max_num_seqs, gpu.compute_capability),
        context_parallel=int(options.extra.get("--decode-context-parallel-size", 1)),
        hybrid_kv_cache=options.hybrid_kv_cache and minor >= _V1_ENGINE_SINCE,
        mamba_blocks=_mamba_blocks(options, arch, minor),
    )


def default_utilization(minor: int) -> float:
    """``--gpu-memory-utilization`` where it is not given."""
    return 0.92 if minor >= _UTILIZATION_092_SINCE else 0.9


def kv_cache_dtype(options: EngineOptions, quant: Quantization) -> str:
    """Return the dtype of the KV cache; ``auto``: that of the model's activations."""
    if options.kv_cache_dtype == "auto" and release(options.vllm_version) >= _CHECKPOINT_KV_DTYPE_SINCE:
        return quant.kv_cache_dtype
    return options.kv_cache_dtype


def model_runner(arch: Architecture, minor: int) -> int:
    """Which implementation runs the model: its sampler and buffers differ."""
    if minor < _V1_ENGINE_SINCE:
        return 0
    if minor >= _V2_RUNNER_ALL_SINCE:
        return 2
    if any(minor >= since and arch.hf_class in classes for since, classes in _V2_RUNNER_CLASSES):
        return 2 if minor >= _V2_RUNNER_DENSE_SINCE or not arch.checkpoint_precision.is_quantized else 1
    recurrent = "mamba" in arch.layer_kinds or "linear" in arch.layer_kinds
    return 2 if minor >= _V2_RUNNER_DENSE_SINCE and not arch.is_moe and not recurrent else 1


def graph_captures(options: EngineOptions, max_num_seqs: int, compute_capability: int) -> int:
    """Count the batch sizes that full CUDA graphs are captured for: 1, 2, 4, every 8 below 256, every 16 above.

    The largest one that vLLM captures is twice the sequences, 512 at most (1024 on sm_100); decoding needs no more
    than ``max_num_seqs`` of it.
    """
    if not _captures_graphs(options):
        return 0
    most = 1024 if compute_capability in (100, 103) else 512
    largest = min(options.extra.get("--max-cudagraph-capture-size", most), max_num_seqs, most)
    explicit = options.extra.get("--cudagraph-capture-sizes")
    if explicit:
        return sum(size <= largest for size in explicit)
    if largest < 8:
        return (0, 1, 2, 2, 3)[min(largest, 4)]
    return 3 + min(largest, 255) // 8 + max(0, largest - 240) // 16


def _captures_graphs(options: EngineOptions) -> bool:
    """Optimization level 0 and the CUDA graph mode ``NONE`` do what ``--enforce-eager`` does (config/vllm.py)."""
    config = options.extra.get("--compilation-config")
    stated = config.get("cudagraph_mode", "") if isinstance(config, Mapping) else ""
    mode = str(options.extra.get("--compilation-config.cudagraph_mode", stated)).upper()
    level = str(options.extra.get("--optimization-level", ""))
    return not options.enforce_eager and level != "0" and mode not in {"NONE", "0"}


def stage_layers(layers: int, pp: int) -> tuple[range, ...]:
    """Layers of every pipeline stage: what does not divide goes to the stages before the last one.

    Source: vllm/distributed/utils.py:198-241.
    """
    sizes = [layers // pp] * pp
    for stage in range(2, layers % pp + 2):
        sizes[-stage] += 1
    starts = [sum(sizes[:stage]) for stage in range(pp)]
    return tuple(range(start, start + size) for start, size in zip(starts, sizes, strict=True))


def _batch_defaults(gpu: Gpu, total_gib: float, minor: int) -> tuple[int, int]:
    """(sequences, batched tokens) of an API server; A100 counts as small: vllm-project/vllm pull request 17885."""
    if minor < _V1_ENGINE_SINCE:
        return 256, 2048
    if total_gib >= 160 and minor >= _LARGE_GPU_TIER_SINCE:
        return 1024, 16384
    if total_gib >= 70 and not gpu.key.startswith("a100"):
        return 1024, 8192
    return 256, 2048


def _batch(options: EngineOptions, seqs: int, tokens: int, length: int, minor: int) -> tuple[int, int]:
    chunked = options.extra.get("--enable-chunked-prefill")
    unchunked = chunked is False or (minor < _V1_ENGINE_SINCE and chunked is None and length <= 32768)
    max_tokens = options.max_num_batched_tokens
    if max_tokens is None:
        max_tokens = max(tokens, length) if unchunked else tokens
        max_tokens = min((options.max_num_seqs or seqs) * length, max_tokens)
    return options.max_num_seqs or min(seqs, max_tokens), max_tokens


def _concurrent_batches(options: EngineOptions, runner: int, pp: int, minor: int) -> int:
    asynchronous = options.extra.get("--async-scheduling", minor >= _ASYNC_SCHEDULING_SINCE)
    if asynchronous and (runner == 2 or pp == 1):
        return pp + 1
    return pp


def _mamba_blocks(options: EngineOptions, arch: Architecture, minor: int) -> int:
    """Prefix caching keeps a second state per group (mode ``align``); models without attention never cache prefixes."""
    mode = options.extra.get("--mamba-cache-mode")
    if mode is None:
        attends = any(kind not in ("mamba", "linear", "none") for kind in arch.layer_kinds)
        caching = options.extra.get("--enable-prefix-caching", minor >= _V2_RUNNER_DENSE_SINCE)
        mode = "align" if attends and caching else "none"
    return 2 if mode == "align" else 1
