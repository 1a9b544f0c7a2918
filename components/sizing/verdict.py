"""Whether vLLM starts, in this order: weights, any KV cache at all, one request of full length."""

from collections.abc import Sequence

from components.sizing.budget import Stage
from components.sizing.deployment import Deployment
from components.sizing.engine import ResolvedOptions
from components.sizing.kv import KvCapacity, KvLayout, longest_request
from components.sizing.overheads import GIB
from components.sizing.types import Verdict

DOUBT_GIB = 0.1
"""What a verdict leaves for the prediction being off: half of the start-ups since 0.17 differ by less than 0.09 GiB
from the expected KV cache (tests/data/memory_measurements.csv)."""
KV_BYTES_FLAG = "--kv-cache-memory-bytes"
"""In ``EngineOptions.extra``: the budget came from vLLM's own flag, so it must also fit beside the weights."""
_STATE_CHECK_SINCE = 28
"""``max_num_seqs exceeds available Mamba cache blocks``: seen with 0.30; a 0.27.1 server started with fewer blocks."""


def verdict(
    deployment: Deployment,
    options: ResolvedOptions,
    layout: KvLayout,
    stages: Sequence[Stage],
    *,
    likely: KvCapacity,
    safe: KvCapacity,
) -> tuple[Verdict, tuple[str, ...]]:
    """Judge by what will probably be there; a reason beside ``ok`` says that only the safe value falls short."""
    total = deployment.memory_expected_gib
    fullest = min(stages, key=lambda stage: stage.kv_expected)
    weights, terms = fullest.weights.bytes / GIB, fullest.overheads
    given = deployment.options.kv_memory_gib is not None
    counted = not given or KV_BYTES_FLAG in deployment.options.extra
    if counted and weights + terms.expected("non_torch") > total:
        reason = (
            f"weights {weights:.2f} GiB + runtime {terms.expected('non_torch'):.2f} GiB per GPU exceed the "
            f"{total:.2f} GiB that CUDA shows"
        )
        return "oom_weights", (reason,)
    if given:
        over = weights + terms.expected_gib + fullest.kv_expected / GIB - total
        if counted and over > 0:
            reason = (
                f"{KV_BYTES_FLAG} {fullest.kv_expected}: with weights {weights:.2f} GiB and runtime "
                f"{terms.expected_gib:.2f} GiB it exceeds the {total:.2f} GiB that CUDA shows by {over:.2f} GiB"
            )
            return "oom_kv", (reason,)
    elif not likely.has_room:
        share = options.gpu_memory_utilization
        reason = (
            f"{total:.2f} GiB x {share:g} = {total * share:.2f} GiB; weights {weights:.2f} GiB + runtime "
            f"{terms.expected_gib:.2f} GiB leave {fullest.kv_expected / GIB:.2f} GiB for the KV cache"
        )
        return "oom_kv", (reason,)
    return _on_requests(deployment, options, layout, likely, safe)


def _on_requests(
    deployment: Deployment, options: ResolvedOptions, layout: KvLayout, likely: KvCapacity, safe: KvCapacity
) -> tuple[Verdict, tuple[str, ...]]:
    if not likely.has_room:
        return "oom_kv", (f"{likely.blocks} KV blocks: no room beside the one that vLLM holds back",)
    if _states_exceed_blocks(options, layout, likely):
        reason = (
            f"max-num-seqs {options.max_num_seqs} exceeds the {likely.blocks} cache blocks, and every sequence needs "
            f"its own for its recurrent state: --max-num-seqs {likely.blocks} starts"
        )
        return "oom_kv", (reason,)
    needed = layout.blocks_per_request(options.max_model_len, options)
    lack = (
        f"one request of max-model-len {options.max_model_len} needs {needed} KV blocks + 1 that vLLM holds back; "
        "{blocks} fit; the longest that fits is {longest}"
    )
    limit = max(options.max_model_len, deployment.arch.max_positions)
    if not likely.fits_one:
        longest = longest_request(layout, likely.blocks, limit, options)
        return "too_long", (lack.format(blocks=likely.blocks, longest=longest),)
    if not safe.fits_one:
        longest = longest_request(layout, safe.blocks, limit, options)
        return "ok", ("by the safe values only: " + lack.format(blocks=safe.blocks, longest=longest),)
    return "ok", ()


def _states_exceed_blocks(options: ResolvedOptions, layout: KvLayout, likely: KvCapacity) -> bool:
    """Tell whether graph capture will refuse: every sequence needs a block for its recurrent state."""
    recurrent = any(group.kind == "state" for group in layout.groups)
    checked = options.release >= _STATE_CHECK_SINCE and options.graph_captures > 0
    return recurrent and checked and likely.blocks < options.max_num_seqs
