"""What vLLM refuses to start, before memory is even counted.

Every reason carries the two numbers that decide it and the nearest choice that is legal. Rules and their places are
those of vLLM 0.33.0; a rule that came or went with a release says so.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from components.sizing.architecture import Architecture
from components.sizing.catalog import Gpu
from components.sizing.engine import kv_cache_dtype, release
from components.sizing.explain import Refusal
from components.sizing.kv_dtypes import kv_dtype_problem
from components.sizing.quantization import Quantization
from components.sizing.shards import broken_shard
from components.sizing.types import EngineOptions, Parallelism

_METHODS = Path(__file__).parent / "data" / "quantization_methods.json"
_OUT_OF_TREE_SINCE = 28
"""bitsandbytes and GGUF left the core (https://github.com/vllm-project/vllm/pull/43529)."""
_CUDA_13_SINCE = 28
"""Wheels of CUDA 13 carry no code for GPUs below 7.5."""
_LOWEST_CAPABILITY = 75
_BFLOAT16_CAPABILITY = 80
_SPARSE_MLA_CAPABILITY = 90
"""DeepSeek sparse attention: FlashMLA on 9.0 and 10.x, FlashInfer on 12.x (platforms/cuda.py)."""
_NO_FLOAT16 = ("Gemma2", "Gemma3", "Glm4F")
"""Classes that overflow in float16 (config/model.py, _FLOAT16_NOT_SUPPORTED_MODELS)."""


@dataclass(frozen=True)
class Illegality(Refusal):
    """One rule that a deployment breaks. ``remedy`` is the nearest legal choice."""

    rule: str = ""
    remedy: str = ""

    @property
    def text(self) -> str:
        """The whole sentence: why, what would be legal, and the two numbers."""
        advice = f" ({self.remedy})" if self.remedy else ""
        return f"{replaced_end(super().text, advice)}"


def replaced_end(sentence: str, advice: str) -> str:
    """Put the advice before the comparison that ends the sentence."""
    head, _, tail = sentence.rpartition(": ")
    return f"{head}{advice}: {tail}"


def illegal_reasons(
    arch: Architecture, quant: Quantization, parallelism: Parallelism, options: EngineOptions, gpu: Gpu
) -> tuple[Illegality, ...]:
    """Return every rule that vLLM would refuse this deployment for; empty where it starts if memory allows."""
    capability = gpu.compute_capability
    return (
        *_capability(arch, quant, options, gpu.key, capability),
        *_splits(arch, quant, parallelism, capability),
        *_kv_dtype(arch, kv_cache_dtype(options, quant), gpu.key, capability),
        *_lengths(arch, options),
    )


def legal_tps(arch: Architecture, quant: Quantization, gpu: Gpu, up_to: int) -> tuple[int, ...]:
    """Return the tensor-parallel sizes from 1 to ``up_to`` that split every tensor evenly."""
    return tuple(
        tp
        for tp in range(1, up_to + 1)
        if _broken_split(arch, quant, Parallelism(tp=tp), gpu.compute_capability) is None
    )


@lru_cache(maxsize=1)
def _minimum_capabilities() -> dict[str, int]:
    methods = json.loads(_METHODS.read_text(encoding="utf-8"))["methods"]
    return {name: int(method["min_compute_capability"]) for name, method in methods.items()}


def minimum_capability(quant: Quantization) -> int:
    """Return the lowest compute capability (8.6 is 86) that has a kernel for these weights."""
    if not quant.is_quantized:
        return 0
    least = _minimum_capabilities().get(quant.method, 0)
    # compressed-tensors itself asks for 7.0, each of its schemes for more; FP8 is weight-only (Marlin) below 8.9.
    return max(least, _LOWEST_CAPABILITY) if quant.method == "compressed-tensors" else least


def _capability(
    arch: Architecture, quant: Quantization, options: EngineOptions, key: str, capability: int
) -> Iterator[Illegality]:
    version = release(options.vllm_version)
    if quant.removed and version >= _OUT_OF_TREE_SINCE:
        yield Illegality(
            "capability",
            version,
            _OUT_OF_TREE_SINCE - 1,
            "as vLLM's minor release",
            f"the {quant.method} checkpoint cannot be loaded: {quant.removed.partition(': ')[0]}",
            is_final=True,
            rule="removed-method",
            remedy=quant.removed.partition(": ")[2],
        )
    if capability < _LOWEST_CAPABILITY and version >= _CUDA_13_SINCE:
        yield Illegality(
            "capability",
            capability / 10,
            _LOWEST_CAPABILITY / 10,
            "compute capability",
            f"vLLM's CUDA 13 build has no code for {key}",
            is_final=True,
            rule="gpu",
            remedy="use a T4 or newer",
        )
    least = minimum_capability(quant)
    if capability < least:
        yield Illegality(
            "capability",
            capability / 10,
            least / 10,
            "compute capability",
            f"{quant.method} weights ({quant.precision}) have no kernel on {key}",
            is_final=True,
            rule="method-capability",
            remedy=_other_precision(capability),
        )
    yield from _dtype(arch, options, key, capability)
    if arch.mla and arch.mla.index_topk and capability < _SPARSE_MLA_CAPABILITY:
        yield Illegality(
            "capability",
            capability / 10,
            _SPARSE_MLA_CAPABILITY / 10,
            "compute capability",
            f"no sparse MLA attention backend runs on {key}",
            is_final=True,
            rule="sparse-attention",
            remedy="use an H100 or newer",
        )


def _dtype(arch: Architecture, options: EngineOptions, key: str, capability: int) -> Iterator[Illegality]:
    overflows = arch.hf_class.startswith(_NO_FLOAT16)
    if overflows and options.dtype in {"float16", "half"}:
        yield Illegality(
            "capability", 16, 0, "float16 bits allowed", f"{arch.hf_class} overflows in float16 and vLLM refuses it",
            is_final=True, rule="float16", remedy="use --dtype bfloat16",
        )  # fmt: skip
    if capability >= _BFLOAT16_CAPABILITY:
        return
    if options.dtype == "bfloat16":
        why, remedy = f"{key} has no bfloat16", "use --dtype half, or an A10G or newer"
    elif overflows and options.dtype == "auto":
        why = (
            f"{key} has no bfloat16 and {arch.hf_class} no float16: vLLM would serve float32, twice what is sized here"
        )
        remedy = "use an A10G or newer"
    else:
        return
    yield Illegality(
        "capability", capability / 10, _BFLOAT16_CAPABILITY / 10, "compute capability", why,
        is_final=True, rule="bfloat16", remedy=remedy,
    )  # fmt: skip


def _other_precision(capability: int) -> str:
    return "use awq-int4, gptq-int4, int8 or fp16" if capability >= _LOWEST_CAPABILITY else "use a newer GPU"


def _splits(arch: Architecture, quant: Quantization, parallelism: Parallelism, capability: int) -> Iterator[Illegality]:
    broken = _broken_split(arch, quant, parallelism, capability)
    if broken:
        detail, left_over, unit = broken
        remedy = _nearest_tp(arch, quant, parallelism, capability)
        yield Illegality("divisibility", left_over, 0, unit, detail, is_final=True, rule="split", remedy=remedy)
    if parallelism.pp > arch.layers:
        yield Illegality(
            "divisibility",
            parallelism.pp,
            arch.layers,
            "stages for its layers",
            f"each pipeline stage needs a layer and {arch.model} has {arch.layers}",
            is_final=True,
            rule="stages",
            remedy=f"use PP {arch.layers} or less",
        )
    elif parallelism.pp > 1 and not arch.supports_pp:
        yield Illegality(
            "capability",
            parallelism.pp,
            1,
            "stages",
            f"{arch.hf_class} has no pipeline parallelism",
            is_final=True,
            rule="stages",
            remedy="use PP 1",
        )
    if arch.is_moe:
        return
    if parallelism.ep:
        yield Illegality(
            "capability",
            0,
            1,
            "experts",
            f"expert parallelism needs experts and {arch.model} is dense",
            is_final=True,
            rule="experts",
            remedy="leave --enable-expert-parallel out",
        )
    if parallelism.dp > 1:
        yield Illegality(
            "capability",
            parallelism.dp,
            1,
            "data-parallel ranks",
            f"data parallelism inside one vLLM is for mixture-of-experts models and {arch.model} is dense",
            is_final=True,
            rule="experts",
            remedy="use DP 1 and more replicas",
        )


@lru_cache(maxsize=4096)
def _broken_split(
    arch: Architecture, quant: Quantization, parallelism: Parallelism, capability: int
) -> tuple[str, int, str] | None:
    tp = parallelism.tp
    if arch.heads % tp:
        return f"{arch.heads} attention heads do not divide by TP {tp}", arch.heads % tp, "heads left over"
    for kv_heads in {arch.kv_heads, arch.full_kv_heads or arch.kv_heads}:
        if arch.mla is None and max(kv_heads, tp) % min(kv_heads, tp):
            word = "divide by" if kv_heads > tp else "can be copied evenly to"
            return f"{kv_heads} KV heads cannot {word} TP {tp}", max(kv_heads, tp) % min(kv_heads, tp), "left over"
    return broken_shard(arch, quant, parallelism, capability)


@lru_cache(maxsize=4096)
def _nearest_tp(arch: Architecture, quant: Quantization, parallelism: Parallelism, capability: int) -> str:
    candidates = [
        Parallelism(tp, parallelism.pp, parallelism.dp, parallelism.ep) for tp in range(1, 2 * parallelism.tp + 1)
    ]
    legal = [each.tp for each in candidates if _broken_split(arch, quant, each, capability) is None]
    near = sorted(legal, key=lambda tp: (abs(tp - parallelism.tp), tp))[:2]
    choices = [f"TP {tp}" for tp in near]
    if arch.is_moe and not parallelism.ep:
        spread = Parallelism(parallelism.tp, parallelism.pp, parallelism.dp, ep=True)
        if _broken_split(arch, quant, spread, capability) is None:
            choices.append("--enable-expert-parallel")
    return f"legal: {', '.join(choices)}" if choices else "no TP is legal with these weights"


def _kv_dtype(arch: Architecture, dtype: str, key: str, capability: int) -> Iterator[Illegality]:
    problem = kv_dtype_problem(arch, dtype, capability)
    if problem:
        yield Illegality(
            "kv_dtype",
            capability / 10,
            problem.least / 10,
            "compute capability",
            f"--kv-cache-dtype {dtype} on {key}: {problem.why}",
            rule="kv-dtype",
            remedy=problem.remedy,
        )


def _lengths(arch: Architecture, options: EngineOptions) -> Iterator[Illegality]:
    asked = options.max_model_len
    if asked is not None and asked > arch.max_positions and not options.allow_long_max_model_len:
        yield Illegality(
            "capability",
            asked,
            arch.max_positions,
            "tokens",
            f"max-model-len is beyond what {arch.model} was trained for",
            is_final=True,
            rule="length",
            remedy=f"use {arch.max_positions} or less",
        )
