"""What one GPU spends beside weights and KV cache: named physical terms, by vLLM release, each with its source.

vLLM measures at start-up (``v1/worker/gpu_worker.py:641-760``): what the process holds that torch does not see, the
peak of a dummy run with its sampler, and since 0.21 the CUDA graphs. The coefficients and where they come from are in
``data/memory_terms.json``. Every term has an expected and a safe value.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from components.sizing.architecture import Architecture
from components.sizing.catalog import Gpu
from components.sizing.engine import ResolvedOptions
from components.sizing.types import Parallelism

GIB = 2**30
_MIB_PER_GIB = 1024
_TERMS = Path(__file__).parent / "data" / "memory_terms.json"
_HOPPER = 90
_LARGE_VISION_KINDS = frozenset({"qwen2_5_vl", "qwen3_vl"})
"""Towers without a fixed image size: vLLM profiles the largest image they take."""

Group = Literal["non_torch", "activation", "cuda_graph", "safety"]


class Term(NamedTuple):
    """One line of the budget, GiB per GPU."""

    name: str
    group: Group
    expected: float
    safe: float
    source: str


@dataclass(frozen=True)
class Weights:
    """What the terms need to know of the weights on the GPU."""

    gib: float
    is_mxfp4: bool = False
    has_16_bit_experts: bool = False


@dataclass(frozen=True)
class Overheads:
    """All terms of one GPU."""

    terms: tuple[Term, ...]

    def expected(self, group: Group) -> float:
        """GiB of a group that vLLM will probably take."""
        return sum(term.expected for term in self.terms if term.group == group)

    def safe(self, group: Group) -> float:
        """GiB of a group to plan with."""
        return sum(term.safe for term in self.terms if term.group == group)

    @cached_property
    def expected_gib(self) -> float:
        """All groups together."""
        return sum(term.expected for term in self.terms)

    @cached_property
    def safe_gib(self) -> float:
        """All groups together, safe values."""
        return sum(term.safe for term in self.terms)


@cache
def _values(name: str) -> tuple[Mapping[str, Any], ...]:
    return tuple(json.loads(_TERMS.read_text(encoding="utf-8"))["terms"][name]["values"])


@cache
def coefficient(name: str, release: int, runner: int) -> Mapping[str, Any] | None:
    """Return the newest record of a term that holds for a release and model runner; None where the term is absent."""
    found = [value for value in _values(name) if value["since"] <= release and value.get("runner", runner) == runner]
    return found[-1] if found else None


def overheads(
    arch: Architecture,
    gpu: Gpu,
    parallelism: Parallelism,
    options: ResolvedOptions,
    weights: Weights,
    *,
    samples: bool = True,
) -> Overheads:
    """Every term of one GPU. ``samples`` is False on pipeline stages before the last one."""
    return Overheads(
        (
            *_non_torch(arch, gpu, parallelism, options),
            *_activation(arch, parallelism, options, weights, samples=samples),
            *_graphs(arch, options),
            *_safety(arch, options, weights),
        )
    )


def _non_torch(arch: Architecture, gpu: Gpu, parallelism: Parallelism, options: ResolvedOptions) -> Iterator[Term]:
    prefix = "hopper" if gpu.compute_capability >= _HOPPER else ""
    yield _plain("cuda context", "non_torch", "cuda_context_gib", options, prefix)
    if parallelism.tp > 1 or (parallelism.dp > 1 and parallelism.ep):
        link = ("nvlink_hopper" if prefix else "nvlink") if gpu.nvlink else ""
        link = "pcie_pair" if parallelism.tp == 2 and not link else link
        yield _plain("collectives", "non_torch", "collectives_gib", options, link)
    state = coefficient("request_state_bytes", options.release, options.runner)
    if state is not None:
        size = options.max_num_seqs * arch.vocab / GIB
        yield Term("request state", "non_torch", size * state["expected"], size * state["safe"], state["source"])
    if parallelism.tp == 1:
        staging = coefficient("embedding_staging_copies", options.release, options.runner)
        if staging is not None:
            yield _cached_staging(arch, staging)


def _cached_staging(arch: Architecture, record: Mapping[str, Any]) -> Term:
    """Charge the copy that stays in the allocator; the other one is part of the peak."""
    size = _embedding_gib(arch)
    expected = size if record["expected"] and not _sees(arch) else 0.0
    return Term("embedding staging", "non_torch", expected, size if record["safe"] else 0.0, record["source"])


def _activation(
    arch: Architecture, parallelism: Parallelism, options: ResolvedOptions, weights: Weights, *, samples: bool
) -> Iterator[Term]:
    """Take the largest of the peaks, which follow each other, and add what stays beside all of them."""
    peaks = [_forward(arch, parallelism, options)]
    if samples:
        peaks.append(_sampler(arch, options))
    experts = _expert_workspace(arch, parallelism, options, weights)
    if experts is not None:
        peaks = [_both(peak, experts) for peak in peaks]
    staging = coefficient("embedding_staging_copies", options.release, options.runner)
    if staging is not None and parallelism.tp == 1:
        size = _embedding_gib(arch) + 2 * _hidden_gib(arch, options)
        expected = size if staging["expected"] and not _sees(arch) else 0.0
        peaks.append(Term("embedding staging peak", "activation", expected, size, staging["source"]))
    if _sees(arch):
        prefix = "large" if arch.vision is not None and arch.vision.kind in _LARGE_VISION_KINDS else ""
        vision = _plain("vision profile", "activation", "vision_profile_gib", options, prefix)
        if prefix:
            peaks.append(vision)
        else:
            yield vision
    largest = max(peaks, key=lambda term: term.expected)
    safest = max(term.safe for term in peaks)
    yield Term(largest.name, "activation", largest.expected, safest, largest.source)


def _both(peak: Term, beside: Term) -> Term:
    return Term(
        f"{peak.name} + {beside.name}", "activation", peak.expected + beside.expected, peak.safe + beside.safe,
        f"{peak.source}; {beside.source}",
    )  # fmt: skip


def _expert_workspace(
    arch: Architecture, parallelism: Parallelism, options: ResolvedOptions, weights: Weights
) -> Term | None:
    """Two buffers of (token, chosen expert) rows, as wide as the expert's widest input or output on this rank."""
    if arch.moe is None or not weights.has_16_bit_experts:
        return None
    width = arch.moe.intermediate // (1 if parallelism.ep else parallelism.tp)
    rows = options.max_num_batched_tokens * arch.moe.per_token
    size = rows * (max(width, arch.hidden) + max(2 * width, arch.hidden)) * 2 / GIB
    record = _record("expert_workspace", options)
    return Term("expert workspace", "activation", size * record["expected"], size * record["safe"], record["source"])


def _sampler(arch: Architecture, options: ResolvedOptions) -> Term:
    record = coefficient("sampler_bytes", options.release, options.runner)
    if record is None:
        msg = f"no sampler figure for vLLM 0.{options.release} with model runner {options.runner}"
        raise LookupError(msg)
    rows = min(options.max_num_seqs, options.max_num_batched_tokens)
    size = rows * arch.vocab / GIB
    hidden = _hidden_gib(arch, options)
    return Term(
        "sampler peak", "activation", size * record["expected"] + hidden, size * record["safe"] + hidden,
        record["source"],
    )  # fmt: skip


def _forward(arch: Architecture, parallelism: Parallelism, options: ResolvedOptions) -> Term:
    shared = arch.moe.shared_intermediate if arch.moe is not None else 0
    width = 3 * max(arch.intermediate, shared) / parallelism.tp + 4 * arch.hidden
    size = options.max_num_batched_tokens * width * 2 / GIB
    record = _record("forward_factor", options)
    return Term("forward peak", "activation", size * record["expected"], size * record["safe"], record["source"])


def _graphs(arch: Architecture, options: ResolvedOptions) -> Iterator[Term]:
    record = coefficient("graph_mib", options.release, options.runner)
    if record is None or not options.graph_captures:
        return
    graphs = arch.layers * options.graph_captures / _MIB_PER_GIB
    expected, safe = (record["moe"], record["moe_safe"]) if arch.is_moe else (record["expected"], record["safe"])
    yield Term("cuda graphs", "cuda_graph", graphs * expected, graphs * safe, record["source"])


def _safety(arch: Architecture, options: ResolvedOptions, weights: Weights) -> Iterator[Term]:
    yield _plain("safety", "safety", "safety_gib", options)
    share = _plain("repacked weights", "safety", "weights_share", options, "mxfp4" if weights.is_mxfp4 else "")
    yield share._replace(expected=share.expected * weights.gib, safe=share.safe * weights.gib)
    if arch.moe is not None and not weights.has_16_bit_experts:
        rows = arch.moe.per_token * _hidden_gib(arch, options)
        copies = _plain("quantized experts' workspace", "safety", "quantized_expert_copies", options)
        yield copies._replace(expected=copies.expected * rows, safe=copies.safe * rows)


def _plain(name: str, group: Group, key: str, options: ResolvedOptions, prefix: str = "") -> Term:
    record = _record(key, options)
    expected, safe = (prefix, f"{prefix}_safe") if prefix else ("expected", "safe")
    return Term(name, group, record[expected], record[safe], record["source"])


def _record(key: str, options: ResolvedOptions) -> Mapping[str, Any]:
    record = coefficient(key, options.release, options.runner)
    if record is None:
        msg = f"{_TERMS.name} has no {key} for vLLM 0.{options.release}"
        raise LookupError(msg)
    return record


def _sees(arch: Architecture) -> bool:
    """Tell whether the model takes images: its tower may be missing from the catalogue's facts."""
    return arch.vision is not None or arch.hf_class.endswith("ForConditionalGeneration")


def _embedding_gib(arch: Architecture) -> float:
    return arch.vocab * arch.hidden * 2 / GIB


def _hidden_gib(arch: Architecture, options: ResolvedOptions) -> float:
    return options.max_num_batched_tokens * arch.hidden * 2 / GIB
