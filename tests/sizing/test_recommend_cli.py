"""The recommend command: exit codes, the JSON document, tables, and errors that name option and value."""

import json
from typing import Any

import pytest

from components.sizing.__main__ import main
from tests.sizing.questions import CONFIGS

PLAN_KEYS = {
    *("name", "model", "precision", "instance_type", "gpu", "gpus", "tp", "pp", "replicas_min", "replicas_max"),
    *("capacity", "max_model_len", "max_num_seqs", "memory", "kv_tokens_safe", "max_concurrency", "ttft_ms"),
    *("tpot_ms", "output_tokens_per_s", "usd_per_hour", "usd_per_million_output_tokens", "rejected", "assumptions"),
}
SERVING_KEYS = {
    *("max_num_batched_tokens", "gpu_memory_utilization", "kv_cache_dtype", "host_cpu_millicores", "host_memory_mib"),
    *("alternates", "nodes", "zones", "weights_gib_total", "checkpoint_bytes", "load_strategy", "shm_gib"),
}


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = main(["recommend", *arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def _config(name: str) -> tuple[str, str]:
    return "--config", str(CONFIGS / f"{name}.json")


def _document(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = _run(capsys, *arguments, "--json")
    return code, json.loads(out)


def test_chosen_and_alternatives_have_the_plans_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents readers of the plan's JSON from breaking on the command's."""
    code, document = _document(
        capsys,
        *_config("llama3.1-70b-awq"),
        *("--families", "g5,p5", "--concurrency", "8", "--max-model-len", "8192", "--tpot-ms", "120"),
    )
    assert code == 0
    assert document["chosen"]["instance_type"] == "g5.12xlarge"
    assert document["alternatives"]
    for decision in (document["chosen"], *document["alternatives"]):
        assert set(decision) >= PLAN_KEYS | SERVING_KEYS
    assert set(document) >= {"chosen", "alternatives", "rejected", "assumptions", "bands", "engine"}
    for band in document["bands"].values():
        assert band["low"] <= band["expected"] <= band["high"]
    keys = {"instance_type", "tp", "pp", "gate", "actual", "limit", "unit", "text"}
    assert all(set(each) >= keys for each in document["rejected"])
    assert all(set(each) == {"name", "value", "source", "version"} for each in document["assumptions"])
    assert {each["profile"] for each in document["profiles"]} == {"long-context", "balanced", "burst"}


def test_nothing_found_is_one_and_still_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents an empty answer where every reason is known."""
    code, document = _document(capsys, *_config("llama3.1-405b"), "--precision", "bf16", "--families", "g5")
    assert code == 1
    assert document["chosen"] is None
    assert document["alternatives"] == []
    assert document["rejected"]


def test_repeated_precisions_and_comma_lists(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents options that keep only their last value."""
    code, document = _document(
        capsys,
        *_config("llama3.1-405b"),
        *("--precision", "bf16", "--precision", "fp8", "--families", "p5", "--capacity", "reserved,on-demand"),
    )
    assert code == 0
    assert document["chosen"]["precision"] == "fp8"
    assert document["chosen"]["capacity"] == ["reserved", "on-demand"]


def test_tables_show_choice_budget_and_refusals(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents output that only machines read."""
    code, out, err = _run(capsys, *_config("llama3.1-8b"), "--families", "g5", "--concurrency", "16")
    assert (code, err) == (0, "")
    for part in ("chosen", "g5.2xlarge", "GiB per GPU", "weights", "Profiles", "Refused", "Outside the allowed"):
        assert part in out
    code, out, _ = _run(capsys, *_config("llama3.1-405b"), "--families", "g4dn")
    assert code == 1
    assert out.startswith("Nothing satisfies")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--model", "meta-llama/Llama-9"), ("--model", "meta-llama/Llama-9")),
        (("--families", "g9"), ("--families", "g9", "g4dn")),
        (("--families", ","), ("--families", "empty")),
        (("--capacity", "cheap"), ("--capacity", "cheap", "spot")),
        (("--region", "mars-1"), ("region", "mars-1", "us-east-1")),
        (("--precision", "int3"), ("--precision", "int3", "awq-int4")),
        (("--objective", "x"), ("--objective", "x", "per-token")),
        (("--concurrency", "0"), ("--concurrency", "0")),
        (("--tpot-ms", "-1"), ("--tpot-ms", "-1")),
        (("--prefix-hit-rate", "1.5"), ("--prefix-hit-rate", "1.5")),
        (("--max-nodes", "zero"), ("--max-nodes", "zero")),
        (("--vllm-version", "9.9"), ("vllm-version", "9.9", "0.33")),
        (("--max-model-len", "100"), ("max-model-len", "100", "1280")),
        (("--famillies", "g5"), ("--famillies",)),
    ],
)
def test_bad_input_is_two_and_names_what_is_wrong(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    """Prevents tracebacks and errors that do not say which option, which value, and what is accepted."""
    model = () if "--model" in arguments else _config("llama3.1-8b")
    code, out, err = _run(capsys, *model, *arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    for part in parts:
        assert part in err


def test_a_model_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents sizing a model that nobody named."""
    code, _, err = _run(capsys)
    assert code == 2
    assert "--model" in err


def test_a_checkpoint_that_asks_for_fp8_caches(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents a traceback where ``auto`` means FP8, which the older GPUs of the catalogue do not have."""
    code, document = _document(capsys, "--model", "nvidia/Qwen3.6-27B-NVFP4", "--max-model-len", "4096")
    refused = [each["instance_type"] for each in document["rejected"] if each["gate"] == "kv_dtype"]
    assert code == 0
    assert any(name.startswith("g4dn") for name in refused)


def test_more_nodes_than_layers(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents a search that takes minutes: a pipeline stage without a layer does not exist."""
    options = ("--max-model-len", "1000000", "--max-nodes", "100000000")
    code, document = _document(capsys, *_config("qwen3-0.6b"), *options)
    assert code == 1
    assert max(each["pp"] for each in document["rejected"]) <= 28
