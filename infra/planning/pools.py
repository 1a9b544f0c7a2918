"""Which types a pool launches and how many GPUs it may hold, from the models that use it."""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from components import versions
from components.karpenter import PoolFacts, ReservationArgs, pool_problems
from components.sizing import catalog
from infra.planning.models import ModelPlan
from infra.settings.problems import Problem
from infra.settings.sections import GpuPool, Reservation, StackConfig

REPORTED_ELSEWHERE = {"instance-types", "capacity"}
"""Rules that the reader of the settings and the planner report already, with more to say."""


@dataclass(frozen=True)
class PoolPlan:
    """One GPU pool as it is deployed."""

    pool: GpuPool
    models: tuple[str, ...]
    instance_types: tuple[str, ...]
    """What its models were planned on, and their alternates, of the pool's families only."""
    zones: tuple[str, ...]
    gpu_limit: int

    def to_json(self) -> dict[str, Any]:
        """Return plain data for the plan."""
        return {
            "name": self.pool.name,
            "capacity": list(self.pool.capacity),
            "families": list(self.pool.families),
            "instance_types": list(self.instance_types),
            "gpu_limit": self.gpu_limit,
            "zones": list(self.zones),
            "models": list(self.models),
        }


def plan_pools(config: StackConfig, plans: Iterable[ModelPlan]) -> tuple[tuple[PoolPlan, ...], tuple[Problem, ...]]:
    """Return the pools that models use, and what is wrong with any pool."""
    planned: list[PoolPlan] = []
    problems: list[Problem] = []
    for pool in config.gpu_pools:
        members = [plan for plan in plans if pool in plan.pools]
        built = _plan(pool, members, config) if members else None
        if built is not None:
            planned.append(built)
            problems.extend(_limit_problems(built, members))
        problems.extend(_pool_problems(pool, built, config))
    return tuple(planned), tuple(problems)


def _pool_problems(pool: GpuPool, built: PoolPlan | None, config: StackConfig) -> Iterator[Problem]:
    """Yield what Karpenter's own rules find; a pool without a plan is checked as far as its settings go."""
    facts = PoolFacts(
        instance_types=built.instance_types if built else (),
        capacity=pool.capacity,
        gpu_limit=built.gpu_limit if built else 0,
        zones=pool.zones or config.network.availability_zones,
        ami_alias=versions.AL2023_AMI,
        reservations=[reservation(each) for each in pool.reservations],
        capacity_block=pool.capacity_block,
        maintenance_windows=[dataclasses.asdict(window) for window in pool.maintenance_windows],
    )
    for found in pool_problems(facts):
        if found.rule not in REPORTED_ELSEWHERE:
            yield Problem(f"{pool.path}.{found.path}", found.value, found.rule, found.message, found.fix)


def reservation(settings: Reservation) -> ReservationArgs:
    """Return a reservation as a node pool takes it: only what is set."""
    given = {key: value for key, value in dataclasses.asdict(settings).items() if value}
    return cast("ReservationArgs", given)


def _plan(pool: GpuPool, members: list[ModelPlan], config: StackConfig) -> PoolPlan:
    types = dict.fromkeys(name for member in members for name in _types(member, pool))
    computed = sum(_replica_gpus(member, pool) * member.model.replicas.max for member in members)
    # Karpenter counts the GPUs of launched nodes, not what pods ask: without room for one more of the largest, a
    # rollout, or one node taken by the wrong pod, leaves the largest model pending for ever (seen with 1.14.0 on
    # 2026-11-21, in 2 of 6 runs).
    limit = computed + max(catalog.instance_type(name).gpu_count for name in types)
    return PoolPlan(
        pool=pool,
        models=tuple(member.model.name for member in members),
        instance_types=tuple(types),
        zones=pool.zones or config.network.availability_zones,
        gpu_limit=limit if pool.gpu_limit is None else min(limit, pool.gpu_limit),
    )


def _types(member: ModelPlan, pool: GpuPool) -> list[str]:
    return [name for name in member.instance_types if catalog.instance_type(name).family in pool.families]


def _replica_gpus(member: ModelPlan, pool: GpuPool) -> int:
    """Return the GPUs of the largest node that one replica may take in the pool."""
    return max(catalog.instance_type(name).gpu_count for name in _types(member, pool))


def _limit_problems(built: PoolPlan, members: list[ModelPlan]) -> list[Problem]:
    """Refuse a cap below what runs from the start."""
    cap = built.pool.gpu_limit
    largest = max(catalog.instance_type(name).gpu_count for name in built.instance_types)
    if cap is None or cap < largest:
        return []  # less than one node is a rule of every pool's
    running = sum(_replica_gpus(member, built.pool) * member.decision.replicas for member in members)
    path = f"{built.pool.path}.gpuLimit"
    if cap < running:
        message = f"is less than the {running} GPUs that {', '.join(built.models)} run on from the start"
        return [Problem(path, cap, "limit", message, f"at least {running}, or remove it")]
    return []
