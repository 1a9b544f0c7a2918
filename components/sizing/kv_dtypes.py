"""Which KV-cache dtypes an attention backend has on which GPU.

vLLM 0.33.0, v1/attention/backends: FlashAttention 3 takes FP8 on 9.0 only; FlashInfer from 8.0 to 12.1, not with
sinks; Triton from 8.9; each MLA backend its own list.
"""

from dataclasses import dataclass

from components.sizing.architecture import Architecture

_FLASHINFER_HEADS = (64, 128, 256, 512)
_FP8 = ("fp8", "fp8_e4m3", "fp8_e5m2")
_PER_HEAD = ("int8_per_token_head", "int4_per_token_head", "fp8_per_token_head")
_SIXTEEN_BIT = ("auto", "float16", "bfloat16")
KV_CACHE_DTYPES = (*_SIXTEEN_BIT, *_FP8, "fp8_ds_mla", "nvfp4", "nvfp4_4over6", *_PER_HEAD)
"""What legality knows; vLLM also accepts turboquant_*."""


@dataclass(frozen=True)
class KvDtypeProblem:
    """Why no backend takes the dtype, and from which compute capability on one does (0: on none)."""

    least: int
    why: str
    remedy: str = "use --kv-cache-dtype bfloat16, or float16 below 8.0"


def kv_dtype_problem(arch: Architecture, dtype: str, capability: int) -> KvDtypeProblem | None:
    """Return why this cache dtype cannot be served, or None."""
    if dtype == "bfloat16" and capability < 80:
        return KvDtypeProblem(80, "bfloat16 needs an Ampere GPU", "use --kv-cache-dtype float16")
    if dtype in _SIXTEEN_BIT or dtype.startswith("turboquant"):
        return None
    if dtype not in KV_CACHE_DTYPES:
        return KvDtypeProblem(0, f"vLLM has no such dtype; it has {', '.join(KV_CACHE_DTYPES)}")
    if arch.mla:
        return _mla(arch, dtype, capability)
    return _fp8(arch, capability) if dtype in _FP8 else _other(dtype, capability)


def _other(dtype: str, capability: int) -> KvDtypeProblem | None:
    if dtype == "fp8_ds_mla":
        return KvDtypeProblem(0, "it is the layout of DeepSeek's sparse MLA, which this model has not")
    if dtype.startswith("nvfp4"):
        return None if capability // 10 in {10, 12} else KvDtypeProblem(100, "NVFP4 caches need a Blackwell GPU")
    least = 89 if dtype == "fp8_per_token_head" else 75
    return None if capability >= least else KvDtypeProblem(least, "Triton has no FP8 below 8.9")


def _fp8(arch: Architecture, capability: int) -> KvDtypeProblem | None:
    if capability >= 89:
        return None
    if capability < 80:
        return KvDtypeProblem(80, "no attention backend has FP8 below 8.0 (FlashInfer is off on 7.5)")
    if arch.sinks:
        return KvDtypeProblem(
            89, "attention sinks leave only Triton, whose FP8 needs 8.9", "use --kv-cache-dtype bfloat16"
        )
    heads = {arch.attention_shape(kind)[1] for kind in set(arch.layer_kinds) - {"mamba", "linear", "none"}}
    odd = sorted(heads - set(_FLASHINFER_HEADS))
    if odd:
        return KvDtypeProblem(
            89,
            f"head width {odd[0]} is not one of FlashInfer's ({', '.join(map(str, _FLASHINFER_HEADS))}), "
            "and Triton's FP8 needs 8.9",
        )
    return None


def _mla(arch: Architecture, dtype: str, capability: int) -> KvDtypeProblem | None:
    sparse = bool(arch.mla and arch.mla.index_topk)
    if dtype == "fp8_ds_mla":
        if not sparse:
            return KvDtypeProblem(0, "it is the layout of DeepSeek's sparse MLA, which this model has not")
        return None if capability >= 90 else KvDtypeProblem(90, "sparse MLA needs an H100 or newer")
    if dtype in {"fp8", "fp8_e4m3"}:
        return None if capability >= 89 else KvDtypeProblem(89, "MLA caches in FP8 need 8.9 (Triton MLA) or 9.0")
    return KvDtypeProblem(0, "no MLA backend takes it", "use --kv-cache-dtype fp8 or auto")
