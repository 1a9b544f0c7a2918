"""Reads ``quantization_config`` of every public method into one ``Quantization``.

The fields are those that vLLM 0.33.0 reads (``model_executor/layers/quantization/*.py``, ``from_config``).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from components.sizing.quantization import BF16, FP16, Quantization

_REMOVED = {
    "bitsandbytes": "bitsandbytes left vLLM's core in 0.28 (vllm PR 43529): use fp8, AWQ, GPTQ or compressed-tensors",
    "gguf": "GGUF is out of vLLM's tree since 0.28 (vllm-gguf-plugin): use a safetensors checkpoint",
    "aqlm": "AQLM was removed from vLLM: use AWQ or GPTQ",
    "hqq": "HQQ was removed from vLLM: use AWQ or GPTQ",
    "deepspeedfp": "DeepSpeedFP was removed from vLLM: use fp8",
    "marlin": "the marlin checkpoint format was removed from vLLM: use GPTQ (Marlin kernels are chosen by themselves)",
    "tpu_int8": "tpu_int8 was removed from vLLM: use compressed-tensors int8",
    "ptpc_fp8": "ptpc_fp8 was removed from vLLM: use fp8_per_channel",
    "gptq_marlin_24": "sparse 2:4 Marlin was removed from vLLM: use GPTQ",
}
_KV_CACHE_KEYS = ("kv_cache_scheme", "kv_cache_quant_algo")
_KV_CACHE_ALGORITHMS = {"fp8": "fp8", "nvfp4": "nvfp4"}


def read(config: Mapping[str, Any]) -> Quantization:
    """Return the weight format of a configuration; 16 bit where it names none."""
    found = _section(config)
    if not found:
        return FP16 if dtype_of(config) == "float16" else BF16
    method = str(found.get("quant_method") or found.get("quantization_method") or _implied(found)).lower()
    if method in _REMOVED:
        return _removed(method, found)
    reader = _READERS.get(method, _generic)
    return replace(reader(found), kv_cache_dtype=_kv_cache_dtype(method, found))


def _kv_cache_dtype(method: str, found: Mapping[str, Any]) -> str:
    """Return what the checkpoint asks of the KV cache (utils/torch_utils.py:443, attention/attention.py:287)."""
    inner = found.get("quantization")
    holders = (inner, found) if isinstance(inner, Mapping) else (found,)
    asked = next((holder[key] for key in _KV_CACHE_KEYS for holder in holders if holder.get(key)), None)
    if asked is None or not method.startswith(("modelopt", "compressed-tensors")):
        return "auto"
    if method == "compressed-tensors":
        return "fp8"
    if isinstance(asked, Mapping):
        bits = asked.get("num_bits") if asked.get("type") == "float" else None
        asked = "nvfp4" if bits == 4 else "fp8" if bits == 8 and asked.get("dynamic") is False else ""
    return _KV_CACHE_ALGORITHMS.get(str(asked).lower(), "auto")


def dtype_of(config: Mapping[str, Any]) -> str:
    """Return the 16-bit dtype that vLLM serves this checkpoint in (float32 becomes bfloat16)."""
    text = _text(config)
    value = str(text.get("torch_dtype") or text.get("dtype") or config.get("torch_dtype") or config.get("dtype") or "")
    value = value.removeprefix("torch.")
    return value if value in {"float16", "bfloat16"} else "bfloat16"


def _text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in ("text_config", "llm_config", "language_config"):
        if isinstance(config.get(key), Mapping):
            return config[key]
    return config


def _section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    for holder in (config, _text(config)):
        for key in ("quantization_config", "compression_config"):
            if isinstance(holder.get(key), Mapping) and holder[key]:
                return holder[key]
    # hf_quant_config.json of ModelOpt, given as it is or merged into config.json
    section = config.get("quantization")
    return section if isinstance(section, Mapping) else {}


def _implied(found: Mapping[str, Any]) -> str:
    if "quant_algo" in found or "quantization" in found:
        return "modelopt"
    return "compressed-tensors" if "config_groups" in found else "unknown"


def _patterns(found: Mapping[str, Any], *keys: str) -> tuple[str, ...]:
    for key in keys:
        value = found.get(key)
        if value:
            return tuple(str(item) for item in value)
    return ()


def _removed(method: str, found: Mapping[str, Any]) -> Quantization:
    bits = 8 if found.get("load_in_8bit") else 4
    # 4-bit bitsandbytes keeps one byte of scale per 64 weights (nested statistics).
    return Quantization(
        method, method, bits, "group", 64, scale_bytes=1, excluded=("lm_head",), removed=_REMOVED[method]
    )


def _awq(found: Mapping[str, Any]) -> Quantization:
    bits = int(found.get("bits") or found.get("w_bit") or 4)
    return Quantization(
        "awq",
        "awq-int4" if bits == 4 else f"awq-int{bits}",
        bits,
        "group",
        int(found.get("group_size") or found.get("q_group_size") or 128),
        scale_bytes=2,
        zero_points=True,
        excluded=("lm_head", *_patterns(found, "modules_to_not_convert")),
    )


def _gptq(found: Mapping[str, Any]) -> Quantization:
    bits = int(found.get("bits") or 4)
    group = int(found.get("group_size") or 128)
    return Quantization(
        "gptq",
        f"gptq-int{bits}",
        bits,
        "channel" if group == -1 else "group",
        max(group, 0),
        scale_bytes=2,
        zero_points=True,
        act_order=bool(found.get("desc_act")),
        excluded=(*(() if found.get("lm_head") else ("lm_head",)), *_patterns(found, "modules_to_not_convert")),
    )


def _auto_round(found: Mapping[str, Any]) -> Quantization:
    return _awq(found) if "awq" in str(found.get("packing_format", "")) else _gptq(found)


def _fp8(found: Mapping[str, Any]) -> Quantization:
    block = found.get("weight_block_size")
    excluded = ("lm_head", *_patterns(found, "modules_to_not_convert", "ignored_layers"))
    static = found.get("activation_scheme") == "static"
    if block:
        shape = (int(block[0]), int(block[1]))
        return Quantization(
            "fp8", "fp8-block", 8, "block", block=shape, scale_bytes=4, activation_bits=8, excluded=excluded
        )
    return Quantization(
        "fp8", "fp8", 8, "tensor", scale_bytes=4, activation_bits=8, static_activations=static, excluded=excluded
    )


def _fbgemm(found: Mapping[str, Any]) -> Quantization:
    return Quantization(
        "fbgemm_fp8",
        "fp8",
        8,
        "channel",
        scale_bytes=4,
        activation_bits=8,
        excluded=("lm_head", *_patterns(found, "modules_to_not_convert")),
    )


def _mxfp4(found: Mapping[str, Any]) -> Quantization:
    return Quantization(
        "mxfp4",
        "mxfp4",
        4,
        "group",
        32,
        scale_bytes=1,
        experts_only=True,
        excluded=("lm_head", *_patterns(found, "modules_to_not_convert")),
    )


_IMPLIED_BY_FORMAT = {
    "pack-quantized": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": True},
    "float-quantized": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True},
    "int-quantized": {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True},
    "nvfp4-pack-quantized": {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16},
    "mxfp4-pack-quantized": {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32},
}


def _compressed_tensors(found: Mapping[str, Any]) -> Quantization:
    groups = [group for group in (found.get("config_groups") or {}).values() if isinstance(group, Mapping)]
    weights: Mapping[str, Any] = next((group["weights"] for group in groups if group.get("weights")), {})
    inputs: Mapping[str, Any] = next((g["input_activations"] for g in groups if g.get("input_activations")), {})
    format_ = str(found.get("format") or next((g["format"] for g in groups if g.get("format")), ""))
    weights = weights or _IMPLIED_BY_FORMAT.get(format_, _IMPLIED_BY_FORMAT["float-quantized"])
    bits, kind, strategy = int(weights.get("num_bits", 8)), weights.get("type", "int"), weights.get("strategy")
    excluded = ("lm_head", *_patterns(found, "ignore"))
    static = bool(inputs) and inputs.get("dynamic") is False
    group = int(weights.get("group_size") or 0)
    activation_bits = int(inputs.get("num_bits", 16)) if inputs else 16
    if kind == "float" and bits == 4:
        if group == 32:
            return Quantization("compressed-tensors", "mxfp4", 4, "group", 32, scale_bytes=1, excluded=excluded)
        return Quantization(
            "compressed-tensors",
            "nvfp4",
            4,
            "group",
            group or 16,
            scale_bytes=1,
            excluded=excluded,
            activation_bits=activation_bits,
            static_activations=bool(inputs),
        )
    if strategy == "block":
        shape = tuple(int(side) for side in weights.get("block_structure") or (128, 128))
        return Quantization(
            "compressed-tensors",
            "fp8-block",
            8,
            "block",
            block=(shape[0], shape[1]),
            scale_bytes=4,
            activation_bits=8,
            excluded=excluded,
        )
    if inputs or (kind == "float" and bits == 8):
        precision = "fp8" if kind == "float" else f"int{bits}"
        return Quantization(
            "compressed-tensors",
            precision,
            bits,
            "tensor" if strategy == "tensor" else "channel",
            scale_bytes=4,
            activation_bits=activation_bits,
            static_activations=static,
            excluded=excluded,
        )
    return Quantization(
        "compressed-tensors",
        f"gptq-int{bits}",
        bits,
        "group" if group > 0 else "channel",
        max(group, 0),
        scale_bytes=2,
        zero_points=weights.get("symmetric") is False,
        act_order=weights.get("actorder") == "group",
        excluded=excluded,
    )


def _modelopt(found: Mapping[str, Any]) -> Quantization:
    inner = found.get("quantization")
    section: Mapping[str, Any] = inner if isinstance(inner, Mapping) else found
    algorithm = str(section.get("quant_algo") or found.get("quant_algo") or "FP8").upper()
    excluded = ("lm_head", *_patterns(section, "exclude_modules", "ignore"), *_patterns(found, "ignore"))
    if "MXFP8" in algorithm:
        return Quantization(
            "modelopt_mxfp8", "fp8", 8, "group", 32, scale_bytes=1, activation_bits=8, excluded=excluded
        )
    if "FP4" in algorithm or "MIXED" in algorithm:
        method = "modelopt_mixed" if "MIXED" in algorithm else "modelopt_fp4"
        return Quantization(
            method,
            "nvfp4",
            4,
            "group",
            int(section.get("group_size") or 16),
            scale_bytes=1,
            activation_bits=4,
            static_activations=True,
            excluded=excluded,
        )
    if "PB" in algorithm:
        return Quantization("modelopt", "fp8-block", 8, "block", block=(128, 128), scale_bytes=4, excluded=excluded)
    return Quantization(
        "modelopt", "fp8", 8, "tensor", scale_bytes=4, activation_bits=8, static_activations=True, excluded=excluded
    )


def _experts_int8(_found: Mapping[str, Any]) -> Quantization:
    return Quantization("experts_int8", "int8", 8, "channel", scale_bytes=4, experts_only=True, online=True)


def _generic(found: Mapping[str, Any]) -> Quantization:
    method = str(found.get("quant_method", "unknown"))
    bits = int(found.get("bits") or found.get("num_bits") or 8)
    return Quantization(
        method,
        method,
        bits,
        "group",
        int(found.get("group_size") or 128),
        scale_bytes=2,
        excluded=("lm_head", *_patterns(found, "modules_to_not_convert", "ignore")),
    )


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Quantization]] = {
    "awq": _awq,
    "awq_marlin": _awq,
    "auto_awq": _awq,
    "gptq": _gptq,
    "gptq_marlin": _gptq,
    "auto_gptq": _gptq,
    "auto-round": _auto_round,
    "intel/auto-round": _auto_round,
    "inc": _auto_round,
    "fp8": _fp8,
    "fbgemm_fp8": _fbgemm,
    "mxfp4": _mxfp4,
    "gpt_oss_mxfp4": _mxfp4,
    "compressed-tensors": _compressed_tensors,
    "modelopt": _modelopt,
    "modelopt_fp4": _modelopt,
    "modelopt_mixed": _modelopt,
    "modelopt_mxfp8": _modelopt,
    "experts_int8": _experts_int8,
}
