"""Bytes of an image tower on one rank; towers are kept in 16 bits.

Source: the tower classes of vLLM 0.33.0 (model_executor/models/siglip.py, pixtral.py, qwen2_5_vl.py, qwen3_vl.py,
mllama4.py, moonvit.py). Attention and MLP are split over the ranks as in the language model; embeddings, norms and
most projectors are on every rank.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from components.sizing.architecture import Architecture, Vision
from components.sizing.quantization import Quantization
from components.sizing.storage import HALF

_PIXTRAL_WHOLE_UNTIL = 19
"""Last release whose log shows Pixtral's tower of Mistral's own format whole on each rank (Mistral-Small-3.1-24B:
44.76 GiB at TP 1, 22.80 at TP 2); 0.33.0 splits it, as it always did that of the Hugging Face format."""
_ROPE_POSITIONS = 8192
"""Rows of the rotary table of Qwen's towers, each half a head wide."""
_CLASS_TOKEN = 1
_INT64 = 8
"""SigLIP keeps an index per patch."""


@dataclass(frozen=True)
class Elements:
    """Numbers of one tower: split over the ranks, and whole on each."""

    split: int
    whole: int


@lru_cache(maxsize=512)
def vision_bytes(arch: Architecture, quant: Quantization, ranks: int, release: int) -> int:
    """Count the tower and its projector on one rank."""
    vision = arch.vision
    if vision is None:
        return 0
    elements = _TOWERS.get(vision.kind, _siglip)(vision, arch.hidden)
    if vision.kind == "pixtral" and not quant.is_quantized and release <= _PIXTRAL_WHOLE_UNTIL:
        ranks = 1
    return HALF * (elements.split // ranks + elements.whole)


def _blocks(vision: Vision, *, gated: bool, bias: bool, norm_bias: bool) -> Elements:
    """Count the transformer blocks: column outputs are split, row outputs' biases and norms are not."""
    width, inner, ups = vision.hidden, vision.intermediate, 2 if gated else 1
    split = 4 * width**2 + (ups + 1) * width * inner
    whole = 2 * width * (2 if norm_bias else 1)
    if bias:
        split += 3 * width + ups * inner
        whole += 2 * width
    return Elements(split * vision.layers, whole * vision.layers)


def _patches(vision: Vision) -> int:
    return vision.patch**2 * vision.channels * vision.temporal_patch * vision.hidden


def _rope(vision: Vision) -> int:
    return _ROPE_POSITIONS * (vision.hidden // vision.heads // 2)


def _merger(vision: Vision, hidden: int) -> Elements:
    """Count Qwen's patch merger: two linear layers with biases."""
    wide = vision.hidden * vision.merge**2
    return Elements(wide * wide + wide + wide * hidden, hidden)


def _siglip(vision: Vision, hidden: int) -> Elements:
    blocks = _blocks(vision, gated=False, bias=True, norm_bias=True)
    patches = (vision.image // vision.patch) ** 2 if vision.image else 0
    positions = patches * (vision.hidden + _INT64 // HALF)
    whole = _patches(vision) + vision.hidden + positions + 2 * vision.hidden
    projector = vision.hidden * hidden + vision.hidden
    return Elements(blocks.split, blocks.whole + whole + projector)


def _pixtral(vision: Vision, hidden: int) -> Elements:
    blocks = _blocks(vision, gated=True, bias=False, norm_bias=False)
    merging = vision.hidden**2 * vision.merge**2
    projector = vision.hidden * hidden + hidden**2
    frequencies = 2 * vision.hidden // vision.heads
    whole = blocks.whole + _patches(vision) + 2 * vision.hidden + merging + frequencies
    return Elements(blocks.split + projector, whole)


def _qwen2_vl(vision: Vision, hidden: int) -> Elements:
    blocks, merger = _blocks(vision, gated=False, bias=True, norm_bias=True), _merger(vision, hidden)
    whole = blocks.whole + merger.whole + _patches(vision) + 2 * vision.hidden + _rope(vision)
    return Elements(blocks.split + merger.split, whole)


def _qwen2_5_vl(vision: Vision, hidden: int) -> Elements:
    blocks, merger = _blocks(vision, gated=True, bias=True, norm_bias=False), _merger(vision, hidden)
    whole = blocks.whole + merger.whole + _patches(vision) + vision.hidden + _rope(vision)
    return Elements(blocks.split + merger.split, whole)


def _qwen3_vl(vision: Vision, hidden: int) -> Elements:
    blocks = _blocks(vision, gated=False, bias=True, norm_bias=True)
    merger = _merger(vision, vision.out_hidden or hidden)
    mergers = 1 + vision.deepstack
    norms = 2 * vision.hidden * (1 + vision.deepstack * vision.merge**2)
    whole = _patches(vision) + vision.hidden + vision.positions * vision.hidden + norms + _rope(vision)
    return Elements(blocks.split + mergers * merger.split, blocks.whole + mergers * merger.whole + whole)


def _llama4(vision: Vision, hidden: int) -> Elements:
    blocks = _blocks(vision, gated=False, bias=True, norm_bias=True)
    patches = (vision.image // vision.patch) ** 2 + _CLASS_TOKEN
    wide = vision.out_hidden or hidden
    adapter = vision.intermediate * wide + wide * wide
    split = blocks.split + _patches(vision) + adapter + wide * hidden
    return Elements(split, blocks.whole + (patches + _CLASS_TOKEN) * vision.hidden + 4 * vision.hidden)


def _moonvit(vision: Vision, hidden: int) -> Elements:
    blocks = _blocks(vision, gated=False, bias=True, norm_bias=True)
    wide = vision.hidden * vision.merge**2
    projector = wide * wide + wide + wide * hidden + hidden + 2 * vision.hidden
    positions = vision.positions * vision.hidden
    return Elements(blocks.split, blocks.whole + projector + positions + _patches(vision) + 3 * vision.hidden)


def _gemma4(vision: Vision, hidden: int) -> Elements:
    """Count Gemma 4's tower, which vLLM takes from transformers whole (gemma4_mm.py); two position tables."""
    blocks = _blocks(vision, gated=True, bias=False, norm_bias=False)
    norms = vision.layers * (2 * vision.hidden + 2 * vision.hidden // vision.heads)
    tables = _patches(vision) + 2 * vision.positions * vision.hidden
    return Elements(0, blocks.split + blocks.whole + norms + tables + vision.hidden * hidden)


_TOWERS: Mapping[str, Callable[[Vision, int], Elements]] = {
    "siglip": _siglip,
    "pixtral": _pixtral,
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "llama4": _llama4,
    "gemma4": _gemma4,
    "moonvit": _moonvit,
}
