"""The planner's answer for one model: everything that serving, cost tables and explanations need."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from components.sizing.host import Loader
from components.sizing.types import Assumption, Band, CapacityType, Rejection

GIB_DECIMALS = 4


@dataclass(frozen=True)
class Decision:
    """One way to serve a model that passed every gate. Field names are the keys of the plan's JSON."""

    name: str
    model: str
    precision: str
    instance_type: str
    gpu: str
    """The catalogue's key."""
    gpus: int
    """GPUs of one replica."""
    tp: int
    pp: int
    nodes: int
    """Nodes of one replica."""
    replicas: int
    """Replicas that the busiest moment needs."""
    replicas_min: int
    replicas_max: int
    capacity: tuple[CapacityType, ...]
    zones: tuple[str, ...]
    """Zones that offer the type, among those asked for."""
    alternates: tuple[str, ...]
    """Types that run the same plan when the chosen one is out of capacity, cheapest first."""
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    gpu_memory_utilization: float
    kv_cache_dtype: str
    vllm_version: str
    memory: Mapping[str, float]
    """Each line of one GPU's budget, GiB; the lines add up to what CUDA shows."""
    weights_gib_total: float
    checkpoint_bytes: int
    kv_tokens_safe: int
    """Of one replica."""
    max_concurrency: float
    """Full-length requests that one replica holds at once."""
    concurrency: int
    """Requests at once per replica at the busiest moment: what the latencies are predicted at."""
    ttft_ms: float
    tpot_ms: float
    output_tokens_per_s: float
    """Of all replicas together at the busiest moment."""
    usd_per_hour: float
    """On-demand, of the replicas that the busiest moment needs."""
    usd_per_million_output_tokens: float
    load_strategy: Loader
    """How the pod reads its weights: vLLM's --safetensors-load-strategy, or ``stream`` from S3."""
    host_cpu_millicores: int
    """Request of one pod, which every alternate can give."""
    host_memory_mib: int
    shm_gib: float
    quality: str
    """What the number formats cost in answer quality, with the source; empty for 16 bit."""
    bands: Mapping[str, Band]
    rejected: tuple[Rejection, ...]
    """The closest candidates that were not chosen."""
    assumptions: tuple[Assumption, ...]
    engine: str
    """Which latency model spoke."""

    @property
    def price_of_replica(self) -> float:
        """US dollars per hour of one replica."""
        return self.usd_per_hour / self.replicas

    def to_json(self) -> dict[str, Any]:
        """Return plain data under the plan's keys; GiB to four decimals."""
        document = {key: _plain(value) for key, value in asdict(self).items()}
        document["memory"] = {line: round(gib, GIB_DECIMALS) for line, gib in self.memory.items()}
        document["weights_gib_total"] = round(self.weights_gib_total, GIB_DECIMALS)
        return document


@dataclass(frozen=True)
class Recommendation:
    """What was chosen, what else would do, and why everything else would not."""

    chosen: Decision | None
    alternatives: tuple[Decision, ...]
    """Other plans that satisfy everything, next best first."""
    rejected: tuple[Rejection, ...]
    """Every other candidate, closest first."""
    cheaper_outside: Decision | None
    """The best choice with all families allowed, where it costs less than the chosen one."""
    quantized: Decision | None
    """What a checkpoint of fewer bits would need, where the allowed ones need several nodes or fit nowhere."""
    assumptions: tuple[Assumption, ...]
    bands: Mapping[str, Band]
    engine: str
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data: the command's JSON document."""
        return {
            "chosen": None if self.chosen is None else self.chosen.to_json(),
            "alternatives": [each.to_json() for each in self.alternatives],
            "cheaper_outside": None if self.cheaper_outside is None else self.cheaper_outside.to_json(),
            "quantized": None if self.quantized is None else self.quantized.to_json(),
            "rejected": [asdict(each) for each in self.rejected],
            "assumptions": [asdict(each) for each in self.assumptions],
            "bands": {metric: asdict(band) for metric, band in self.bands.items()},
            "engine": self.engine,
            "warnings": list(self.warnings),
        }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return value
