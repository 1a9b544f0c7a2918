"""Bytes of weights on one GPU, and the bytes that one decoding step reads.

The totals are parameters plus buffers, as vLLM's "Model loading took ... GiB" counts them: matrices by their split,
the vocabulary padded to 64 rows, rotary caches, KV scales, uneven pipeline stages.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from components.sizing.architecture import Architecture, Rope
from components.sizing.engine import NEWEST_RELEASE, release
from components.sizing.inventory import LayerShape, Matrix, Vector, family_of, inventory
from components.sizing.quantization import Quantization
from components.sizing.storage import (
    FLOAT32,
    HALF,
    Held,
    experts_bytes,
    is_excluded,
    layer_specific,
    matrix_bytes,
)
from components.sizing.types import Parallelism
from components.sizing.vision import vision_bytes

GIB = 2**30
VOCABULARY_PADDING = 64
"""vLLM 0.33.0, model_executor/layers/vocab_parallel_embedding.py."""
_KV_SCALES = 16
"""Four float32 scales per attention layer, in every model."""
_LONG_MROPE, _LONG_MROPE_UNTIL = 4, 30
"""Every multimodal rotary table was four contexts long; logs of 0.30 still show it (Qwen3.8-27B: 51.1 GiB), 0.33.0 has
shortened that of Qwen3-VL and later (qwen3_vl.py mrope_positions_factor)."""
_NOT_STORED = ("rotary_cache", "kv_scales")
"""Made by vLLM, in no checkpoint."""


@dataclass(frozen=True)
class RankWeights:
    """What one GPU holds; ``parts`` names where the bytes go and sums to ``bytes``."""

    bytes: int
    parts: Mapping[str, int]
    pp_rank: int

    @property
    def gib(self) -> float:
        """Bytes in units of 2**30."""
        return self.bytes / GIB


@dataclass(frozen=True)
class WeightTraffic:
    """What a decoding step reads and computes. Bytes are per rank, flops of the whole model per token."""

    dense_bytes: int
    """Read on every step: attention, dense layers, shared experts, norms, lm_head (no embedding table)."""
    expert_bytes: int
    """One routed expert of one layer, its share on one rank."""
    experts: int
    experts_per_token: int
    moe_layers: int
    dense_flops_per_token: int
    expert_flops_per_token: int
    """Of one expert of one layer: times ``experts_per_token`` and ``moe_layers`` for the model."""


def stage_layers(layers: int, stages: int) -> tuple[int, ...]:
    """Layers of each pipeline stage: what is left over goes to the later stages but the last.

    vLLM 0.33.0, distributed/utils.py get_pp_indices.
    """
    counts = [layers // stages] * stages
    for back in range(2, layers % stages + 2):
        counts[-back] += 1
    return tuple(counts)


@dataclass(frozen=True)
class Placement:
    """What decides every tensor's bytes: the model, its format, how it is split and on which GPU and release."""

    arch: Architecture
    quant: Quantization
    parallelism: Parallelism
    compute_capability: int = 90
    release: int = NEWEST_RELEASE
    """vLLM's minor release: 0.33.0 is 33."""


def rank_weights(
    arch: Architecture,
    quant: Quantization,
    parallelism: Parallelism,
    *,
    pp_rank: int | None = None,
    compute_capability: int = 90,
    vllm_version: str = "0.33.0",
    index: Mapping[str, Any] | None = None,
) -> RankWeights:
    """Count the bytes on a GPU of stage ``pp_rank`` (None: the fullest stage).

    ``index`` is a parsed ``model.safetensors.index.json``: its ``total_size`` then replaces the inventory's own total,
    and the rank keeps its share of it. Raises ValueError for a stage that does not exist or an index without a total.
    """
    if pp_rank is not None and not 0 <= pp_rank < parallelism.pp:
        msg = f"pp-rank {pp_rank} does not exist: there are {parallelism.pp} stages, 0 to {parallelism.pp - 1}"
        raise ValueError(msg)
    placement = Placement(arch, quant, parallelism, compute_capability, release(vllm_version))
    ranks = range(parallelism.pp) if pp_rank is None else (pp_rank,)
    fullest = max((_stage(placement, rank) for rank in ranks), key=lambda stage: stage.bytes)
    return fullest if index is None else _scaled(placement, fullest, index)


@lru_cache(maxsize=4096)
def _stage(placement: Placement, rank: int) -> RankWeights:
    arch, parallelism = placement.arch, placement.parallelism
    counts = stage_layers(arch.layers, parallelism.pp)
    begin = sum(counts[:rank])
    first, last = rank == 0, rank == parallelism.pp - 1
    family, shapes = family_of(arch), inventory(arch)
    has_table = first or (last and arch.tied_embeddings) or "embedding" in family.every_stage
    has_head = (last or "lm_head" in family.every_stage) and not arch.tied_embeddings
    table = vocabulary_bytes(arch, parallelism.tp)
    bias = table // arch.hidden if last and family.lm_head_bias else 0
    vectors = (
        *shapes.stage_vectors,
        *(shapes.first_vectors if first or "embedding" in family.every_stage else ()),
        *(shapes.final_vectors if last or "norm" in family.every_stage else ()),
    )
    parts = {
        "embedding": table if has_table else 0,
        "lm_head": (table if has_head else 0) + bias,
        "attention_and_dense": 0,
        "experts": 0,
        "norms_and_states": sum(_vector_bytes(vector, parallelism.tp) for vector in vectors),
        "rotary_cache": sum(
            _rope_bytes(arch, rope, placement.release) for rope in _ropes(arch, begin, begin + counts[rank])
        ),
        "kv_scales": 0,
        "vision": vision_bytes(arch, placement.quant, parallelism.tp, placement.release) if first else 0,
    }
    for sizes, count in _layer_bytes(placement, begin, begin + counts[rank]):
        for name, size in sizes.items():
            parts[name] += size * count
    return RankWeights(sum(parts.values()), parts, rank)


def vocabulary_bytes(arch: Architecture, ranks: int) -> int:
    """Count one rank's rows of the embedding (or of lm_head), padded to 64 before the split."""
    rows = -(-arch.vocab // VOCABULARY_PADDING) * VOCABULARY_PADDING
    return rows // ranks * arch.hidden * HALF


def _layer_bytes(placement: Placement, begin: int, end: int) -> list[tuple[Mapping[str, int], int]]:
    """Sizes of each distinct layer shape with its number of layers in ``begin .. end``."""
    found: list[tuple[Mapping[str, int], int]] = []
    single = placement.quant.is_quantized and layer_specific(placement.quant)
    for position, (_, indices) in enumerate(inventory(placement.arch).shapes):
        inside = [index for index in indices if begin <= index < end]
        if not inside:
            continue
        if single:
            found += [(_shape_bytes(placement, position, index), 1) for index in inside]
        else:
            found.append((_shape_bytes(placement, position, indices[0]), len(inside)))
    return found


@lru_cache(maxsize=8192)
def _shape_bytes(placement: Placement, position: int, layer: int) -> Mapping[str, int]:
    """Sizes of a layer whose shape is the inventory's ``position``-th."""
    shape = inventory(placement.arch).shapes[position][0]
    quant, parallelism = placement.quant, placement.parallelism
    dense = sum(
        matrix_bytes(matrix, quant, parallelism.tp, quantized=is_quantized(matrix, quant, layer))
        for matrix in shape.matrices
    )
    experts = 0
    if shape.experts:
        held = Held(shape.experts, parallelism.tp * parallelism.dp, expert_ranks(parallelism))
        quantized = experts_quantized(shape, quant, layer)
        experts = experts_bytes(held, quant, placement.compute_capability, placement.release, quantized=quantized)
    loaded = 0 if placement.arch.mla else _loaded_kv_scales(quant)
    return {
        "attention_and_dense": dense,
        "experts": experts,
        "norms_and_states": sum(_vector_bytes(vector, parallelism.tp) for vector in shape.vectors),
        "kv_scales": _KV_SCALES + loaded if shape.attention else 0,
    }


def is_quantized(matrix: Matrix, quant: Quantization, layer: int) -> bool:
    """Whether this linear layer is stored in the quantized format."""
    if not quant.is_quantized or quant.experts_only or not matrix.quantizable:
        return False
    return not is_excluded(quant, matrix.names or (matrix.module,), layer)


def experts_quantized(shape: LayerShape, quant: Quantization, layer: int) -> bool:
    """Whether the routed experts of a layer are stored in the quantized format."""
    if not quant.is_quantized or shape.experts is None:
        return False
    return not is_excluded(quant, (shape.experts.module,), layer)


def expert_ranks(parallelism: Parallelism) -> int:
    """Ranks that the experts are spread over; 1 without expert parallelism."""
    return parallelism.tp * parallelism.dp if parallelism.ep else 1


def _loaded_kv_scales(quant: Quantization) -> int:
    """Scales that the loader of an FP8 or compressed checkpoint adds per attention layer (kv_cache.py)."""
    return {"fp8": 8, "fbgemm_fp8": 8, "modelopt": 8, "modelopt_fp4": 8, "compressed-tensors": 18}.get(quant.method, 0)


def _vector_bytes(vector: Vector, ranks: int) -> int:
    return vector.elements * (FLOAT32 if vector.float32 else HALF) // (ranks if vector.sharded else 1)


def _ropes(arch: Architecture, begin: int, end: int) -> tuple[Rope, ...]:
    """Return the rotary variants that the layers of a stage use."""
    kinds = set(arch.layer_kinds[begin:end]) - {"mamba", "linear", "none"}
    if arch.local_rope is None:
        return (arch.rope,) if arch.rope and kinds else ()
    of_kind = {"full": arch.rope, "sliding": arch.local_rope}
    return tuple(rope for kind, rope in of_kind.items() if rope and kind in kinds)


def _rope_bytes(arch: Architecture, rope: Rope, minor: int) -> int:
    """Count the cosine and sine table that all layers of one rotary variant share."""
    positions, element = arch.max_positions, HALF
    if rope.kind == "yarn":  # yarn_scaling_rope.py keeps float32
        positions, element = int(rope.original_max_positions * rope.factor), FLOAT32
    elif rope.kind == "mrope" and minor <= _LONG_MROPE_UNTIL:
        positions *= _LONG_MROPE
    elif rope.kind in {"linear", "dynamic", "mrope"}:
        positions = int(positions * rope.factor)
    elif rope.kind == "longrope":
        positions += rope.original_max_positions
    return positions * rope.rotary_dim * element


def _scaled(placement: Placement, rank: RankWeights, index: Mapping[str, Any]) -> RankWeights:
    """Scale a rank to the checkpoint's real size: what is not stored (rotary cache, KV scales) stays as it is."""
    metadata = index.get("metadata")
    total = metadata.get("total_size") if isinstance(metadata, Mapping) else None
    if not isinstance(total, int | float) or total <= 0:
        msg = "the safetensors index has no metadata.total_size"
        raise ValueError(msg)
    whole = _stage(replace(placement, parallelism=Parallelism()), 0)
    factor = float(total) / sum(size for name, size in whole.parts.items() if name not in _NOT_STORED)
    parts = {name: size if name in _NOT_STORED else round(size * factor) for name, size in rank.parts.items()}
    return RankWeights(sum(parts.values()), parts, rank.pp_rank)


@lru_cache(maxsize=4096)
def traffic(
    arch: Architecture, quant: Quantization, parallelism: Parallelism, compute_capability: int = 90
) -> WeightTraffic:
    """Count the bytes and flops of one decoding step, over all pipeline stages."""
    placement = Placement(arch, quant, parallelism, compute_capability)
    dense = vocabulary_bytes(arch, parallelism.tp)
    for sizes, count in _layer_bytes(placement, 0, arch.layers):
        dense += count * (sizes["attention_and_dense"] + sizes["norms_and_states"])
    flops = 2 * arch.vocab * arch.hidden
    expert_bytes = expert_flops = experts = per_token = moe_layers = 0
    for position, (shape, indices) in enumerate(inventory(arch).shapes):
        flops += len(indices) * sum(2 * matrix.inputs * matrix.outputs for matrix in shape.matrices)
        if shape.experts is None:
            continue
        moe_layers += len(indices)
        experts, per_token = shape.experts.count, shape.experts.per_token
        held = Held(shape.experts, parallelism.tp * parallelism.dp, expert_ranks(parallelism))
        expert_bytes = _shape_bytes(placement, position, indices[0])["experts"] // held.count
        expert_flops = 2 * shape.experts.hidden * shape.experts.intermediate * (3 if shape.experts.gated else 2)
    return WeightTraffic(dense, expert_bytes, experts, per_token, moe_layers, flops, expert_flops)
