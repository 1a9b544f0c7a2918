"""Which types a pool launches and how many GPUs it may hold, from the models that use it."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from components.karpenter import ReservationArgs, SharingArgs
from components.sizing import catalog
from infra.planning.models import ModelPlan
from infra.settings.pool_sections import GpuPool, Reservation, Sharing
from infra.settings.sections import StackConfig


@dataclass(frozen=True)
class PoolPlan:
    """One GPU pool as it is deployed."""

    pool: GpuPool
    models: tuple[ModelPlan, ...]
    """Empty for a pool that shares its GPUs: pods of others use it."""
    instance_types: tuple[str, ...]
    """What its models were planned on, and their alternates, of the pool's families only."""
    zones: tuple[str, ...]
    gpu_limit: int
    grace_minutes: int | None
    """How long a node may take to drain: the slowest of its models. None: no model decides."""

    def replica_gpus(self, member: ModelPlan) -> int:
        """Return the GPUs of the largest node that one replica of a model may take in the pool."""
        return max(catalog.instance_type(name).gpu_count for name in _types(member, self.pool))

    @property
    def running_gpus(self) -> int:
        """GPUs of what its models run from the start."""
        return sum(self.replica_gpus(member) * member.decision.replicas for member in self.models)

    @property
    def can_grow(self) -> bool:
        """Whether more nodes can be bought: not where all are reserved, or of a fixed number."""
        return self.pool.static_nodes is None and any(way != "reserved" for way in self.pool.capacity)

    def has_room_for(self, member: ModelPlan) -> bool:
        """Whether one replica more of a model fits below the limit."""
        return self.running_gpus + self.replica_gpus(member) <= self.gpu_limit

    def to_json(self) -> dict[str, Any]:
        """Return plain data for the plan."""
        pool = self.pool
        return {
            "name": pool.name,
            "capacity": list(pool.capacity),
            "families": list(pool.families),
            "instance_types": list(self.instance_types),
            "gpu_limit": self.gpu_limit,
            "zones": list(self.zones),
            "zones_basis": f"offers of {catalog.offerings_date()}, as shipped; a preview asks EC2 instead",
            "models": [member.model.name for member in self.models],
            "ami_alias": pool.alias,
            "static_nodes": pool.static_nodes,
            "efa": pool.efa,
            "placement_group": pool.placement_group,
            "sharing": pool.sharing and pool.sharing.way,
            "termination_grace_minutes": self.grace_minutes,
        }


def plan_pools(config: StackConfig, plans: Iterable[ModelPlan]) -> tuple[PoolPlan, ...]:
    """Return the pools that are deployed: those that models use, and those that share their GPUs."""
    plans = tuple(plans)
    planned = (_plan(pool, plans, config) for pool in config.gpu_pools)
    return tuple(each for each in planned if each is not None)


def may_surge(member: ModelPlan, planned: Iterable[PoolPlan]) -> bool:
    """Return whether a rollout may run one replica more; else that would wait for the old one's GPUs for ever."""
    pools = (each for each in planned if each.pool in member.pools)
    return any(each.can_grow and each.has_room_for(member) for each in pools)


def reservation(settings: Reservation) -> ReservationArgs:
    """Return a reservation as a node pool takes it: only what is set."""
    given = {key: value for key, value in dataclasses.asdict(settings).items() if value and key != "ends_on"}
    return cast("ReservationArgs", given)


def shares(settings: Sharing) -> SharingArgs:
    """Return how GPUs are shared as a node pool takes it: only what is set."""
    return cast("SharingArgs", settings.way)


def _plan(pool: GpuPool, plans: tuple[ModelPlan, ...], config: StackConfig) -> PoolPlan | None:
    """Return a pool as it is deployed; None where nothing uses it."""
    members = tuple(plan for plan in plans if pool in plan.pools)
    if pool.sharing is not None:
        known = {each.name for each in catalog.instance_types()}
        types = tuple(name for name in pool.sharing.instance_types if name in known)
    else:
        types = tuple(dict.fromkeys(name for member in members for name in _types(member, pool)))
    if not types:
        return None
    zones = pool.zones or config.network.availability_zones
    known_region = config.region in catalog.regions()
    offered = {zone for name in types for zone in catalog.offered_zones(config.region, name)} if known_region else zones
    minutes = [member.eviction_minutes(config.cache.throughput) for member in members]
    planned = PoolPlan(
        pool=pool,
        models=members,
        instance_types=types,
        zones=tuple(zone for zone in zones if zone in offered) or zones,
        gpu_limit=0,
        grace_minutes=max(minutes, default=None),
    )
    return dataclasses.replace(planned, gpu_limit=_gpu_limit(planned))


def _gpu_limit(planned: PoolPlan) -> int:
    largest = max(catalog.instance_type(name).gpu_count for name in planned.instance_types)
    pool = planned.pool
    if pool.static_nodes is not None:
        return pool.static_nodes * largest
    if pool.sharing is not None:
        return pool.gpu_limit or 0
    computed = sum(planned.replica_gpus(member) * member.model.replicas.max for member in planned.models)
    # Karpenter counts the GPUs of launched nodes, not what pods ask: without room for one more of the largest, a
    # rollout, or one node taken by the wrong pod, leaves the largest model pending for ever (seen with 1.14.0 on
    # 2026-11-21, in 2 of 6 runs).
    limit = computed + largest
    return limit if pool.gpu_limit is None else min(limit, pool.gpu_limit)


def _types(member: ModelPlan, pool: GpuPool) -> list[str]:
    return [name for name in member.instance_types if catalog.instance_type(name).family in pool.families]
