"""Finds the image tower of a multimodal ``config.json``."""

from collections.abc import Mapping
from typing import Any

from components.sizing.architecture import Vision

_KINDS = {
    "Gemma3ForConditionalGeneration": "siglip",
    "Mistral3ForConditionalGeneration": "pixtral",
    "Qwen2VLForConditionalGeneration": "qwen2_vl",
    "Qwen2_5_VLForConditionalGeneration": "qwen2_5_vl",
    "Qwen3VLForConditionalGeneration": "qwen3_vl",
    "Qwen3VLMoeForConditionalGeneration": "qwen3_vl",
    "Qwen3_5ForConditionalGeneration": "qwen3_vl",
    "Qwen3_5MoeForConditionalGeneration": "qwen3_vl",
    "Gemma4ForConditionalGeneration": "gemma4",
    "Llama4ForConditionalGeneration": "llama4",
    "KimiVLForConditionalGeneration": "moonvit",
    "KimiK25ForConditionalGeneration": "moonvit",
}


def read_vision(config: Mapping[str, Any], hf_class: str, text: Mapping[str, Any]) -> Vision | None:
    """Return the tower's shape, or None for a text model or a tower whose shape no config states."""
    section = config.get("vision_config")
    if not isinstance(section, Mapping) or not section:
        return None
    hidden = _first(section, "embed_dim", "vt_hidden_size", "hidden_size")
    layers = _first(section, "num_hidden_layers", "depth", "vt_num_hidden_layers")
    if not hidden or not layers:
        return None
    return Vision(
        layers=layers,
        hidden=hidden,
        intermediate=_first(section, "intermediate_size", "vt_intermediate_size")
        or int(hidden * float(section.get("mlp_ratio") or 4)),
        heads=_first(section, "num_attention_heads", "num_heads", "vt_num_attention_heads") or 16,
        kind=_KINDS.get(hf_class, "siglip"),
        patch=_first(section, "patch_size", "spatial_patch_size") or 14,
        image=_first(section, "image_size"),
        channels=_first(section, "num_channels", "in_channels", "in_chans") or 3,
        temporal_patch=_first(section, "temporal_patch_size") or 1,
        merge=_first(section, "spatial_merge_size") or int(config.get("spatial_merge_size") or 2),
        positions=_first(section, "num_position_embeddings", "position_embedding_size")
        or _first(section, "init_pos_emb_height") * _first(section, "init_pos_emb_width"),
        out_hidden=_first(section, "out_hidden_size", "vision_output_dim") or int(text.get("hidden_size") or 0),
        deepstack=len(section.get("deepstack_visual_indexes") or ()),
    )


def _first(section: Mapping[str, Any], *keys: str) -> int:
    for key in keys:
        value = section.get(key)
        if isinstance(value, list):
            value = value[0]
        if value:
            return int(value)
    return 0
