"""Reading a ``vllm serve`` command line like vLLM's own parser."""

import pytest

from components.sizing.serve_args import BadArgumentError, human_readable_int, read, registry


def _options(line: str) -> dict[str, object]:
    return dict(read(line.split()).options)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-tp 4", {"--tensor-parallel-size": 4}),
        ("-tp=4", {"--tensor-parallel-size": 4}),
        ("--tensor_parallel_size=4", {"--tensor-parallel-size": 4}),
        ("--max-model-len 32k", {"--max-model-len": 32_000}),
        ("--max-model-len 32K", {"--max-model-len": 32_768}),
        ("--max-model-len auto", {"--max-model-len": -1}),
        ("--max-model-len -1", {"--max-model-len": -1}),
        ("--kv-cache-memory-bytes 9G", {"--kv-cache-memory-bytes": 9 * 2**30}),
        ("--enforce-eager", {"--enforce-eager": True}),
        ("--no-enforce-eager", {"--enforce-eager": False}),
        ("--disable-hybrid-kv-cache-manager", {"--disable-hybrid-kv-cache-manager": True}),
        ("--enable-hybrid-kv-cache-manager", {"--disable-hybrid-kv-cache-manager": False}),
        ("--no-disable-hybrid-kv-cache-manager", {"--disable-hybrid-kv-cache-manager": False}),
        ("--disable-prefix-caching", {"--enable-prefix-caching": False}),
        ("--no-enable-prefix-caching", {"--enable-prefix-caching": False}),
        ("-ep", {"--enable-expert-parallel": True}),
        ("-O3", {"--optimization-level": "3"}),
        ("-O=0", {"--optimization-level": "0"}),
        ("-O 1", {"--optimization-level": "1"}),
        ("--compilation-config.mode 3", {"--compilation-config.mode": "3"}),
        ("--cudagraph-capture-sizes 1 2 4 --port 9", {"--cudagraph-capture-sizes": [1, 2, 4], "--port": 9}),
        ("--gpu-memory-utilization 0.95", {"--gpu-memory-utilization": 0.95}),
        ("--device-memory-utilization 0.95", {"--gpu-memory-utilization": 0.95}),
    ],
)
def test_spellings_that_vllm_accepts(line: str, expected: dict[str, object]) -> None:
    """Prevents a spelling of a flag that users run today from being refused or read as something else."""
    assert _options(line) == expected


def test_every_registered_spelling_is_read() -> None:
    """Prevents a flag of the registry from being out of reach, whatever its kind."""
    samples = {"int": "1", "float": "0.5", "human_readable_int": "1", "human_readable_int_or_auto": "1", "json": "{}"}
    for name, entry in registry()["flags"].items():
        for option in (name, *entry.get("also", ())):
            value = (
                [] if entry.get("switch") else [str((entry.get("choices") or [samples.get(entry.get("type"), "x")])[0])]
            )
            assert list(read([option, *value]).options) == [name]


def test_the_model_is_positional_and_the_command_itself_may_stand_in_front() -> None:
    """Prevents a copied command from losing its model."""
    assert read(["vllm", "serve", "Qwen/Qwen3-8B", "-tp", "2"]).model == "Qwen/Qwen3-8B"


def test_a_unique_abbreviation_is_resolved_and_said() -> None:
    """Prevents argparse's silent abbreviations from hiding what an option really is."""
    command = read(["--kv-cache-memory", "4G"])
    assert command.options == {"--kv-cache-memory-bytes": 4 * 2**30}
    assert "--kv-cache-memory read as --kv-cache-memory-bytes" in command.notes[0]


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("--max-num 4", ("--max-num", "ambiguous", "--max-num-seqs", "--max-num-batched-tokens")),
        ("--tensor-paralel-size 4", ("--tensor-paralel-size", "no such flag", "--tensor-parallel-size")),
        ("--frobnicate", ("--frobnicate", "no such flag")),
        ("--swap-space 4", ("--swap-space", "removed")),
        ("--rope-scaling {}", ("--rope-scaling", "removed", "--hf-overrides")),
        ("--max_seq_len_to_capture 8192", ("removed", "--max-cudagraph-capture-size")),
        ("-tp four", ("--tensor-parallel-size", "'four'", "whole number")),
        ("-tp", ("--tensor-parallel-size", "expects a value")),
        ("-tp --enforce-eager", ("--tensor-parallel-size", "expects a value")),
        ("--enforce-eager=yes", ("--enforce-eager", "takes no value")),
        ("--gpu-memory-utilization nan", ("--gpu-memory-utilization", "'nan'", "number")),
        ("--max-model-len 8.5K", ("--max-model-len", "'8.5K'")),
        ("--dtype int4", ("--dtype", "'int4'", "bfloat16")),
        ("--cudagraph-capture-sizes", ("--cudagraph-capture-sizes", "at least one")),
        ("one two", ("'two'", "second model")),
    ],
)
def test_what_vllm_refuses_is_refused_with_the_reason(line: str, parts: tuple[str, ...]) -> None:
    """Prevents an ignored or misread flag: the message names option, value and what is accepted."""
    with pytest.raises(BadArgumentError) as refusal:
        read(line.split())
    for part in parts:
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "value"), [("8192", 8192), ("1k", 1000), ("1K", 1024), ("25.6k", 25_600), ("2M", 2**21)]
)
def test_human_readable_numbers(text: str, value: int) -> None:
    """Prevents 32k and 32K from meaning the same: vLLM reads decimal and binary units."""
    assert human_readable_int(text) == value
