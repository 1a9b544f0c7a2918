"""Which of the candidates that satisfy everything is best, which are dominated, and which refusals are closest."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from components.sizing.catalog import Gpu, InstanceType
from components.sizing.explain import Refusal, dominated
from components.sizing.gates import Fit
from components.sizing.plans import Plan
from components.sizing.types import Objective, Rejection

GATES = (
    "capability",
    "divisibility",
    "kv_dtype",
    "memory_one",
    "memory_conc",
    "slo",
    "availability",
    "price",
    "policy",
    "host",
    "dominated",
)
"""In the order in which candidates pass them."""

ALTERNATE_PRICE_RATIO = 2.0
"""An alternate costs at most this many times the choice: Karpenter would rather wait than pay more."""


@dataclass(frozen=True)
class Candidate:
    """A plan on an instance type that passed every gate."""

    host: InstanceType
    fit: Fit
    zones: tuple[str, ...]
    node_usd_per_hour: float
    output_tokens_per_s: float
    """Of all replicas together at the busiest moment."""

    @property
    def nodes(self) -> int:
        """Nodes of all replicas: a replica takes whole nodes."""
        return self.fit.replicas * self.fit.plan.nodes

    @property
    def usd_per_hour(self) -> float:
        """On-demand price of all replicas."""
        return round(self.nodes * self.node_usd_per_hour, 6)

    @property
    def usd_per_million_output_tokens(self) -> float:
        """Price of a million tokens at the busiest moment."""
        return self.usd_per_hour / (self.output_tokens_per_s * 3600) * 1e6

    @property
    def idle_gpus(self) -> int:
        """GPUs of one node that the replica leaves unused but pays for."""
        return self.host.gpu_count - self.fit.plan.local_gpus


def objective_value(candidate: Candidate, objective: Objective) -> tuple[float, str, str]:
    """Return what is minimised, its unit, and the words that compare it."""
    if objective == "per-token":
        return candidate.usd_per_million_output_tokens, "$ per million output tokens", "its tokens cost more"
    if objective == "latency":
        return candidate.fit.latency.tpot_ms.expected, "ms TPOT", "it is slower"
    return candidate.usd_per_hour, "$/h", "the choice costs less or ranks before it"


def order(candidate: Candidate, objective: Objective) -> tuple:
    """Sort key. Ties go to fewer dollars, fewer nodes, no idle GPU, more bits, one GPU before several, then speed."""
    plan = candidate.fit.plan
    return (
        round(objective_value(candidate, objective)[0], 6),
        candidate.usd_per_hour,
        candidate.nodes,
        candidate.idle_gpus,
        -plan.quant.weight_bits,
        plan.kv_cache_dtype != "auto",
        plan.parallelism.gpus,
        candidate.fit.latency.tpot_ms.expected,
        candidate.host.name,
        plan.parallelism.pp,
        plan.quant.precision,
    )


def same_pods(a: Plan, b: Plan) -> bool:
    """Tell whether two plans start the same pods: equal but for the GPU model."""
    return (a.parallelism, a.nodes, a.quant.precision, a.kv_cache_dtype) == (
        b.parallelism,
        b.nodes,
        b.quant.precision,
        b.kv_cache_dtype,
    )


def distinct(ordered: Sequence[Candidate], most: int) -> tuple[Candidate, ...]:
    """Return the best of each plan, without those that only sit on a dearer host or leave GPUs idle."""
    found: list[Candidate] = []
    for candidate in ordered:
        if len(found) == most:
            break
        plan = candidate.fit.plan
        known = any(same_pods(plan, kept.fit.plan) and plan.gpu.key == kept.fit.plan.gpu.key for kept in found)
        if not known and candidate.idle_gpus == 0:
            found.append(candidate)
    return tuple(found)


def alternates(chosen: Candidate, candidates: Iterable[Candidate]) -> tuple[str, ...]:
    """Return types for when the chosen one is out of capacity: they run the same pods and are nowhere weaker."""
    plan = chosen.fit.plan
    usd = {
        each.host.name: each.node_usd_per_hour
        for each in candidates
        if each.host.name != chosen.host.name
        and each.host.gpu_count == chosen.host.gpu_count
        and each.node_usd_per_hour <= ALTERNATE_PRICE_RATIO * chosen.node_usd_per_hour
        and each.fit.replicas <= chosen.fit.replicas
        and same_pods(each.fit.plan, plan)
        and _nowhere_weaker(each.fit.plan.gpu, plan.gpu)
    }
    return tuple(sorted(usd, key=lambda name: (usd[name], name)))


def _nowhere_weaker(gpu: Gpu, than: Gpu) -> bool:
    return (
        gpu.compute_capability >= than.compute_capability
        and (gpu.memory_safe_gib or 0) >= (than.memory_safe_gib or 0)
        and gpu.bandwidth_gbs >= than.bandwidth_gbs
    )


def closeness(rejection: Rejection) -> tuple:
    """Sort key of refusals: the ones that came furthest and missed by least first, dominated ones last."""
    furthest = -1 if rejection.gate == "dominated" else GATES.index(rejection.gate)
    missed = abs(rejection.actual - rejection.limit) / max(abs(rejection.limit), abs(rejection.actual), 1e-9)
    price = rejection.usd_per_hour
    return (
        -furthest,
        round(missed, 9),
        price is None,
        price or 0.0,
        rejection.instance_type,
        rejection.tp,
        rejection.pp,
    )


def closest(rejections: Iterable[Rejection], most: int) -> tuple[Rejection, ...]:
    """Return the closest refusals, one for each plan, gate and number: dearer hosts of the same GPUs add nothing."""
    found: dict[tuple, Rejection] = {}
    for rejection in sorted(rejections, key=closeness):
        key = (rejection.gate, rejection.tp, rejection.pp, rejection.precision, rejection.actual, rejection.unit)
        found.setdefault(key, rejection)
        if len(found) == most:
            break
    return tuple(found.values())


def refuse_dominated(candidate: Candidate, best: Candidate, objective: Objective) -> Refusal:
    """Say by how much a candidate that satisfies everything loses to the best one."""
    actual, unit, words = objective_value(candidate, objective)
    return dominated(words, actual, objective_value(best, objective)[0], unit)
