"""What other planners would have said: their formulas, each in a few lines.

All of them book the marketing size of a GPU's memory. Checkpoint sizes come from our inventory (theirs come from the
safetensors headers), so that only the rest of the formula is compared.

- KAITO: kaito-project/kaito@3cc8a5b pkg/workspace/estimator/budget.go
- llm-d-planner: llm-d-incubation/llm-d-planner@2cf8032 src/planner/capacity_planner.py
- naive: parameters x bytes per parameter, nothing else on the GPU
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from components.sizing.deployment import Deployment
from components.sizing.engine import default_utilization, release
from components.sizing.quantization import BF16
from components.sizing.types import Parallelism
from components.sizing.weights import rank_weights
from tests.accuracy.speeds import Speed

GIB = 2**30
MARKETING_GB: Mapping[str, int] = {
    "t4": 16,
    "a10g": 24,
    "l4": 24,
    "l40s": 48,
    "rtx-3090": 24,
    "rtx-4090": 24,
    "rtx-5090": 32,
    "a100-40gb": 40,
    "a100-80gb": 80,
    "h100": 80,
    "h200": 141,
    "b200": 180,
    "b300": 288,
    "rtx-pro-6000-server": 96,
}


@dataclass(frozen=True)
class Peer:
    """Weights and KV cache in GiB per GPU; what one token of context costs decides whether a context fits."""

    name: str
    weights_gib: Callable[[Deployment], float]
    kv_gib: Callable[[Deployment], float]

    def fits(self, deployment: Deployment) -> bool:
        """Room for one request of the asked length, by the usual bytes per token divided by all GPUs."""
        arch, asked = deployment.arch, deployment.options
        size = 1 if asked.kv_cache_dtype.startswith("fp8") else 2
        width = arch.mla.kv_lora_rank + arch.mla.qk_rope_head_dim if arch.mla else 2 * arch.kv_heads * arch.head_dim
        length = asked.max_model_len or arch.max_positions
        need = arch.layers * width * size * length / deployment.parallelism.gpus / GIB
        return self.kv_gib(deployment) >= need


def _budget(deployment: Deployment) -> float:
    asked = deployment.options
    utilization = asked.gpu_memory_utilization or default_utilization(release(asked.vllm_version))
    return utilization * MARKETING_GB[deployment.gpu.key]


@cache
def _checkpoint_gib(deployment_arch: object, quant: object, compute_capability: int) -> float:
    return rank_weights(
        deployment_arch,  # pyright: ignore[reportArgumentType]
        quant,  # pyright: ignore[reportArgumentType]
        Parallelism(),
        compute_capability=compute_capability,
    ).gib


def _share(deployment: Deployment) -> float:
    whole = _checkpoint_gib(deployment.arch, deployment.quant, deployment.gpu.compute_capability)
    return whole / (deployment.parallelism.tp * deployment.parallelism.pp)


def _naive_weights(deployment: Deployment) -> float:
    parameters = _checkpoint_gib(deployment.arch, BF16, deployment.gpu.compute_capability) * GIB / 2
    gpus = deployment.parallelism.tp * deployment.parallelism.pp
    return parameters * deployment.quant.weight_bits / 8 / gpus / GIB


def _naive_kv(deployment: Deployment) -> float:
    return _budget(deployment) - _naive_weights(deployment)


def _kaito_weights(deployment: Deployment) -> float:
    return 1.02 * _share(deployment)


def _kaito_kv(deployment: Deployment) -> float:
    fixed = 1.5 if deployment.gpu.key == "a10g" else 2.3
    return _budget(deployment) - _kaito_weights(deployment) - fixed - 0.05 * _share(deployment)


def _llm_d_kv(deployment: Deployment) -> float:
    spread = deployment.parallelism
    activation = (2.5 if deployment.arch.is_moe else 2.0) / (spread.tp * spread.pp)
    non_torch = 2.1 if spread.tp > 1 else 0.07 if spread.pp > 1 else 0.27
    return max(0.0, _budget(deployment) - _share(deployment) - activation - non_torch)


PEERS = (
    Peer("KAITO", _kaito_weights, _kaito_kv),
    Peer("llm-d-planner", _share, _llm_d_kv),
    Peer("naive", _naive_weights, _naive_kv),
)


def naive_tpot_ms(speed: Speed) -> float:
    """Time per token as parameters x bytes over the bandwidth."""
    gpus = speed.parallelism.tp
    return _bytes(speed) / (speed.gpu.bandwidth_gbs * 1e9 * gpus) * 1e3


def naive_ttft_ms(speed: Speed) -> float:
    """Time to the first token as 2 x parameters x prompt over the peak."""
    peak = speed.gpu.tflops.get("fp8" if speed.quant.activation_bits == 8 else "bf16") or speed.gpu.tflops["bf16"]
    parameters = _bytes(speed) / (speed.quant.weight_bits / 8)
    return 2 * parameters * speed.load.input_tokens / (peak * 1e12 * speed.parallelism.gpus) * 1e3


def _bytes(speed: Speed) -> float:
    parameters = _checkpoint_gib(speed.arch, BF16, speed.gpu.compute_capability) * GIB / 2
    return parameters * speed.quant.weight_bits / 8
