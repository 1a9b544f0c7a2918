"""An estimate for people: the budget of one GPU, what it holds, and on what that rests."""

from collections.abc import Iterator, Mapping
from typing import Any

from components.sizing.estimate import Estimate

_LINES = (
    ("weights", "weights_gib_per_gpu"),
    ("runtime (CUDA, collectives, buffers)", "non_torch_gib"),
    ("activations and sampler", "activation_gib"),
    ("CUDA graphs", "cuda_graph_gib"),
    ("KV cache, expected", "kv_gib_per_gpu_expected"),
    ("KV cache, safe", "kv_gib_per_gpu_safe"),
)
_COUNTS = (
    ("KV tokens, expected", "kv_tokens_expected", 0),
    ("KV tokens, safe", "kv_tokens_safe", 0),
    ("KV bytes per token and GPU", "kv_bytes_per_token_per_gpu", 0),
    ("full-length requests at once (safe)", "max_concurrency", 1),
    ("longest request that fits (safe)", "max_model_len_that_fits", 0),
)
_SPEED = (
    ("time to first token, ms", "ttft_ms"),
    ("time per output token, ms", "tpot_ms"),
    ("output tokens per second", "output_tokens_per_s"),
)


def render(answer: Estimate, document: Mapping[str, Any]) -> str:
    """Return the whole text; ``document`` is the answer's JSON."""
    return "\n".join((*_head(answer, document), *_body(document), *_sources(document)))


def _head(answer: Estimate, document: Mapping[str, Any]) -> Iterator[str]:
    asked = answer.deployment
    parallel = f"TP {asked.parallelism.tp} x PP {asked.parallelism.pp} x DP {asked.parallelism.dp}"
    yield (
        f"{asked.arch.model} ({asked.quant.precision}) on {asked.parallelism.gpus} x {asked.gpu.name}, {parallel}, "
        f"vLLM {asked.options.vllm_version}"
    )
    yield f"verdict: {document['verdict']}"
    yield from (f"  {reason}" for reason in document["reasons"])


def _body(document: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"{'GiB per GPU':<40}"
    yield from (f"  {label:<38}{_number(document[key], 2):>12}" for label, key in _LINES)
    yield from (f"  {label:<38}{_number(document[key], decimals):>12}" for label, key, decimals in _COUNTS)
    for label, key in _SPEED:
        if document.get(key) is not None:
            band = document["bands"][key]
            yield f"  {label:<38}{document[key]:>12,.1f}   ({band['low']:,.1f} to {band['high']:,.1f})"


def _sources(document: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield "assumptions"
    yield from (f"  {each['name']} = {each['value']}: {each['source']}" for each in document["assumptions"])


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:,.{decimals}f}"
