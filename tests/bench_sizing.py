"""Measure the planner: `python -m tests.bench_sizing`. Nothing is asserted, machines differ.

CPU time, because other processes share the machine. First: the model was never sized in this process before (data
files are loaded); again: the same question once more.
"""

import statistics
import time
from collections.abc import Iterable

from components.sizing.architecture import Architecture, UnsupportedArchitecture, catalogue, named
from components.sizing.recommend import recommend
from components.sizing.requirement import Requirement
from components.sizing.types import Load

WARM_UP = "Qwen/Qwen2.5-7B-Instruct"
DENSE = "meta-llama/Llama-3.1-70B-Instruct"
MOE = "Qwen/Qwen3-30B-A3B"
MANY = (25, 50, 100)
REPEATS = 9


def seconds(arch: Architecture) -> float:
    """Return the CPU time of one recommendation over the whole catalogue."""
    length = min(8192, arch.max_positions)
    asked = Requirement(arch, Load(16, length // 8, length // 32), max_model_len=length, tpot_ms=100.0)
    start = time.process_time()
    recommend(asked)
    return time.process_time() - start


def first_and_again(model: str) -> tuple[float, float]:
    """Return milliseconds of the first recommendation for a model, and the median of the next ones."""
    arch = named(model)
    first = seconds(arch)
    return first * 1e3, statistics.median(seconds(arch) for _ in range(REPEATS)) * 1e3


def distinct_models(most: int) -> list[Architecture]:
    """Return models of the shipped catalogue, in its order."""
    found: list[Architecture] = []
    for model in catalogue():
        try:
            found.append(named(model))
        except UnsupportedArchitecture:
            continue
        if len(found) == most:
            break
    return found


def lines() -> Iterable[str]:
    """Yield the figures, one line each."""
    first_and_again(WARM_UP)
    for label, model, target in (("dense", DENSE, 20), ("MoE", MOE, 100)):
        first, again = first_and_again(model)
        yield f"recommend {label:<6} {first:7.1f} ms first, {again:5.1f} ms again (target {target})   {model}"
    archs = distinct_models(max(MANY))
    times = [seconds(arch) for arch in archs]
    for count in MANY:
        total = sum(times[:count])
        yield f"recommend {count:>3} models {total:6.2f} s, {total / count * 1e3:.1f} ms each"


if __name__ == "__main__":
    for line in lines():
        print(line)
