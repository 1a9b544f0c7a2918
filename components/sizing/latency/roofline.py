"""One step of the engine: what it reads, multiplies, exchanges and launches."""

from components.sizing.latency.replica import Replica


def step_seconds(
    replica: Replica, decoding: float, context: float, prompt: float = 0.0, attended: float = 0.0
) -> float:
    """Time one pipeline stage with ``decoding`` requests of ``context`` tokens each and ``prompt`` prompt tokens.

    In seconds. ``attended``: tokens that each of the prompt tokens looks at on average.
    """
    tokens = decoding + prompt
    sampled = decoding + 1.0 if prompt else decoding
    exponent = replica.exponent
    multiply = replica.token_s * tokens + replica.head_token_s * sampled
    seconds = (replica.weights_s**exponent + multiply**exponent) ** (1.0 / exponent)
    if replica.all_experts_s:
        touched = 1.0 - replica.experts_missed ** (tokens * replica.tokens_see_experts)
        read = replica.all_experts_s * touched
        seconds += (read**exponent + (replica.expert_token_s * tokens) ** exponent) ** (1.0 / exponent)
    for kind in replica.attention:
        seconds += decoding * min(context, kind.window) * kind.read_s_per_token
        seconds += prompt * min(attended, kind.window) * kind.multiply_s_per_token
    seconds += decoding * replica.state_s
    seconds += replica.kernels_s + replica.step_s + replica.request_s * sampled
    if prompt:
        seconds += replica.prompt_kernels_s
    if replica.all_reduces:
        seconds += replica.all_reduces * replica.all_reduce.seconds(tokens * replica.message_bytes_per_token)
    return seconds


def prompt_seconds(
    replica: Replica, decoding: float, context: float, prompt: float, attended: float
) -> tuple[float, int]:
    """Seconds and number of the steps that work through ``prompt`` tokens in chunks of the token budget.

    Running requests are served first, so a chunk has what they leave of ``max_num_batched_tokens``.
    """
    chunk = max(1.0, replica.budget - decoding)
    full = int(prompt // chunk)
    rest = prompt - full * chunk
    seconds = full * step_seconds(replica, decoding, context, chunk, attended) if full else 0.0
    if rest > 0.0:
        return seconds + step_seconds(replica, decoding, context, rest, attended), full + 1
    return seconds, full
