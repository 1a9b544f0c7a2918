"""Which tensors a tensor-parallel split would cut in the wrong place."""

from collections.abc import Iterator
from math import gcd

from components.sizing.architecture import Architecture
from components.sizing.inventory import Experts, LayerShape, Matrix, inventory
from components.sizing.quantization import Quantization
from components.sizing.storage import localize
from components.sizing.types import Parallelism
from components.sizing.weights import VOCABULARY_PADDING, expert_ranks, experts_quantized, is_quantized

Broken = tuple[str, int, str]
"""What is cut, by how much it misses, and the unit of that."""
_REFINED_FP8_CAPABILITY = 89
"""Only Triton's expert kernels take refined FP8 blocks, and their FP8 needs 8.9 (fused_moe/oracle/fp8.py)."""
_SMALLEST_FP8_BLOCK = 32
_PACK_BITS = 32
"""AWQ and GPTQ pack weights into 32-bit words."""


def broken_shard(arch: Architecture, quant: Quantization, parallelism: Parallelism, capability: int) -> Broken | None:
    """Return the first tensor that cannot be split so, or None."""
    rows = -(-arch.vocab // VOCABULARY_PADDING) * VOCABULARY_PADDING
    if rows % parallelism.tp:
        return (
            f"{rows} rows of the padded vocabulary do not divide by TP {parallelism.tp}",
            rows % parallelism.tp,
            "rows left over",
        )
    for shape, indices in inventory(arch).shapes:
        for problem in _shape(shape, quant, parallelism, capability, indices[0]):
            return problem
    return None


def _shape(
    shape: LayerShape, quant: Quantization, parallelism: Parallelism, capability: int, layer: int
) -> Iterator[Broken]:
    for matrix in shape.matrices:
        yield from _uneven(matrix, parallelism.tp)
        if is_quantized(matrix, quant, layer):
            yield from _quantized(matrix, quant, parallelism.tp)
    if shape.experts:
        ranks = 1 if expert_ranks(parallelism) > 1 else parallelism.tp * parallelism.dp
        quantized = experts_quantized(shape, quant, layer)
        yield from _experts(shape.experts, quant, ranks, capability, quantized=quantized)


def _uneven(matrix: Matrix, tp: int) -> Iterator[Broken]:
    if matrix.split == "row" and matrix.inputs % tp:
        yield f"{matrix.inputs} inputs of {matrix.module} do not divide by TP {tp}", matrix.inputs % tp, "left over"
    if matrix.split == "column":
        for part in matrix.parts:
            if not part.replicated and part.units * part.width % tp:
                size = part.units * part.width
                yield f"{size} outputs of {matrix.module} do not divide by TP {tp}", size % tp, "left over"


def _quantized(matrix: Matrix, quant: Quantization, tp: int) -> Iterator[Broken]:
    local = localize(matrix, tp)
    if quant.scale == "block" and quant.block:
        yield from _blocks(matrix, quant.block, tp)
        return
    if quant.group_size and matrix.inputs > quant.group_size:
        cut = matrix.split == "row" and tp > 1
        if local.inputs % quant.group_size and (cut or quant.method != "compressed-tensors"):
            yield (
                f"{matrix.module}: {local.inputs} inputs per rank at TP {tp} are not groups of {quant.group_size}",
                local.inputs % quant.group_size,
                "inputs left over",
            )
    if quant.zero_points:
        pack = _PACK_BITS // quant.weight_bits
        for out in local.outputs:
            if out % pack:
                yield (
                    f"{matrix.module}: {out} outputs per rank do not fill words of {pack}",
                    out % pack,
                    "outputs left over",
                )


def _blocks(matrix: Matrix, block: tuple[int, int], tp: int) -> Iterator[Broken]:
    """FP8 blocks (quantization/utils/fp8_utils.py validate_fp8_block_shape)."""
    rows, columns = block
    local = localize(matrix, tp)
    if tp > 1 and matrix.split == "row" and local.inputs % columns:
        yield (
            f"{matrix.module}: {local.inputs} inputs per rank at TP {tp} are not whole FP8 blocks of {columns}",
            local.inputs % columns,
            "inputs left over",
        )
    split = tp > 1 and matrix.split == "column"
    checked = local.outputs if split else local.outputs[:-1]
    for out in checked:
        if out % rows:
            yield (
                f"{matrix.module}: {out} outputs per rank at TP {tp} are not whole FP8 blocks of {rows}",
                out % rows,
                "outputs left over",
            )


def _experts(
    experts: Experts, quant: Quantization, ranks: int, capability: int, *, quantized: bool
) -> Iterator[Broken]:
    if experts.intermediate % ranks:
        yield (
            f"{experts.intermediate} columns of an expert do not divide by {ranks} ranks",
            experts.intermediate % ranks,
            "left over",
        )
    if not quantized:
        return
    width = experts.intermediate // ranks
    if quant.scale == "block" and quant.block:
        rows, columns = quant.block
        if width % rows == 0 and (ranks == 1 or width % columns == 0):
            return
        refined = gcd(rows, columns, width, experts.hidden)
        if capability < _REFINED_FP8_CAPABILITY:
            yield (
                f"experts of {width} columns per rank are not whole FP8 blocks of {rows} (SM 8.9 takes smaller)",
                width % rows,
                "columns left over",
            )
        elif refined < _SMALLEST_FP8_BLOCK:
            yield (
                f"experts of {width} columns per rank cannot be cut into FP8 blocks of {_SMALLEST_FP8_BLOCK} or more",
                width % _SMALLEST_FP8_BLOCK,
                "columns left over",
            )
    elif quant.group_size and quant.precision != "mxfp4" and width % quant.group_size:
        yield (
            f"experts of {width} columns per rank are not whole groups of {quant.group_size}",
            width % quant.group_size,
            "columns left over",
        )
