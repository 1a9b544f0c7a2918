"""Does one given deployment start, and how much KV cache is left: memory of one GPU, legality, verdict.

Two values always: *expected* is what vLLM will probably log, *safe* is what a plan may promise. The verdict follows
the expected value; where only the safe one falls short the reasons say so.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from components.sizing import latency
from components.sizing.assumptions import of_deployment
from components.sizing.budget import Stage, stages
from components.sizing.contradictions import contradictions
from components.sizing.deployment import Deployment
from components.sizing.engine import AUTO_MAX_MODEL_LEN, ResolvedOptions, kv_cache_dtype, resolve
from components.sizing.kv import KvCapacity, KvLayout, capacity, kv_layout, longest_request
from components.sizing.legality import illegal_reasons
from components.sizing.overheads import GIB
from components.sizing.types import Assumption, Verdict
from components.sizing.verdict import DOUBT_GIB, verdict

__all__ = ["Deployment", "Estimate", "Stage", "estimate"]

_GIB_DECIMALS = 4
_RATIO_DECIMALS = 6


@dataclass(frozen=True)
class Estimate:
    """The answer. Numbers that make no sense under the verdict are None in ``to_json``."""

    deployment: Deployment
    options: ResolvedOptions
    verdict: Verdict
    reasons: tuple[str, ...]
    stages: tuple[Stage, ...]
    """Empty where the deployment is illegal."""
    layout: KvLayout | None
    expected: KvCapacity | None
    safe: KvCapacity | None

    @property
    def fits(self) -> bool:
        """True where vLLM will probably start."""
        return self.verdict == "ok"

    @cached_property
    def stage_index(self) -> int:
        """The pipeline stage that is reported."""
        rank = self.deployment.pp_rank
        sizes = [stage.weights.bytes for stage in self.stages] or [0]
        return sizes.index(max(sizes)) if rank is None else rank

    @property
    def stage(self) -> Stage | None:
        """Memory of the stage that is reported."""
        return self.stages[self.stage_index] if self.stages else None

    @cached_property
    def max_model_len_that_fits(self) -> int | None:
        """Longest single request that the safe KV cache holds, tokens; None where there is no room for any."""
        if self.layout is None or self.safe is None:
            return None
        limit = max(self.deployment.arch.max_positions, self.options.max_model_len)
        return longest_request(self.layout, self.safe.blocks, limit, self.options) or None

    @cached_property
    def load_problem(self) -> str | None:
        """Why no request of the load can be served; None where one can, and without a load."""
        load = self.deployment.load
        if load is None or self.layout is None or self.expected is None or self.verdict not in {"ok", "too_long"}:
            return None
        length, blocks = load.input_tokens + load.output_tokens, self.expected.blocks
        limit = self.options.max_model_len
        if length > limit:
            return f"a request of {length} tokens is beyond max-model-len {limit}: vLLM answers it with an error"
        if capacity(self.layout, blocks, length, self.options).fits_one:
            return None
        return f"a request of {length} tokens needs more than the {blocks} KV blocks that fit"

    @cached_property
    def held_requests(self) -> float | None:
        """Requests of the load, at their mean length, in one rank's KV cache; None where not even one can be served.

        Prompt tokens found in the prefix cache are stored once for all. A max-model-len that is too long for the cache
        is no obstacle: a shorter one serves the load at this speed.
        """
        load, layout, expected = self.deployment.load, self.layout, self.expected
        served = self.verdict in {"ok", "too_long"} and self.load_problem is None
        if load is None or layout is None or expected is None or not served:
            return None
        own = math.ceil(load.input_tokens * (1 - load.prefix_hit_rate) + load.output_tokens / 2)
        needed = layout.blocks_per_request(own, self.options)
        return expected.blocks / needed if needed else math.inf

    @cached_property
    def latency(self) -> latency.Latency | None:
        """Speed under the deployment's load; None without one or where no request of it can be served."""
        asked = self.deployment
        if asked.load is None or self.held_requests is None:
            return None
        return latency.predict(
            *(asked.arch, asked.quant, asked.gpu, asked.parallelism, asked.options, asked.load), self.held_requests
        )

    @cached_property
    def memory(self) -> Mapping[str, float]:
        """Lines of one GPU's safe budget, GiB; they add up to what CUDA shows at least."""
        if self.stage is None:
            return {}
        terms = self.stage.overheads
        lines = {
            "weights": self.stage.weights.bytes / GIB,
            "non_torch": terms.safe("non_torch"),
            "activation": terms.safe("activation"),
            "cuda_graphs": terms.safe("cuda_graph"),
            "safety": terms.safe("safety"),
            "kv_cache": self.stage.kv_safe / GIB,
        }
        return {**lines, "left_free": self.deployment.memory_safe_gib - sum(lines.values())}

    @cached_property
    def assumptions(self) -> tuple[Assumption, ...]:
        """Every number that the answer rests on, with its source."""
        terms = self.stage.overheads if self.stage is not None else None
        of_speed = self.latency.assumptions if self.latency is not None else ()
        return (*of_deployment(self.deployment, self.options, terms), *of_speed)

    def to_json(self) -> dict[str, Any]:
        """Return plain data under the documented keys: GiB to 4 decimals, never rounded before use."""
        return {
            "fits": self.fits,
            "verdict": self.verdict,
            "reasons": [*self.reasons, *([self.load_problem] if self.load_problem else [])],
            **self._memory_json(),
            **self._kv_json(),
            **self._speed_json(),
            "assumptions": [asdict(each) for each in self.assumptions],
        }

    def _memory_json(self) -> dict[str, float | None]:
        stage = self.stage
        if stage is None:
            return dict.fromkeys(("weights_gib_per_gpu", "non_torch_gib", "activation_gib", "cuda_graph_gib"))
        terms = stage.overheads
        return {
            "weights_gib_per_gpu": _gib(stage.weights.bytes),
            "non_torch_gib": round(terms.expected("non_torch"), _GIB_DECIMALS),
            "activation_gib": round(terms.expected("activation"), _GIB_DECIMALS),
            "cuda_graph_gib": round(terms.expected("cuda_graph"), _GIB_DECIMALS),
        }

    def _kv_json(self) -> dict[str, float | None]:
        stage, layout, expected, safe = self.stage, self.layout, self.expected, self.safe
        given = self.deployment.options.kv_memory_gib
        if layout is None or expected is None or safe is None or self.verdict == "oom_weights":
            return dict.fromkeys(_KV_KEYS)
        held = stage is not None
        return {
            "kv_gib_per_gpu_expected": _gib(stage.kv_expected) if held else given,
            "kv_gib_per_gpu_safe": _gib(stage.kv_safe) if held else given,
            "kv_tokens_expected": expected.tokens,
            "kv_tokens_safe": safe.tokens,
            "kv_blocks_expected": expected.blocks,
            "kv_blocks_safe": safe.blocks,
            "kv_bytes_per_token_per_gpu": layout.bytes_per_token[self.stage_index],
            "max_concurrency": round(safe.concurrency, _RATIO_DECIMALS),
            "max_model_len_that_fits": self.max_model_len_that_fits,
        }

    def _speed_json(self) -> dict[str, Any]:
        if self.deployment.load is None:
            return {}
        speed = self.latency
        if speed is None:
            return dict.fromkeys((*_SPEED_KEYS, "bands", "engine"))
        bands = {key: asdict(getattr(speed, key)) for key in _SPEED_KEYS}
        return {**{key: band["expected"] for key, band in bands.items()}, "bands": bands, "engine": speed.engine}


_KV_KEYS = (
    "kv_gib_per_gpu_expected",
    "kv_gib_per_gpu_safe",
    "kv_tokens_expected",
    "kv_tokens_safe",
    "kv_blocks_expected",
    "kv_blocks_safe",
    "kv_bytes_per_token_per_gpu",
    "max_concurrency",
    "max_model_len_that_fits",
)
_SPEED_KEYS = ("ttft_ms", "tpot_ms", "output_tokens_per_s")


def estimate(deployment: Deployment) -> Estimate:
    """Judge a deployment.

    Raises ValueError for a vLLM version, KV dtype or pipeline stage that is not known.
    """
    dtype = kv_cache_dtype(deployment.options, deployment.quant)
    if dtype != deployment.options.kv_cache_dtype:
        deployment = replace(deployment, options=replace(deployment.options, kv_cache_dtype=dtype))
    arch, asked, parallelism = deployment.arch, deployment.options, deployment.parallelism
    options = resolve(asked, deployment.gpu, deployment.memory_expected_gib, arch, parallelism)
    layout = kv_layout(arch, parallelism, options, asked.kv_cache_dtype)
    illegal = (
        *(each.text for each in illegal_reasons(arch, deployment.quant, parallelism, asked, deployment.gpu)),
        *contradictions(deployment, options),
    )
    budgets = () if illegal else stages(deployment, options)
    if illegal and asked.kv_memory_gib is None:
        return Estimate(deployment, options, "illegal", illegal, (), None, None, None)
    if options.max_model_len == AUTO_MAX_MODEL_LEN:
        longest = longest_request(layout, _blocks(deployment, layout, budgets, _likely), arch.max_positions, options)
        options = replace(options, max_model_len=longest or arch.max_positions)
    likely, expected, safe = (
        capacity(layout, _blocks(deployment, layout, budgets, part), options.max_model_len, options)
        for part in (_likely, _expected, _safe)
    )
    if illegal:
        judged, reasons = "illegal", illegal
    else:
        judged, reasons = verdict(deployment, options, layout, budgets, likely=likely, safe=safe)
    return Estimate(deployment, options, judged, reasons, budgets, layout, expected, safe)


def _expected(stage: Stage) -> int:
    return stage.kv_expected


def _safe(stage: Stage) -> int:
    return stage.kv_safe


def _likely(stage: Stage) -> int:
    return stage.kv_expected if stage.kv_is_given else stage.kv_expected - int(DOUBT_GIB * GIB)


def _blocks(deployment: Deployment, layout: KvLayout, stages: Sequence[Stage], budget: Callable[[Stage], int]) -> int:
    override = deployment.options.extra.get("--num-gpu-blocks-override")
    if override is not None:
        return int(override)
    if stages:
        return layout.blocks([budget(stage) for stage in stages])
    return layout.blocks([int((deployment.options.kv_memory_gib or 0) * GIB)] * deployment.parallelism.pp)


def _gib(size: int) -> float:
    return round(size / GIB, _GIB_DECIMALS)
