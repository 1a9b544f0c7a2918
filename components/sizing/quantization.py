"""How weights are stored: one frozen description for checkpoints and for quantization at load time.

Sources: the checkpoint formats' own fields, read as vLLM 0.33.0 reads them
(``model_executor/layers/quantization``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from components.sizing.architecture import Architecture

PRECISIONS = (
    "bf16",
    "fp16",
    "fp8",
    "fp8-block",
    "int8",
    "awq-int4",
    "gptq-int4",
    "gptq-int8",
    "mxfp4",
    "nvfp4",
)
ScaleKind = Literal["none", "tensor", "channel", "group", "block"]


@dataclass(frozen=True)
class Quantization:
    """One weight format. ``excluded`` patterns name modules that stay in the model's 16-bit dtype."""

    method: str
    """vLLM's method name; ``none`` for 16-bit weights."""
    precision: str
    """One of PRECISIONS, or the method's own name where none fits."""
    weight_bits: int = 16
    scale: ScaleKind = "none"
    group_size: int = 0
    """Inputs that share a scale (``scale == "group"``); 0 otherwise."""
    block: tuple[int, int] | None = None
    """Rows and columns that share a scale (``scale == "block"``)."""
    scale_bytes: int = 0
    zero_points: bool = False
    act_order: bool = False
    """GPTQ ``desc_act``: adds an index per input and keeps row-parallel scales whole on each rank."""
    activation_bits: int = 16
    static_activations: bool = False
    """The checkpoint stores activation scales."""
    excluded: tuple[str, ...] = ("lm_head",)
    experts_only: bool = False
    """Only routed experts are quantized (gpt-oss, online expert methods)."""
    online: bool = False
    """Quantized by vLLM while loading; False: the checkpoint is stored so."""
    kv_cache_dtype: str = "auto"
    """What the checkpoint asks of the KV cache; ``auto``: nothing."""
    removed: str = ""
    """Why vLLM cannot load it any more; empty: it can."""

    @property
    def is_quantized(self) -> bool:
        """False for 16- and 32-bit weights."""
        return self.method != "none"


_COMMONLY_EXCLUDED = (
    *("lm_head", "re:.*router.*", "re:.*mlp\\.gate$", "re:.*visual.*", "re:.*vision.*"),
    "re:.*in_proj_(a|b|ba)$",
)
"""What public checkpoints leave in 16 bit. The gates of linear attention are narrower than one block of 128, and Qwen's
own FP8 checkpoints start at every TP."""
BF16 = Quantization(method="none", precision="bf16", excluded=())
FP16 = replace(BF16, precision="fp16")


@lru_cache(maxsize=1024)
def from_precision(key: str, arch: "Architecture") -> Quantization:
    """Return the checkpoint that ``key`` means for this model: its own, else the common public layout.

    Raises ValueError naming what is accepted.
    """
    if key not in PRECISIONS:
        msg = f"precision {key!r} is not one of {', '.join(PRECISIONS)}"
        raise ValueError(msg)
    own = arch.checkpoint_precision
    if own.precision in {key, f"{key}-block"}:
        return own
    excluded = _COMMONLY_EXCLUDED
    return {
        "bf16": BF16,
        "fp16": FP16,
        "fp8": Quantization(
            "compressed-tensors", key, 8, "channel", scale_bytes=4, activation_bits=8, excluded=excluded
        ),
        "fp8-block": Quantization(
            "fp8", key, 8, "block", block=(128, 128), scale_bytes=4, activation_bits=8, excluded=excluded
        ),
        "int8": Quantization(
            "compressed-tensors", key, 8, "channel", scale_bytes=4, activation_bits=8, excluded=excluded
        ),
        "awq-int4": Quantization("awq", key, 4, "group", 128, scale_bytes=2, zero_points=True, excluded=excluded),
        "gptq-int4": Quantization("gptq", key, 4, "group", 128, scale_bytes=2, zero_points=True, excluded=excluded),
        "gptq-int8": Quantization("gptq", key, 8, "group", 128, scale_bytes=2, zero_points=True, excluded=excluded),
        "mxfp4": Quantization("mxfp4", key, 4, "group", 32, scale_bytes=1, excluded=excluded, experts_only=arch.is_moe),
        "nvfp4": Quantization(
            "modelopt_fp4",
            key,
            4,
            "group",
            16,
            scale_bytes=1,
            activation_bits=4,
            static_activations=True,
            excluded=excluded,
        ),
    }[key]


def from_config(config: Mapping[str, Any]) -> Quantization:
    """Return what a ``config.json`` (or its text part) says; 16 bit where it names no quantization."""
    from components.sizing.quantization_reader import read  # noqa: PLC0415 - the reader builds this dataclass

    return read(config)
