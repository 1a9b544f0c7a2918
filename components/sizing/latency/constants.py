"""The model's constants, read once from ``data/latency.json``, where each has a meaning, a unit and a source."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[1] / "data" / "latency.json"
_MICRO = 1e-6


@dataclass(frozen=True)
class Link:
    """How ranks of one replica exchange partial sums; bandwidths are bus bandwidths in bytes per second."""

    name: str
    latency_s: float
    hop_s: float
    """Added for each of the 2(n - 1) steps of a ring."""
    small_bus: float
    large_latency_s: float
    large_bus: float


@dataclass(frozen=True)
class GpuEfficiency:
    """What kernels reach of a GPU's data sheet."""

    bandwidth: float
    compute: float
    rows: str
    """Which measurements it was fitted to; ``general``: none."""


@dataclass(frozen=True)
class Constants:
    """Scalars in seconds or shares; see the data file for each one's meaning."""

    kernel_s: float
    prefill_kernel_s: float
    eager_kernel_s: float
    step_s: float
    request_synchronous_s: float
    request_asynchronous_s: float
    kv_read_efficiency: float
    expert_read_efficiency: float
    expert_compute_efficiency: float
    roofline_exponent: float
    arrival_share: float
    front_end_s: float


@cache
def document() -> Mapping[str, Any]:
    """Read the whole data file."""
    return json.loads(_FILE.read_text(encoding="utf-8"))


@cache
def constants() -> Constants:
    """Read the scalars, in SI units."""
    value = {name: float(entry["value"]) for name, entry in document()["constants"].items()}
    return Constants(
        kernel_s=value["kernel_us"] * _MICRO,
        prefill_kernel_s=value["prefill_kernel_us"] * _MICRO,
        eager_kernel_s=value["eager_kernel_us"] * _MICRO,
        step_s=value["step_us"] * _MICRO,
        request_synchronous_s=value["request_us_synchronous"] * _MICRO,
        request_asynchronous_s=value["request_us_asynchronous"] * _MICRO,
        kv_read_efficiency=value["kv_read_efficiency"],
        expert_read_efficiency=value["expert_read_efficiency"],
        expert_compute_efficiency=value["expert_compute_efficiency"],
        roofline_exponent=value["roofline_exponent"],
        arrival_share=value["arrival_share"],
        front_end_s=value["front_end_ms"] * 1e-3,
    )


@cache
def gpu_efficiency(compute_capability: int) -> GpuEfficiency:
    """Efficiencies of a GPU generation; an unknown one is treated as the newest that is older."""
    table = document()["gpus"]
    known = sorted(int(key) for key in table)
    nearest = max((key for key in known if key <= compute_capability), default=known[0])
    row = table[str(nearest)]
    return GpuEfficiency(row["bandwidth_efficiency"], row["compute_efficiency"], row["rows"])


@cache
def kernels(part: str) -> int:
    """Kernels per layer of ``layer``, and what ``quantized_activations``, ``experts`` and ``mla`` add."""
    return int(document()["kernels_per_layer"][part]["value"])


@cache
def factor(table: str, kind: str) -> float:
    """``read_efficiency`` or ``prefill_efficiency`` of a weight format; 1 where the table has no entry."""
    entry = document()[table].get(kind)
    return 1.0 if entry is None else float(entry["value"])


@cache
def band(name: str) -> float:
    """Half width of a band, or the number of requests up to which the narrow one holds."""
    return float(document()["bands"][name]["value"])
