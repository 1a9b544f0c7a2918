"""What every pipeline stage of a deployment has left for its KV cache."""

import math
from dataclasses import dataclass

from components.sizing.deployment import Deployment
from components.sizing.engine import ResolvedOptions
from components.sizing.overheads import GIB, Overheads, Weights, overheads
from components.sizing.weights import RankWeights, rank_weights


@dataclass(frozen=True)
class Stage:
    """Memory of one GPU of one pipeline stage, bytes."""

    weights: RankWeights
    overheads: Overheads
    kv_expected: int
    """Negative where the terms exceed the budget, as vLLM logs it."""
    kv_safe: int
    kv_is_given: bool = False
    """A budget that the caller gave: nothing about it is a prediction."""


def stages(deployment: Deployment, options: ResolvedOptions) -> tuple[Stage, ...]:
    """Return the budget of every pipeline stage.

    Raises ValueError for a stage that does not exist.
    """
    count = deployment.parallelism.pp
    if deployment.pp_rank is not None and not 0 <= deployment.pp_rank < count:
        msg = f"--pp-rank {deployment.pp_rank}: --pp {count} has the stages 0 to {count - 1}"
        raise ValueError(msg)
    return tuple(_stage(deployment, options, rank) for rank in range(count))


def _stage(deployment: Deployment, options: ResolvedOptions, rank: int) -> Stage:
    weights = rank_weights(
        deployment.arch,
        deployment.quant,
        deployment.parallelism,
        pp_rank=rank,
        compute_capability=deployment.gpu.compute_capability,
        vllm_version=deployment.options.vllm_version,
        index=deployment.weights_index,
    )
    samples = rank == deployment.parallelism.pp - 1
    loaded = Weights(
        weights.bytes / GIB,
        is_mxfp4=deployment.quant.precision == "mxfp4",
        has_16_bit_experts=deployment.arch.is_moe and not deployment.quant.is_quantized,
    )
    terms = overheads(deployment.arch, deployment.gpu, deployment.parallelism, options, loaded, samples=samples)
    given = deployment.options.kv_memory_gib
    if given is not None:
        return Stage(weights, terms, int(given * GIB), int(given * GIB), kv_is_given=True)
    share = options.gpu_memory_utilization
    return Stage(
        weights,
        terms,
        math.floor(deployment.memory_expected_gib * GIB * share - weights.bytes - terms.expected_gib * GIB),
        math.floor(deployment.memory_safe_gib * GIB * share - weights.bytes - terms.safe_gib * GIB),
    )
