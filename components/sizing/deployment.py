"""What an estimate is asked about: one model, in one format, on given GPUs, with given options."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.sizing.architecture import Architecture
from components.sizing.catalog import Gpu
from components.sizing.quantization import Quantization
from components.sizing.types import EngineOptions, Load, Parallelism


@dataclass(frozen=True)
class Deployment:
    """One replica of a model. ``memory_gib`` overrides what CUDA shows of the GPU (GiB per GPU)."""

    arch: Architecture
    quant: Quantization
    gpu: Gpu
    parallelism: Parallelism = field(default_factory=Parallelism)
    options: EngineOptions = field(default_factory=EngineOptions)
    memory_gib: float | None = None
    load: Load | None = None
    """With a load, latency is predicted too."""
    weights_index: Mapping[str, Any] | None = None
    """A parsed ``model.safetensors.index.json``: exact totals."""
    pp_rank: int | None = None
    """The pipeline stage to report; None: the fullest."""

    @property
    def memory_expected_gib(self) -> float:
        """What CUDA probably shows, GiB."""
        return self.memory_gib or self.gpu.memory_expected_gib or 0.0

    @property
    def memory_safe_gib(self) -> float:
        """What CUDA shows at least, GiB."""
        return self.memory_gib or self.gpu.memory_safe_gib or 0.0
