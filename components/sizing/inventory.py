"""Every tensor that vLLM allocates for a model, per distinct kind of layer.

Shapes are global and carry how they are split; ``weights.py`` turns them into one rank's bytes. Layers of the same
kind share one entry, so the cost of an inventory does not grow with depth or with the number of experts.

Source: the model classes of vLLM 0.33.0 (``vllm/model_executor/models``), checked tensor by tensor against those
classes built on torch's meta device (tests/data/weight_vectors.json).
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from components.sizing.architecture import Architecture, FeedForwardKind, LayerKind
from components.sizing.families import FAMILIES, Family

Split = Literal["column", "row", "whole"]


@dataclass(frozen=True)
class Part:
    """One of the matrices merged into a projection: ``units`` (heads, rows) of ``width`` outputs each."""

    units: int
    width: int = 1
    replicated: bool = False
    """Copied where there are more ranks than units (KV heads, state-space groups)."""

    def local(self, ranks: int) -> int:
        """Return the outputs on one rank."""
        if self.replicated:
            return max(1, self.units // ranks) * self.width
        return self.units * self.width // ranks


@dataclass(frozen=True)
class Matrix:
    """One linear layer as vLLM allocates it (``qkv_proj``, ``gate_up_proj`` merged)."""

    module: str
    """Path below the layer, e.g. ``self_attn.qkv_proj``."""
    split: Split
    inputs: int
    parts: tuple[Part, ...]
    names: tuple[str, ...] = ()
    """Names of the merged matrices in checkpoints (``self_attn.q_proj``); empty: the module's own."""
    bias: bool = False
    quantizable: bool = True
    float32: bool = False

    @property
    def outputs(self) -> int:
        """Outputs over all ranks."""
        return sum(part.units * part.width for part in self.parts)


@dataclass(frozen=True)
class Vector:
    """A small tensor that no method quantizes: norms, convolutions, state-space parameters."""

    name: str
    elements: int
    sharded: bool = False
    float32: bool = False


@dataclass(frozen=True)
class Experts:
    """The routed experts of one layer, stored as two stacked tensors."""

    count: int
    per_token: int
    hidden: int
    intermediate: int
    gated: bool = True
    bias: bool = False
    module: str = "mlp.experts"


@dataclass(frozen=True)
class LayerShape:
    """All tensors of one layer."""

    matrices: tuple[Matrix, ...]
    vectors: tuple[Vector, ...]
    experts: Experts | None = None
    attention: bool = False
    """Has the four KV scales that vLLM keeps per attention layer."""


@dataclass(frozen=True)
class Inventory:
    """A whole language model: which layers have which shape, and what surrounds them."""

    shapes: tuple[tuple[LayerShape, tuple[int, ...]], ...]
    """Distinct shapes with the indices of the layers that have them."""
    final_vectors: tuple[Vector, ...]
    first_vectors: tuple[Vector, ...] = ()
    """On the first stage beside the embedding (learned positions)."""
    stage_vectors: tuple[Vector, ...] = ()
    """On every stage (Gemma's embedding normalizer)."""


def family_of(arch: Architecture) -> Family:
    """Return the conventions of the architecture's class."""
    return FAMILIES[arch.hf_class]


@lru_cache(maxsize=512)
def inventory(arch: Architecture) -> Inventory:
    """Return the tensors of ``arch``; cached, since a search asks hundreds of times."""
    family = family_of(arch)
    groups: dict[tuple[LayerKind, FeedForwardKind, str], list[int]] = defaultdict(list)
    for index, kinds in enumerate(zip(arch.layer_kinds, arch.feed_forward, strict=True)):
        groups[(*kinds, _variant(arch, index))].append(index)
    shapes = tuple(
        (_layer(arch, family, mixer, forward, variant), tuple(indices))
        for (mixer, forward, variant), indices in groups.items()
    )
    final = (_norms("norm", arch.hidden, 1, family),) if family.final_norm and family.norm_weights else ()
    first = ()
    if family.learned_positions is not None:
        first = (Vector("positions", (arch.max_positions + family.learned_positions) * arch.hidden),)
    narrow = int(arch.config.get("hidden_size_per_layer_input") or 0)
    if narrow:  # Gemma 3n and 4: every layer's own small embedding, and the projection that mixes it
        rows = int(arch.config.get("vocab_size_per_layer_input") or arch.vocab)
        first = (Vector("per_layer_embedding", (rows + arch.hidden) * arch.layers * narrow, sharded=True),)
    every = (Vector("normalizer", 1),) if family.normalizer else ()
    return Inventory(shapes, final, first, every)


def switch(arch: Architecture, value: bool | str) -> bool:
    """Return a family switch: itself, or what the config key that decides says."""
    return bool(arch.config.get(value)) if isinstance(value, str) else value


def _variant(arch: Architecture, index: int) -> str:
    """Layers of one kind that still differ: those that use another layer's keys and values, or its sparse index."""
    shared = int(arch.config.get("num_kv_shared_layers") or 0)
    if shared and index >= arch.layers - shared:
        return "shared-kv"
    frequency = int(arch.config.get("index_topk_freq") or 1)
    pattern = arch.config.get("index_topk_pattern")
    if arch.mla is None or not arch.mla.index_heads:
        return ""
    if pattern:
        return "shared-index" if index < len(pattern) and pattern[index] == "S" else ""
    offset = int(arch.config.get("index_skip_topk_offset") or 2)
    return "shared-index" if max(index - offset + 1, 0) % frequency else ""


def _norms(name: str, width: int, count: int, family: Family) -> Vector:
    return Vector(name, count * width * (2 if family.norm_bias else 1))


def _layer(arch: Architecture, family: Family, mixer: LayerKind, forward: FeedForwardKind, variant: str) -> LayerShape:
    matrices: list[Matrix] = []
    vectors: list[Vector] = []
    _mixer(arch, mixer, variant, matrices, vectors)
    experts = _feed_forward(arch, forward, variant, matrices, vectors)
    if family.norm_weights:
        extra = 1 if family.second_norm and arch.config.get(family.second_norm) else 0
        vectors.append(_norms("layernorms", arch.hidden, family.layer_norms + extra, family))
    attention = mixer not in {"mamba", "linear", "none"}
    return LayerShape(tuple(matrices), tuple(vectors), experts, attention)


def _mixer(arch: Architecture, mixer: LayerKind, variant: str, matrices: list[Matrix], vectors: list[Vector]) -> None:
    if mixer == "mla":
        _mla(arch, matrices, vectors, shared_index=variant == "shared-index")
    elif mixer == "mamba":
        _mamba(arch, matrices, vectors)
    elif mixer == "linear":
        _linear(arch, matrices, vectors)
    elif mixer != "none":
        _attention(arch, family_of(arch), mixer, matrices, vectors)
    if variant == "shared-kv":
        _drop_keys(matrices)


def _feed_forward(
    arch: Architecture, forward: FeedForwardKind, variant: str, matrices: list[Matrix], vectors: list[Vector]
) -> Experts | None:
    experts, family = None, family_of(arch)
    if forward == "dense" or (forward == "moe" and family.dense_beside_experts):
        wide = 2 if variant == "shared-kv" and arch.config.get("use_double_wide_mlp") else 1
        matrices += _mlp("mlp", arch.hidden, wide * arch.intermediate, family, bias=switch(arch, family.mlp_bias))
    if forward == "moe":
        experts = _experts(arch, family, matrices, vectors)
        if family.dense_beside_experts:
            vectors.append(_norms("layernorms of the experts", arch.hidden, 3, family))
    narrow = int(arch.config.get("hidden_size_per_layer_input") or 0)
    if narrow:
        matrices.append(Matrix("per_layer_input_gate", "whole", arch.hidden, (Part(narrow),)))
        matrices.append(Matrix("per_layer_projection", "whole", narrow, (Part(arch.hidden),)))
    return experts


def _attention(
    arch: Architecture, family: Family, kind: LayerKind, matrices: list[Matrix], vectors: list[Vector]
) -> None:
    kv_heads, width = arch.attention_shape(kind)
    value_width = arch.v_head_dim if kind != "full" or not arch.full_head_dim else width
    queries = arch.heads * (2 if family.output_gate else 1)
    matrices.append(
        Matrix(
            "self_attn.qkv_proj",
            "column",
            arch.hidden,
            (Part(queries, width), Part(kv_heads, width, True), Part(kv_heads, value_width, True)),
            ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            bias=switch(arch, family.qkv_bias),
        )
    )
    matrices.append(
        Matrix(
            "self_attn.o_proj", "row", arch.heads * value_width, (Part(arch.hidden),), bias=switch(arch, family.o_bias)
        )
    )
    if family.qk_norm == "head":
        vectors.append(Vector("qk_norm", 2 * width))
    elif family.qk_norm == "full":
        vectors.append(Vector("qk_norm", (arch.heads + kv_heads) * width))
    elif family.qk_norm == "full-sharded":
        vectors.append(Vector("qk_norm", (arch.heads + kv_heads) * width, sharded=True))
    if family.sinks:
        vectors.append(Vector("sinks", arch.heads, sharded=True))


def _drop_keys(matrices: list[Matrix]) -> None:
    """Leave only the query projection of a layer that reads another layer's cache."""
    qkv = matrices[0]
    matrices[0] = replace(qkv, module="self_attn.q_proj", parts=qkv.parts[:1], names=qkv.names[:1])


def _mla(arch: Architecture, matrices: list[Matrix], vectors: list[Vector], *, shared_index: bool) -> None:
    mla = arch.mla
    if mla is None:
        return
    head = mla.qk_nope_head_dim + mla.qk_rope_head_dim
    latent = Part(mla.kv_lora_rank + mla.qk_rope_head_dim)
    if mla.q_lora_rank:
        matrices.append(
            Matrix(
                "self_attn.fused_qkv_a_proj",
                "whole",
                arch.hidden,
                (Part(mla.q_lora_rank), latent),
                ("self_attn.q_a_proj", "self_attn.kv_a_proj_with_mqa"),
            )
        )
        matrices.append(Matrix("self_attn.q_b_proj", "column", mla.q_lora_rank, (Part(arch.heads, head),)))
        vectors.append(Vector("q_a_layernorm", mla.q_lora_rank))
    else:
        matrices.append(Matrix("self_attn.kv_a_proj_with_mqa", "whole", arch.hidden, (latent,)))
        matrices.append(Matrix("self_attn.q_proj", "column", arch.hidden, (Part(arch.heads, head),)))
    vectors.append(Vector("kv_a_layernorm", mla.kv_lora_rank))
    wide = Part(arch.heads, mla.qk_nope_head_dim + mla.v_head_dim)
    matrices.append(Matrix("self_attn.kv_b_proj", "column", mla.kv_lora_rank, (wide,)))
    matrices.append(Matrix("self_attn.o_proj", "row", arch.heads * mla.v_head_dim, (Part(arch.hidden),)))
    if mla.index_heads and not shared_index:
        matrices.append(
            Matrix(
                "self_attn.indexer.wq_b",
                "whole",
                mla.q_lora_rank or arch.hidden,
                (Part(mla.index_heads, mla.index_head_dim),),
            )
        )
        matrices.append(
            Matrix(
                "self_attn.indexer.wk_weights_proj",
                "whole",
                arch.hidden,
                (Part(mla.index_head_dim), Part(mla.index_heads)),
                quantizable=False,
            )
        )
        vectors.append(Vector("indexer.k_norm", 2 * mla.index_head_dim, float32=True))


def _mamba(arch: Architecture, matrices: list[Matrix], vectors: list[Vector]) -> None:
    mamba = arch.mamba
    if mamba is None:
        return
    if mamba.version == 1:
        matrices += [
            Matrix("mamba.in_proj", "column", arch.hidden, (Part(mamba.inner), Part(mamba.inner))),
            Matrix("mamba.x_proj", "row", mamba.inner, (Part(mamba.dt_rank + 2 * mamba.state),)),
            Matrix("mamba.dt_proj", "column", mamba.dt_rank, (Part(mamba.inner),), bias=True, quantizable=False),
            Matrix("mamba.out_proj", "row", mamba.inner, (Part(arch.hidden),)),
        ]
        vectors += [
            Vector("mamba.conv1d", mamba.inner * (mamba.conv_kernel + 1), sharded=True),
            Vector("mamba.A", mamba.inner * mamba.state, sharded=True, float32=True),
            Vector("mamba.D", mamba.inner, sharded=True),
        ]
        if arch.hf_class == "JambaForCausalLM":
            vectors.append(Vector("mamba.layernorms", mamba.dt_rank + 2 * mamba.state))
        return
    states = Part(mamba.groups, mamba.state, True)
    inner = Part(mamba.heads, mamba.head_dim)
    matrices += [
        Matrix("mixer.in_proj", "column", arch.hidden, (inner, inner, states, states, Part(mamba.heads))),
        Matrix("mixer.conv1d", "column", mamba.conv_kernel, (inner, states, states), bias=True, quantizable=False),
        Matrix("mixer.out_proj", "row", mamba.inner, (Part(arch.hidden),)),
    ]
    vectors += [
        Vector("mixer.A", mamba.heads, sharded=True, float32=True),
        Vector("mixer.D", mamba.heads, sharded=True),
        Vector("mixer.dt_bias", mamba.heads, sharded=True),
        Vector("mixer.norm", mamba.inner, sharded=True),
    ]


def _linear(arch: Architecture, matrices: list[Matrix], vectors: list[Vector]) -> None:
    linear = arch.linear
    if linear is None:
        return
    keys = Part(linear.key_heads, linear.key_head_dim)
    values = Part(linear.value_heads, linear.value_head_dim)
    heads = Part(linear.value_heads)
    matrices += [
        Matrix(
            "linear_attn.in_proj_qkvz",
            "column",
            arch.hidden,
            (keys, keys, values, values),
            ("linear_attn.in_proj_qkv", "linear_attn.in_proj_z", "linear_attn.in_proj_qkvz"),
        ),
        Matrix(
            "linear_attn.in_proj_ba",
            "column",
            arch.hidden,
            (heads, heads),
            ("linear_attn.in_proj_b", "linear_attn.in_proj_a", "linear_attn.in_proj_ba"),
        ),
        Matrix("linear_attn.conv1d", "column", linear.conv_kernel, (keys, keys, values), quantizable=False),
        Matrix("linear_attn.out_proj", "row", linear.value_heads * linear.value_head_dim, (Part(arch.hidden),)),
    ]
    vectors += [
        Vector("linear_attn.dt_bias", linear.value_heads, sharded=True),
        Vector("linear_attn.A_log", linear.value_heads, sharded=True, float32=True),
        Vector("linear_attn.norm", linear.value_head_dim),
    ]


def _mlp(module: str, hidden: int, width: int, family: Family, *, bias: bool = False) -> list[Matrix]:
    if not width:
        return []
    if family.gated:
        up = Matrix(
            f"{module}.gate_up_proj",
            "column",
            hidden,
            (Part(width), Part(width)),
            (f"{module}.gate_proj", f"{module}.up_proj"),
            bias=bias,
        )
    else:
        up = Matrix(f"{module}.up_proj", "column", hidden, (Part(width),), bias=bias)
    return [up, Matrix(f"{module}.down_proj", "row", width, (Part(hidden),), bias=bias)]


def _experts(arch: Architecture, family: Family, matrices: list[Matrix], vectors: list[Vector]) -> Experts | None:
    moe = arch.moe
    if moe is None:
        return None
    matrices.append(
        Matrix(
            "mlp.gate",
            "whole",
            arch.hidden,
            (Part(moe.experts),),
            ("mlp.gate", "mlp.router"),
            bias=family.router_bias,
            quantizable=family.router_quantized,
            float32=family.router_float32,
        )
    )
    if family.correction_bias:
        vectors.append(Vector("e_score_correction_bias", moe.experts, float32=family.correction_float32))
    if moe.shared_intermediate:
        matrices += _mlp("mlp.shared_experts", arch.hidden, moe.shared_intermediate, family)
        if family.shared_gate:
            matrices.append(Matrix("mlp.shared_expert_gate", "whole", arch.hidden, (Part(1),), quantizable=False))
    return Experts(moe.experts, moe.per_token, arch.hidden, moe.intermediate, family.gated, family.expert_bias)
