"""What the serving container asks of its host, and whether a node of a type can give it.

The memory asked depends on how weights are loaded. vLLM prefetches a checkpoint on NFS into the page cache only where
it is at most 90 % of the memory that the container's cgroup leaves (vLLM 0.33.0 weight_utils.py:978-1180), and page
cache counts against the container's limit: a limit below that silently turns the prefetch off.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from components.sizing.catalog import InstanceType
from components.sizing.types import Assumption

Loader = Literal["nfs-prefetch", "lazy"]
"""``lazy``: pages are read as they are needed and may be dropped again, the checkpoint need not fit."""

MIB_PER_GIB = 1024
PREFETCH_SHARE = 0.9
"""Share of available memory that a checkpoint may take and still be prefetched (vLLM 0.33.0 weight_utils.py)."""
PROCESS_GIB = 10.0
"""API server, engine core and the first worker: Python, torch, CUDA context, pinned buffers."""
WORKER_GIB = 2.0
"""Each further worker process on the node (its own Python, torch and CUDA context). General knowledge, rounded up."""
SHM_BASE_GIB = 0.25 + 1.0
"""Broadcast ring (160 MiB and 24 MiB) and NCCL's buffers (vLLM 0.33.0 shm_broadcast.py:503, multiproc_executor.py)."""
SHM_PER_GPU_GIB = 0.25
"""Response ring of one local worker: 240 MiB (vLLM 0.33.0 multiproc_executor.py:725)."""
ENGINE_CPUS = 2
"""API server and engine core; each GPU's worker takes one more."""


@dataclass(frozen=True)
class HostOverhead:
    """Requests of the DaemonSets that run on every GPU node."""

    cpu_millicores: int = 500
    memory_mib: int = 1024


@dataclass(frozen=True)
class HostNeed:
    """Requests of one pod of a replica; a replica over several nodes has one such pod on each."""

    cpu_millicores: int
    memory_mib: int
    shm_gib: float
    """Size limit of /dev/shm, inside ``memory_mib``; 0 where one process drives one GPU."""


@dataclass(frozen=True)
class HostShortage:
    """What a node lacks: the container's request and what the node leaves for it."""

    resource: Literal["cpu", "memory"]
    actual: float
    limit: float
    unit: str


def need(checkpoint_gib: float, local_gpus: int, *, multiprocess: bool, loader: Loader) -> HostNeed:
    """Return what one pod asks for.

    Args:
        checkpoint_gib: the files that the pod reads, in GiB.
        local_gpus: GPUs that the pod drives.
        multiprocess: True where the replica has more than one GPU, so that workers talk over /dev/shm.
        loader: how weights are read.

    """
    shm = math.ceil(SHM_BASE_GIB + SHM_PER_GPU_GIB * local_gpus) if multiprocess else 0
    cached = checkpoint_gib / PREFETCH_SHARE if loader == "nfs-prefetch" else 0.0
    memory = cached + PROCESS_GIB + WORKER_GIB * (local_gpus - 1) + shm
    return HostNeed((ENGINE_CPUS + local_gpus) * 1000, math.ceil(memory * MIB_PER_GIB), shm)


def shortage(wanted: HostNeed, host: InstanceType, overhead: HostOverhead) -> HostShortage | None:
    """Return what the type's node lacks for the pod beside its DaemonSets; None where the pod fits."""
    memory_left = host.allocatable_memory_mib - overhead.memory_mib
    if wanted.memory_mib > memory_left:
        return HostShortage("memory", wanted.memory_mib, memory_left, "MiB of host memory")
    cpu_left = host.allocatable_cpu_millicores - overhead.cpu_millicores
    if wanted.cpu_millicores > cpu_left:
        return HostShortage("cpu", wanted.cpu_millicores, cpu_left, "millicores of host CPU")
    return None


def assumptions(wanted: HostNeed, overhead: HostOverhead, loader: Loader) -> Iterable[Assumption]:
    """Yield the rule and its numbers, so that a reader can dispute them."""
    cached = f"checkpoint ÷ {PREFETCH_SHARE} + " if loader == "nfs-prefetch" else ""
    yield Assumption(
        "host_memory_mib",
        wanted.memory_mib,
        f"{cached}{PROCESS_GIB:g} GiB + {WORKER_GIB:g} GiB per further local GPU + /dev/shm {wanted.shm_gib:g} GiB; "
        "vLLM prefetches a checkpoint on NFS only below 90 % of the cgroup's free memory "
        "(vLLM 0.33.0 model_executor/model_loader/weight_utils.py:978-1180)",
        "0.33.0",
    )
    yield Assumption(
        "host_cpu_millicores",
        wanted.cpu_millicores,
        f"{ENGINE_CPUS} (API server, engine core) + 1 per local GPU; general knowledge",
    )
    yield Assumption(
        "daemonsets",
        f"{overhead.cpu_millicores}m CPU, {overhead.memory_mib} MiB",
        "requests of the DaemonSets of a GPU node, taken off Karpenter's allocatable",
    )
