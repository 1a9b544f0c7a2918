"""Karpenter and the pools of nodes that it makes."""

from components.karpenter.checks import CAPACITY_BLOCK_DRAIN_MINUTES, PoolFacts, PoolProblem, pool_problems
from components.karpenter.controller import Karpenter, KarpenterArgs
from components.karpenter.cpu_pool import CpuNodePool, CpuNodePoolArgs
from components.karpenter.gpu_pool import (
    GpuNodePool,
    GpuNodePoolArgs,
    InvalidPoolError,
    MaintenanceWindowArgs,
    ReservationArgs,
    SharingArgs,
)

__all__ = [
    "CAPACITY_BLOCK_DRAIN_MINUTES",
    "CpuNodePool",
    "CpuNodePoolArgs",
    "GpuNodePool",
    "GpuNodePoolArgs",
    "InvalidPoolError",
    "Karpenter",
    "KarpenterArgs",
    "MaintenanceWindowArgs",
    "PoolFacts",
    "PoolProblem",
    "ReservationArgs",
    "SharingArgs",
    "pool_problems",
]
