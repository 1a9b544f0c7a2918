"""Why a candidate was refused: sentences whose arithmetic a reader can redo.

Every refusal ends with the two numbers that decided it, ``ACTUAL < LIMIT UNIT`` or ``ACTUAL > LIMIT UNIT``; what
comes before says where they come from.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """A gate that a candidate did not pass. ``detail`` explains the numbers; ``unit`` is that of both."""

    gate: str
    actual: float
    limit: float
    unit: str
    detail: str
    is_final: bool = False
    """True where another KV dtype would be refused for the same reason."""

    @property
    def text(self) -> str:
        """The whole sentence, recomputed from the fields."""
        return f"{self.detail}: {comparison(self.actual, self.limit, self.unit)}"


def number(value: float) -> str:
    """Write a number as a person would: whole or with two decimals, thousands separated."""
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.2f}"


def comparison(actual: float, limit: float, unit: str) -> str:
    """``actual < limit unit``, with more decimals where two would hide the difference."""
    sign = "<" if actual < limit else ">" if actual > limit else "="
    shown, bound = number(actual), number(limit)
    if shown == bound and sign != "=":
        shown, bound = f"{actual:,.4f}", f"{limit:,.4f}"
    return f"{shown} {sign} {bound} {unit}"


@dataclass(frozen=True)
class Budget:
    """One GPU's memory as the plan books it, GiB."""

    visible: float
    utilization: float
    weights: float
    runtime: float
    """Everything that is neither weights nor KV cache: outside torch, activations, CUDA graphs, safety."""

    @property
    def left(self) -> float:
        """What remains for the KV cache; negative where the weights alone do not fit."""
        return self.visible * self.utilization - self.weights - self.runtime


def weights_too_large(visible: float, utilization: float, weights: float, precision: str) -> Refusal:
    """Refuse: the weights alone exceed what one GPU may use; no number of sequences and no KV dtype changes that."""
    usable = visible * utilization
    detail = f"{precision} weights per GPU against {visible:.2f} GiB × {utilization:.2f} = {usable:.2f}"
    return Refusal("memory_one", weights, usable, "GiB per GPU", detail, is_final=True)


def no_room(budget: Budget, needed_gib: float, tokens: int) -> Refusal:
    """Refuse: one request of the full length does not fit what weights and runtime leave."""
    usable = round(budget.visible * budget.utilization, 2)
    detail = (
        f"{budget.visible:.2f} GiB × {budget.utilization:.2f} = {usable:.2f}; weights {budget.weights:.2f} + runtime "
        f"{budget.runtime:.2f} leave {budget.left:.2f} GiB of KV cache per GPU, one request of {tokens:,} tokens "
        f"needs {needed_gib:.2f}"
    )
    return Refusal("memory_one", budget.left, needed_gib, "GiB per GPU", detail)


def too_few_at_once(held: int, concurrency: int, replicas_max: int, request_tokens: int, kv_tokens: int) -> Refusal:
    """Refuse: the largest allowed number of replicas cannot hold the busiest moment."""
    needed = -(-concurrency // replicas_max)
    detail = (
        f"{concurrency} requests at once over at most {replicas_max} replicas are {needed} each, the KV cache of "
        f"{kv_tokens:,} tokens holds {held} of {request_tokens:,} tokens"
    )
    return Refusal("memory_conc", held, needed, "requests per replica", detail)


def too_slow(metric: str, predicted_ms: float, limit_ms: float, concurrency: int) -> Refusal:
    """Refuse: the prediction misses the service level at the fewest requests per replica that the plan may run."""
    detail = f"{metric} predicted at {concurrency} request{'s' if concurrency > 1 else ''} at once per replica"
    return Refusal("slo", predicted_ms, limit_ms, f"ms {metric}", detail)


def no_price(name: str, region: str, date: str) -> Refusal:
    """Refuse: no list has a price for the type."""
    return Refusal("price", 0, 1, "prices", f"{name} has no on-demand price in the list of {region}, {date}")


def not_offered(name: str, zones: int, where: str) -> Refusal:
    """Refuse: EC2 does not sell the type where the plan may run."""
    return Refusal("availability", zones, 1, "zones", f"{name} is offered in {zones} zones of {where}")


def outside_families(family: str, allowed: tuple[str, ...], usd_per_hour: float) -> Refusal:
    """Refuse: the type satisfies the requirement, but its family is not allowed."""
    detail = f"satisfies everything at ${usd_per_hour:.2f}/h, but {family} is not among {', '.join(allowed)}"
    return Refusal("policy", 1, 0, "families outside the allowed ones", detail)


def capacity_unsupported(name: str, wanted: tuple[str, ...]) -> Refusal:
    """Refuse: EC2 sells the type in none of the wanted ways."""
    return Refusal("policy", 0, 1, "usable capacity types", f"{name} is not sold as {', '.join(wanted)}")


def excluded(actual: float, limit: float, unit: str, text: str) -> Refusal:
    """Refuse a family that serving never uses."""
    return Refusal("policy", actual, limit, unit, text)


def host_too_small(resource: str, actual: float, limit: float, unit: str) -> Refusal:
    """Refuse: the pod's request does not fit the node beside its DaemonSets."""
    detail = f"the pod's {resource} request beside the DaemonSets on Karpenter's allocatable"
    return Refusal("host", actual, limit, unit, detail)


def no_efa(name: str, interfaces: int) -> Refusal:
    """Refuse: pipeline stages on several nodes need EFA."""
    return Refusal("capability", interfaces, 1, "EFA interfaces", f"stages on several nodes need EFA, {name} has none")


def needless_stages(stages: int, fewer: int, tp: int) -> Refusal:
    """Refuse: fewer pipeline stages on the same GPUs satisfy with the fewest replicas, so more cannot cost less."""
    return Refusal("dominated", stages, fewer, "pipeline stages", f"TP {tp} on the same GPUs satisfies at this price")


def dominated(what: str, cost: float, best: float, unit: str) -> Refusal:
    """Refuse: satisfies everything, but costs more than the choice."""
    return Refusal("dominated", cost, best, unit, f"satisfies everything, but {what}")
