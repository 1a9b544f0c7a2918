"""Everything about one replica that does not depend on the load, worked out once: seconds per byte, token and layer."""

from dataclasses import dataclass

from components.sizing import weights
from components.sizing.architecture import Architecture, LayerKind
from components.sizing.catalog import Gpu
from components.sizing.engine import kv_cache_dtype, resolve
from components.sizing.kv import KV_DTYPES
from components.sizing.latency import constants as table
from components.sizing.latency.communication import AllReduce, link
from components.sizing.quantization import Quantization
from components.sizing.types import EngineOptions, Parallelism

_TERA, _GIGA = 1e12, 1e9
_ASYNC_SCHEDULING_SINCE = 14
"""https://github.com/vllm-project/vllm/pull/27614"""
_ACTIVATION_BYTES = 2
_STATE_BYTES = 4


@dataclass(frozen=True)
class Attention:
    """One kind of layer: what a request's cache costs to read, and what a prompt token costs to attend."""

    window: float
    """Tokens of context that it looks at most at."""
    read_s_per_token: float
    multiply_s_per_token: float


@dataclass(frozen=True)
class Replica:
    """Load-independent costs of one pipeline stage (``pp`` equal stages), in seconds."""

    pp: int
    ranks_of_batch: int
    """Data-parallel ranks that share the requests."""
    weights_s: float
    token_s: float
    """Multiplying one token with the dense weights."""
    head_token_s: float
    """The output head, which only tokens that are sampled from pass."""
    all_experts_s: float
    """Reading every expert of every layer."""
    expert_token_s: float
    experts_missed: float
    """Chance that one token does not touch a given expert; 1 for dense models."""
    tokens_see_experts: int
    """Data-parallel ranks whose tokens meet the same experts."""
    attention: tuple[Attention, ...]
    state_s: float
    """Reading and writing one request's constant state (Mamba, linear attention)."""
    kernels_s: float
    prompt_kernels_s: float
    all_reduces: float
    all_reduce: AllReduce
    message_bytes_per_token: float
    step_s: float
    request_s: float
    exponent: float
    budget: int
    """max-num-batched-tokens."""
    max_running: int
    """max-num-seqs."""
    is_moe: bool
    weight_bytes_per_token: float
    """Bytes that all ranks of one copy read for a single token: the ceiling's denominator."""
    bandwidth: float
    """Bytes per second of all GPUs of one tensor-parallel group, by data sheet."""
    compute_capability: int


def build(
    arch: Architecture, quant: Quantization, gpu: Gpu, parallelism: Parallelism, options: EngineOptions
) -> Replica:
    """Work out the costs.

    Raises what ``weights.traffic`` and ``engine.resolve`` raise.
    """
    resolved = resolve(options, gpu, gpu.memory_expected_gib or 0.0, arch, parallelism)
    scalar = table.constants()
    speed = table.gpu_efficiency(gpu.compute_capability)
    bandwidth = gpu.bandwidth_gbs * _GIGA
    kind, peak = _kernels(quant, gpu)
    traffic = weights.traffic(arch, quant, parallelism, gpu.compute_capability)
    dense_kind = "dense16" if quant.experts_only else kind
    reads = bandwidth * speed.bandwidth
    ranks, stages = parallelism.tp, parallelism.pp
    computes = peak * speed.compute * table.factor("prefill_efficiency", dense_kind) * ranks * stages
    experts_per_s = peak * scalar.expert_compute_efficiency * ranks * stages
    all_experts = traffic.moe_layers * _local_experts(traffic, parallelism) * traffic.expert_bytes
    expert_flops = traffic.moe_layers * traffic.experts_per_token * traffic.expert_flops_per_token
    head_flops = 2.0 * arch.vocab * arch.hidden
    launches = kernel_count(arch, quant, gpu) / stages
    kernel_s = scalar.kernel_s + (0.0 if resolved.graph_captures else scalar.eager_kernel_s)
    asynchronous = options.extra.get("--async-scheduling", resolved.release >= _ASYNC_SCHEDULING_SINCE)
    return Replica(
        pp=stages,
        ranks_of_batch=parallelism.dp,
        weights_s=traffic.dense_bytes / stages / (reads * table.factor("read_efficiency", dense_kind)),
        token_s=(traffic.dense_flops_per_token - head_flops) / computes,
        head_token_s=head_flops / computes,
        all_experts_s=all_experts / stages / (reads * scalar.expert_read_efficiency),
        expert_token_s=expert_flops / experts_per_s,
        experts_missed=1.0 - traffic.experts_per_token / traffic.experts if traffic.experts else 1.0,
        tokens_see_experts=parallelism.dp,
        attention=_attention(arch, gpu, parallelism, kv_cache_dtype(options, quant), speed),
        state_s=_state_bytes(arch) / ranks / stages / reads,
        kernels_s=launches * kernel_s,
        prompt_kernels_s=launches * scalar.prefill_kernel_s,
        all_reduces=2.0 * arch.layers / stages if ranks > 1 else 0.0,
        all_reduce=AllReduce(link(gpu), ranks),
        message_bytes_per_token=float(arch.hidden * _ACTIVATION_BYTES),
        step_s=scalar.step_s / stages,
        request_s=(scalar.request_asynchronous_s if asynchronous else scalar.request_synchronous_s) / stages,
        exponent=scalar.roofline_exponent,
        budget=resolved.max_num_batched_tokens,
        max_running=resolved.max_num_seqs,
        is_moe=arch.is_moe,
        weight_bytes_per_token=_bytes_for_one_token(traffic, parallelism) * ranks,
        bandwidth=bandwidth * ranks,
        compute_capability=gpu.compute_capability,
    )


def kernel_count(arch: Architecture, quant: Quantization, gpu: Gpu) -> int:
    """Kernels that one pass through all layers launches."""
    quantized = 0 if _kernels(quant, gpu)[0] in ("dense16", "weight-only") else table.kernels("quantized_activations")
    latent = sum(kind == "mla" for kind in arch.layer_kinds)
    routed = len(arch.moe.layers) if arch.moe else 0
    return (
        arch.layers * (table.kernels("layer") + quantized)
        + latent * table.kernels("mla")
        + routed * table.kernels("experts")
    )


def _kernels(quant: Quantization, gpu: Gpu) -> tuple[str, float]:
    """Name the kind of matrix kernels, and the peak (operations per second) that they are measured against.

    A GPU without tensor cores for the activations' format runs the weights unpacked to 16 bit (Marlin).
    """
    sixteen = (gpu.tflops.get("bf16") or gpu.tflops.get("fp16") or 0.0) * _TERA
    if not quant.is_quantized:
        return "dense16", sixteen
    wanted = {16: "", 8: "fp8" if "fp8" in quant.precision else "int8", 4: "fp4"}.get(quant.activation_bits, "")
    if not gpu.tflops.get(wanted):
        return "weight-only", sixteen
    return "eight-bit", gpu.tflops[wanted] * _TERA


def _attention(
    arch: Architecture, gpu: Gpu, parallelism: Parallelism, cache_dtype: str, speed: table.GpuEfficiency
) -> tuple[Attention, ...]:
    read = gpu.bandwidth_gbs * _GIGA * table.constants().kv_read_efficiency
    multiply = (gpu.tflops.get("bf16") or gpu.tflops.get("fp16") or 1.0) * _TERA * speed.compute
    layers: dict[LayerKind, int] = {}
    for kind in arch.layer_kinds:
        layers[kind] = layers.get(kind, 0) + 1
    selected = arch.mla.index_topk if arch.mla else 0
    windows = {"sliding": arch.sliding_window, "chunked": arch.attention_chunk, "mla": selected}
    return tuple(
        Attention(
            window=float(windows.get(kind) or "inf"),
            read_s_per_token=count * _cached_bytes(arch, kind, parallelism.tp, cache_dtype) / parallelism.pp / read,
            multiply_s_per_token=count * _attend_flops(arch, kind) / parallelism.gpus * parallelism.dp / multiply,
        )
        for kind, count in layers.items()
        if kind in ("full", "sliding", "chunked", "mla")
    )


def _cached_bytes(arch: Architecture, kind: LayerKind, tp: int, cache_dtype: str) -> float:
    """Bytes per token of context that one layer reads on one rank; MLA's latent stands whole on every rank."""
    size = float(KV_DTYPES.get(cache_dtype) or _ACTIVATION_BYTES)
    if kind == "mla" and arch.mla is not None:
        return (arch.mla.kv_lora_rank + arch.mla.qk_rope_head_dim) * size
    heads, head_dim = arch.attention_shape(kind)
    return max(1.0, heads / tp) * 2 * head_dim * size


def _attend_flops(arch: Architecture, kind: LayerKind) -> float:
    """Operations of one layer per prompt token and token of context, all heads."""
    if kind == "mla" and arch.mla is not None:
        width = arch.mla.qk_nope_head_dim + arch.mla.qk_rope_head_dim + arch.mla.v_head_dim
        return 2.0 * arch.heads * width
    return 4.0 * arch.heads * arch.attention_shape(kind)[1]


def _state_bytes(arch: Architecture) -> float:
    """Constant state of one request, read and written every step, all layers and ranks."""
    state = 0.0
    if arch.mamba is not None:
        state += arch.layer_kinds.count("mamba") * arch.mamba.inner * arch.mamba.state
    if arch.linear is not None:
        shape = arch.linear
        state += arch.layer_kinds.count("linear") * shape.value_heads * shape.key_head_dim * shape.value_head_dim
    return 2.0 * state * _STATE_BYTES


def _local_experts(traffic: weights.WeightTraffic, parallelism: Parallelism) -> float:
    return traffic.experts / weights.expert_ranks(parallelism)


def _bytes_for_one_token(traffic: weights.WeightTraffic, parallelism: Parallelism) -> float:
    """On the average rank: experts that are spread out are read by one rank each."""
    touched = traffic.moe_layers * traffic.experts_per_token / weights.expert_ranks(parallelism)
    return traffic.dense_bytes + touched * traffic.expert_bytes
