"""How many GPUs a pool may hold. Pure."""

from collections.abc import Iterable


def gpu_limit(replicas: Iterable[tuple[int, int]], largest_node_gpus: int) -> int:
    """Return the limit of ``nvidia.com/gpu`` of a pool.

    ``replicas`` has, per model, its most replicas and the GPUs of the node that one of them takes. On top comes one
    node of the largest type: Karpenter counts the GPUs of launched nodes, not what pods ask, so without that room a
    rolling update, or one node taken by the wrong pod, leaves the largest model pending for ever (seen with Karpenter
    1.14.0 on 2026-11-21, in 2 of 6 runs).
    """
    return sum(count * gpus for count, gpus in replicas) + largest_node_gpus
