"""Which catalogued model a repository's name plainly means, and the format that the name says it is stored in.

Quantized copies carry their base's name and a suffix that their publishers' tools made a convention (llm-compressor,
AutoAWQ, GPTQModel, ModelOpt); mirrors and local folders carry the name alone.
"""

import re
from collections.abc import Iterable, Mapping

_FORMATS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"[-_.](?:{suffix})$"), precision)
    for suffix, precision in (
        (r"awq(?:[-_](?:int4|4bit))?", "awq-int4"),
        (r"gptq[-_](?:int8|8bit)|(?:quantized[-_.])?w8a16", "gptq-int8"),
        (r"gptq(?:[-_](?:int4|4bit))?|(?:quantized[-_.])?w4a16|int4", "gptq-int4"),
        (r"(?:quantized[-_.])?w8a8|int8", "int8"),
        (r"fp8[-_]block", "fp8-block"),
        (r"fp8(?:[-_](?:dynamic|static|kv))?", "fp8"),
        (r"nvfp4", "nvfp4"),
        (r"mxfp4", "mxfp4"),
    )
)
_BLOCK_FP8_PUBLISHERS = frozenset({"qwen", "deepseek-ai", "zai-org", "minimaxai"})
"""Their own FP8 checkpoints have 128 x 128 blocks (``weight_block_size`` of their config.json)."""


def stored_format(model_id: str) -> tuple[str, str | None]:
    """Split a name into that of the base model, in small letters without its owner, and the format's precision key."""
    owner, _, name = model_id.strip().rstrip("/").casefold().rpartition("/")
    for pattern, precision in _FORMATS:
        base, found = pattern.subn("", name)
        if found:
            blocks = precision == "fp8" and owner in _BLOCK_FP8_PUBLISHERS
            return base, "fp8-block" if blocks else precision
    return name, None


def base_key(model_id: str, keys: Mapping[str, Iterable[str]]) -> str | None:
    """Return the catalogue's key of the base model; ``keys`` lists usable keys by name, the best first."""
    base, _ = stored_format(model_id)
    for spelled in (base, f"meta-{base}", base.removeprefix("meta-"), f"{base}-hf"):
        found = next(iter(keys.get(spelled, ())), None)
        if found is not None:
            return found
    return None
