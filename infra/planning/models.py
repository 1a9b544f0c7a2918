"""Which machine each model gets, or why none will do."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from components import daemonsets, versions
from components.cold_start import ColdStart, cold_start
from components.sizing import catalog
from components.sizing.architecture import Architecture, UnknownModel, UnsupportedArchitecture, from_config, named
from components.sizing.decision import Decision, Recommendation
from components.sizing.host import HostOverhead
from components.sizing.recommend import recommend
from components.sizing.requirement import InvalidRequirementError, Requirement
from components.sizing.types import CapacityType, Load, Objective, Profile
from components.vllm import eviction_minutes
from infra.settings.pool_sections import GpuPool
from infra.settings.problems import Problem
from infra.settings.rules import is_bucket, is_hub
from infra.settings.sections import Model, StackConfig

SHOWN_REJECTIONS = 3

GATE_FIXES: Mapping[str, str] = {
    "capability": "choose another precision, or a family whose GPUs can run this one",
    "divisibility": "allow a family with another number of GPUs per node",
    "kv_dtype": "allow a family of a newer GPU generation",
    "memory_one": "lower maxModelLen, choose a smaller precision, or allow a family with more GPU memory",
    "memory_conc": "raise replicas.max, lower concurrency, or allow a family with more GPU memory",
    "slo": "relax slo, raise replicas.max, or allow a family with faster GPUs",
    "availability": "allow a family that EC2 offers in these zones, or other zones",
    "policy": "allow another family, or another way to buy",
    "host": "allow larger sizes of the family, or another family",
    "price": "allow a family with a list price",
}


@dataclass(frozen=True)
class ModelPlan:
    """One model with its decision."""

    model: Model
    decision: Decision
    pools: tuple[GpuPool, ...]
    """Pools whose nodes may run it: each has the family of the chosen type or of an alternate."""
    recommendation: Recommendation

    @property
    def instance_types(self) -> tuple[str, ...]:
        """The chosen type and its alternates."""
        return (self.decision.instance_type, *self.decision.alternates)

    @property
    def node_gpus(self) -> int:
        """GPUs of one of its nodes."""
        return catalog.instance_type(self.decision.instance_type).gpu_count

    def cold_start(self, cache: str) -> ColdStart:
        """Return a start on the slowest network among the types; ``cache`` is the EFS throughput mode."""
        gbps = min(catalog.instance_type(name).network_baseline_gbps for name in self.instance_types)
        return cold_start(self.decision.checkpoint_bytes, gbps, "s3" if is_bucket(self.model.source) else cache)

    def eviction_minutes(self, cache: str) -> int:
        """Return how long one of its servers may hold up the drain of a node."""
        return eviction_minutes(self.decision.to_json(), self.model.output_tokens, self.cold_start(cache))

    def to_json(self, cache: str) -> dict[str, Any]:
        """Return the decision as plain data, with its pools and cold start; ``cache`` is the EFS throughput mode."""
        outside = self.recommendation.cheaper_outside
        return {
            **self.decision.to_json(),
            "source": self.model.source,
            "revision": self.model.revision,
            "pools": [pool.name for pool in self.pools],
            "cold_start": self.cold_start(cache).to_json(),
            "cheaper_outside": None if outside is None else _headline(outside),
        }


class UnplannableError(Exception):
    """A model that no machine can be chosen for."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


def plan_model(model: Model, config: StackConfig, root: Path) -> ModelPlan:
    """Return the plan of a model. ``root`` is what architecture files are relative to.

    Raises:
        UnplannableError: with every reason; with none where region, pools or source have problems of their own.

    """
    whole = (pool for pool in config.gpu_pools if pool.sharing is None)
    pools = tuple(pool for pool in whole if pool.name in model.pools or not model.pools)
    unknown_region = config.region not in catalog.regions()
    broken = set(config.unread_pools) if not model.pools else set(model.pools) - {pool.name for pool in pools}
    if unknown_region or broken or not pools:
        raise UnplannableError
    arch = _architecture(model, root)
    problems = tuple(_architecture_problems(model, arch))
    if problems:
        raise UnplannableError(*problems)
    try:
        recommendation = recommend(_requirement(model, arch, pools, config))
    except InvalidRequirementError as error:
        fix = "correct the setting that the message names"
        reasons = (Problem(model.path, model.name, "requirement", text, fix) for text in error.problems)
        raise UnplannableError(*reasons) from error
    decision = recommendation.chosen
    if decision is None:
        raise UnplannableError(_refusal(model, pools, recommendation))
    if decision.nodes > 1:
        raise UnplannableError(_multi_node(model, decision))
    families = {catalog.instance_type(name).family for name in (decision.instance_type, *decision.alternates)}
    used = tuple(pool for pool in pools if families & set(pool.families))
    return ModelPlan(model, decision, used, recommendation)


def _architecture(model: Model, root: Path) -> Architecture:
    """Return what the model is: from its own file, else from the catalogue."""
    if model.architecture is not None:
        return _architecture_file(model, model.architecture, root)
    if not is_hub(model.source):
        raise UnplannableError  # what is missing, a rule of the settings says
    path = f"{model.path}.source"
    try:
        return named(model.source)
    except UnknownModel as error:
        fix = "save its config.json beside Pulumi.yaml and name the file as architecture"
        raise UnplannableError(Problem(path, model.source, "unknown-model", str(error), fix)) from error
    except UnsupportedArchitecture as error:
        fix = "serve another model: this one's tensors cannot be inferred"
        raise UnplannableError(Problem(path, model.source, "architecture", str(error), fix)) from error


def _architecture_file(model: Model, name: str, root: Path) -> Architecture:
    try:
        document = json.loads((root / name).read_text(encoding="utf-8"))
        if isinstance(document, dict):
            return from_config(document, model.source)
        rule, message = "file", "is no JSON object"
    except OSError as error:
        rule, message = "file", f"cannot be read: {error.strerror}"
    except UnsupportedArchitecture as error:
        rule, message = "architecture", str(error)
    except ValueError as error:  # no UTF-8, no JSON, or a name that no file can have
        rule, message = "file", f"is no config.json: {error}"
    fix = "name a file with the model's config.json, relative to Pulumi.yaml"
    raise UnplannableError(Problem(f"{model.path}.architecture", name, rule, message, fix))


def _architecture_problems(model: Model, arch: Architecture) -> Iterator[Problem]:
    """Yield what the settings ask of the model that it is not."""
    if model.max_model_len is not None and model.max_model_len > arch.max_positions:
        message = f"is more than the {arch.max_positions:,} positions of {model.source}"
        yield Problem(
            f"{model.path}.maxModelLen", model.max_model_len, "range", message, f"at most {arch.max_positions}"
        )
    tokens = model.input_tokens + model.output_tokens
    if model.max_model_len is None and tokens > arch.max_positions:
        message = f"with outputTokens is {tokens:,}, more than the {arch.max_positions:,} positions of {model.source}"
        fix = f"at most {arch.max_positions} together"
        yield Problem(f"{model.path}.inputTokens", model.input_tokens, "range", message, fix)
    stored = arch.checkpoint_precision.precision
    if model.precision not in {"auto", stored}:
        message = f"is not what {model.source} holds ({stored}): vLLM serves a checkpoint as it is stored"
        fix = f"precision: {stored} or auto, or a source whose checkpoint is {model.precision}"
        yield Problem(f"{model.path}.precision", model.precision, "precision", message, fix)


def _requirement(model: Model, arch: Architecture, pools: tuple[GpuPool, ...], config: StackConfig) -> Requirement:
    zones = {zone for pool in pools for zone in (pool.zones or config.network.availability_zones)}
    return Requirement(
        arch=arch,
        load=Load(model.concurrency, model.input_tokens, model.output_tokens, model.prefix_hit_rate),
        name=model.name,
        precisions=() if model.precision == "auto" else (model.precision,),
        max_model_len=model.max_model_len,
        ttft_ms=model.slo.ttft_ms,
        tpot_ms=model.slo.tpot_ms,
        objective=cast("Objective", model.objective),
        profile=cast("Profile", model.profile),
        families=_union(pool.families for pool in pools),
        capacity=cast("tuple[CapacityType, ...]", _union(pool.capacity for pool in pools)),
        region=config.region,
        zones=tuple(zone for zone in config.network.availability_zones if zone in zones),
        max_nodes=model.max_nodes,
        replicas_min=model.replicas.min,
        replicas_max=model.replicas.max,
        max_sequences=model.max_sequences,
        vllm_version=versions.VLLM_VERSION,
        loaders=("stream",) if is_bucket(model.source) else ("prefetch", "lazy"),
        daemonsets=_daemonsets(efa=any(pool.efa for pool in pools)),
    )


def _daemonsets(*, efa: bool) -> HostOverhead:
    return HostOverhead(daemonsets.millicores(efa=efa), daemonsets.mebibytes(efa=efa))


def _union(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Return every value once, in the order of first appearance."""
    return tuple(dict.fromkeys(value for values in lists for value in values))


def _refusal(model: Model, pools: tuple[GpuPool, ...], recommendation: Recommendation) -> Problem:
    """Return why nothing satisfies, closest candidates first, with what would help."""
    closest = recommendation.rejected[:SHOWN_REJECTIONS]
    where = ", ".join(pool.name for pool in pools)
    reasons = "; ".join(f"{each.instance_type} TP {each.tp} PP {each.pp}: {each.text}" for each in closest)
    gate = closest[0].gate if closest else "policy"
    fix = GATE_FIXES.get(gate, GATE_FIXES["policy"])
    outside = recommendation.cheaper_outside
    if outside is not None:
        family = catalog.instance_type(outside.instance_type).family
        price = f"${outside.usd_per_hour:.2f}/h"
        fix += f"; {outside.instance_type} TP {outside.tp} would do for {price}: add {family} to gpuPools"
    message = f"fits no instance type of gpuPools {where}: {reasons or 'their families have no usable type'}"
    return Problem(model.path, model.name, gate, message, fix)


def _multi_node(model: Model, decision: Decision) -> Problem:
    message = (
        f"needs {decision.nodes} × {decision.instance_type} for one replica; that can be sized, but servers that span "
        "nodes are not deployed by this program"
    )
    fix = "maxNodes: 1 with a family of larger nodes, or a smaller precision"
    return Problem(f"{model.path}.maxNodes", model.max_nodes, "multi-node", message, fix)


def _headline(decision: Decision) -> dict[str, Any]:
    keys = ("instance_type", "gpu", "gpus", "tp", "pp", "precision", "replicas", "usd_per_hour")
    return {key: getattr(decision, key) for key in keys}
