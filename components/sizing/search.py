"""Every plan on every instance type through the gates, in order: what satisfies, and why the rest does not."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from components.sizing import catalog, explain, host, plans, prices
from components.sizing.catalog import Gpu, InstanceType
from components.sizing.explain import Refusal
from components.sizing.gates import Fit, evaluate
from components.sizing.plans import Plan
from components.sizing.quantization import Quantization
from components.sizing.ranking import GATES, Candidate, distinct, order
from components.sizing.requirement import Requirement
from components.sizing.types import Parallelism, Rejection


@dataclass
class Found:
    """What a search collected."""

    allowed: list[Candidate] = field(default_factory=list)
    """They satisfy everything."""
    outside: list[Candidate] = field(default_factory=list)
    """They satisfy everything but the list of families."""
    rejected: list[Rejection] = field(default_factory=list)


def search(asked: Requirement) -> Found:
    """Go through one node first, then as few nodes as satisfy, up to what the requirement allows.

    Outside the allowed families only one node is looked at: a hint to allow a family should not need several. A stage
    without a layer does not exist, so there are never more nodes than layers.
    """
    found = Found()
    for gpu, hosts in _hosts_by_gpu(asked, found).items():
        _search_gpu(asked, gpu, hosts, found)
    most_nodes = min(asked.max_nodes, asked.arch.layers) if asked.arch.supports_pp else 1
    nodes = 2
    while not found.allowed and nodes <= most_nodes:
        for gpu, hosts in _hosts_by_gpu(asked, None).items():
            _search_nodes(asked, gpu, nodes, [each for each in hosts if _is_allowed(asked, each)], found)
        nodes += 1
    return found


def _hosts_by_gpu(asked: Requirement, found: Found | None) -> dict[Gpu, list[InstanceType]]:
    """Instance types by GPU; those that serving never uses are refused at once."""
    hosts: dict[str, list[InstanceType]] = {}
    for each in catalog.instance_types():
        if each.excluded is None:
            hosts.setdefault(each.gpu_key, []).append(each)
        elif found is not None and _is_allowed(asked, each):
            reason = each.excluded
            refusal = explain.excluded(reason.actual, reason.limit, reason.unit, reason.text)
            found.rejected.append(_rejection(refusal, each, Parallelism(tp=max(1, each.gpu_count)), None, None))
    return {catalog.gpu(key): members for key, members in hosts.items()}


def _is_allowed(asked: Requirement, each: InstanceType) -> bool:
    return not asked.families or each.family in asked.families


def _search_gpu(asked: Requirement, gpu: Gpu, hosts: list[InstanceType], found: Found) -> None:
    most = max(each.gpu_count for each in hosts)
    for shapes in plans.within_node(most, supports_pp=asked.arch.supports_pp):
        usable = [each for each in hosts if each.gpu_count >= shapes[0].gpus]
        for quant in asked.quantizations():
            ladder = [
                [Plan(gpu, quant, parallelism, 1, dtype) for dtype in asked.kv_cache_dtypes] for parallelism in shapes
            ]
            _search_ladder(asked, ladder, usable, found)


def _search_ladder(asked: Requirement, ladder: list[list[Plan]], hosts: list[InstanceType], found: Found) -> None:
    """Try plain TP before pipeline stages on as many GPUs, until nothing further can cost less."""
    best: Fit | None = None
    accepted: list[Candidate] = []
    for variants in ladder:
        if best is None:
            accepted = _try_hosts(asked, variants, hosts, found)
            best = next((each.fit for each in accepted if _cannot_cost_less(each.fit, asked)), None)
            continue
        plan, fewer = variants[0], best.plan.parallelism
        refusal = explain.needless_stages(plan.parallelism.pp, fewer.pp, fewer.tp)
        for each in accepted:
            if _is_allowed(asked, each.host):
                usd = _usd(asked, each.host, plan.nodes)
                found.rejected.append(_rejection(refusal, each.host, plan.parallelism, plan.quant, usd))


def _cannot_cost_less(fit: Fit, asked: Requirement) -> bool:
    """Tell whether no other plan on the same GPUs can cost less: price is what counts, and replicas are the fewest."""
    return asked.objective == "hourly" and fit.replicas == asked.replicas_min


def _search_nodes(asked: Requirement, gpu: Gpu, nodes: int, hosts: list[InstanceType], found: Found) -> None:
    """Try one pipeline stage per node, with TP over all of the node's GPUs."""
    for count in sorted({each.gpu_count for each in hosts}):
        same = [each for each in hosts if each.gpu_count == count]
        for quant in asked.quantizations():
            parallelism = Parallelism(tp=count, pp=nodes)
            variants = [Plan(gpu, quant, parallelism, nodes, dtype) for dtype in asked.kv_cache_dtypes]
            _try_hosts(asked, variants, same, found)


def _try_hosts(asked: Requirement, variants: list[Plan], hosts: list[InstanceType], found: Found) -> list[Candidate]:
    """Evaluate a plan in every KV dtype once, put the outcome to every host, and return what the hosts accepted."""
    outcomes = list(_outcomes(asked, variants))
    accepted: list[Candidate] = []
    for each in hosts:
        allowed = _is_allowed(asked, each)
        results = [outcome if isinstance(outcome, Refusal) else _on_host(asked, outcome, each) for outcome in outcomes]
        candidates = [result for result in results if isinstance(result, Candidate)]
        if candidates:
            best = min(candidates, key=lambda candidate: order(candidate, asked.objective))
            accepted.append(best)
            (found.allowed if allowed else found.outside).append(best)
        elif allowed:
            refusals = [result for result in results if isinstance(result, Refusal)]
            refusal = max(refusals, key=lambda each: GATES.index(each.gate))
            plan = variants[results.index(refusal)]
            found.rejected.append(
                _rejection(refusal, each, plan.parallelism, plan.quant, _usd(asked, each, plan.nodes))
            )
    return accepted


def _outcomes(asked: Requirement, variants: list[Plan]) -> Iterator[Fit | Refusal]:
    """Evaluate the KV dtypes in turn; another one cannot cost less once the fewest replicas do at the lowest price."""
    for plan in variants:
        outcome = evaluate(plan, asked)
        yield outcome
        if isinstance(outcome, Refusal):
            if outcome.is_final:
                return
        elif _cannot_cost_less(outcome, asked):
            return


def _on_host(asked: Requirement, fit: Fit, each: InstanceType) -> Candidate | Refusal:
    """Put a plan that satisfies to one instance type: offered, priced, sold so, and large enough as a host."""
    zones = zones_of(asked, each)
    if not zones:
        return explain.not_offered(each.name, 0, ", ".join(asked.zones) or asked.region)
    price = prices.hourly(each.name, asked.region)
    if price is None:
        table = prices.on_demand_table(asked.region)
        return explain.no_price(each.name, table.region, table.date)
    if not any(_sold_as(each, way) for way in asked.capacity):
        return explain.capacity_unsupported(each.name, asked.capacity)
    if fit.plan.nodes > 1 and each.efa_count == 0:
        return explain.no_efa(each.name, each.efa_count)
    need = next((need for need in fit.needs if host.shortage(need, each, asked.daemonsets) is None), fit.needs[-1])
    lack = host.shortage(need, each, asked.daemonsets)
    if lack is not None:
        return explain.host_too_small(lack.resource, lack.actual, lack.limit, lack.unit)
    tokens = fit.latency.output_tokens_per_s.expected * asked.load.concurrency / fit.concurrency
    return Candidate(each, fit, need, zones, price.usd, tokens)


def zones_of(asked: Requirement, each: InstanceType) -> tuple[str, ...]:
    """Return the zones that offer the type, among those asked for."""
    offered = catalog.offered_zones(asked.region, each.name)
    return tuple(zone for zone in offered if not asked.zones or zone in asked.zones)


def _sold_as(each: InstanceType, way: str) -> bool:
    """Tell whether EC2 sells the type so; any type can be reserved, by an ODCR or a Capacity Block."""
    return way == "reserved" or way in each.usage_classes


def outside_rejections(asked: Requirement, found: Found, best: Candidate | None) -> Iterator[Rejection]:
    """Refuse, with their prices, plans that satisfy and cost less than the best, but not in the allowed families."""
    for candidate in distinct(sorted(found.outside, key=lambda each: order(each, asked.objective)), len(found.outside)):
        if best is None or candidate.usd_per_hour < best.usd_per_hour:
            refusal = explain.outside_families(candidate.host.family, asked.families, candidate.usd_per_hour)
            yield candidate_rejection(refusal, candidate)


def candidate_rejection(refusal: Refusal, candidate: Candidate) -> Rejection:
    """Make a rejection of a candidate that satisfied everything."""
    plan = candidate.fit.plan
    return _rejection(refusal, candidate.host, plan.parallelism, plan.quant, candidate.usd_per_hour)


def _usd(asked: Requirement, each: InstanceType, nodes: int) -> float | None:
    """Price of one replica on the type, so that a reader can weigh a refusal."""
    price = prices.hourly(each.name, asked.region)
    return None if price is None else round(price.usd * nodes, 6)


def _rejection(
    refusal: Refusal, each: InstanceType, parallelism: Parallelism, quant: Quantization | None, usd: float | None
) -> Rejection:
    return Rejection(
        instance_type=each.name,
        tp=parallelism.tp,
        pp=parallelism.pp,
        gate=refusal.gate,
        actual=refusal.actual,
        limit=refusal.limit,
        unit=refusal.unit,
        text=refusal.text,
        precision="" if quant is None else quant.precision,
        usd_per_hour=usd,
    )
