"""Which kind every layer is: how it mixes tokens, and what its feed-forward block is."""

from collections.abc import Mapping
from typing import Any

from components.sizing.architecture import FeedForwardKind, LayerKind, UnsupportedArchitecture
from components.sizing.families import Family

_LAYER_NAMES: Mapping[str, LayerKind] = {
    "full_attention": "full",
    "attention": "full",
    "*": "full",
    "sliding_attention": "sliding",
    "chunked_attention": "chunked",
    "linear_attention": "linear",
    "deepseek_sparse_attention": "mla",
    "mamba": "mamba",
    "M": "mamba",
    "conv": "mamba",
    "-": "none",
    "E": "none",
    "mlp": "none",
    "moe": "none",
}


def layer_kinds(
    text: Mapping[str, Any], family: Family, layers: int, model: str
) -> tuple[tuple[LayerKind, ...], tuple[FeedForwardKind, ...]]:
    """Return the mixer and the feed-forward block of every layer.

    Raises UnsupportedArchitecture where fewer layers are listed than the model has.
    """
    pattern = text.get("hybrid_override_pattern") or text.get("layers_block_type")
    if pattern:
        names = list(pattern)
        forwards: list[FeedForwardKind] = [
            "dense" if name in {"-", "mlp"} else "moe" if name in {"E", "moe"} else "none" for name in names
        ]
        kinds: list[LayerKind] = [_LAYER_NAMES.get(str(name), "full") for name in names]
    else:
        kinds = _mixers(text, family, layers)
        forwards = _forwards(text, family, layers)
    if len(kinds) < layers:
        msg = f"{model}: {len(kinds)} layer types are listed for {layers} layers"
        raise UnsupportedArchitecture(msg)
    return tuple(kinds[:layers]), tuple(forwards[:layers])


def _mixers(text: Mapping[str, Any], family: Family, layers: int) -> list[LayerKind]:
    if family.mixer == "mamba":
        return ["mamba"] * layers
    if text.get("layer_types"):
        return [_LAYER_NAMES.get(str(name), "full") for name in text["layer_types"]]
    period, offset = text.get("attn_layer_period"), int(text.get("attn_layer_offset") or 0)
    if period:
        return _periodic(layers, int(period), offset, "mamba")
    interval = int(text.get("full_attention_interval") or (4 if family.mixer == "linear" else 0))
    if interval:
        return _periodic(layers, interval, interval - 1, "linear")
    if family.chunked and text.get("attention_chunk_size"):
        every = int(text.get("no_rope_layer_interval") or 4)
        return _periodic(layers, every, every - 1, "chunked")
    return _windows(text, family, layers)


def _periodic(layers: int, period: int, full_at: int, other: LayerKind) -> list[LayerKind]:
    return ["full" if index % period == full_at else other for index in range(layers)]


def _windows(text: Mapping[str, Any], family: Family, layers: int) -> list[LayerKind]:
    width = window(text)
    if not width or width >= max_positions(text) or text.get("use_sliding_window") is False:
        return ["full"] * layers
    period = int(text.get("sliding_window_pattern") or text.get("_sliding_window_pattern") or family.window_period)
    if period > 1:
        return _periodic(layers, period, period - 1, "sliding")
    return ["sliding" if family.windowed else "full"] * layers


def _forwards(text: Mapping[str, Any], family: Family, layers: int) -> list[FeedForwardKind]:
    if family.mixer == "mamba":
        return ["none"] * layers
    if not experts(text):
        return ["dense"] * layers
    first = int(text.get("first_k_dense_replace") or 0)
    dense_only = set(text.get("mlp_only_layers") or ())
    step = int(
        text.get("decoder_sparse_step") or text.get("interleave_moe_layer_step") or text.get("moe_layer_freq_n") or 1
    )
    listed = text.get("moe_layers")
    period, offset = text.get("expert_layer_period"), int(text.get("expert_layer_offset") or 0)
    frequency = text.get("moe_layer_freq")
    result: list[FeedForwardKind] = []
    for index in range(layers):
        if isinstance(listed, list) and listed:
            sparse = index in listed
        elif isinstance(frequency, list):
            sparse = bool(frequency[index])
        elif period:
            sparse = index % int(period) == offset
        else:
            sparse = index >= first and index not in dense_only and (index + 1) % step == 0
        result.append("moe" if sparse else "dense")
    return result


def experts(text: Mapping[str, Any]) -> int:
    """Count the routed experts of a layer; 0 for a dense model."""
    for key in ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"):
        value = text.get(key)
        if value:
            return int(value[0] if isinstance(value, list) else value)
    return 0


def max_positions(text: Mapping[str, Any]) -> int:
    """Return the longest context in tokens, YaRN's factor applied."""
    for key in (
        "max_position_embeddings",
        "n_positions",
        "max_seq_len",
        "seq_length",
        "model_max_length",
        "max_sequence_length",
    ):
        if text.get(key):
            scaling = scaling_of(text)
            kind = str(scaling.get("rope_type") or scaling.get("type") or "")
            original = int(scaling.get("original_max_position_embeddings") or 0)
            if kind == "yarn" and original and int(text[key]) == original:
                return int(original * float(scaling.get("factor") or 1))
            return int(text[key])
    return 2048


def window(text: Mapping[str, Any]) -> int | None:
    """Return the sliding window in tokens."""
    value = text.get("sliding_window") or text.get("sliding_window_size")
    if isinstance(value, list):
        value = next((item for item in value if item), None)
    return int(value) if value else None


def scaling_of(text: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the rotary settings of the full-attention layers."""
    for key in ("rope_scaling", "rope_parameters"):
        value = text.get(key)
        if isinstance(value, Mapping):
            inner = value.get("full_attention")
            return inner if isinstance(inner, Mapping) else value
    return {}
