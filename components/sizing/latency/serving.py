"""A closed loop of requests around the engine's steps: time to first token, time per token, throughput.

``concurrency`` users send their next request as soon as the last one is answered. Their prompts are worked through in
steps that also carry the decoding requests, so that prompts delay tokens (continuous batching with chunked prefill).
Requests whose prompts shared a step also end together and return together: a request meets ``arrival_share`` of the
others when it arrives (no more than share one step's token budget), waits for their prompts and does not pay for them
again while it decodes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from components.sizing.architecture import Architecture
from components.sizing.catalog import Gpu
from components.sizing.latency import constants as table
from components.sizing.latency.replica import Replica, build
from components.sizing.latency.roofline import prompt_seconds, step_seconds
from components.sizing.quantization import Quantization
from components.sizing.types import Assumption, Band, EngineOptions, Load, Parallelism

ENGINE = "roofline"
_MILLI = 1e3


@dataclass(frozen=True)
class Latency:
    """What one replica answers at a steady load. ``tpot_ms``: mean time between two tokens, without the first."""

    ttft_ms: Band
    tpot_ms: Band
    output_tokens_per_s: Band
    """Of all requests together."""
    assumptions: tuple[Assumption, ...]
    engine: str = ENGINE
    """Which model spoke."""


@dataclass(frozen=True)
class Slo:
    """Upper bounds in milliseconds; None: not asked for."""

    ttft_ms: float | None = None
    tpot_ms: float | None = None


def predict(  # noqa: PLR0917 - what a replica is made of, in the order in which one says it
    arch: Architecture,
    quant: Quantization,
    gpu: Gpu,
    parallelism: Parallelism,
    options: EngineOptions,
    load: Load,
    held: float | None = None,
) -> Latency:
    """Predict one replica under a steady load.

    ``held``: requests of this shape that the KV cache holds at once, on one data-parallel rank; the others wait. None:
    the cache is no limit. Raises ValueError for a load without requests or tokens, and what ``engine.resolve`` raises.
    """
    replica = _replica(arch, quant, gpu, parallelism, options)
    _check(load)
    ttft, tpot = _expected(replica, load, held)
    crowded = load.concurrency > table.band("few_requests") or replica.is_moe
    tpot_width = table.band("tpot_wide" if crowded else "tpot")
    ttft_width = table.band("ttft")
    floor = replica.weight_bytes_per_token / replica.bandwidth
    tpots = Band(max(floor, tpot * (1 - tpot_width)) * _MILLI, tpot * _MILLI, tpot * (1 + tpot_width) * _MILLI)
    ttfts = Band(ttft * (1 - ttft_width) * _MILLI, ttft * _MILLI, ttft * (1 + ttft_width) * _MILLI)
    return Latency(
        ttft_ms=ttfts,
        tpot_ms=tpots,
        output_tokens_per_s=Band(
            _throughput(load, ttfts.high, tpots.high),
            _throughput(load, ttfts.expected, tpots.expected),
            _throughput(load, ttfts.low, tpots.low),
        ),
        assumptions=_assumptions(replica, load, held),
    )


def max_concurrency(  # noqa: PLR0917 - as predict
    arch: Architecture,
    quant: Quantization,
    gpu: Gpu,
    parallelism: Parallelism,
    options: EngineOptions,
    load: Load,
    slo: Slo,
) -> int:
    """Most requests at once that one replica serves within the bounds; 0 where it misses them with a single one.

    ``load`` gives the requests' shape; its concurrency does not matter. Never above ``max_num_seqs``: more would queue.
    """
    replica = _replica(arch, quant, gpu, parallelism, options)
    _check(load)

    def meets(concurrency: int) -> bool:
        shape = Load(concurrency, load.input_tokens, load.output_tokens, load.prefix_hit_rate)
        ttft, tpot = _expected(replica, shape)
        return (slo.ttft_ms is None or ttft * _MILLI <= slo.ttft_ms) and (
            slo.tpot_ms is None or tpot * _MILLI <= slo.tpot_ms
        )

    return _last_that(meets, replica.max_running * replica.ranks_of_batch)


def single_stream_ceiling(
    arch: Architecture, quant: Quantization, gpu: Gpu, parallelism: Parallelism, options: EngineOptions
) -> float:
    """Tokens per second that one request cannot exceed: memory bandwidth over the bytes that one token needs."""
    replica = _replica(arch, quant, gpu, parallelism, options)
    return replica.bandwidth / replica.weight_bytes_per_token


_REPLICAS: dict[tuple[object, ...], Replica] = {}
_MOST_REPLICAS = 4096


def _replica(
    arch: Architecture, quant: Quantization, gpu: Gpu, parallelism: Parallelism, options: EngineOptions
) -> Replica:
    """Build a replica once: a search asks for the same one at every concurrency that it tries."""
    key = (
        *(arch, quant, gpu, parallelism, options.vllm_version, options.max_model_len, options.max_num_seqs),
        *(options.max_num_batched_tokens, options.kv_cache_dtype, options.enforce_eager),
        repr(options.extra) if options.extra else "",
    )
    found = _REPLICAS.get(key)
    if found is None:
        if len(_REPLICAS) >= _MOST_REPLICAS:
            _REPLICAS.clear()
        found = _REPLICAS[key] = build(arch, quant, gpu, parallelism, options)
    return found


def _expected(replica: Replica, load: Load, held: float | None = None) -> tuple[float, float]:
    """Seconds to the first token and between tokens."""
    scalar = table.constants()
    concurrency = max(1.0, load.concurrency / replica.ranks_of_batch)
    running = _running(replica, concurrency, held)
    decoding = max(1.0, running / replica.pp)
    context = load.input_tokens + load.output_tokens / 2
    fresh = max(1.0, load.input_tokens * (1.0 - load.prefix_hit_rate))
    attended = load.input_tokens - fresh / 2
    step = step_seconds(replica, decoding, context)
    budget = max(1.0, replica.budget - decoding)
    together = 1.0 + min(scalar.arrival_share * (running - 1.0), budget / load.input_tokens)

    prompts, steps = prompt_seconds(replica, decoding, context, together * fresh, attended)
    delay_per_prompt = (prompts - steps * step) / together
    # A prompt stalls its own micro-batch in every stage and each other micro-batch in one.
    stalls = 2.0 - 1.0 / replica.pp
    tpot = replica.pp * step + (running - together) * delay_per_prompt * stalls / load.output_tokens

    arrived, _ = prompt_seconds(replica, decoding - 1.0, context, together * fresh, attended)
    step_in_progress = step / 2 * (running - 1.0) / running
    ttft = scalar.front_end_s + replica.pp * arrived + step_in_progress
    queued = (concurrency - running) / running
    return ttft + queued * (ttft + load.output_tokens * tpot), tpot


def _running(replica: Replica, concurrency: float, held: float | None) -> float:
    """Count the requests that one data-parallel rank works on at once."""
    return min(concurrency, float(replica.max_running), math.inf if held is None else max(1.0, held))


def _throughput(load: Load, ttft_ms: float, tpot_ms: float) -> float:
    return load.concurrency * load.output_tokens * _MILLI / (ttft_ms + (load.output_tokens - 1) * tpot_ms)


def _last_that(meets: Callable[[int], bool], most: int) -> int:
    """Largest number from 1 to ``most`` that meets a bound which only smaller numbers meet; 0 where none does."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if meets(middle) else (low, middle)
    return low


def _check(load: Load) -> None:
    for name in ("concurrency", "input_tokens", "output_tokens"):
        if getattr(load, name) < 1:
            msg = f"load: {name} {getattr(load, name)} must be at least 1"
            raise ValueError(msg)
    if not 0.0 <= load.prefix_hit_rate <= 1.0:
        msg = f"load: prefix_hit_rate {load.prefix_hit_rate} must be between 0 and 1"
        raise ValueError(msg)


def _assumptions(replica: Replica, load: Load, held: float | None) -> tuple[Assumption, ...]:
    hits = Assumption("prefix_hit_rate", load.prefix_hit_rate, "the load as given; 0 where it is not")
    named = _of_replica(replica.compute_capability, replica.all_reduce.link.name if replica.all_reduces else "")
    concurrency = max(1.0, load.concurrency / replica.ranks_of_batch)
    running = _running(replica, concurrency, held)
    if running == concurrency:
        return (*named, hits)
    limit = "max-num-seqs" if running == replica.max_running else "the expected KV cache at the requests' mean length"
    return (*named, hits, Assumption("requests_at_once", round(running, 1), f"limited by {limit}; the others wait"))


@lru_cache(maxsize=64)
def _of_replica(compute_capability: int, link_name: str) -> tuple[Assumption, ...]:
    """Name the constants that decide most, with the measurements behind them."""
    speed, version = table.gpu_efficiency(compute_capability), table.document()["date"]
    named = [
        ("bandwidth_efficiency", speed.bandwidth, speed.rows),
        ("compute_efficiency", speed.compute, speed.rows),
        ("arrival_share", table.constants().arrival_share, table.document()["constants"]["arrival_share"]["rows"]),
    ]
    if link_name:
        named.append(("all_reduce_link", link_name, table.document()["links"][link_name]["rows"]))
    return tuple(Assumption(name, value, _source(rows), version) for name, value, rows in named)


def _source(rows: str) -> str:
    if rows == "general":
        return "general knowledge of the hardware: no published measurement was fitted"
    return f"fitted to the published measurements {rows} (components/sizing/data/latency.json)"
