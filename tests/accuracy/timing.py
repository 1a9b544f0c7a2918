"""Errors of predicted latencies, of the planner and of the naive roofline."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.accuracy.peers import naive_tpot_ms, naive_ttft_ms
from tests.accuracy.speeds import REPLAYED_HIT_RATE, Speed, speeds


@dataclass(frozen=True)
class Timed:
    """One published time in milliseconds and the predicted one."""

    speed: Speed
    measured: float
    predicted: float

    @property
    def relative(self) -> float:
        """Error as a share of the measurement."""
        return self.predicted / self.measured - 1


def tpot(*, replayed: bool = False) -> tuple[Timed, ...]:
    """Compare times per token; ``replayed``: with the prefix hits that the row's client caused."""
    return tuple(
        Timed(each, each.measured_tpot_ms, each.tpot_ms(REPLAYED_HIT_RATE if replayed and each.replayed else 0.0))
        for each in speeds()[0]
    )


def ttft() -> tuple[Timed, ...]:
    """Compare times to the first token, where one was published."""
    return tuple(
        Timed(each, each.measured_ttft_ms, each.predict().ttft_ms.expected)
        for each in speeds()[0]
        if each.measured_ttft_ms is not None
    )


def naive_tpot() -> tuple[Timed, ...]:
    """Compare times per token of parameters x bytes over the bandwidth."""
    return tuple(Timed(each, each.measured_tpot_ms, naive_tpot_ms(each)) for each in speeds()[0])


def naive_ttft() -> tuple[Timed, ...]:
    """Compare times to the first token of 2 x parameters x prompt over the peak."""
    return tuple(
        Timed(each, each.measured_ttft_ms, naive_ttft_ms(each))
        for each in speeds()[0]
        if each.measured_ttft_ms is not None
    )


def mape(cases: Sequence[Timed]) -> float:
    """Mean absolute error as a share."""
    return statistics.mean(abs(case.relative) for case in cases)


def bias(cases: Sequence[Timed]) -> float:
    """Mean signed error as a share."""
    return statistics.mean(case.relative for case in cases)


def grouped(cases: Sequence[Timed], key: Callable[[Timed], str]) -> dict[str, tuple[Timed, ...]]:
    """Cases by a property of theirs."""
    names = sorted({key(case) for case in cases})
    return {name: tuple(case for case in cases if key(case) == name) for name in names}


def in_band(*, replayed: bool = False) -> tuple[int, int]:
    """How many times per token lie inside the predicted band, and of how many."""
    inside = 0
    for each in speeds()[0]:
        answer = each.predict(REPLAYED_HIT_RATE if replayed and each.replayed else 0.0)
        first = each.load.output_tokens if each.includes_ttft else 0
        low = answer.tpot_ms.low + (answer.ttft_ms.low / first if first else 0)
        high = answer.tpot_ms.high + (answer.ttft_ms.high / first if first else 0)
        inside += low <= each.measured_tpot_ms <= high
    return inside, len(speeds()[0])
