"""Which of the candidates that satisfy everything is best, which are dominated, and which refusals are closest."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from components.sizing.catalog import Gpu, InstanceType
from components.sizing.explain import Refusal, dominated
from components.sizing.gates import Fit
from components.sizing.host import HostNeed
from components.sizing.plans import Plan
from components.sizing.quality import FULL_PRECISION_BITS
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
    need: HostNeed
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


@dataclass(frozen=True)
class Measure:
    """One number that candidates are compared by; less is better."""

    value: float
    unit: str
    words: str
    """What is wrong with a candidate whose value is larger."""


def measures(candidate: Candidate, objective: Objective) -> tuple[Measure, ...]:
    """Return what decides, most important first.

    The objective, then price, nodes and idle GPUs; quality before speed; one GPU before several, plain TP before
    stages.
    """
    plan = candidate.fit.plan
    dollars = Measure(candidate.usd_per_hour, "$/h", "it costs more")
    tpot = Measure(round(candidate.fit.latency.tpot_ms.expected, 6), "ms TPOT", "it is slower")
    per_token = Measure(
        round(candidate.usd_per_million_output_tokens, 6), "$ per million output tokens", "its tokens cost more"
    )
    first = {"hourly": dollars, "per-token": per_token, "latency": tpot}[objective]
    return (
        first,
        dollars,
        Measure(candidate.nodes, "nodes", "it needs more nodes for the same price"),
        Measure(candidate.idle_gpus, "idle GPUs per node", "it leaves GPUs idle for the same price"),
        Measure(
            max(0, FULL_PRECISION_BITS - plan.quant.weight_bits),
            "bits dropped per weight",
            "it is less precise for the same price",
        ),
        Measure(plan.kv_cache_dtype != "auto", "quantized KV caches", "it quantizes the KV cache for the same price"),
        Measure(plan.parallelism.gpus, "GPUs per replica", "it spreads over more GPUs for the same price"),
        Measure(plan.parallelism.pp, "pipeline stages", "it needs more pipeline stages for the same price"),
        tpot,
    )


def order(candidate: Candidate, objective: Objective) -> tuple:
    """Sort key: the measures, then names, so that the order never depends on chance."""
    plan = candidate.fit.plan
    values = tuple(measure.value for measure in measures(candidate, objective))
    return (*values, candidate.host.name, plan.quant.precision)


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
        and each.need.memory_mib >= chosen.need.memory_mib
    }
    return tuple(sorted(usd, key=lambda name: (usd[name], name)))


def _nowhere_weaker(gpu: Gpu, than: Gpu) -> bool:
    return (
        gpu.compute_capability >= than.compute_capability
        and (gpu.memory_safe_gib or 0) >= (than.memory_safe_gib or 0)
        and gpu.bandwidth_gbs >= than.bandwidth_gbs
    )


def closeness(rejection: Rejection) -> tuple:
    """Sort key of refusals: the ones that came furthest and missed by least first.

    Dominated ones, and families that serving never uses, come last: they teach a reader least.
    """
    told = rejection.gate != "dominated" and rejection.precision
    furthest = GATES.index(rejection.gate) if told else -1
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
    found: dict[tuple[str, str], Rejection] = {}
    for rejection in sorted(rejections, key=closeness):
        found.setdefault((rejection.gate, rejection.text), rejection)
        if len(found) == most:
            break
    return tuple(found.values())


def refuse_dominated(candidate: Candidate, best: Candidate, objective: Objective) -> Refusal:
    """Say by which measure a candidate that satisfies everything loses to the best one."""
    pairs = zip(measures(candidate, objective), measures(best, objective), strict=True)
    for mine, other in pairs:
        if mine.value != other.value:
            return dominated(mine.words, mine.value, other.value, mine.unit)
    return dominated("its name sorts after the choice's", 1, 0, "places in the order of names")
