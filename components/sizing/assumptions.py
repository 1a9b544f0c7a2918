"""The numbers that an estimate rests on, each with its source, so that a reader can dispute them."""

from collections.abc import Iterator

from components.sizing.deployment import Deployment
from components.sizing.engine import ResolvedOptions
from components.sizing.overheads import Overheads
from components.sizing.types import Assumption

_NOT_MODELLED = {
    "--enable-lora": "LoRA adapters take weights and activations that are not counted",
    "--speculative-config": "a draft model's weights and KV cache are not counted",
    "--cpu-offload-gb": "weights moved to the host are still counted on the GPU",
    "--kv-offloading-size": "host memory for offloaded KV blocks is not on the GPU",
    "--prefill-context-parallel-size": "prefill context parallelism is not counted",
    "--enable-dbo": "dual batch overlap doubles activations, which is not counted",
    "--kv-cache-dtype-skip-layers": "layers that keep 16-bit KV are counted in the KV dtype",
    "--hf-overrides": "overrides of the model's configuration are not applied",
    "--limit-mm-per-prompt": "the image tower is counted as without it",
    "--language-model-only": "the image tower is still counted",
    "--skip-mm-profiling": "the image tower's peak is still counted",
    "--mm-encoder-tp-mode": "the image tower is counted as without it",
    "--compilation-config": "only its cudagraph_mode is applied",
    "--enable-eplb": "redundant experts are not counted",
    "--mamba-cache-dtype": "recurrent states are counted in the dtype of the model's configuration",
    "--mamba-ssm-cache-dtype": "recurrent states are counted in the dtype of the model's configuration",
    "--mamba-block-size": "recurrent states are counted at the default block size",
    "--attention-backend": "a backend's own block size is not applied",
    "--kv-sharing-fast-prefill": "its buffers are not counted",
    "--kv-transfer-config": "a connector's buffers are not counted",
}
_DEFAULTS = "default of that vLLM release on that GPU (vllm/engine/arg_utils.py:2973-3006 in 0.33.0)"


def of_deployment(
    deployment: Deployment, options: ResolvedOptions, overheads: Overheads | None
) -> tuple[Assumption, ...]:
    """Collect memory, options, overheads and what was given but is not counted."""
    return (
        *_memory(deployment),
        *_options(deployment, options),
        *(_terms(overheads, deployment.options.vllm_version) if overheads is not None else ()),
        *_not_counted(deployment),
    )


def _memory(deployment: Deployment) -> Iterator[Assumption]:
    if deployment.memory_gib is not None:
        yield Assumption("gpu_memory_gib", deployment.memory_gib, "given")
    else:
        source = f"what CUDA shows of {deployment.gpu.name} (components/sizing/data/gpus.json)"
        yield Assumption("gpu_memory_gib_expected", deployment.memory_expected_gib, source)
        yield Assumption("gpu_memory_gib_safe", deployment.memory_safe_gib, source)
    basis = "model.safetensors.index.json, as given" if deployment.weights_index else deployment.arch.basis
    yield Assumption("weights", deployment.quant.precision, f"tensor inventory from {basis}")


def _options(deployment: Deployment, options: ResolvedOptions) -> Iterator[Assumption]:
    asked, version = deployment.options, deployment.options.vllm_version
    for name in ("max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization", "block_size"):
        yield Assumption(name, getattr(options, name), _DEFAULTS if getattr(asked, name) is None else "given", version)
    source = "given" if asked.max_model_len not in (None, -1) else "the model's own maximum, or the longest that fits"
    yield Assumption("max_model_len", options.max_model_len, source, version)
    yield Assumption(
        "in_flight_tokens",
        options.in_flight_tokens,
        "concurrent batches x max_num_batched_tokens (vllm/config/vllm.py:588-609)",
        version,
    )
    if asked.kv_cache_dtype != "auto":
        stored = deployment.quant.kv_cache_dtype == asked.kv_cache_dtype
        yield Assumption("kv_cache_dtype", asked.kv_cache_dtype, "the checkpoint's own" if stored else "given", version)
    runner = "the V0 engine" if options.runner == 0 else f"model runner V{options.runner}"
    yield Assumption("model_runner", runner, "vllm/config/vllm.py use_v2_model_runner of that release", version)
    if asked.kv_memory_gib is not None:
        yield Assumption("kv_memory_gib", asked.kv_memory_gib, "given: the KV budget is not computed")


def _terms(overheads: Overheads, version: str) -> Iterator[Assumption]:
    for term in overheads.terms:
        value = {"expected_gib": round(term.expected, 4), "safe_gib": round(term.safe, 4)}
        yield Assumption(f"{term.group}: {term.name}", value, term.source, version)


def _not_counted(deployment: Deployment) -> Iterator[Assumption]:
    for flag, consequence in _NOT_MODELLED.items():
        if deployment.options.extra.get(flag):
            yield Assumption(flag, deployment.options.extra[flag], f"not modelled: {consequence}")
    if deployment.parallelism.dp > 1:
        yield Assumption("data_parallel", deployment.parallelism.dp, "tokens and concurrency are those of one rank")
