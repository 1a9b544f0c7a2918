"""Fit the latency constants again, and cross-validate them: ``python -m tests.accuracy.refit`` (about a minute).

It prints what it finds; the shipped constants (components/sizing/data/latency.json) are these, rounded. Every row
counts as it is given; the rows whose client replayed its prompts count a second time with those prefix hits. A weak
prior keeps constants that few rows decide near what the hardware makes plausible, hard limits keep them possible.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.sizing.latency import communication, constants, serving
from tests.accuracy.speeds import REPLAYED_HIT_RATE, Speed, speeds

Path = tuple[str, ...]
FITTED: Mapping[Path, tuple[float, float, float]] = {
    ("constants", "kernel_us", "value"): (3.5, 2, 6),
    ("constants", "step_us", "value"): (200, 50, 600),
    ("constants", "request_us_synchronous", "value"): (40, 10, 70),
    ("constants", "request_us_asynchronous", "value"): (10, 3, 30),
    ("constants", "kv_read_efficiency", "value"): (0.88, 0.6, 0.95),
    ("constants", "expert_read_efficiency", "value"): (0.85, 0.6, 1.05),
    ("constants", "arrival_share", "value"): (0.11, 0.03, 0.3),
    ("read_efficiency", "eight-bit", "value"): (0.9, 0.65, 1),
    ("gpus", "86", "bandwidth_efficiency"): (0.78, 0.6, 0.95),
    ("gpus", "120", "bandwidth_efficiency"): (0.82, 0.6, 0.95),
    ("gpus", "86", "compute_efficiency"): (0.65, 0.4, 0.72),
    ("gpus", "90", "compute_efficiency"): (0.62, 0.45, 0.7),
    ("gpus", "120", "compute_efficiency"): (0.6, 0.4, 0.75),
    ("links", "pcie-host", "hop_us"): (5, 2, 12),
    ("links", "pcie-host", "small_bus_gbs"): (2.6, 1.5, 6),
}
"""Prior, lower and upper limit. The upper limit of the A10G's compute is near what its matrix kernels reach at best,
the lower one of 8-bit reads keeps those rows from passing for 16-bit ones."""
_STEPS = (0.2, 0.1, 0.04, 0.015, 0.005)
_SWEEPS = 3
_PRIOR_WEIGHT, _PRIOR_WIDTH = 0.03, 0.35
_TTFT_WEIGHT = 0.4
_OUTLIER = 0.08
"""Log error above which a row's pull grows only linearly."""


@dataclass(frozen=True)
class Errors:
    """Log errors of some rows."""

    as_given: tuple[float, ...]
    with_hits: tuple[float, ...]
    first_token: tuple[float, ...]


def errors(rows: Sequence[Speed]) -> Errors:
    """Compare the rows under the constants that are in force."""
    return Errors(
        tuple(math.log(row.tpot_ms() / row.measured_tpot_ms) for row in rows),
        tuple(math.log(row.tpot_ms(REPLAYED_HIT_RATE if row.replayed else 0.0) / row.measured_tpot_ms) for row in rows),
        tuple(
            math.log(row.predict().ttft_ms.expected / row.measured_ttft_ms)
            for row in rows
            if row.measured_ttft_ms is not None
        ),
    )


def fit(rows: Sequence[Speed]) -> None:
    """Put the constants in force that describe ``rows`` best: coordinate descent from the priors."""
    for path, (prior, _, _) in FITTED.items():
        put(path, prior)
    best = loss(rows)
    for step in _STEPS:
        for _ in range(_SWEEPS):
            for path, (_, low, high) in FITTED.items():
                here = get(path)
                for there in (min(high, here * (1 + step)), max(low, here / (1 + step))):
                    put(path, there)
                    found = loss(rows)
                    if found < best:
                        best, here = found, there
                put(path, here)


def loss(rows: Sequence[Speed]) -> float:
    """Rows by their log errors, robust against outliers, plus the priors."""
    found = errors(rows)
    again = [error for error, row in zip(found.with_hits, rows, strict=True) if row.replayed]
    terms = [_robust(error) for error in (*found.as_given, *again)]
    terms += [_robust(_TTFT_WEIGHT * error) for error in found.first_token]
    pulls = [_PRIOR_WEIGHT * math.log(get(path) / prior) / _PRIOR_WIDTH for path, (prior, _, _) in FITTED.items()]
    return sum(terms) + sum(_robust(pull) for pull in pulls)


def _robust(error: float) -> float:
    return 2 * _OUTLIER**2 * (math.sqrt(1 + (error / _OUTLIER) ** 2) - 1)


def get(path: Path) -> float:
    """Read one constant."""
    table, name, key = path
    return float(_document()[table][name][key])


def put(path: Path, value: float) -> None:
    """Put one constant in force."""
    table, name, key = path
    _document()[table][name][key] = value
    for cached in (constants.constants, constants.gpu_efficiency, constants.factor, communication._pcie):
        cached.cache_clear()
    serving._REPLICAS.clear()


def _document() -> dict[str, Any]:
    return constants.document()  # pyright: ignore[reportReturnType]


def leave_out(rows: Sequence[Speed], key: Callable[[Speed], str]) -> Errors:
    """Errors of every group of rows under constants that were fitted to all the others."""
    parts = []
    for group in sorted({key(row) for row in rows}):
        fit([row for row in rows if key(row) != group])
        parts.append(errors([row for row in rows if key(row) == group]))
        print(f"  without {group}: {describe(parts[-1])}")
    return Errors(
        tuple(error for part in parts for error in part.as_given),
        tuple(error for part in parts for error in part.with_hits),
        tuple(error for part in parts for error in part.first_token),
    )


def describe(found: Errors) -> str:
    """Mean absolute errors in words."""

    def mean(values: Sequence[float]) -> str:
        return f"{100 * sum(abs(math.exp(value) - 1) for value in values) / len(values):.1f} %" if values else "none"

    return (
        f"TPOT {mean(found.as_given)}, with prefix hits {mean(found.with_hits)}, TTFT {mean(found.first_token)} "
        f"({len(found.as_given)} rows)"
    )


def _source(row: Speed) -> str:
    """One campaign of one publisher: the blog measured several models on the same machine, the others one at a time."""
    return row.source if row.source == "jinwoong blog" else f"{row.source}, {row.arch.model}"


def main() -> int:
    """Fit, report, cross-validate."""
    rows, _ = speeds()
    print(f"shipped: {describe(errors(rows))}")
    fit(rows)
    print(f"fitted: {describe(errors(rows))}")
    for path in FITTED:
        print(f"  {' '.join(path)}: {get(path):.4g}")
    keys: Mapping[str, Callable[[Speed], str]] = {
        "source": _source,
        "GPU": lambda row: row.gpu.key,
        "model": lambda row: row.arch.model,
    }
    for name, key in keys.items():
        print(f"leave one {name} out")
        print(f"  all: {describe(leave_out(rows, key))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
