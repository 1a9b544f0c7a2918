"""What is wrong with GPU pools, once it is known what they launch."""

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence

from components.karpenter import PoolFacts, pool_problems
from components.sizing import catalog
from infra.planning.pools import PoolPlan, reservation
from infra.settings.pool_sections import GpuPool
from infra.settings.problems import Problem
from infra.settings.sections import StackConfig

REPORTED_ELSEWHERE = {"instance-types", "capacity"}
"""Rules that the reader of the settings and the planner report already, with more to say."""


def planned_pool_problems(config: StackConfig, planned: Sequence[PoolPlan], today: dt.date) -> Iterator[Problem]:
    """Yield every problem of every pool; one without a plan is checked as far as its settings go."""
    plans = {each.pool.path: each for each in planned}
    for pool in config.gpu_pools:
        built = plans.get(pool.path)
        for found in pool_problems(_facts(pool, built, config)):
            if found.rule not in REPORTED_ELSEWHERE:
                path = f"{pool.path}.{_place(found.path, pool)}"
                yield Problem(path, found.value, found.rule, found.message, found.fix)
        yield from _over(pool, today)
        if built is not None:
            yield from _too_small(built)
    yield from _shared_types(planned)


def _facts(pool: GpuPool, built: PoolPlan | None, config: StackConfig) -> PoolFacts:
    types = built.instance_types if built else ()
    return PoolFacts(
        # A pool with shared GPUs names its types itself, also unknown ones.
        instance_types=types if pool.sharing is None else pool.sharing.instance_types,
        capacity=pool.capacity,
        gpu_limit=built.gpu_limit if built else 0,
        zones=pool.zones or config.network.availability_zones,
        ami_alias=pool.alias,
        allow_latest_ami=config.allow_latest_ami,
        reservations=[reservation(each) for each in pool.reservations],
        capacity_block=pool.capacity_block,
        efa=pool.efa,
        placement_group=pool.placement_group or False,
        static_nodes=pool.static_nodes,
        maintenance_windows=[dataclasses.asdict(window) for window in pool.maintenance_windows],
        sharing=pool.sharing.way if pool.sharing else {},
    )


def _place(path: str, pool: GpuPool) -> str:
    """Return where the stack file says what the pool's check complains about."""
    return f"sharing.{path}" if path == "instanceTypes" and pool.sharing else path


def _over(pool: GpuPool, today: dt.date) -> Iterator[Problem]:
    """Refuse a Capacity Block that is over: no node would ever start in it."""
    for index, held in enumerate(pool.reservations):
        if held.ends_on and dt.date.fromisoformat(held.ends_on) < today:
            path = f"{pool.path}.reservations[{index}].endsOn"
            fix = "name the next block's reservation and its last day"
            yield Problem(path, held.ends_on, "reservation-ended", "is past: the block is over", fix)


def _too_small(built: PoolPlan) -> Iterator[Problem]:
    """Refuse a pool that cannot hold what runs from the start, or, of fixed size, what its models may grow to."""
    cap, nodes = built.pool.gpu_limit, built.pool.static_nodes
    names = ", ".join(member.model.name for member in built.models)
    if nodes is not None:
        most = sum(member.model.replicas.max for member in built.models)
        if nodes < most:
            message = f"is less than the {most} nodes that {names} may need, and a pool of fixed size never grows"
            yield Problem(f"{built.pool.path}.staticNodes", nodes, "limit", message, f"at least {most}, or remove it")
        return
    largest = max(catalog.instance_type(name).gpu_count for name in built.instance_types)
    running = built.running_gpus
    # Less than one node is a rule of every pool's.
    if cap is not None and largest <= cap < running:
        message = f"is less than the {running} GPUs that {names} run on from the start"
        yield Problem(f"{built.pool.path}.gpuLimit", cap, "limit", message, f"at least {running}, or remove it")


def _shared_types(planned: Sequence[PoolPlan]) -> Iterator[Problem]:
    """Refuse types of shared pools that another pool uses: Karpenter would count its GPUs as shared, too."""
    for each in planned:
        sharing = each.pool.sharing
        for index, name in enumerate(sharing.instance_types if sharing else ()):
            others = [other.pool.name for other in planned if other is not each and name in other.instance_types]
            if others:
                message = f"is launched by {', '.join(others)}, too: Karpenter learns of shares by instance type"
                path = f"{each.pool.path}.sharing.instanceTypes[{index}]"
                yield Problem(path, name, "sharing", message, "share another type, or let the other pool use another")
