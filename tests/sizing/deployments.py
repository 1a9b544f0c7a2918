"""Estimates of the oracle's models in one line, for several tests of the planner."""

from pathlib import Path

from hypothesis import settings

from components.sizing import catalog
from components.sizing.architecture import Architecture
from components.sizing.cli.options import read_architecture
from components.sizing.estimate import Deployment, Estimate, estimate
from components.sizing.quantization import from_precision
from components.sizing.types import EngineOptions, Parallelism

law = settings(deadline=None, max_examples=60)
"""For properties: a busy machine must not fail them."""
CONFIGS = Path(__file__).parents[1] / "data" / "oracle_configs"


def oracle_model(name: str) -> Architecture:
    """Read one of the models whose configuration the oracles share."""
    return read_architecture(None, CONFIGS / f"{name}.json")


def judge(
    model: str = "llama3.1-8b",
    gpu: str = "a10g",
    *,
    precision: str | None = None,
    tp: int = 1,
    pp: int = 1,
    memory_gib: float | None = None,
    **options: object,
) -> Estimate:
    """Estimate a deployment; ``options`` are those of ``EngineOptions``."""
    arch = oracle_model(model)
    quant = arch.checkpoint_precision if precision is None else from_precision(precision, arch)
    asked = EngineOptions(**options)  # type: ignore[arg-type]
    return estimate(Deployment(arch, quant, catalog.gpu(gpu), Parallelism(tp, pp), asked, memory_gib))
