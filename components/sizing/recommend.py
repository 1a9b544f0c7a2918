"""The planner: the cheapest way to serve a requirement, what else would do, and why everything else would not."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace

from components.sizing import catalog, host, prices, profiles, quality
from components.sizing.decision import Decision, Recommendation
from components.sizing.gates import FREE_GIB, GIB, Fit
from components.sizing.latency import Latency
from components.sizing.ranking import (
    ALTERNATE_PRICE_RATIO,
    Candidate,
    alternates,
    closeness,
    closest,
    distinct,
    order,
    refuse_dominated,
)
from components.sizing.requirement import Requirement, check
from components.sizing.search import Found, candidate_rejection, outside_rejections, search
from components.sizing.types import Assumption, Band, Rejection

ALTERNATIVES = 5
"""Other plans that a recommendation shows."""
CLOSEST = 12
"""Refusals that a decision carries; the recommendation has them all."""
FEWER_BITS = ("fp8", "awq-int4")
"""Formats that are suggested where 16 bit needs several nodes or fits nowhere, the least loss first."""


def recommend(asked: Requirement) -> Recommendation:
    """Choose instance type, parallelism, number formats, sequences and replicas.

    Raises:
        InvalidRequirementError: the requirement makes no sense; every problem is listed.

    """
    check(asked)
    found = search(asked)
    ranked = sorted(found.allowed, key=lambda each: order(each, asked.objective))
    shown = distinct(ranked, 1 + ALTERNATIVES) if ranked else ()
    best = ranked[0] if ranked else None
    rejected = _rejections(asked, found, ranked, best)
    chosen = None if best is None else _decision(asked, best, found.allowed, closest(rejected, CLOSEST))
    others = [each for each in shown if best is not None and each.fit is not best.fit][:ALTERNATIVES]
    return Recommendation(
        chosen=chosen,
        alternatives=tuple(_decision(asked, each, found.allowed, ()) for each in others),
        rejected=tuple(rejected),
        cheaper_outside=_cheaper_outside(asked, found, best),
        quantized=_quantized(asked, chosen),
        assumptions=chosen.assumptions if chosen else tuple(_assumptions(asked)),
        bands=chosen.bands if chosen else {},
        engine=chosen.engine if chosen else Latency.engine,
        warnings=tuple(_warnings(asked, chosen)),
    )


def _warnings(asked: Requirement, chosen: Decision | None) -> Iterator[str]:
    """Yield what a reader must know before relying on the choice."""
    yield from prices.warnings(asked.region, asked.today or dt.datetime.now(dt.UTC).date())
    missing = [zone for zone in asked.zones if chosen is not None and zone not in chosen.zones]
    if chosen is not None and missing:
        yield f"{chosen.instance_type} is not offered in {', '.join(missing)}: only in {', '.join(chosen.zones)}"
    if chosen is not None and chosen.load_strategy == "lazy":
        yield (
            f"{chosen.instance_type} has no memory to prefetch {chosen.weights_gib_total:.1f} GiB of weights: they are "
            "read as they are needed, and the start is slower"
        )


def _quantized(asked: Requirement, chosen: Decision | None) -> Decision | None:
    """Return what fewer bits would need, on one node: quality is the user's to trade, so it is only said."""
    if asked.precisions or (chosen is not None and chosen.nodes == 1):
        return None
    if asked.arch.checkpoint_precision.weight_bits < quality.FULL_PRECISION_BITS:
        return None
    for precision in FEWER_BITS:
        fewer = recommend(replace(asked, precisions=(precision,), max_nodes=1)).chosen
        if fewer is not None:
            return fewer
    return None


def _rejections(asked: Requirement, found: Found, ranked: list[Candidate], best: Candidate | None) -> list[Rejection]:
    """Return every candidate that was not chosen, closest first."""
    rejected = [*found.rejected, *outside_rejections(asked, found, best)]
    if best is not None:
        rejected += [
            candidate_rejection(refuse_dominated(each, best, asked.objective), each) for each in ranked if each != best
        ]
    return sorted(rejected, key=closeness)


def _cheaper_outside(asked: Requirement, found: Found, best: Candidate | None) -> Decision | None:
    """Return the best plan of all families, where one that is not allowed costs less (or is the only one)."""
    if not found.outside:
        return None
    outside = min(found.outside, key=lambda each: order(each, "hourly"))
    if best is not None and outside.usd_per_hour >= best.usd_per_hour:
        return None
    return _decision(asked, outside, found.outside, ())


def _decision(
    asked: Requirement, candidate: Candidate, candidates: list[Candidate], rejected: tuple[Rejection, ...]
) -> Decision:
    fit, each = candidate.fit, candidate.host
    plan = fit.plan
    shape = profiles.shape(asked, fit, asked.profile)
    memory = shape.memory
    return Decision(
        name=asked.name or asked.arch.model,
        model=asked.arch.model,
        precision=plan.quant.precision,
        instance_type=each.name,
        gpu=plan.gpu.key,
        gpus=plan.parallelism.gpus,
        tp=plan.parallelism.tp,
        pp=plan.parallelism.pp,
        nodes=plan.nodes,
        replicas=fit.replicas,
        replicas_min=asked.replicas_min,
        replicas_max=asked.replicas_max or fit.replicas,
        capacity=asked.capacity,
        zones=candidate.zones,
        alternates=alternates(candidate, candidates),
        max_model_len=shape.max_model_len,
        max_num_seqs=shape.max_num_seqs,
        max_num_batched_tokens=memory.options.max_num_batched_tokens,
        gpu_memory_utilization=memory.options.gpu_memory_utilization,
        kv_cache_dtype=plan.kv_cache_dtype,
        vllm_version=asked.vllm_version,
        memory=memory.memory,
        weights_gib_total=fit.checkpoint_bytes / GIB,
        checkpoint_bytes=fit.checkpoint_bytes,
        kv_tokens_safe=shape.kv_tokens_safe,
        max_concurrency=shape.full_requests,
        concurrency=fit.concurrency,
        ttft_ms=fit.latency.ttft_ms.expected,
        tpot_ms=fit.latency.tpot_ms.expected,
        output_tokens_per_s=candidate.output_tokens_per_s,
        usd_per_hour=candidate.usd_per_hour,
        usd_per_million_output_tokens=candidate.usd_per_million_output_tokens,
        load_strategy=candidate.need.loader,
        host_cpu_millicores=candidate.need.cpu_millicores,
        host_memory_mib=candidate.need.memory_mib,
        shm_gib=candidate.need.shm_gib,
        quality=quality.cost(plan.quant, plan.kv_cache_dtype),
        bands=_bands(asked, fit),
        rejected=rejected,
        assumptions=(*_assumptions(asked, candidate), *_of_memory(asked, shape), *fit.latency.assumptions),
        engine=fit.latency.engine,
    )


def _of_memory(asked: Requirement, shape: profiles.Shape) -> Iterator[Assumption]:
    """Yield what the memory rests on; options that the planner chose, rather than the user, say why."""
    chosen = {
        "max_num_seqs": f"smallest power of two for the busiest moment, or profile {shape.profile}",
        "gpu_memory_utilization": f"vLLM's default, lowered where it leaves less than {FREE_GIB} GiB free per GPU",
    }
    if asked.gpu_memory_utilization is not None:
        del chosen["gpu_memory_utilization"]
    if asked.max_model_len is None:
        chosen["max_model_len"] = f"profile {shape.profile} of the safe KV cache"
    for each in shape.memory.assumptions:
        yield replace(each, source=chosen[each.name]) if each.name in chosen else each


def _bands(asked: Requirement, fit: Fit) -> dict[str, Band]:
    """Latencies of one replica, throughput of all."""
    tokens, share = fit.latency.output_tokens_per_s, asked.load.concurrency / fit.concurrency
    return {
        "ttft_ms": fit.latency.ttft_ms,
        "tpot_ms": fit.latency.tpot_ms,
        "output_tokens_per_s": Band(tokens.low * share, tokens.expected * share, tokens.high * share),
    }


def _assumptions(asked: Requirement, candidate: Candidate | None = None) -> Iterator[Assumption]:
    """Yield what the choice rests on beside memory and latency."""
    table = prices.on_demand_table(asked.region)
    yield Assumption(
        "usd_per_hour",
        f"on-demand, {table.region}" + ("" if table.region == asked.region else f", standing in for {asked.region}"),
        table.source,
        table.date,
    )
    if "reserved" in asked.capacity:
        yield Assumption("reserved", "counted at the on-demand price", prices.purchase_note("reserved_odcr"))
        yield Assumption("capacity_block", "not counted", prices.purchase_note("capacity_block"))
    if "spot" in asked.capacity:
        yield Assumption("spot", "counted at the on-demand price", prices.purchase_note("spot"))
    yield Assumption("savings_plan", "not counted", prices.purchase_note("compute_savings_plan"))
    yield Assumption(
        "offered_zones",
        "all" if candidate is None else ", ".join(candidate.zones),
        f"{catalog.offerings_source()}; zone letters are those of the account that was asked",
        catalog.offerings_date(),
    )
    yield Assumption("service_levels", "held by the expected values", "the bands show how far they may be off")
    if candidate is None:
        return
    fit = candidate.fit
    if fit.plan.nodes > 1:
        yield Assumption(
            "links_between_nodes", "as fast as inside a node", "pipeline stages send little; EFA is not modelled"
        )
    yield from host.assumptions(candidate.need, asked.daemonsets)
    cost = quality.cost(fit.plan.quant, fit.plan.kv_cache_dtype)
    if cost:
        yield Assumption("quality", fit.plan.quant.precision, cost)
    yield Assumption(
        "alternates", f"at most {ALTERNATE_PRICE_RATIO:g} times the price", "same GPU count, nowhere weaker GPU"
    )
