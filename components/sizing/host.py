"""What the serving container asks of its host, and whether a node of a type can give it.

The memory asked depends on how weights are loaded. vLLM prefetches a checkpoint on NFS into the page cache only where
it is at most 90 % of the memory that the container's cgroup leaves (vLLM 0.33.0 weight_utils.py:978-1180), and page
cache counts against the container's limit. Where no such room is, pages are read as they are needed and dropped again.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from components.sizing.catalog import InstanceType
from components.sizing.types import Assumption

Loader = Literal["prefetch", "lazy", "stream"]
"""``prefetch`` and ``lazy``: vLLM's ``--safetensors-load-strategy`` for files; ``stream``: straight from S3."""

MIB_PER_GIB = 1024
PREFETCH_SHARE = 0.9
"""Share of available memory that a checkpoint may take and still be prefetched (vLLM 0.33.0 weight_utils.py)."""
STREAM_GIB = 5.0
"""Buffer of each rank's S3 streamer, which needs a bound: its default of 40 GB gets small pods killed
(run-ai/runai-model-streamer@f73a19a docs)."""
PROCESS_GIB = 10.0
"""API server, engine core and the first worker: Python, torch, CUDA context, pinned buffers."""
WORKER_GIB = 2.0
"""Each further worker process on the node (its own Python, torch and CUDA context). General knowledge, rounded up."""
SHM_BASE_GIB = 0.25 + 1.0
"""Broadcast ring (160 MiB and 24 MiB) and NCCL's buffers (vLLM 0.33.0 shm_broadcast.py:503, multiproc_executor.py)."""
SHM_PER_GPU_GIB = 0.25
"""Response ring of one local worker: 240 MiB (vLLM 0.33.0 multiproc_executor.py:725)."""
ENGINE_CORES = 2
"""Physical cores of API server and engine core; each GPU's worker takes one more. General knowledge."""
MILLICORES_PER_CORE = 2000
"""A physical core of these hosts is two vCPUs."""


@dataclass(frozen=True)
class HostOverhead:
    """Requests of the DaemonSets that run on every GPU node."""

    cpu_millicores: int = 500
    memory_mib: int = 1024


@dataclass(frozen=True)
class HostNeed:
    """Requests of one pod of a replica; a replica over several nodes has one such pod on each."""

    loader: Loader
    cpu_millicores: int
    memory_mib: int
    shm_gib: float
    """Size limit of /dev/shm, inside ``memory_mib``; 0 where one process drives one GPU."""


@dataclass(frozen=True)
class HostShortage:
    """What a node lacks: the container's request and what the node leaves for it."""

    resource: Literal["CPU", "memory"]
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
    buffers = {"prefetch": checkpoint_gib / PREFETCH_SHARE, "lazy": 0.0, "stream": STREAM_GIB * local_gpus}[loader]
    memory = buffers + PROCESS_GIB + WORKER_GIB * (local_gpus - 1) + shm
    cpu = (ENGINE_CORES + local_gpus) * MILLICORES_PER_CORE
    return HostNeed(loader, cpu, math.ceil(memory * MIB_PER_GIB), shm)


def shortage(wanted: HostNeed, host: InstanceType, overhead: HostOverhead) -> HostShortage | None:
    """Return what the type's node lacks for the pod beside its DaemonSets; None where the pod fits."""
    memory_left = host.allocatable_memory_mib - overhead.memory_mib
    if wanted.memory_mib > memory_left:
        return HostShortage("memory", wanted.memory_mib, memory_left, "MiB of host memory")
    cpu_left = host.allocatable_cpu_millicores - overhead.cpu_millicores
    if wanted.cpu_millicores > cpu_left:
        return HostShortage("CPU", wanted.cpu_millicores, cpu_left, "millicores of host CPU")
    return None


def assumptions(wanted: HostNeed, overhead: HostOverhead) -> Iterable[Assumption]:
    """Yield the rule and its numbers, so that a reader can dispute them."""
    buffers = {
        "prefetch": f"checkpoint ÷ {PREFETCH_SHARE} (vLLM prefetches from NFS only below 90 % of the free memory, "
        "vLLM 0.33.0 model_executor/model_loader/weight_utils.py:978-1180) + ",
        "lazy": "",
        "stream": f"{STREAM_GIB:g} GiB of S3 buffer per local GPU + ",
    }[wanted.loader]
    yield Assumption(
        "host_memory_mib",
        wanted.memory_mib,
        f"{buffers}{PROCESS_GIB:g} GiB + {WORKER_GIB:g} GiB per further local GPU + /dev/shm {wanted.shm_gib:g} GiB",
        "0.33.0",
    )
    yield Assumption("load_strategy", wanted.loader, "the first of the allowed ways that fits the host's memory")
    yield Assumption(
        "host_cpu_millicores",
        wanted.cpu_millicores,
        f"{ENGINE_CORES} physical cores (API server, engine core) + 1 per local GPU, {MILLICORES_PER_CORE}m each",
    )
    yield Assumption(
        "daemonsets",
        f"{overhead.cpu_millicores}m CPU, {overhead.memory_mib} MiB",
        "requests of the DaemonSets of a GPU node, taken off Karpenter's allocatable",
    )
