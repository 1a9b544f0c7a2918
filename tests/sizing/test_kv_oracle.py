"""What vLLM 0.33.0's own KV planner computes, vector by vector, through the command line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from components.sizing.__main__ import main

DATA = Path(__file__).parents[1] / "data"
VECTORS: list[dict[str, Any]] = json.loads((DATA / "vllm_kv_oracle.json").read_text(encoding="utf-8"))["vectors"]


def _name(vector: dict[str, Any]) -> str:
    keys = ("gpu", "model", "args", "kv_cache_dtype", "available_kv_gib_per_gpu")
    return " ".join(str(vector[key]) for key in keys)


def _estimate(vector: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    code = main(
        [
            *("estimate", "--json", "--gpu", vector["gpu"]),
            *("--config", str(DATA / "oracle_configs" / f"{vector['model']}.json")),
            *("--kv-memory-gib", str(vector["available_kv_gib_per_gpu"]), "--kv-cache-dtype", vector["kv_cache_dtype"]),
            *("--", *vector["args"].split()),
        ]
    )
    assert code == 0
    return json.loads(capsys.readouterr().out)


def test_the_oracle_is_all_here() -> None:
    """Prevents a data file that lost vectors from passing silently."""
    assert len(VECTORS) == 31


@pytest.mark.parametrize("vector", [each for each in VECTORS if "error" not in each], ids=_name)
def test_blocks_tokens_and_concurrency_equal_vllm(vector: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents promising another number of KV tokens than the engine logs for the same budget."""
    answer = _estimate(vector, capsys)
    assert answer["verdict"] == "ok", answer["reasons"]
    assert answer["kv_blocks_expected"] == answer["kv_blocks_safe"] == vector["num_blocks"]
    assert answer["kv_tokens_expected"] == answer["kv_tokens_safe"] == vector["kv_tokens"]
    assert round(answer["max_concurrency"], 3) == vector["max_concurrency"]
    assert answer["kv_bytes_per_token_per_gpu"] == vector["naive_bytes_per_token_worker0"]


@pytest.mark.parametrize("vector", [each for each in VECTORS if "error" in each], ids=_name)
def test_what_vllm_refuses_is_too_long(vector: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents a context that fails at start-up from being called fine, and another limit than vLLM names."""
    answer = _estimate(vector, capsys)
    estimated = re.search(r"estimated maximum model length is (\d+)", vector["error"])
    assert estimated is not None
    assert answer["verdict"] == "too_long"
    assert answer["max_model_len_that_fits"] == int(estimated[1])
