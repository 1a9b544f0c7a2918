"""The planner against what vLLM 0.33.0 itself computed: its KV cache planner and its model classes, without a GPU.

Asked through the command line, as a user asks: ``estimate --config FILE ... -- ARGUMENTS OF vllm serve``.
"""

import contextlib
import io
import json
import shlex
from dataclasses import dataclass
from functools import cache
from typing import Any

from components.sizing.__main__ import main
from tests.accuracy.startups import DATA

GIB = 2**30


@dataclass(frozen=True)
class Answer:
    """One vector: the question, vLLM's figure and ours."""

    label: str
    expected: float
    got: float
    note: str = ""

    @property
    def error(self) -> float:
        """Relative."""
        return self.got / self.expected - 1 if self.expected else float(self.got != self.expected)


@cache
def kv_answers() -> tuple[Answer, ...]:
    """Tokens in a given KV budget; -1 stands for a refusal to start."""
    return tuple(_kv(vector) for vector in _document("vllm_kv_oracle")["vectors"])


@cache
def weights_answers() -> tuple[Answer, ...]:
    """Bytes of one rank's weights, in GiB; vectors that vLLM itself refused are left out."""
    rows = _document("vllm_weights_oracle")["rows"]
    return tuple(_weights(row) for row in rows if "error" not in row)


def equal(answer: Answer) -> bool:
    """Whether a KV vector is reproduced exactly."""
    return answer.expected == answer.got


def _kv(vector: dict[str, Any]) -> Answer:
    said = estimate(
        *("--config", str(DATA / "oracle_configs" / f"{vector['model']}.json"), "--gpu", vector["gpu"]),
        *("--kv-memory-gib", repr(vector["available_kv_gib_per_gpu"]), "--kv-cache-dtype", vector["kv_cache_dtype"]),
        serve=vector["args"],
    )
    refused = said["verdict"] in {"oom_kv", "too_long"}
    expected = -1 if "error" in vector else vector["kv_tokens"]
    got = -1 if refused else said["kv_tokens_expected"]
    label = (
        f"{vector['model']} {vector['args']}, {vector['kv_cache_dtype']} in {vector['available_kv_gib_per_gpu']:g} GiB"
    )
    return Answer(label, expected, -1 if got is None else got, said["verdict"])


def _weights(row: dict[str, Any]) -> Answer:
    said = estimate(
        *("--config", str(DATA / "oracle_configs" / f"{row['model']}.json"), "--gpu", row["gpu"]),
        *("--pp-rank", str(row["pp_rank"]), "--gpu-memory-gib", "1000"),
        serve=row["args"],
    )
    got = said["weights_gib_per_gpu"]
    label = f"{row['model']} {row['args']} on {row['gpu']}, stage {row['pp_rank']}"
    return Answer(label, row["param_bytes"] / GIB, 0.0 if got is None else got, said["verdict"])


def estimate(*options: str, serve: str = "") -> dict[str, Any]:
    """Run ``estimate --json`` and return its document."""
    after = ["--", *shlex.split(serve)] if serve else []
    spoken = io.StringIO()
    with contextlib.redirect_stdout(spoken):
        main(["estimate", "--json", *options, *after])
    return json.loads(spoken.getvalue())


@cache
def _document(name: str) -> dict[str, Any]:
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
