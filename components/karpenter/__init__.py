"""Karpenter and the pools of nodes that it makes."""

from components.karpenter.controller import Karpenter, KarpenterArgs
from components.karpenter.cpu_pool import CpuNodePool, CpuNodePoolArgs
from components.karpenter.gpu_pool import (
    GpuNodePool,
    GpuNodePoolArgs,
    InvalidPoolError,
    MaintenanceWindowArgs,
    ReservationArgs,
)

__all__ = [
    "CpuNodePool",
    "CpuNodePoolArgs",
    "GpuNodePool",
    "GpuNodePoolArgs",
    "InvalidPoolError",
    "Karpenter",
    "KarpenterArgs",
    "MaintenanceWindowArgs",
    "ReservationArgs",
]
