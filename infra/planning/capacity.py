"""What must be bought or asked for before a pool's nodes can start, and what ends by itself."""

import math
from collections.abc import Iterable, Iterator

from components.karpenter import CAPACITY_BLOCK_DRAIN_MINUTES
from components.sizing import catalog
from infra.planning.pools import PoolPlan
from infra.settings.pool_sections import GpuPool
from infra.settings.problems import Problem

_BLOCKS_END_UTC = (11, 30)
"""Every Capacity Block ends at this hour and minute of its last day
(docs.aws.amazon.com/AWSEC2/latest/UserGuide/capacity-blocks-purchase.html)."""


def capacity_advice(pools: Iterable[PoolPlan], region: str) -> Iterator[Problem]:
    """Yield the quotas that the pools may use up, reservations whose place is unknown, and when Capacity Blocks end."""
    planned = tuple(pools)
    for code, vcpus in sorted(_quotas(planned).items()):
        message = (
            f"is a quota that must allow {vcpus:,} vCPUs, which the pools may grow to; below that, no node starts and "
            "pods stay pending. New accounts have 0"
        )
        fix = f"aws service-quotas get-service-quota --region {region} --service-code ec2 --quota-code {code}"
        yield Problem("gpuPools", code, "quota", message, fix)
    for each in planned:
        yield from _rollouts(each)
        yield from _unplaced(each)
        if each.pool.capacity_block:
            yield _end(each.pool)


def _end(pool: GpuPool) -> Problem:
    """Tell when the first of a pool's Capacity Blocks is over, and from when its nodes drain."""
    hour, minute = _BLOCKS_END_UTC
    drained = hour * 60 + minute - CAPACITY_BLOCK_DRAIN_MINUTES
    days = sorted(held.ends_on for held in pool.reservations if held.ends_on)
    message = (
        f"ends by itself: a block is over {f'on {days[0]}' if days else 'on its last day'} at {hour}:{minute} UTC; "
        f"Karpenter drains {CAPACITY_BLOCK_DRAIN_MINUTES} minutes before, from {drained // 60}:{drained % 60:02} UTC"
    )
    fix = "buy the next block before that, or let the models use another pool too"
    if not days:
        fix += "; endsOn of its reservation puts the day here"
    return Problem(f"{pool.path}.capacityBlock", True, "capacity-block", message, fix)


def _unplaced(planned: PoolPlan) -> Iterator[Problem]:
    """Tell of reservations that may lie where the pool has no subnet: Karpenter would silently buy something else."""
    for index, held in enumerate(planned.pool.reservations):
        if held.id and not held.zone:
            message = f"does not say its zone: whether it lies in {', '.join(planned.zones)} cannot be checked"
            fix = f"add zone: $(aws ec2 describe-capacity-reservations --capacity-reservation-ids {held.id} "
            fix += "--query 'CapacityReservations[].AvailabilityZone' --output text)"
            yield Problem(f"{planned.pool.path}.reservations[{index}]", held.id, "reservation-zone", message, fix)


def _rollouts(planned: PoolPlan) -> Iterator[Problem]:
    """Tell of a cap that a rollout meets: where GPUs are reserved or nodes fixed, nobody expects one replica more."""
    squeezed = [member for member in planned.models if planned.can_grow and not planned.has_room_for(member)]
    if squeezed:
        names = ", ".join(member.model.name for member in squeezed)
        message = (
            f"leaves no room for one replica more: a rollout of {names} stops an old server before the new one runs"
        )
        needed = planned.running_gpus + max(planned.replica_gpus(member) for member in squeezed)
        path, fix = f"{planned.pool.path}.gpuLimit", f"at least {needed}, or remove it"
        yield Problem(path, planned.pool.gpu_limit, "rollout", message, fix)


def _quotas(pools: Iterable[PoolPlan]) -> dict[str, int]:
    """Return the vCPUs that each quota must allow, by its code; every step of a chain may carry the whole load."""
    needed: dict[str, int] = {}
    for planned in pools:
        # No source says whether instances of a Capacity Block count against a quota; what is bought beside it does.
        ways = {way for way in planned.pool.capacity if way != "reserved" or not planned.pool.capacity_block}
        for spot in {way == "spot" for way in ways}:
            most: dict[str, int] = {}
            for kind in map(catalog.instance_type, planned.instance_types):
                code = kind.quota_spot if spot else kind.quota_on_demand
                if code is not None:
                    vcpus = math.ceil(planned.gpu_limit / kind.gpu_count) * kind.vcpus
                    most[code] = max(most.get(code, 0), vcpus)
            for code, vcpus in most.items():
                needed[code] = needed.get(code, 0) + vcpus
    return needed
