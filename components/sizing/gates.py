"""Gates that depend on the plan alone: legality, memory, service levels. The first that refuses ends the evaluation.

Memory and speed of a replica are those of its GPUs, so that one evaluation serves every instance type with them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from components.sizing import explain, host, latency
from components.sizing.deployment import Deployment
from components.sizing.engine import default_utilization, release
from components.sizing.estimate import Estimate, estimate
from components.sizing.explain import Refusal
from components.sizing.kv import KvLayout
from components.sizing.legality import illegal_reasons
from components.sizing.plans import Plan
from components.sizing.requirement import Requirement
from components.sizing.types import EngineOptions, Parallelism
from components.sizing.weights import rank_weights

GIB = 2**30
SEQUENCES_MAX = 1024
"""Largest max-num-seqs that is tried: vLLM's own default on large GPUs (0.33.0 arg_utils.py:2973)."""
FEWEST_BATCHED_TOKENS = 2048
"""vLLM's smallest default of max-num-batched-tokens. A step runs a token of every sequence, so that it refuses more
sequences than batched tokens (vllm/config/scheduler.py)."""
NULL_BLOCK = 1
"""A block that vLLM holds back (0.33.0 v1/core/kv_cache_planning.py)."""
FREE_GIB = 1.5
"""Memory that utilization must leave free per GPU: a 0.28 worker ended 1.37 GiB above its budget
(https://github.com/vllm-project/vllm/pull/51590)."""


@dataclass(frozen=True)
class Fit:
    """A plan that satisfies the requirement, and with how many replicas."""

    plan: Plan
    replicas: int
    concurrency: int
    """Requests at once per replica at the busiest moment."""
    options: EngineOptions
    latency: latency.Latency
    checkpoint_bytes: int
    """The weights before they are sharded: what each pod reads from the cache."""
    needs: tuple[host.HostNeed, ...]
    """What one pod asks of its host, by loader in order of preference."""


@dataclass(frozen=True)
class Room:
    """What one GPU's memory leaves for the KV cache with a number of sequences, and what that holds."""

    sequences: int
    """max-num-seqs."""
    budget: explain.Budget
    needed_gib: float
    """KV cache of one request of the full length."""
    longest: int
    """The full length, tokens."""
    tokens: int
    requests: int
    """Requests of the load's shape; 0 where not even one of the full length fits."""

    @property
    def held(self) -> int:
        """Requests at once."""
        return min(self.sequences, self.requests)


def evaluate(plan: Plan, asked: Requirement) -> Fit | Refusal:
    """Put a plan through the gates; a ``Fit`` says with how many replicas it satisfies."""
    refusal = _illegal(plan, asked) or _overweight(plan, asked)
    if refusal is not None:
        return refusal
    held = _held_at_once(plan, asked)
    if isinstance(held, Refusal):
        return held
    served = _served_in_time(plan, asked, held)
    if isinstance(served, Refusal):
        return served
    return _fit(plan, asked, served)


def _illegal(plan: Plan, asked: Requirement) -> Refusal | None:
    """Return the first of vLLM's own rules that the plan breaks, in the order of the gates."""
    options = asked.options(1, plan.kv_cache_dtype, None)
    return next(iter(illegal_reasons(asked.arch, plan.quant, plan.parallelism, options, plan.gpu)), None)


def _overweight(plan: Plan, asked: Requirement) -> Refusal | None:
    """Refuse weights that alone exceed the budget: the cheapest memory check, which most plans of large models fail."""
    weights = stored_bytes(plan, asked, plan.parallelism) / GIB
    visible, share = plan.gpu.memory_safe_gib or 0.0, utilization(plan, asked)
    if weights < visible * share:
        return None
    return explain.weights_too_large(visible, share, weights, plan.quant.precision)


def sequences_for(concurrency: int, asked: Requirement) -> int:
    """Return max-num-seqs for so many requests at once: the next power of two, within the requirement's bound."""
    power = 1 << (concurrency - 1).bit_length()
    return min(power, most_sequences(asked))


def most_sequences(asked: Requirement) -> int:
    """Return the largest max-num-seqs that the requirement and vLLM allow."""
    return min(asked.max_sequences or SEQUENCES_MAX, asked.max_num_batched_tokens or FEWEST_BATCHED_TOKENS)


def utilization(plan: Plan, asked: Requirement) -> float:
    """Return gpu-memory-utilization: as asked, else vLLM's default where that leaves ``FREE_GIB`` free."""
    if asked.gpu_memory_utilization is not None:
        return asked.gpu_memory_utilization
    return _bounded_utilization(plan.gpu.memory_safe_gib or 0.0, asked.vllm_version)


@cache
def _bounded_utilization(total_gib: float, vllm_version: str) -> float:
    most = math.floor((1 - FREE_GIB / total_gib) * 100) / 100
    return min(default_utilization(release(vllm_version)), most)


def _held_at_once(plan: Plan, asked: Requirement) -> int | Refusal:
    """Count the requests that the safe KV cache of one replica holds, up to what the busiest moment asks of it.

    More sequences leave less KV cache (the sampler's buffers grow with them), so that fewer may hold more.
    """
    wanted = min(-(-asked.load.concurrency // asked.replicas_min), most_sequences(asked))
    room = room_for(plan, asked, sequences_for(wanted, asked))
    if not room.requests:
        fewest = room_for(plan, asked, 1)
        if not fewest.requests:
            return explain.no_room(fewest.budget, fewest.needed_gib, fewest.longest)
    best = room
    while room.sequences > 1 and room.requests < room.sequences:
        room = room_for(plan, asked, 1 << ((room.sequences - 1).bit_length() - 1))
        best = max(best, room, key=lambda each: each.held)
    held = min(wanted, best.held)
    if asked.replicas_max is not None and held * asked.replicas_max < asked.load.concurrency:
        return explain.too_few_at_once(
            held, asked.load.concurrency, asked.replicas_max, asked.request_tokens, best.tokens
        )
    return held


def estimated(plan: Plan, asked: Requirement, options: EngineOptions) -> Estimate:
    """Return the memory of a plan under given options."""
    index = _index(plan, asked)
    return estimate(Deployment(asked.arch, plan.quant, plan.gpu, plan.parallelism, options, weights_index=index))


def _index(plan: Plan, asked: Requirement) -> Mapping[str, Any] | None:
    """Return the given totals, which are those of the stored checkpoint and of no other format."""
    return asked.weights_index if plan.quant == asked.arch.checkpoint_precision else None


def room_for(plan: Plan, asked: Requirement, sequences: int, context: int | None = None) -> Room:
    """Return what is left for the KV cache with so many sequences, and what that holds.

    ``context`` is the full length in tokens; None: what the search must hold.
    """
    length = context or asked.searched_model_len
    options = replace(asked.options(sequences, plan.kv_cache_dtype, utilization(plan, asked)), max_model_len=length)
    memory = estimated(plan, asked, options)
    layout, safe = memory.layout, memory.safe
    if layout is None or safe is None:
        msg = f"an illegal plan reached the memory gate: {'; '.join(memory.reasons)}"
        raise ValueError(msg)
    caching = [(stage, size) for stage, size in zip(memory.stages, layout.bytes_per_block, strict=True) if size]
    stage, block_bytes = min(caching, key=lambda pair: pair[0].kv_safe / pair[1])
    budget = explain.Budget(
        visible=plan.gpu.memory_safe_gib or 0.0,
        utilization=memory.options.gpu_memory_utilization,
        weights=stage.weights.bytes / GIB,
        runtime=stage.overheads.safe_gib,
    )
    needed = (layout.blocks_per_request(length, memory.options) + NULL_BLOCK) * block_bytes / GIB
    each = layout.blocks_per_request(asked.request_tokens, memory.options)
    starts = memory.fits and safe.fits_one and (safe.blocks >= sequences or not _keeps_state(layout))
    requests = (safe.blocks - NULL_BLOCK) // each if starts else 0
    return Room(sequences, budget, needed, length, safe.tokens, requests)


def _keeps_state(layout: KvLayout) -> bool:
    """Tell whether each sequence needs a block of its own for a recurrent state."""
    return any(group.kind == "state" for group in layout.groups)


def _served_in_time(plan: Plan, asked: Requirement, held: int) -> int | Refusal:
    """Count the requests at once, up to ``held``, that one replica serves within the service levels."""
    if asked.ttft_ms is None and asked.tpot_ms is None:
        return held
    options = asked.options(sequences_for(held, asked), plan.kv_cache_dtype, utilization(plan, asked))
    if not _misses(_predict(plan, asked, options, held), asked):
        return held
    slo = latency.Slo(asked.ttft_ms, asked.tpot_ms)
    served = latency.max_concurrency(asked.arch, plan.quant, plan.gpu, plan.parallelism, options, asked.load, slo)
    least = 1 if asked.replicas_max is None else -(-asked.load.concurrency // asked.replicas_max)
    if served >= least:
        return min(served, held)
    misses = _misses(_predict(plan, asked, options, least), asked)
    if not misses:
        return least
    _, metric, value, limit = max(misses)
    return explain.too_slow(metric, value, limit, least)


def _misses(predicted: latency.Latency, asked: Requirement) -> list[tuple[float, str, float, float]]:
    """Return every service level that a prediction misses: by which factor, its name, the value and the limit."""
    bounds = (("TTFT", predicted.ttft_ms, asked.ttft_ms), ("TPOT", predicted.tpot_ms, asked.tpot_ms))
    return [
        (band.expected / limit, metric, band.expected, limit)
        for metric, band, limit in bounds
        if limit is not None and band.expected > limit
    ]


def _predict(plan: Plan, asked: Requirement, options: EngineOptions, concurrency: int) -> latency.Latency:
    load = replace(asked.load, concurrency=concurrency)
    return latency.predict(asked.arch, plan.quant, plan.gpu, plan.parallelism, options, load)


def _fit(plan: Plan, asked: Requirement, served: int) -> Fit:
    """Spread the busiest moment evenly over the fewest replicas, and size the sequences for that."""
    replicas = max(asked.replicas_min, -(-asked.load.concurrency // served))
    concurrency = -(-asked.load.concurrency // replicas)
    options = asked.options(sequences_for(concurrency, asked), plan.kv_cache_dtype, utilization(plan, asked))
    stored = stored_bytes(plan, asked, Parallelism())
    needs = tuple(
        host.need(stored / GIB, plan.local_gpus, multiprocess=plan.parallelism.gpus > 1, loader=loader)
        for loader in asked.loaders
    )
    return Fit(plan, replicas, concurrency, options, _predict(plan, asked, options, concurrency), stored, needs)


def stored_bytes(plan: Plan, asked: Requirement, parallelism: Parallelism) -> int:
    """Return the weights on the fullest GPU; those of a single GPU are what each pod reads from the cache."""
    return rank_weights(
        asked.arch,
        plan.quant,
        parallelism,
        compute_capability=plan.gpu.compute_capability,
        vllm_version=asked.vllm_version,
        index=_index(plan, asked),
    ).bytes
