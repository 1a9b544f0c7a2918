"""Reads a Hugging Face ``config.json`` into an ``Architecture``.

Family conventions that no config states (which projections have a bias, tied embeddings of Gemma) are in
``families.py``; this module only finds the numbers under their many names.
"""

from collections.abc import Mapping
from typing import Any

from components.sizing import quantization
from components.sizing.architecture import (
    Architecture,
    FeedForwardKind,
    LayerKind,
    LinearAttention,
    Mamba,
    Mla,
    Moe,
    Rope,
    UnsupportedArchitecture,
)
from components.sizing.families import FAMILIES, MODEL_TYPES, Family
from components.sizing.layer_kinds import experts, layer_kinds, max_positions, scaling_of, window
from components.sizing.quantization_reader import dtype_of
from components.sizing.vision_reader import read_vision

_TEXT_KEYS = ("text_config", "llm_config", "language_config", "thinker_config")


def read(config: Mapping[str, Any], model: str) -> Architecture:
    """See ``architecture.from_config``."""
    hf_class, family, text = _class_of(config, model)
    reader = _Numbers(text, model)
    layers = reader.integer("num_hidden_layers", "n_layer", "num_layers", "n_layers")
    hidden = reader.integer("hidden_size", "n_embd", "d_model")
    kinds, forwards = layer_kinds(text, family, layers, model)
    attends = any(kind not in {"mamba", "none"} for kind in kinds)
    heads = reader.integer("num_attention_heads", "n_head", "num_heads", default=None if attends else 1)
    mla = _mla(text)
    if mla:
        kinds = tuple[LayerKind, ...]("mla" if kind == "full" else kind for kind in kinds)
    kv_heads = _kv_heads(text, heads)
    head_dim = reader.integer("head_dim", "attention_head_dim", "kv_channels", default=hidden // heads)
    if mla:
        head_dim = mla.qk_nope_head_dim + mla.qk_rope_head_dim
    positions = max_positions(text)
    moe = _moe(text, family, forwards)
    return Architecture(
        model=model,
        hf_class=hf_class,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        v_head_dim=mla.v_head_dim if mla else int(text.get("v_head_dim") or head_dim),
        vocab=reader.integer("vocab_size", "padded_vocab_size"),
        intermediate=_dense_intermediate(text, family, hidden, forwards, reader),
        max_positions=positions,
        tied_embeddings=_tied(config, text, family),
        dtype=dtype_of(config),
        layer_kinds=kinds,
        feed_forward=forwards,
        checkpoint_precision=quantization.from_config(config),
        supports_pp=family.supports_pp,
        sliding_window=window(text) if "sliding" in kinds else None,
        attention_chunk=text.get("attention_chunk_size") if "chunked" in kinds else None,
        rope=_rope(text, family, head_dim, positions, mla),
        local_rope=_local_rope(text, family, head_dim),
        mla=mla,
        moe=moe,
        mamba=_mamba(text, hidden),
        linear=_linear(text),
        vision=read_vision(config, hf_class, text),
        full_kv_heads=text.get("num_global_key_value_heads"),
        full_head_dim=text.get("global_head_dim"),
        sinks=family.sinks,
        basis=str(config.get("_basis", "config.json")),
        config=text,
    )


class _Numbers:
    """Looks integers up under their synonyms and names the missing key."""

    def __init__(self, text: Mapping[str, Any], model: str) -> None:
        self.text, self.model = text, model

    def integer(self, *keys: str, default: int | None = None) -> int:
        for key in keys:
            value = self.text.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool):
                if value <= 0:
                    msg = f"{self.model}: {key} is {value}, but must be positive"
                    raise UnsupportedArchitecture(msg)
                return int(value)
        if default is None:
            msg = f"{self.model}: config.json has no {keys[0]}"
            raise UnsupportedArchitecture(msg)
        return default


def _class_of(config: Mapping[str, Any], model: str) -> tuple[str, Family, Mapping[str, Any]]:
    text: Mapping[str, Any] = config
    for key in _TEXT_KEYS:
        if isinstance(text.get(key), Mapping):
            text = text[key]
    if isinstance(text.get("text_config"), Mapping):  # thinker_config.text_config
        text = text["text_config"]
    listed = config.get("architectures") or text.get("architectures") or []
    names = [str(name) for name in listed] or [MODEL_TYPES.get(str(config.get("model_type")), "")]
    for name in names:
        if name in FAMILIES:
            return name, FAMILIES[name], text
    msg = (
        f"{model}: architecture {names[0] or config.get('model_type') or '(none named)'} is not one whose tensors are "
        f"known ({len(FAMILIES)} are); give the closest known class in 'architectures'"
    )
    raise UnsupportedArchitecture(msg)


def _moe(text: Mapping[str, Any], family: Family, forwards: tuple[FeedForwardKind, ...]) -> Moe | None:
    count_of_experts = experts(text)
    if not count_of_experts or "moe" not in forwards:
        return None
    width = int(
        text.get("moe_intermediate_size") or text.get("expert_hidden_dim") or text.get("intermediate_size") or 0
    )
    shared = int(text.get("shared_expert_intermediate_size") or text.get("moe_shared_expert_intermediate_size") or 0)
    count = int(text.get("n_shared_experts") or text.get("num_shared_experts") or family.shared_experts)
    if not shared:
        shared = count * width
    per_token = next(
        (
            int(text[key])
            for key in ("num_experts_per_tok", "experts_per_token", "top_k_experts", "moe_k", "moe_top_k")
            if text.get(key)
        ),
        1,
    )
    layers = tuple(index for index, kind in enumerate(forwards) if kind == "moe")
    return Moe(count_of_experts, per_token, width, shared, layers)


def _mla(text: Mapping[str, Any]) -> Mla | None:
    rank = text.get("kv_lora_rank")
    if not rank:
        return None
    return Mla(
        kv_lora_rank=int(rank),
        q_lora_rank=int(text["q_lora_rank"]) if text.get("q_lora_rank") else None,
        qk_rope_head_dim=int(text.get("qk_rope_head_dim") or 0),
        qk_nope_head_dim=int(text.get("qk_nope_head_dim") or 128),
        v_head_dim=int(text.get("v_head_dim") or 128),
        index_heads=int(text.get("index_n_heads") or 64) if text.get("index_head_dim") else 0,
        index_head_dim=int(text.get("index_head_dim") or 0),
        index_topk=int(text.get("index_topk") or 0),
    )


def _mamba(text: Mapping[str, Any], hidden: int) -> Mamba | None:
    heads = text.get("mamba_num_heads") or text.get("mamba_n_heads")
    state = text.get("ssm_state_size") or text.get("mamba_d_state") or text.get("state_size")
    if not state:
        return None
    kernel = int(text.get("conv_kernel") or text.get("mamba_d_conv") or 4)
    if heads:
        width = int(text.get("mamba_head_dim") or text.get("mamba_d_head") or 64)
        groups = int(text.get("n_groups") or text.get("mamba_n_groups") or 1)
        return Mamba(2, int(heads) * width, int(state), kernel, int(heads), width, groups)
    expand = int(text.get("mamba_expand") or text.get("expand") or 2)
    inner = int(text.get("intermediate_size") or expand * hidden) if text.get("state_size") else expand * hidden
    rank = int(text.get("time_step_rank") or text.get("mamba_dt_rank") or -(-hidden // 16))
    return Mamba(1, inner, int(state), kernel, dt_rank=rank)


def _linear(text: Mapping[str, Any]) -> LinearAttention | None:
    if not text.get("linear_num_value_heads"):
        return None
    return LinearAttention(
        key_heads=int(text["linear_num_key_heads"]),
        value_heads=int(text["linear_num_value_heads"]),
        key_head_dim=int(text.get("linear_key_head_dim") or 128),
        value_head_dim=int(text.get("linear_value_head_dim") or 128),
        conv_kernel=int(text.get("linear_conv_kernel_dim") or 4),
    )


def _kv_heads(text: Mapping[str, Any], heads: int) -> int:
    for key in ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num"):
        if text.get(key):
            return int(text[key])
    return 1 if text.get("multi_query") and not text.get("new_decoder_architecture") else heads


def _dense_intermediate(
    text: Mapping[str, Any], family: Family, hidden: int, forwards: tuple[FeedForwardKind, ...], reader: _Numbers
) -> int:
    if "dense" not in forwards and not family.dense_beside_experts:
        return 0
    for key in ("intermediate_size_mlp", "intermediate_size", "ffn_hidden_size", "ffn_dim", "n_inner"):
        value = text.get(key)
        if isinstance(value, list):
            value = value[0]
        if value:
            return int(value)
    if family.default_expansion:
        return family.default_expansion * hidden
    return reader.integer("intermediate_size")


def _tied(config: Mapping[str, Any], text: Mapping[str, Any], family: Family) -> bool:
    for holder in (config, text):
        value = holder.get("tie_word_embeddings")
        if value is not None:
            return bool(value)
    return family.tied


def _rope(text: Mapping[str, Any], family: Family, head_dim: int, positions: int, mla: Mla | None) -> Rope | None:
    if not family.rope:
        return None
    scaling = scaling_of(text)
    kind = str(scaling.get("rope_type") or scaling.get("type") or "default")
    if kind == "su":
        kind = "longrope"
    if "mrope_section" in scaling:
        kind = "mrope"
    width = mla.qk_rope_head_dim if mla else int(text.get("global_head_dim") or head_dim)
    partial = text.get("partial_rotary_factor") or scaling.get("partial_rotary_factor") or family.partial_rotary
    rotary = width if mla else int(text.get("rotary_dim") or width * float(partial))
    original = int(
        scaling.get("original_max_position_embeddings") or text.get("original_max_position_embeddings") or positions
    )
    factor = family.mrope_positions if kind == "mrope" else float(scaling.get("factor") or 1.0)
    return Rope(rotary, kind, factor, original)


def _local_rope(text: Mapping[str, Any], family: Family, head_dim: int) -> Rope | None:
    local = text.get("rope_local_base_freq") or (
        isinstance(text.get("rope_parameters"), Mapping) and "sliding_attention" in text["rope_parameters"]
    )
    return Rope(head_dim) if (local or family.local_rope) else None
