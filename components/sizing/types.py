"""The planner's vocabulary: frozen dataclasses that its modules hand to each other.

Units stand in the names: ``_gib`` is 2**30 bytes, ``_ms`` milliseconds, ``_usd_per_hour`` US dollars.
``None`` in an option means "not given": the default of that vLLM version on that GPU applies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["ok", "illegal", "oom_weights", "oom_kv", "too_long"]
Objective = Literal["hourly", "per-token", "latency"]
Profile = Literal["long-context", "balanced", "burst"]
CapacityType = Literal["reserved", "on-demand", "spot"]


@dataclass(frozen=True)
class Assumption:
    """One number that a result rests on, so that a reader can dispute it."""

    name: str
    value: Any
    source: str
    version: str = ""
    """The vLLM release (or data date) that the value belongs to; empty where it does not depend on one."""


@dataclass(frozen=True)
class Band:
    """A range instead of a point: latency predictions are never exact."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True)
class Parallelism:
    """How one replica is spread over GPUs; ``tp × pp × dp`` of them."""

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: bool = False
    """Experts are spread over all ``tp × dp`` ranks instead of being split."""

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.tp * self.pp * self.dp


@dataclass(frozen=True)
class EngineOptions:
    """The ``vllm serve`` options that change memory or legality."""

    vllm_version: str = "0.33.0"
    max_model_len: int | None = None
    """None: the model's own maximum."""
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    gpu_memory_utilization: float | None = None
    kv_cache_dtype: str = "auto"
    enforce_eager: bool = False
    kv_memory_gib: float | None = None
    """A given KV budget per GPU (``--kv-cache-memory-bytes``) instead of a computed one."""
    block_size: int | None = None
    hybrid_kv_cache: bool = True
    """False: ``--disable-hybrid-kv-cache-manager``."""
    dtype: str = "auto"
    allow_long_max_model_len: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Every other flag that was given, by its long name: nothing that a user wrote is dropped silently."""


@dataclass(frozen=True)
class Load:
    """A steady load on one replica: so many requests at any moment, each of this shape (tokens)."""

    concurrency: int
    input_tokens: int
    output_tokens: int
    prefix_hit_rate: float = 0.0
    """Share of prompt tokens found in the prefix cache, 0 to 1."""


@dataclass(frozen=True)
class Rejection:
    """Why a candidate was not chosen, with the two numbers that decided it."""

    instance_type: str
    tp: int
    pp: int
    gate: str
    """capability | divisibility | kv_dtype | memory_one | memory_conc | slo | availability | policy | host |
    dominated | price."""
    actual: float
    limit: float
    unit: str
    text: str
    precision: str = ""
    usd_per_hour: float | None = None
