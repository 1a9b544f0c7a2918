"""The ``estimate`` command: what it accepts, what it refuses and how, and that nothing ends in a traceback."""

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.sizing.__main__ import main
from components.sizing.serve_args import registry
from tests.sizing.deployments import CONFIGS

CONFIG = CONFIGS / "llama3.1-8b.json"
BASE = ("--config", str(CONFIG), "--gpu", "a10g")
KEYS = {
    *("fits", "verdict", "reasons", "weights_gib_per_gpu", "non_torch_gib", "activation_gib", "cuda_graph_gib"),
    *("kv_gib_per_gpu_expected", "kv_gib_per_gpu_safe", "kv_tokens_expected", "kv_tokens_safe"),
    *("kv_bytes_per_token_per_gpu", "max_concurrency", "max_model_len_that_fits", "assumptions"),
}
LOAD = ("--concurrency", "4", "--input-tokens", "1000", "--output-tokens", "200")


class Run:
    """Exit code and both streams of a run."""

    def __init__(self, arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
        try:
            self.code = main(["estimate", *arguments])
        except SystemExit as end:
            self.code = int(end.code or 0)
        self.out, self.err = capsys.readouterr()

    @property
    def document(self) -> dict[str, Any]:
        """The printed JSON."""
        assert self.code == 0, self.err
        return json.loads(self.out)


def test_every_documented_key_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents a renamed key from breaking whoever reads the JSON."""
    assert set(Run([*BASE, "--json"], capsys).document) >= KEYS


def test_speed_keys_come_with_a_load(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents losing latency when all three load options are given."""
    document = Run([*BASE, *LOAD, "--max-model-len", "8192", "--json"], capsys).document
    assert set(document) >= {"ttft_ms", "tpot_ms", "output_tokens_per_s", "bands"}
    assert document["bands"]["tpot_ms"]["low"] < document["tpot_ms"] < document["bands"]["tpot_ms"]["high"]


def test_what_does_not_fit_is_still_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents exit codes that mean both bad input and a negative answer."""
    assert Run([*BASE, "--json"], capsys).document["verdict"] == "too_long"


def test_gib_have_four_decimals(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents coarser or noisier numbers than documented."""
    document = Run([*BASE, "--json", "--max-model-len", "8k"], capsys).document
    for key in ("weights_gib_per_gpu", "kv_gib_per_gpu_expected", "kv_gib_per_gpu_safe", "activation_gib"):
        assert document[key] == round(document[key], 4)


def test_both_sides_of_the_dashes_mean_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents the copied vllm command from being judged differently from our own options."""
    ours = (
        "--tp",
        "2",
        "--max-model-len",
        "8192",
        "--max-num-seqs",
        "64",
        "--kv-cache-dtype",
        "fp8",
        "--enforce-eager",
    )
    theirs = ["-tp", "2", "--max-model-len", "8192", "--max-num-seqs=64", "--kv_cache_dtype", "fp8", "--enforce-eager"]
    before = Run([*BASE, "--json", *ours], capsys).document
    after = Run([*BASE, "--json", "--", *theirs], capsys).document
    assert before == after


def test_the_same_value_twice_is_no_conflict(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents refusing a harmless repetition."""
    assert Run([*BASE, "--json", "--tp", "2", "--", "-tp", "2"], capsys).code == 0


def test_the_model_may_stand_in_the_serve_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents asking again for what the copied command says."""
    command = ["--gpu", "h100", "--json", "--", "vllm", "serve", "Qwen/Qwen3-8B", "--max-model-len", "8192"]
    assert Run(command, capsys).document["verdict"] == "ok"


def test_quantization_while_loading_is_sized(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents ``--quantization fp8_per_tensor`` of a 16-bit checkpoint from being sized at 16 bit."""
    plain = Run([*BASE, "--json"], capsys).document["weights_gib_per_gpu"]
    online = Run([*BASE, "--json", "--", "--quantization", "fp8_per_tensor"], capsys).document["weights_gib_per_gpu"]
    assert online < 0.65 * plain


def test_abbreviations_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents a silent abbreviation from deciding the budget."""
    document = Run([*BASE, "--json", "--", "--kv-cache-memory", "2G", "--max-model-len", "4096"], capsys).document
    assert any("read as --kv-cache-memory-bytes" in str(each["value"]) for each in document["assumptions"])


def test_pp_rank_reports_that_stage(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents every stage from being reported as the fullest."""
    options = [*BASE, "--json", "--pp", "2", "--max-model-len", "8192"]
    stages = [Run([*options, "--pp-rank", rank], capsys).document["weights_gib_per_gpu"] for rank in "01"]
    fullest = Run(options, capsys).document["weights_gib_per_gpu"]
    assert fullest == max(stages)


def test_memory_alone_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents needing a catalogued GPU to judge a published log."""
    document = Run(
        ["--config", str(CONFIG), "--gpu-memory-gib", "39.4", "--json", "--max-model-len", "8k"], capsys
    ).document
    assert document["verdict"] == "ok"


def test_the_table_names_verdict_and_sources(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents an unreadable default output."""
    text = Run([*BASE, *LOAD, "--max-model-len", "8192"], capsys).out
    for part in ("verdict: ok", "weights", "KV tokens, safe", "time per output token", "assumptions"):
        assert part in text


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--model", "meta-llama/Llama-3.1-8B-Instrukt", "--gpu", "a10g"], ("--model", "Instrukt", "8B-Instruct")),
        (["--model", "nobody/nothing", "--gpu", "a10g"], ("--model", "nobody/nothing")),
        (["--gpu", "a10g"], ("--model or --config",)),
        (
            ["--model", "Qwen/Qwen3-8B", "--config", str(CONFIG), "--gpu", "a10g"],
            ("--model", "--config", "one of them"),
        ),
        (["--config", str(CONFIG)], ("--gpu or --gpu-memory-gib", "a10g", "b300")),
        (["--config", str(CONFIG), "--gpu", "a10"], ("--gpu a10", "accepted", "a10g")),
        (["--config", str(CONFIG), "--gpu", "rtx-5090"], ("--gpu rtx-5090", "--gpu-memory-gib")),
        (["--config", str(CONFIG), "--gpu", "t4g"], ("--gpu t4g", "arm64")),
        (["--config", str(CONFIG), "--gpu", "gb200"], ("--gpu gb200", "cannot be sized")),
        ([*BASE, "--precision", "int3"], ("--precision", "'int3'", "awq-int4")),
        ([*BASE, "--tp", "0"], ("--tp", "'0'", "from 1 on")),
        ([*BASE, "--tp", "two"], ("--tp", "'two'", "whole number")),
        ([*BASE, "--tp", "4096"], ("--tp", "'4096'", "1 to 1024")),
        ([*BASE, "--tp", "4", "--gpus", "2"], ("--gpus 2", "--tp 4", "needs 4 GPUs")),
        ([*BASE, "--pp", "2", "--pp-rank", "2"], ("--pp-rank 2", "0 to 1")),
        ([*BASE, "--gpu-memory-utilization", "1.5"], ("--gpu-memory-utilization", "'1.5'", "up to 1")),
        ([*BASE, "--gpu-memory-utilization", "nan"], ("--gpu-memory-utilization", "'nan'")),
        ([*BASE, "--gpu-memory-gib", "-1"], ("--gpu-memory-gib", "'-1'", "above 0")),
        ([*BASE, "--kv-cache-dtype", "int8"], ("--kv-cache-dtype", "'int8'", "fp8")),
        ([*BASE, "--kv-memory-gib", "-3"], ("--kv-memory-gib", "'-3'")),
        ([*BASE, "--vllm-version", "0.40"], ("--vllm-version", "'0.40'", "0.2 to 0.33")),
        ([*BASE, "--max-model-len", "-5"], ("--max-model-len", "'-5'")),
        ([*BASE, "--max-model-len", "1.5K"], ("--max-model-len", "'1.5K'")),
        ([*BASE, "--concurrency", "4"], ("--input-tokens", "--output-tokens", "missing")),
        ([*BASE, *LOAD, "--prefix-hit-rate", "2"], ("--prefix-hit-rate", "'2'", "up to 1")),
        (["--config", str(CONFIG), "--gpu-memory-gib", "80", *LOAD], ("--gpu is required",)),
        ([*BASE, "--frobnicate"], ("--frobnicate",)),
        ([*BASE, "--max-num", "4"], ("--max-num", "accepted", "--max-num-seqs")),
        ([*BASE, "--kv-cache-dtype", "turboquant_k8v4"], ("'turboquant_k8v4'", "not known here", "fp8")),
        ([*BASE, "--", "--kv-cache-dtype", "octave_k3v4"], ("'octave_k3v4'", "not known here", "fp8")),
        ([*BASE, "--config", "/nowhere/config.json"], ("--config /nowhere/config.json", "cannot be read")),
        ([*BASE, "--tp", "4", "--", "-tp", "8"], ("--tp 4", "--tensor-parallel-size 8", "disagree")),
        ([*BASE, "--", "-tp", "0"], ("--tp 0", "from 1 to 1024")),
        ([*BASE, "--", "--gpu-memory-utilization", "3"], ("--gpu-memory-utilization 3", "up to 1")),
        ([*BASE, "--", "--kv-cache-dtype", "int8"], ("--kv-cache-dtype", "'int8'")),
        ([*BASE, "--", "--max-model-len", "0"], ("--max-model-len 0",)),
        ([*BASE, "--", "--block-size", "0"], ("--block-size 0",)),
        ([*BASE, "--", "--dtype", "float32"], ("--dtype float32",)),
        ([*BASE, "--", "--swap-space", "4"], ("--swap-space", "removed")),
        ([*BASE, "--", "--quantization", "bitsandbytes"], ("bitsandbytes", "left vLLM", "accepted")),
        ([*BASE, "--", "--quantization", "awq"], ("--quantization awq", "16 bit", "--precision")),
        (
            [*BASE, "--precision", "awq-int4", "--", "-q", "fp8"],
            ("--precision awq-int4", "--quantization fp8", "disagree"),
        ),
        ([*BASE, "--", "-dcp", "0"], ("--decode-context-parallel-size 0", "from 1 on")),
        ([*BASE, "--", "--num-gpu-blocks-override", "-4"], ("--num-gpu-blocks-override -4", "from 1 on")),
        ([*BASE, "--", "--nonsense"], ("--nonsense", "no such flag")),
    ],
)
def test_bad_input_is_refused_with_option_value_and_what_is_accepted(
    arguments: list[str], parts: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Prevents an answer to a question that was not asked, and messages that do not help."""
    run = Run(arguments, capsys)
    assert run.code == 2
    assert run.out == ""
    assert "Traceback" not in run.err
    for part in parts:
        assert part in run.err


@pytest.mark.parametrize(
    "content",
    [
        b"", b"not json", b"[]", b"[1, 2]", b"42", b"null", b"{}", b'"text"', b"\xff\xfe\x00", b'{"architectures": 5}',
        b'{"architectures": ["LlamaForCausalLM"]}', b"[" * 100_000, b'{"num_hidden_layers": 1e308}',
        b'{"architectures": ["LlamaForCausalLM"], "num_hidden_layers": 1000000000}',
    ],
)  # fmt: skip
def test_a_file_that_is_no_configuration_is_refused(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prevents tracebacks and hangs over broken files."""
    path = tmp_path / "config.json"
    path.write_bytes(content)
    run = Run(["--config", str(path), "--gpu", "a10g"], capsys)
    assert run.code == 2
    assert "--config" in run.err


@pytest.mark.parametrize("content", ["[]", "{}", '{"metadata": 3}', '{"metadata": {"total_size": -1}}', "x"])
def test_an_index_without_totals_is_refused(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents exact totals that are none."""
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(content, encoding="utf-8")
    run = Run([*BASE, "--weights-index", str(path)], capsys)
    assert run.code == 2
    assert "--weights-index" in run.err


def test_an_index_gives_the_total(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents ignoring the one exact number that a user can give."""
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 17 * 2**30}, "weight_map": {}}), encoding="utf-8")
    document = Run([*BASE, "--json", "--weights-index", str(path)], capsys).document
    assert document["weights_gib_per_gpu"] == pytest.approx(17, abs=0.2)


_ODD = (None, "", "x", -1, 0, 1, 3, 2.5, 10**12, True, False, [], {}, [1], {"a": 1}, "8", "nan", float("1e300"))


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.json")))
def test_mutated_configurations_never_end_in_a_traceback(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prevents any wrong value in any key of a config.json from ending in anything but an answer or a refusal."""
    original = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    chance = random.Random(name)  # noqa: S311 - reproducible mutations, not secrets
    path = tmp_path / "config.json"
    for key in original:
        for value in chance.sample(_ODD, 4):
            path.write_text(json.dumps({**original, key: value}), encoding="utf-8")
            run = Run(["--config", str(path), "--gpu", "h100", "--json", *LOAD], capsys)
            assert run.code in (0, 2), (key, value)
            assert run.code == 0 or "--config" in run.err, (key, value, run.err)
            if run.code == 0:
                json.loads(run.out)


_OPTIONS = (
    *("--tp", "--pp", "--dp", "--gpus", "--pp-rank", "--max-model-len", "--max-num-seqs", "--max-num-batched-tokens"),
    *("--gpu-memory-utilization", "--kv-cache-dtype", "--vllm-version", "--kv-memory-gib", "--gpu-memory-gib"),
    *("--precision", "--gpu", "--concurrency", "--input-tokens", "--output-tokens", "--prefix-hit-rate", "--model"),
)
_VALUES = st.one_of(
    st.sampled_from(
        ("0", "1", "2", "3", "7", "64", "1e9", "-1", "nan", "inf", "auto", "32k", "h100", "fp8", "0.5", "", "-")
    ),
    st.text(max_size=8).filter(lambda text: text != "--"),
    st.integers(-(10**6), 10**15).map(str),
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(pairs=st.lists(st.tuples(st.sampled_from(_OPTIONS), _VALUES), max_size=5), after=st.lists(_VALUES, max_size=3))
def test_random_options_never_end_in_a_traceback(
    pairs: list[tuple[str, str]], after: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Prevents a traceback or another exit code whatever is typed."""
    given_options = [part for pair in pairs for part in pair]
    run = Run([*BASE, "--json", *given_options, *(["--", *after] if after else [])], capsys)
    assert run.code in (0, 2)
    assert run.code == 0 or run.err.strip()


_FLAGS = registry()["flags"]
_FLAG_VALUES = st.sampled_from(
    ("0", "1", "2", "3", "-1", "64", "auto", "fp8", "awq", "true", "{}", "0.5", "1e308", "O9")
)


@st.composite
def _serve_arguments(draw: st.DrawFn) -> list[str]:
    arguments: list[str] = []
    for name in draw(st.lists(st.sampled_from(sorted(_FLAGS)), min_size=1, max_size=4)):
        entry = _FLAGS[name]
        value = st.sampled_from(tuple(map(str, entry["choices"]))) if entry.get("choices") else _FLAG_VALUES
        arguments += [name] if entry.get("switch") else [name, draw(value)]
    return arguments


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(arguments=_serve_arguments())
def test_random_serve_arguments_never_end_in_a_traceback(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Prevents any flag of vllm serve with any value from ending in anything but an answer or a refusal."""
    run = Run(["--model", "meta-llama/Llama-3.1-8B-Instruct", "--gpu", "h100", "--json", "--", *arguments], capsys)
    assert run.code in (0, 2), arguments
    assert run.code == 0 or run.err.strip(), arguments


@pytest.mark.parametrize("arguments", [[], ["judge"], ["--help"], ["estimate", "--help"]])
def test_the_module_says_how_it_is_used(arguments: list[str]) -> None:
    """Prevents a module that fails without a hint: run as users run it."""
    run = subprocess.run(
        [sys.executable, "-m", "components.sizing", *arguments], capture_output=True, text=True, check=False
    )
    assert run.returncode == (0 if "--help" in arguments else 2)
    assert "estimate" in run.stdout + run.stderr
    assert "Traceback" not in run.stderr
