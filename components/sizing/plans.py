"""The plans that the search goes through: every way to spread a replica over one GPU model."""

from collections.abc import Iterator
from dataclasses import dataclass

from components.sizing.catalog import Gpu
from components.sizing.quantization import Quantization
from components.sizing.types import Parallelism


@dataclass(frozen=True)
class Plan:
    """One replica on one GPU model. Memory and speed depend on nothing else of the instance."""

    gpu: Gpu
    quant: Quantization
    parallelism: Parallelism
    nodes: int
    kv_cache_dtype: str

    @property
    def local_gpus(self) -> int:
        """GPUs of the replica on each node."""
        return self.parallelism.gpus // self.nodes


def within_node(most_gpus: int, *, supports_pp: bool) -> Iterator[tuple[Parallelism, ...]]:
    """Yield, for one, two, four .. GPUs of a node, plain TP and then TP with pipeline stages on as many GPUs."""
    for gpus in _powers_of_two(most_gpus):
        shapes = (Parallelism(tp=tp, pp=gpus // tp) for tp in reversed(list(_powers_of_two(gpus))))
        yield tuple(shape for shape in shapes if shape.pp == 1 or supports_pp)


def _powers_of_two(most: int) -> Iterator[int]:
    value = 1
    while value <= most:
        yield value
        value *= 2
