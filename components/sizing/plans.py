"""The plans that the search goes through: every way to spread a replica over one GPU model."""

from collections.abc import Iterable, Iterator
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


def within_node(most_gpus: int, *, supports_pp: bool) -> Iterator[Parallelism]:
    """Yield TP and PP in powers of two up to one node's GPUs, plain TP before pipeline stages."""
    for gpus in _powers_of_two(most_gpus):
        for tp in reversed(list(_powers_of_two(gpus))):
            if tp == gpus or supports_pp:
                yield Parallelism(tp=tp, pp=gpus // tp)


def over_nodes(node_gpus: int, max_nodes: int) -> Iterator[tuple[Parallelism, int]]:
    """Yield one pipeline stage per node with TP over the whole node, and the number of nodes."""
    for nodes in range(2, max_nodes + 1):
        yield Parallelism(tp=node_gpus, pp=nodes), nodes


def variants(
    gpu: Gpu, shapes: Iterable[tuple[Parallelism, int]], quants: Iterable[Quantization], kv_dtypes: Iterable[str]
) -> Iterator[Plan]:
    """Yield the shapes in every allowed number format."""
    formats = [(quant, dtype) for quant in quants for dtype in kv_dtypes]
    for parallelism, nodes in shapes:
        for quant, dtype in formats:
            yield Plan(gpu, quant, parallelism, nodes, dtype)


def _powers_of_two(most: int) -> Iterator[int]:
    value = 1
    while value <= most:
        yield value
        value *= 2
