"""NVIDIA GPU Operator: device plugin, feature discovery and metrics on GPU nodes."""

from components.gpu_operator.gpu_operator import GpuOperator, GpuOperatorArgs

__all__ = ["GpuOperator", "GpuOperatorArgs"]
