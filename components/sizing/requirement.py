"""What a user asks of a model: the question that ``recommend`` answers."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from components.sizing import catalog
from components.sizing.architecture import Architecture
from components.sizing.engine import UnknownVersionError, release
from components.sizing.host import HostOverhead, Loader
from components.sizing.kv import KV_DTYPES
from components.sizing.quantization import PRECISIONS, Quantization, from_precision
from components.sizing.types import CapacityType, EngineOptions, Load, Objective, Profile

DEFAULT_VLLM = "0.33.0"
KV_CACHE_DTYPES = ("auto", "fp8")
"""What is tried where nothing is asked for: quality before memory."""


class InvalidRequirementError(ValueError):
    """A requirement that makes no sense; the message names every option, its value and what is accepted."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Requirement:
    """A model with the load of its busiest moment, its service levels, and where it may run."""

    arch: Architecture
    load: Load
    """Of the whole model, all replicas together."""
    name: str = ""
    """The model's name in the stack; empty: the model id."""
    precisions: tuple[str, ...] = ()
    """Checkpoints that may be served. Empty: only what config.json says; quality is never traded unasked."""
    max_model_len: int | None = None
    """Tokens of the longest request. None: the profile chooses from the budget."""
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    objective: Objective = "hourly"
    profile: Profile = "balanced"
    families: tuple[str, ...] = ()
    """EC2 families that may be used. Empty: all."""
    capacity: tuple[CapacityType, ...] = ("on-demand",)
    """In order of preference."""
    region: str = "us-east-1"
    zones: tuple[str, ...] = ()
    """The VPC's zones. Empty: any zone of the region."""
    max_nodes: int = 1
    """Nodes of one replica."""
    replicas_min: int = 1
    replicas_max: int | None = None
    max_sequences: int | None = None
    """Upper bound of max-num-seqs."""
    vllm_version: str = DEFAULT_VLLM
    kv_cache_dtypes: tuple[str, ...] = KV_CACHE_DTYPES
    """Dtypes that may be used; fp8 only where the GPU supports it, and after auto at equal cost."""
    gpu_memory_utilization: float | None = None
    max_num_batched_tokens: int | None = None
    enforce_eager: bool = False
    loaders: tuple[Loader, ...] = ("prefetch", "lazy")
    """Ways to read the weights, in order of preference; the first that fits the host's memory is taken."""
    daemonsets: HostOverhead = field(default_factory=HostOverhead)
    weights_index: Mapping[str, Any] | None = field(default=None, hash=False)
    """A parsed model.safetensors.index.json, for exact totals."""
    today: dt.date | None = None
    """The day that prices are judged by; None: today."""

    @property
    def request_tokens(self) -> int:
        """Tokens of one request at its end."""
        return self.load.input_tokens + self.load.output_tokens

    @property
    def searched_model_len(self) -> int:
        """The context that every candidate must hold: what was asked for, else what the load needs."""
        return self.max_model_len or self.request_tokens

    def quantizations(self) -> tuple[Quantization, ...]:
        """Return the formats to try, most bits first."""
        if not self.precisions:
            return (self.arch.checkpoint_precision,)
        found = (from_precision(key, self.arch) for key in dict.fromkeys(self.precisions))
        return tuple(sorted(found, key=lambda quant: -quant.weight_bits))

    def options(self, max_num_seqs: int, kv_cache_dtype: str, utilization: float | None) -> EngineOptions:
        """Return the engine options of one candidate."""
        return EngineOptions(
            vllm_version=self.vllm_version,
            max_model_len=self.searched_model_len,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=self.max_num_batched_tokens,
            gpu_memory_utilization=utilization,
            kv_cache_dtype=kv_cache_dtype,
            enforce_eager=self.enforce_eager,
        )


def check(requirement: Requirement) -> None:
    """Raise one error that lists everything wrong with a requirement.

    Raises:
        InvalidRequirementError: with a problem per option: its name, value and what is accepted.

    """
    problems = (*_numbers(requirement), *_choices(requirement))
    if problems:
        raise InvalidRequirementError(problems)


def _numbers(asked: Requirement) -> tuple[str, ...]:
    least_one = {
        "concurrency": asked.load.concurrency,
        "input-tokens": asked.load.input_tokens,
        "output-tokens": asked.load.output_tokens,
        "max-model-len": asked.max_model_len,
        "max-nodes": asked.max_nodes,
        "replicas-min": asked.replicas_min,
        "replicas-max": asked.replicas_max,
        "max-sequences": asked.max_sequences,
        "max-num-batched-tokens": asked.max_num_batched_tokens,
    }
    problems = [f"{name} = {value}: at least 1" for name, value in least_one.items() if value is not None and value < 1]
    positive = {"ttft-ms": asked.ttft_ms, "tpot-ms": asked.tpot_ms}
    problems += [
        f"{name} = {value:g}: more than 0" for name, value in positive.items() if value is not None and value <= 0
    ]
    if not 0 <= asked.load.prefix_hit_rate <= 1:
        problems.append(f"prefix-hit-rate = {asked.load.prefix_hit_rate:g}: between 0 and 1")
    if asked.gpu_memory_utilization is not None and not 0 < asked.gpu_memory_utilization <= 1:
        problems.append(f"gpu-memory-utilization = {asked.gpu_memory_utilization:g}: more than 0, at most 1")
    if asked.replicas_max is not None and asked.replicas_max < asked.replicas_min:
        problems.append(f"replicas-max = {asked.replicas_max}: at least replicas-min, {asked.replicas_min}")
    if asked.max_model_len is not None and 1 <= asked.max_model_len < asked.request_tokens:
        problems.append(
            f"max-model-len = {asked.max_model_len}: at least input-tokens + output-tokens, {asked.request_tokens}"
        )
    return tuple(problems)


def _choices(asked: Requirement) -> tuple[str, ...]:
    problems = [
        f"families = {family}: {catalog.closest(family, catalog.families())}"
        for family in asked.families
        if family not in catalog.families()
    ]
    problems += [
        f"capacity = {way}: accepted: {', '.join(get_args(CapacityType))}"
        for way in asked.capacity
        if way not in get_args(CapacityType)
    ]
    problems += [
        f"precision = {key}: accepted: {', '.join(PRECISIONS)}" for key in asked.precisions if key not in PRECISIONS
    ]
    for name, value, accepted in (
        ("objective", asked.objective, get_args(Objective)),
        ("profile", asked.profile, get_args(Profile)),
    ):
        if value not in accepted:
            problems.append(f"{name} = {value}: accepted: {', '.join(accepted)}")
    if asked.region not in catalog.regions():
        problems.append(f"region = {asked.region}: {catalog.closest(asked.region, catalog.regions())}")
    problems += [
        f"zones = {zone}: not a zone of {asked.region}" for zone in asked.zones if not zone.startswith(asked.region)
    ]
    problems += [
        f"kv-cache-dtype = {dtype}: accepted: {', '.join(KV_DTYPES)}"
        for dtype in asked.kv_cache_dtypes
        if dtype not in KV_DTYPES
    ]
    try:
        release(asked.vllm_version)
    except UnknownVersionError as error:
        problems.append(f"vllm-version = {asked.vllm_version}: {error}")
    if not asked.capacity:
        problems.append(f"capacity is empty: accepted: {', '.join(get_args(CapacityType))}")
    return tuple(problems)
