"""What vLLM's configuration classes refuse about options that only meet after defaults are filled in."""

from collections.abc import Iterator

from components.sizing.deployment import Deployment
from components.sizing.engine import ResolvedOptions

_SAME_FORMAT: tuple[frozenset[str], ...] = (
    frozenset({"awq", "auto_awq", "awq_marlin", "moe_wna16"}),
    frozenset({"gptq", "auto_gptq", "gptq_marlin", "moe_wna16"}),
    frozenset({"mxfp4", "gpt_oss_mxfp4"}),
    frozenset({"modelopt", "modelopt_fp4", "modelopt_mxfp8", "modelopt_mixed"}),
)
"""Names of ``--quantization`` that a checkpoint of any of them accepts (model_executor/layers/quantization)."""


def contradictions(deployment: Deployment, options: ResolvedOptions) -> Iterator[str]:
    """Yield a sentence with the numbers for every pair of options that vLLM refuses together."""
    yield from _batch(deployment, options)
    yield from _context_parallelism(deployment, options.context_parallel)
    given, stored = deployment.options.extra.get("--quantization"), deployment.quant
    if given is not None and stored.is_quantized and not stored.online and not _accepts(stored.method, given):
        yield (
            f"--quantization {given} does not match the checkpoint, which is {stored.method}: leave it out, vLLM reads "
            "config.json (vllm/config/model.py)"
        )


def _batch(deployment: Deployment, options: ResolvedOptions) -> Iterator[str]:
    tokens, seqs, length = options.max_num_batched_tokens, options.max_num_seqs, options.max_model_len
    if tokens < seqs:
        yield f"max-num-batched-tokens {tokens} is below max-num-seqs {seqs} (vllm/config/scheduler.py)"
    if deployment.options.extra.get("--enable-chunked-prefill") is False and tokens < length:
        yield (
            f"without chunked prefill max-num-batched-tokens {tokens} must reach max-model-len {length} "
            "(vllm/config/scheduler.py)"
        )


def _context_parallelism(deployment: Deployment, spread: int) -> Iterator[str]:
    arch, tp = deployment.arch, deployment.parallelism.tp
    if spread == 1:
        return
    if tp % spread:
        yield f"decode context parallelism {spread} must divide TP {tp} (vllm/config/parallel.py)"
    if arch.mla is None and tp // spread < arch.kv_heads:
        yield (
            f"decode context parallelism {spread} needs TP of at least {spread * arch.kv_heads} where there are "
            f"{arch.kv_heads} KV heads: TP is {tp} (vllm/config/model.py)"
        )
    if "sliding" in arch.layer_kinds:
        yield f"decode context parallelism {spread} does not work with sliding windows (v1/kv_cache_interface.py)"


def _accepts(stored: str, given: str) -> bool:
    return stored == given or any(stored in names and given in names for names in _SAME_FORMAT)
