"""Published start-ups of vLLM as deployments that the planner can be asked about, and what stands in the way."""

import csv
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from components.sizing import catalog
from components.sizing.architecture import Architecture, UnknownModel, UnsupportedArchitecture, named
from components.sizing.deployment import Deployment
from components.sizing.engine import UnknownVersionError, release
from components.sizing.quantization import Quantization, from_precision
from components.sizing.types import EngineOptions, Parallelism

DATA = Path(__file__).parents[1] / "data"

GPU_KEYS = {
    "H100-80GB": "h100",
    "80GB-class": "h100",
    "H200-141GB": "h200",
    "B200-180GB": "b200",
    "A100-40GB": "a100-40gb",
    "A100-80GB": "a100-80gb",
    "A10G-24GB": "a10g",
    "24GB-class(A10/A10G/L4)": "a10g",
    "L4-24GB": "l4",
    "L40S-48GB": "l40s",
    "T4-16GB": "t4",
    "RTXPRO6000-96GB": "rtx-pro-6000-server",
    "RTX3090-24GB": "rtx-3090",
    "RTX4090-24GB": "rtx-4090",
    "RTX5090-32GB": "rtx-5090",
}
"""The measurements' GPU classes and the planner's keys; a class without a key is no GPU of the catalogue."""

ERAS = (("<= 0.16", 0, 16), ("0.17-0.19", 17, 19), ("0.20-0.28", 20, 28), (">= 0.29", 29, 99))

_PRECISIONS = {
    "awq": "awq-int4",
    "gptq": "gptq-int4",
    "gptq_marlin": "gptq-int4",
    "nvfp4": "nvfp4",
    "mxfp4": "mxfp4",
}
_GONE = ("bitsandbytes", "gguf", "online", "auto_round")
_UNDECIDABLE = {
    "co_tenant": "another process held memory of the same GPU",
    "non_memory": "it failed for a reason that is not memory",
    "readiness_timeout": "it was killed by a probe, not by memory",
    "sampler_warmup_oom": "it ran out of memory after the KV cache was sized (warm-up of the sampler)",
    "cudagraph_oom": "it ran out of memory after the KV cache was sized (graph capture)",
    "cudagraph_profiling_oom": "it ran out of memory while graphs were profiled",
    "runtime_oom": "it started, and failed later under load",
    "weight_repack_oom": "the peak of repacking weights for Marlin is not modelled",
    "mamba": "max-num-seqs exceeded the state blocks: an option's limit, not memory",
    "oom after load": "the source does not say at which stage it failed",
    "stage not stated": "the source does not say at which stage it failed",
}
"""Failures that a memory plan cannot call, by the start (or a part) of the outcome's detail."""


@dataclass(frozen=True, eq=False)
class StartUp:
    """One row. ``gaps``: what is missing to ask about it."""

    row: dict[str, str]
    deployment: Deployment | None
    gaps: tuple[str, ...] = field(default=())

    @property
    def id(self) -> str:
        """The row's identifier."""
        return self.row["id"]

    @property
    def minor(self) -> int | None:
        """Minor number of the vLLM release, None where the source does not say it."""
        try:
            return release(self.row["vllm_version"])
        except UnknownVersionError:
            return None

    @property
    def era(self) -> str:
        """Which set of memory rules applies."""
        minor = self.minor
        return "unknown" if minor is None else next(name for name, first, last in ERAS if first <= minor <= last)

    @property
    def weights_gib(self) -> float | None:
        """Logged weights per GPU."""
        return _number(self.row["weights_gib_per_gpu"])

    @property
    def kv_gib(self) -> float | None:
        """Logged KV cache per GPU."""
        return _number(self.row["kv_cache_gib_per_gpu"])

    @property
    def started(self) -> bool | None:
        """Whether it started; None where its failure is not a question of memory or legality."""
        if self.row["outcome"] == "ok":
            return True
        if self.row["outcome"] in {"too_long", "oom_kv", "oom_load"} and self.excuse is None:
            return False
        return False if self.row["outcome_detail"] == "tp_divisibility" else None

    @property
    def excuse(self) -> str | None:
        """Why memory does not explain the outcome."""
        detail = self.row["outcome_detail"]
        return next((text for start, text in _UNDECIDABLE.items() if start in detail), None)

    @property
    def known_config(self) -> bool:
        """The configuration is the model's own or that of its base by name, not of a relative."""
        return not self.row["config_basis"].startswith("inferred")

    @property
    def label(self) -> str:
        """Model, GPUs and release in a few words."""
        row = self.row
        gpus = f"{row['gpu_count'] or '?'} x {row['gpu_class_derived'] or row['gpu_name'] or '?'}"
        return f"{self.id} {row['model_id'].split(' (')[0]} on {gpus}, vLLM {row['vllm_version'] or '?'}"


@cache
def startups() -> tuple[StartUp, ...]:
    """Every published start-up."""
    with (DATA / "memory_measurements.csv").open(encoding="utf-8", newline="") as file:
        return tuple(_read(row) for row in csv.DictReader(file))


def _read(row: dict[str, str]) -> StartUp:
    gaps: list[str] = []
    arch = _architecture(row, gaps)
    quant = None if arch is None else _quantization(row, arch, gaps)
    gpu = GPU_KEYS.get(row["gpu_class_derived"])
    if gpu is None:
        gaps.append(f"GPU {row['gpu_class_derived'] or row['gpu_name'] or 'not stated'}")
    parallelism = _parallelism(row, gaps)
    if row["engine"] == "sglang":
        gaps.append("another engine")
    try:
        release(row["vllm_version"] or "0.33.0")
    except UnknownVersionError as error:
        gaps.append(str(error))
    if gaps or arch is None or quant is None or gpu is None or parallelism is None:
        return StartUp(row, None, tuple(gaps))
    memory = _number(row["gpu_memory_gib_as_reported"])
    if memory is None and catalog.gpu(gpu).memory_expected_gib is None:
        return StartUp(row, None, (f"memory of {gpu}",))
    return StartUp(row, Deployment(arch, quant, catalog.gpu(gpu), parallelism, _options(row), memory_gib=memory))


def _architecture(row: dict[str, str], gaps: list[str]) -> Architecture | None:
    for key in (row["model_id"], row["config_key"]):
        try:
            return named(key)
        except (UnknownModel, UnsupportedArchitecture):
            continue
    gaps.append("the model's configuration")
    return None


def _quantization(row: dict[str, str], arch: Architecture, gaps: list[str]) -> Quantization | None:
    stated, own = row["checkpoint_quantization"], arch.checkpoint_precision
    if any(word in stated for word in _GONE) or row["dtype"] == "float32":
        gaps.append(f"weight format {stated if stated != 'none' else row['dtype']}")
        return None
    if (stated == "" and own.is_quantized) or (stated == "fp8" and own.precision.startswith("fp8")):
        return own
    return from_precision(_precision(row, arch), arch)


def _precision(row: dict[str, str], arch: Architecture) -> str:
    """Read the planner's key from what the source says, with what the checkpoint's name and publisher say beside it."""
    stated, name = row["checkpoint_quantization"], row["model_id"].lower()
    if stated in ("", "none"):
        return "fp16" if (row["dtype"] or arch.dtype) == "float16" else "bf16"
    if stated == "fp8":
        return "fp8-block" if name.split("/")[0] in {"qwen", "deepseek-ai", "zai-org", "minimaxai"} else "fp8"
    if stated == "compressed-tensors":
        return "int8" if "w8a8" in name else "fp8" if "fp8" in name else "gptq-int4"
    return _PRECISIONS[stated]


def _parallelism(row: dict[str, str], gaps: list[str]) -> Parallelism | None:
    spread = row["data_parallel/expert_parallel"]
    dp = next((int(part[3:]) for part in spread.split(";") if part.startswith("dp=")), 1)
    tp, pp = _number(row["tensor_parallel"]), _number(row["pipeline_parallel"])
    gpus = _number(row["gpu_count"])
    if tp is None and gpus != 1 and (gpus is None or pp is None):
        gaps.append("tensor parallelism")
        return None
    pp = pp or 1
    tp = tp or (gpus or 1) / pp
    return Parallelism(int(tp), int(pp), dp, ep="ep=" in spread and "ep=False" not in spread)


def _options(row: dict[str, str]) -> EngineOptions:
    def whole(column: str) -> int | None:
        number = _number(row[column])
        return None if number is None else int(number)

    spread = row["data_parallel/expert_parallel"]
    context = {"--decode-context-parallel-size": int(spread[4:])} if spread.startswith("dcp=") else {}
    return EngineOptions(
        vllm_version=row["vllm_version"] or "0.33.0",
        max_model_len=whole("max_model_len"),
        max_num_seqs=whole("max_num_seqs"),
        max_num_batched_tokens=whole("max_num_batched_tokens"),
        gpu_memory_utilization=_number(row["gpu_memory_utilization"]),
        kv_cache_dtype=row["kv_cache_dtype"] or "auto",
        enforce_eager=row["enforce_eager"] == "True",
        dtype=row["dtype"] or "auto",
        extra=context,
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
