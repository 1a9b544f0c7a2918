"""Bytes of one weight matrix on one rank, for every format.

Sources: ``create_weights`` of the methods in vLLM 0.33.0, ``model_executor/layers/quantization``; file names stand
beside each rule.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from math import ceil, gcd

from components.sizing.inventory import Experts, Matrix
from components.sizing.quantization import Quantization

HALF = 2
"""Bytes of a 16-bit element."""
FLOAT32 = 4
_HOPPER_WIDE_PADDING_UNTIL = 30
"""Last minor release known to pad gpt-oss so; 0.33 does not."""
_PREFIXES = re.compile(r"^(model\.language_model\.|language_model\.model\.|language_model\.|model\.)")


@lru_cache(maxsize=512)
def _exact_patterns(patterns: tuple[str, ...]) -> tuple[frozenset[str], tuple[re.Pattern[str], ...], tuple[str, ...]]:
    exact, regular, globs = set(), [], []
    for pattern in patterns:
        if pattern.startswith("re:"):
            regular.append(re.compile(pattern[3:]))
        elif "*" in pattern:
            globs.append(_PREFIXES.sub("", pattern))
        else:
            exact.add(_PREFIXES.sub("", pattern))
    return frozenset(exact), tuple(regular), tuple(globs)


def layer_specific(quant: Quantization) -> bool:
    """Return whether an exclusion names single layers, so that equal layers may differ."""
    return any(re.search(r"\d", pattern.replace("lm_head", "")) for pattern in quant.excluded)


@lru_cache(maxsize=16384)
def is_excluded(quant: Quantization, names: tuple[str, ...], layer: int) -> bool:
    """Whether the checkpoint keeps these modules (of a layer) in 16 bits."""
    exact, regular, globs = _exact_patterns(quant.excluded)
    for name in names:
        path = f"layers.{layer}.{name}"
        whole = f"model.{path}"
        parts = path.split(".")
        ancestors = [".".join(parts[: end + 1]) for end in range(len(parts))]
        inside = [".".join(name.split(".")[begin:]) for begin in range(name.count(".") + 1)]
        prefixes = [name[:dot] for dot in _dots(name)]
        if any(candidate in exact for candidate in (*ancestors, *inside, *prefixes)):
            return True
        if any(pattern.match(whole) or pattern.match(path) for pattern in regular):
            return True
        if any(fnmatchcase(path, glob) or fnmatchcase(path, f"{glob}.*") for glob in globs):
            return True
    return False


def _dots(name: str) -> list[int]:
    return [index for index, char in enumerate(name) if char == "."]


@dataclass(frozen=True)
class Local:
    """A matrix on one rank: ``inputs × outputs`` in ``parts`` merged pieces."""

    inputs: int
    outputs: tuple[int, ...]

    @property
    def total(self) -> int:
        """Outputs of all pieces."""
        return sum(self.outputs)


def localize(matrix: Matrix, ranks: int) -> Local:
    """Return the rank's share of a linear layer."""
    inputs = matrix.inputs // ranks if matrix.split == "row" else matrix.inputs
    split = ranks if matrix.split == "column" else 1
    return Local(inputs, tuple(part.local(split) for part in matrix.parts))


def matrix_bytes(matrix: Matrix, quant: Quantization, ranks: int, *, quantized: bool) -> int:
    """Bytes of a linear layer on one rank, scales and bias included."""
    local = localize(matrix, ranks)
    element = FLOAT32 if matrix.float32 else HALF
    bias = local.total * element if matrix.bias else 0
    if not quantized:
        return local.inputs * local.total * element + bias
    whole_inputs = matrix.inputs if matrix.split == "row" else local.inputs
    return quantized_bytes(local, quant, whole_inputs) + bias


def quantized_bytes(local: Local, quant: Quantization, whole_inputs: int) -> int:
    """Bytes of weights and scales of a quantized matrix."""
    weights = local.inputs * local.total * quant.weight_bits // 8
    return weights + _scale_bytes(local, quant, whole_inputs)


def _scale_bytes(local: Local, quant: Quantization, whole_inputs: int) -> int:
    pieces = len(local.outputs)
    activation = FLOAT32 * pieces if quant.static_activations else 0
    if quant.scale == "tensor":  # fp8.py, modelopt.py: one float per merged piece
        return FLOAT32 * pieces + activation
    if quant.scale == "channel" and quant.scale_bytes == FLOAT32:  # w8a8 int8 and fp8
        return FLOAT32 * local.total + activation
    if quant.scale == "block" and quant.block:  # fp8_utils.py create_fp8_scale_parameter
        rows, columns = quant.block
        return FLOAT32 * ceil(local.total / rows) * ceil(local.inputs / columns)
    # Grouped along the inputs. With act-order every row-parallel rank holds all groups (marlin_utils.py,
    # marlin_repeat_scales_on_all_ranks).
    inputs = whole_inputs if quant.act_order else local.inputs
    groups = ceil(inputs / quant.group_size) if quant.group_size else 1
    size = groups * local.total * quant.scale_bytes
    if quant.zero_points:
        size += groups * local.total * quant.weight_bits // 8
    if quant.act_order:
        size += FLOAT32 * local.inputs
    if quant.method == "compressed-tensors" and quant.precision.startswith("gptq"):
        size += 16  # weight_shape: two int64 (compressed_tensors_wNa16.py)
    if quant.precision == "nvfp4":
        size += FLOAT32 * pieces + activation  # weight_scale_2 and input_scale (modelopt.py)
    return size


@dataclass(frozen=True)
class Held:
    """The routed experts that one rank holds: all of them in slices, or some of them whole."""

    experts: Experts
    ranks: int
    """Ranks that each expert is sliced over."""
    expert_ranks: int = 1
    """Ranks that the experts are spread over; 1 without expert parallelism."""

    @property
    def count(self) -> int:
        """Experts on this rank."""
        return ceil(self.experts.count / self.expert_ranks)

    @property
    def slices(self) -> int:
        """Ranks that share one expert."""
        return 1 if self.expert_ranks > 1 else self.ranks

    @property
    def width(self) -> int:
        """Columns of one expert on this rank."""
        return self.experts.intermediate // self.slices


def refined_block(quant: Quantization, width: int, hidden: int, ranks: int) -> tuple[int, int]:
    """FP8 expert blocks after vLLM split them to fit a shard (fused_moe/oracle/fp8.py refine_fp8_moe_block_shape)."""
    rows, columns = quant.block or (128, 128)
    if width % rows == 0 and (ranks == 1 or width % columns == 0):
        return rows, columns
    refined = gcd(rows, columns, width, hidden)
    return (refined, refined) if refined >= 32 else (rows, columns)


def mxfp4_padding(hidden: int, width: int, compute_capability: int, release: int) -> tuple[int, int]:
    """Pad an expert's hidden and intermediate size as its MXFP4 kernel wants (fused_moe/oracle/mxfp4.py).

    Hopper's Triton kernels pad the width to 64 (to 256 up to 0.30: logs of 13.47 GiB for gpt-oss-20b and 64.38 GiB for
    gpt-oss-120b); Marlin (other GPUs) the width to 128 and the hidden size to 256, as does TensorRT-LLM on Blackwell.
    """
    if compute_capability // 10 == 9:
        return hidden, _up(width, 64 if release > _HOPPER_WIDE_PADDING_UNTIL else 256)
    return _up(hidden, 256), _up(width, 128)


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def experts_bytes(held: Held, quant: Quantization, compute_capability: int, release: int, *, quantized: bool) -> int:
    """Bytes of one layer's routed experts on one rank."""
    experts = held.experts
    hidden, width, ups = experts.hidden, held.width, 2 if experts.gated else 1
    if quantized and quant.precision == "mxfp4":
        hidden, width = mxfp4_padding(hidden, width, compute_capability, release)
    if not quantized and not experts.bias and compute_capability // 10 == 10:
        width = _up(width, 128)  # TensorRT-LLM's 16-bit expert kernel (fused_moe/oracle/unquantized.py)
    bias = HALF * (ups * width + hidden) if experts.bias else 0
    first, second = Local(hidden, (width,) * ups), Local(width, (hidden,))
    each = first.inputs * first.total + second.inputs * second.total
    if not quantized:
        each *= HALF
    elif quant.scale == "block":
        rows, columns = refined_block(quant, width, hidden, held.slices)
        each += FLOAT32 * ups * ceil(width / rows) * ceil(hidden / columns)
        each += FLOAT32 * ceil(hidden / rows) * ceil(width / columns)
    else:
        each = quantized_bytes(first, quant, hidden) + quantized_bytes(second, quant, experts.intermediate)
    placement = FLOAT32 * experts.count if held.expert_ranks > 1 else 0  # expert_map, int32 per expert
    return held.count * (each + bias) + placement
