"""The `vllm serve` command line."""

from typing import Any

import pytest

from components.sizing.serve_args import read, registry
from components.vllm.arguments import serve_arguments
from tests.components.serving import BIG, HUGE, SMALL

PATHS = ("/models/m/0123abcd", "s3://weights/m")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("decision", [BIG, SMALL, HUGE, {**BIG, "tp": 2, "pp": 2}])
def test_every_flag_is_one_of_the_pinned_release(decision: dict[str, Any], path: str) -> None:
    """Prevents a server that exits with 2: the parser of vLLM 0.33 knows every flag by its full name."""
    arguments = serve_arguments(decision, path, 120)
    flags = {word for word in arguments if word.startswith("--")}
    accepted = {option for name, entry in registry()["flags"].items() for option in (name, *entry.get("also", ()))}
    assert flags <= accepted
    assert read(arguments).model == path
    assert not read(arguments).notes


def test_everything_that_was_decided_is_explicit() -> None:
    """Prevents two replicas on unlike GPUs from serving unlike limits because the engine chose its own defaults."""
    options = read(serve_arguments(BIG, PATHS[0], 120)).options
    decided = {
        "--tensor-parallel-size": 4,
        "--max-model-len": 8192,
        "--max-num-seqs": 16,
        "--max-num-batched-tokens": 2048,
        "--gpu-memory-utilization": 0.92,
        "--kv-cache-dtype": "auto",
        "--shutdown-timeout": 120,
    }
    assert {flag: options[flag] for flag in decided} == decided
    assert "big" in str(options["--served-model-name"])


def test_quantization_is_left_to_the_checkpoint() -> None:
    """Prevents a start that fails because the flag and config.json name the method differently."""
    assert "--quantization" not in serve_arguments({**BIG, "precision": "awq-int4"}, PATHS[0], 120)


@pytest.mark.parametrize(("decision", "off"), [({**BIG, "tp": 2, "gpus": 2}, True), (BIG, False), (HUGE, False)])
def test_custom_all_reduce_is_off_on_pairs_without_peer_access(decision: dict[str, Any], off: bool) -> None:
    """Prevents the hang of two A10Gs whose peer access is reported but broken; vLLM itself sees to more than two."""
    assert ("--disable-custom-all-reduce" in serve_arguments(decision, PATHS[0], 120)) is off


def test_the_streamers_buffer_is_bounded() -> None:
    """Prevents an out-of-memory kill: the S3 streamer takes 40 GB of host memory when nobody says less."""
    options = read(serve_arguments(SMALL, PATHS[1], 120)).options
    assert options["--load-format"] == "runai_streamer"
    assert "5368709120" in str(options["--model-loader-extra-config"])


def test_interactive_documentation_is_off() -> None:
    """Prevents /docs and /openapi.json from answering anybody without a key."""
    assert "--disable-fastapi-docs" in serve_arguments(SMALL, PATHS[0], 120)
