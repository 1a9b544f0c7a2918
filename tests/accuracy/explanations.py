"""Why the worst cases are what they are: what the logs themselves show, and what is known about a row."""

from collections.abc import Mapping

from tests.accuracy.memory import Called, Case, estimates
from tests.accuracy.speeds import Speed

_PADDED = (
    "probably padded experts: its figure is near what 0.33 takes with Marlin on other GPUs (13.70 GiB for the 20b)"
)
MEMORY: Mapping[str, str] = {
    "gt017": "the first engine (V0), 131072 tokens on 8 GPUs: 7.71 GiB outside torch, of which nobody says what it was",
    "gt085": _PADDED,
    "gt117": _PADDED,
    "gt137": _PADDED,
    "gt196": "probably 16-bit copies of the latent projections, which the first engine (V0) made beside the FP8 ones",
    "gt216": _PADDED,
    "gt217": _PADDED,
}
"""By a start-up's id."""

_REPLAYED = "its client repeats three prompts: they were in the prefix cache and delayed nobody"
_BURST = "a benchmark's first burst: all requests started together and waited for one step with all prompts"
LATENCY: Mapping[tuple[str, int, int, int], str] = {
    ("openai/gpt-oss-120b", 8, 1024, 64): (
        "published slower on eight GPUs than on four (9.7 ms): another configuration than the row says"
    ),
    ("openai/gpt-oss-120b", 4, 1024, 64): (
        "faster than twice the kernels' usual rate for grouped experts; the same rows at eight GPUs are slower"
    ),
    ("openai/gpt-oss-120b", 8, 8192, 16): "prompts as long as a step's budget: how they queue depends on their arrival",
    ("meta-llama/Llama-3.1-8B-Instruct", 1, 8000, 64): (
        "at 73 % of the data sheet even with an 8-bit cache, more than kernels reach: part of the prompts was cached"
    ),
    ("meta-llama/Llama-3.1-8B-Instruct", 1, 4000, 128): (
        "published with the time of a single prompt: its requests arrived evenly, not together"
    ),
    ("deepseek-ai/DeepSeek-V3", 8, 8000, 1): "a recipe's example output of one request, warm-up included",
    ("Qwen/Qwen3-14B", 1, 520, 16): "its client sends about as many requests as users: few of them had to wait",
    ("Qwen/Qwen3-14B", 1, 520, 32): _BURST,
    ("Qwen/Qwen3-32B", 4, 1024, 8): _BURST,
    ("Qwen/Qwen3-32B", 2, 1024, 64): "its rows name the 16-bit repository and show the time of 16-bit weights",
    ("Qwen/Qwen3-235B-A22B-FP8", 4, 1000, 40): "its requests arrived more evenly than those of the other rows",
    ("Qwen/Qwen3-235B-A22B-FP8", 4, 1000, 28): "its requests arrived more evenly than those of the other rows",
}
"""By model, tensor-parallel size, prompt tokens and requests at once."""


def kv(case: Case) -> str:
    """Say which lines of the memory budget differ from the log."""
    known = MEMORY.get(case.startup.id)
    row, answer = case.startup.row, estimates()[case.startup.id]
    stage = answer.stages[0]
    planned = {
        "activation": (row["peak_activation_gib"], stage.overheads.expected("activation")),
        "non-torch": (row["non_torch_gib"], stage.overheads.expected("non_torch")),
        "graphs": (row["cuda_graph_gib"], stage.overheads.expected("cuda_graph")),
    }
    lines = [f"{name} {logged} (planned {ours:.2f})" for name, (logged, ours) in planned.items() if logged]
    if case.startup.weights_gib is not None and abs(case.startup.weights_gib - stage.weights.gib) > 0.05:
        lines.insert(0, f"weights {case.startup.weights_gib:.2f} (planned {stage.weights.gib:.2f})")
    if len(lines) < 2 and case.startup.weights_gib is not None:
        budget = answer.options.gpu_memory_utilization * answer.deployment.memory_expected_gib
        rest = budget - case.startup.weights_gib - case.measured
        lines.append(f"all beside weights and KV cache {rest:.2f} (planned {stage.overheads.expected_gib:.2f})")
    return "; ".join(filter(None, (known, f"logged: {', '.join(lines)}" if lines else "")))


def weights(case: Case) -> str:
    """Say what is known about a row's weights."""
    unknown = f"{case.error:+.2f} GiB; the log gives one number and does not say which tensors"
    return MEMORY.get(case.startup.id, unknown)


def verdict(called: Called) -> str:
    """Say what is known, or the planner's own reason."""
    reasons = estimates()[called.startup.id].reasons
    return MEMORY.get(called.startup.id, f"the planner's reason: {reasons[0]}" if reasons else "it sees no reason")


def latency(speed: Speed) -> str:
    """Say what is known about a latency row."""
    key = (speed.arch.model, speed.parallelism.tp, speed.load.input_tokens, speed.load.concurrency)
    known = LATENCY.get(key)
    if known is None and speed.replayed:
        return _REPLAYED
    return known or "within what the band says"
