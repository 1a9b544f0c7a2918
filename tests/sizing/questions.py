"""Requirements that several tests ask: the models as their public configurations, the loads of the prod stack."""

import json
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from components.sizing.architecture import Architecture, from_config
from components.sizing.requirement import Requirement
from components.sizing.types import Load

CONFIGS = Path(__file__).parent.parent / "data" / "oracle_configs"
TODAY = date(2026, 11, 26)


@cache
def architecture(name: str) -> Architecture:
    """Read one of the configurations in tests/data/oracle_configs."""
    return from_config(json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8")), name)


def requirement(name: str, concurrency: int = 16, **rest: Any) -> Requirement:
    """Ask for a model with 1,024 tokens in and 256 out."""
    load = Load(concurrency, rest.pop("input_tokens", 1024), rest.pop("output_tokens", 256))
    return Requirement(architecture(name), load, today=TODAY, **rest)


def prod_70b(**rest: Any) -> Requirement:
    """Llama 3.1 70B AWQ of the prod stack."""
    settings = {"max_model_len": 8192, "families": ("g5",), "tpot_ms": 120.0, "replicas_max": 4, **rest}
    return requirement("llama3.1-70b-awq", 8, **settings)


def prod_8b(**rest: Any) -> Requirement:
    """Llama 3.1 8B BF16 of the prod stack."""
    settings = {"max_model_len": 8192, "families": ("g5",), "max_sequences": 32, "replicas_max": 4, **rest}
    return requirement("llama3.1-8b", 16, **settings)


def prod_405b(**rest: Any) -> Requirement:
    """Llama 3.1 405B FP8 of the prod stack."""
    settings = {"max_model_len": 8192, "families": ("p5",), "precisions": ("fp8",), "replicas_max": 2, **rest}
    return requirement("llama3.1-405b", 16, **settings)
