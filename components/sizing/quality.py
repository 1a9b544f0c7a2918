"""What number formats cost in answer quality: published findings with their sources, never our own measurement."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from components.sizing.quantization import Quantization

FULL_PRECISION_BITS = 16


@cache
def _document() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "data" / "quality.json").read_text(encoding="utf-8"))


def cost(quant: Quantization, kv_cache_dtype: str) -> str:
    """Return what weights and KV cache of these formats cost in quality, with sources; empty for 16 bit."""
    found = []
    if quant.weight_bits < FULL_PRECISION_BITS:
        row = _document()["weights"].get(quant.precision)
        found.append(
            f"{row['text']} ({row['source']})" if row else f"{quant.precision}: no published figure is known here"
        )
    row = _document()["kv_cache"].get("fp8" if kv_cache_dtype.startswith("fp8") else kv_cache_dtype)
    if row:
        found.append(f"{row['text']} ({row['source']})")
    return "; ".join(found)
