"""What is wrong with a GPU pool, before anything is created. Pure.

Every problem is found at once; each says where it is, which rule it breaks and how to mend it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.karpenter.budgets import window_problems
from components.karpenter.efa import layout
from components.karpenter.node_pool import CAPACITY_TYPES
from components.karpenter.sharing import mig_profiles
from components.sizing.catalog import InstanceType, UnknownCatalogKeyError, instance_type

AMI_FAMILIES = ("al2023", "bottlerocket")
CAPACITY_BLOCK_DRAIN_MINUTES = 40
"""Karpenter drains ten minutes before EC2 starts to terminate, which is thirty before a block's end
(aws/karpenter-provider-aws@1d92708 designs/capacity-block-support.md)."""


@dataclass(frozen=True)
class PoolProblem:
    """One thing that must be mended; ``path`` is relative to the pool."""

    path: str
    value: Any
    rule: str
    message: str
    fix: str


@dataclass(frozen=True)
class PoolFacts:
    """What the checks look at: the plain values of a GpuNodePool's inputs."""

    instance_types: Sequence[str]
    capacity: Sequence[str]
    gpu_limit: int
    zones: Sequence[str]
    ami_alias: str
    reservations: Sequence[Mapping[str, Any]] = ()
    capacity_block: bool = False
    efa: bool = False
    placement_group: str | bool = False
    """Its name, or true where only AWS knows that."""
    static_nodes: int | None = None
    maintenance_windows: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    allow_latest_ami: bool = False
    sharing: Mapping[str, Any] = field(default_factory=dict)


def pool_problems(pool: PoolFacts) -> list[PoolProblem]:
    """Return every problem of the pool, in the order of its inputs."""
    types, unknown = _types(pool)
    found = [*unknown, *_capacity(pool), *_ami(pool), *_windows(pool), *_static(pool)]
    if types:
        found += [*_limit(pool, types), *_efa(pool, types), *_sharing(pool, types)]
    return found


def _types(pool: PoolFacts) -> tuple[list[InstanceType], list[PoolProblem]]:
    types: list[InstanceType] = []
    problems: list[PoolProblem] = []
    if not pool.instance_types:
        problems.append(PoolProblem("instanceTypes", [], "instance-types", "no instance type", "name at least one"))
    for name in pool.instance_types:
        try:
            found = instance_type(name)
        except UnknownCatalogKeyError as error:
            problems.append(PoolProblem("instanceTypes", name, "unknown-type", str(error), "use a type that EC2 has"))
            continue
        if found.arch != "amd64":
            text = f"{name} is {found.arch}; the vLLM image and this program's nodes are amd64"
            problems.append(PoolProblem("instanceTypes", name, "arch", text, "choose an amd64 type"))
        elif found.excluded is not None:
            problems.append(
                PoolProblem("instanceTypes", name, "excluded", f"{name}: {found.excluded}", "choose another type")
            )
        else:
            types.append(found)
    return types, problems


def _capacity(pool: PoolFacts) -> Iterator[PoolProblem]:
    if not pool.capacity:
        yield PoolProblem("capacity", [], "capacity", "no capacity type", f"one or more of {', '.join(CAPACITY_TYPES)}")
    for name in pool.capacity:
        if name not in CAPACITY_TYPES:
            yield PoolProblem("capacity", name, "capacity", "unknown capacity type", f"use {', '.join(CAPACITY_TYPES)}")
    if "reserved" in pool.capacity and not pool.reservations:
        yield PoolProblem(
            "capacity",
            "reserved",
            "reservation-missing",
            "Karpenter uses a reservation only if it is selected; open matching does not exist",
            "add reservations with an id or tags, or drop reserved",
        )
    if pool.reservations and "reserved" not in pool.capacity:
        yield PoolProblem(
            "reservations",
            len(pool.reservations),
            "reservation-unused",
            "reservations are selected but the pool does not allow reserved capacity: they would stay paid and empty",
            "put reserved first in capacity",
        )
    for index, reservation in enumerate(pool.reservations):
        yield from _reservation(pool, f"reservations[{index}]", reservation)
    if pool.capacity_block and "spot" in pool.capacity:
        yield PoolProblem(
            "capacity", "spot", "capacity-block", "a Capacity Block pool never falls back to spot", "use another pool"
        )
    if pool.capacity_block and "reserved" not in pool.capacity:
        text = "a Capacity Block is reserved capacity; without it, nodes that never expire would be bought otherwise"
        yield PoolProblem("capacityBlock", True, "capacity-block", text, "put reserved first in capacity, or drop it")


def _reservation(pool: PoolFacts, path: str, reservation: Mapping[str, Any]) -> Iterator[PoolProblem]:
    if bool(reservation.get("id")) == bool(reservation.get("tags")):
        yield PoolProblem(
            path, dict(reservation), "reservation-selector", "a reservation is selected by id or by tags", "give one"
        )
    if reservation.get("owner_id") and not reservation.get("tags"):
        owner = reservation["owner_id"]
        text = "an owner narrows a search by tags; an id names one reservation, whoever owns it"
        yield PoolProblem(f"{path}.ownerId", owner, "reservation-selector", text, "drop it, or select by tags")
    zone = reservation.get("zone")
    if zone and zone not in pool.zones:
        yield PoolProblem(
            f"{path}.zone",
            zone,
            "reservation-zone",
            f"the pool has subnets in {', '.join(pool.zones)} only",
            f"add {zone} to the network's zones or use a reservation elsewhere",
        )


def _ami(pool: PoolFacts) -> Iterator[PoolProblem]:
    family, _, version = pool.ami_alias.partition("@")
    if family not in AMI_FAMILIES or not version:
        yield PoolProblem(
            "amiAlias", pool.ami_alias, "ami-family", "not family@version", f"use {' or '.join(AMI_FAMILIES)}@v…"
        )
    elif version == "latest" and not pool.allow_latest_ami:
        yield PoolProblem(
            "amiAlias",
            pool.ami_alias,
            "ami-latest",
            "every AMI release would replace all nodes of the pool",
            "pin a version, e.g. al2023@v20260724",
        )


def _windows(pool: PoolFacts) -> Iterator[PoolProblem]:
    for text in window_problems(pool.maintenance_windows):
        yield PoolProblem("maintenanceWindows", "", "maintenance-window", text, "days, start_utc HH:MM and hours")


def _static(pool: PoolFacts) -> Iterator[PoolProblem]:
    if pool.static_nodes is not None and len(pool.capacity) != 1:
        yield PoolProblem(
            "staticNodes",
            pool.static_nodes,
            "static-capacity",
            "a pool of fixed size has one capacity type: Karpenter gives it no weight",
            "use one capacity type",
        )
    if pool.static_nodes is not None and pool.static_nodes < 1:
        yield PoolProblem("staticNodes", pool.static_nodes, "static-capacity", "fewer than one node", "at least 1")


def _limit(pool: PoolFacts, types: Sequence[InstanceType]) -> Iterator[PoolProblem]:
    largest = max(types, key=lambda each: each.gpu_count)
    if pool.gpu_limit < largest.gpu_count:
        yield PoolProblem(
            "gpuLimit",
            pool.gpu_limit,
            "limit-below-node",
            f"one {largest.name} has {largest.gpu_count} GPUs: the pool could never launch it",
            f"at least {largest.gpu_count}",
        )


def _efa(pool: PoolFacts, types: Sequence[InstanceType]) -> Iterator[PoolProblem]:
    if pool.placement_group and pool.capacity_block:
        yield PoolProblem(
            "placementGroup",
            pool.placement_group,
            "placement-group",
            "a Capacity Block is already placed close together",
            "drop it",
        )
    if not pool.efa:
        return
    names = ", ".join(each.name for each in types)
    if without := [each.name for each in types if not each.efa_count]:
        text = f"no EFA interface on {', '.join(without)}"
        yield PoolProblem("efa", True, "efa-missing", text, "drop efa, or use families whose types have it, such as p5")
    if len({layout(each.name) for each in types}) > 1:
        text = f"the network cards of {names} differ, and one node class has one list of interfaces"
        yield PoolProblem("efa", True, "efa-layout", text, "one pool per layout")
    if len(pool.zones) != 1:
        text = f"EFA traffic does not leave its subnet's zone, and the pool has {', '.join(pool.zones)}"
        yield PoolProblem("efa", True, "efa-zone", text, "name one zone in the pool's zones")


def _sharing(pool: PoolFacts, types: Sequence[InstanceType]) -> Iterator[PoolProblem]:
    slices, profile = pool.sharing.get("time_slices"), pool.sharing.get("mig_profile")
    if slices and profile:
        yield PoolProblem("sharing", dict(pool.sharing), "sharing", "a GPU is sliced or partitioned, not both", "one")
    if slices is not None and slices < 2:
        yield PoolProblem("sharing.timeSlices", slices, "sharing", "fewer than two pods share nothing", "at least 2")
    for each in types if profile else ():
        if profile not in mig_profiles(each.gpu_key):
            offered = " or ".join(mig_profiles(each.gpu_key))
            text = f"the GPUs of {each.name} " + (f"cannot be cut into {profile}" if offered else "have no MIG")
            fix = f"use {offered}" if offered else "use timeSlices, or a type whose GPUs have MIG, such as p4d.24xlarge"
            yield PoolProblem("sharing.migProfile", profile, "mig-profile", text, fix)
