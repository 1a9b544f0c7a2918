"""Bring together what stands before a lone ``--`` and the ``vllm serve`` arguments after it."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from components.sizing.cli.options import MOST_GIB, MOST_GPUS, MOST_TOKENS, InputError
from components.sizing.quantization import PRECISIONS
from components.sizing.serve_args import ServeCommand, registry
from components.sizing.verdict import KV_BYTES_FLAG

_GIB = 2**30
_OWN_NAME: Mapping[str, str] = {
    "--model": "model",
    "--tensor-parallel-size": "tp",
    "--pipeline-parallel-size": "pp",
    "--data-parallel-size": "dp",
    "--enable-expert-parallel": "ep",
    "--max-model-len": "max_model_len",
    "--max-num-seqs": "max_num_seqs",
    "--max-num-batched-tokens": "max_num_batched_tokens",
    "--gpu-memory-utilization": "gpu_memory_utilization",
    "--kv-cache-dtype": "kv_cache_dtype",
    "--enforce-eager": "enforce_eager",
    KV_BYTES_FLAG: "kv_memory_gib",
}
"""Flags of ``vllm serve`` that have an option of their own here."""
_LEAST: Mapping[str, int] = {
    "--decode-context-parallel-size": 1,
    "--prefill-context-parallel-size": 1,
    "--num-gpu-blocks-override": 1,
    "--cudagraph-capture-sizes": 1,
    "--max-cudagraph-capture-size": 0,
}
"""Flags without an option of their own here whose numbers the planner uses."""
_ONLINE_PRECISION: Mapping[str, str] = {
    "fp8": "fp8",
    "fp8_per_tensor": "fp8",
    "fp8_per_channel": "fp8",
    "fp8_per_block": "fp8-block",
    "mxfp4": "mxfp4",
}
"""``--quantization`` of a 16-bit checkpoint: quantized while loading (config/quantization.py:212-222)."""
_EXPERTS_ONLY = frozenset({"int8_per_channel_weight_only", "nvfp4_per_token", "experts_int8"})
"""Accepted on dense models, where they do nothing."""


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split at the first lone ``--``."""
    if "--" not in arguments:
        return list(arguments), []
    at = list(arguments).index("--")
    return list(arguments[:at]), list(arguments[at + 1 :])


def merge(given: argparse.Namespace, command: ServeCommand) -> dict[str, Any]:
    """Return what is left of the command after its own options moved into ``given``.

    Raises InputError where the two sides disagree or vLLM would refuse a value.
    """
    left = dict(command.options)
    if command.model is not None:
        if left.get("--model", command.model) != command.model:
            msg = f"--model {left['--model']}: vllm serve already names {command.model!r}"
            raise InputError(msg)
        left["--model"] = command.model
    for flag, name in _OWN_NAME.items():
        if flag in left:
            _move(given, name, flag, left)
    _check_positive(given)
    for flag, least in _LEAST.items():
        values = left.get(flag, least)
        if any(value < least for value in (values if isinstance(values, list) else [values])):
            msg = f"{flag} {left[flag]}: whole numbers from {least} on are accepted"
            raise InputError(msg)
    return left


def _move(given: argparse.Namespace, name: str, flag: str, left: dict[str, Any]) -> None:
    value = left[flag] if flag == KV_BYTES_FLAG else left.pop(flag)
    if flag == KV_BYTES_FLAG:
        value /= _GIB
    before = getattr(given, name)
    if name == "model" and given.config is not None:
        return
    if before is not None and before != value:
        msg = f"--{name.replace('_', '-')} {before} before -- and {flag} {value} after it disagree: give it once"
        raise InputError(msg)
    setattr(given, name, value)


def _check_positive(given: argparse.Namespace) -> None:
    """Check what vLLM's configuration classes refuse after parsing."""
    for name in ("tp", "pp", "dp", "max_num_seqs", "max_num_batched_tokens"):
        value, most = getattr(given, name), MOST_GPUS if name in {"tp", "pp", "dp"} else MOST_TOKENS
        if value is not None and not 1 <= value <= most:
            msg = f"--{name.replace('_', '-')} {value}: a whole number from 1 to {most} is accepted"
            raise InputError(msg)
    length = given.max_model_len
    if length is not None and not 1 <= length <= MOST_TOKENS and length != -1:
        msg = f"--max-model-len {length}: a whole number from 1 to {MOST_TOKENS}, or auto, is accepted"
        raise InputError(msg)
    share = given.gpu_memory_utilization
    if share is not None and not 0 < share <= 1:
        msg = f"--gpu-memory-utilization {share}: a share above 0 and up to 1 is accepted"
        raise InputError(msg)
    if given.kv_memory_gib is not None and not 0 <= given.kv_memory_gib <= MOST_GIB:
        msg = f"--kv-memory-gib {given.kv_memory_gib:g}: a number from 0 to {MOST_GIB} is accepted"
        raise InputError(msg)


def online_precision(method: str | None, *, checkpoint_is_quantized: bool, precision: str | None) -> str | None:
    """Return the precision that ``--quantization`` makes of the checkpoint; ``precision`` where it changes nothing.

    Raises InputError for a method that vLLM does not have.
    """
    if method is None:
        return precision
    accepted = registry()["known_values"]["--quantization"]
    if method not in accepted:
        hint = "bitsandbytes left vLLM in 0.28; " if method == "bitsandbytes" else ""
        msg = f"--quantization {method!r}: {hint}accepted: {', '.join(accepted)}"
        raise InputError(msg)
    if checkpoint_is_quantized or method in _EXPERTS_ONLY:
        return precision
    made = _ONLINE_PRECISION.get(method)
    if made is None and precision is None:
        msg = (
            f"--quantization {method}: the checkpoint is 16 bit, and vLLM finds no {method} configuration in it; give "
            f"--precision ({', '.join(PRECISIONS)}) for another checkpoint, or one of "
            f"{', '.join(_ONLINE_PRECISION)} to quantize while loading"
        )
        raise InputError(msg)
    if made is not None and precision not in (None, "bf16", "fp16", made):
        msg = f"--precision {precision} before -- and --quantization {method} after it disagree: give one of them"
        raise InputError(msg)
    return made or precision
