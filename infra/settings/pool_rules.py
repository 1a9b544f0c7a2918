"""Rules of one GPU pool's settings. What its instance types make impossible is found once they are chosen."""

from collections.abc import Iterator

from components.sizing import catalog
from infra.settings.pool_sections import CAPACITY_TYPES, GpuPool, Sharing
from infra.settings.problems import Problem, listed, nearest
from infra.settings.sections import Network


def pool_rules(pool: GpuPool, network: Network) -> Iterator[Problem]:
    """Yield every broken rule of a pool."""
    yield from _families(pool)
    yield from _capacity(pool)
    for index, zone in enumerate(pool.zones):
        if network.availability_zones and zone not in network.availability_zones:
            yield Problem(
                f"{pool.path}.zones[{index}]",
                zone,
                "zone",
                "is not among network.availabilityZones, so it has no subnet",
                f"use {listed(network.availability_zones)}, or add it there",
            )
    yield from _image(pool)
    for index, held in enumerate(pool.reservations):
        if held.ends_on and not pool.capacity_block:
            message = "is the last day of a Capacity Block, and capacityBlock is not set"
            place = f"{pool.path}.reservations[{index}].endsOn"
            yield Problem(place, held.ends_on, "conflict", message, "set capacityBlock: true, or remove it")
    if pool.static_nodes is not None and pool.gpu_limit is not None:
        message = "has no effect with staticNodes: Karpenter limits a pool of fixed size by its nodes"
        yield Problem(f"{pool.path}.gpuLimit", pool.gpu_limit, "conflict", message, "remove it, or staticNodes")
    if pool.sharing is not None:
        yield from _sharing(pool, pool.sharing)


def _families(pool: GpuPool) -> Iterator[Problem]:
    families = catalog.families()
    if not pool.families:
        message = "is empty: no instance type could be launched"
        yield Problem(f"{pool.path}.families", [], "required", message, "name at least one, for example g5")
    for index, family in enumerate(pool.families):
        path = f"{pool.path}.families[{index}]"
        if family not in families:
            yield Problem(path, family, "choice", "is no GPU instance family", nearest(family, families))
            continue
        types = [kind for kind in catalog.instance_types() if kind.family == family]
        if all(kind.excluded for kind in types):
            reasons = dict.fromkeys(kind.excluded.text for kind in types if kind.excluded)
            message = f"has no instance type that can serve: {'; '.join(reasons)}"
            yield Problem(path, family, "capability", message, "use another family, for example g5, g6e or p5")


def _capacity(pool: GpuPool) -> Iterator[Problem]:
    for index, capacity in enumerate(pool.capacity):
        if capacity not in CAPACITY_TYPES:
            path = f"{pool.path}.capacity[{index}]"
            yield Problem(path, capacity, "choice", "is no way to buy capacity", nearest(capacity, CAPACITY_TYPES))
    if not pool.capacity:
        fix = f"name at least one of {listed(CAPACITY_TYPES)}"
        yield Problem(f"{pool.path}.capacity", [], "required", "is empty: nothing could be bought", fix)


def _image(pool: GpuPool) -> Iterator[Problem]:
    family = pool.alias.partition("@")[0]
    if family != pool.ami_family:
        message = f"is of family {family}, and amiFamily is {pool.ami_family}"
        yield Problem(f"{pool.path}.amiAlias", pool.ami_alias, "conflict", message, f"set amiFamily: {family}")


def _sharing(pool: GpuPool, sharing: Sharing) -> Iterator[Problem]:
    path = f"{pool.path}.sharing"
    if (sharing.time_slices is None) == (sharing.mig_profile is None):
        message = "must say how GPUs are shared: timeSlices or migProfile"
        yield Problem(path, None, "sharing", message, "give one of the two")
    if not sharing.instance_types:
        message = "is empty: no model of the stack decides what such a pool launches"
        yield Problem(f"{path}.instanceTypes", [], "required", message, "name at least one type of the families")
    for index, name in enumerate(sharing.instance_types):
        if name.partition(".")[0] not in pool.families:
            message = f"is of no family of the pool: {listed(pool.families)}"
            fix = f"add {name.partition('.')[0]} to families, or use another type"
            yield Problem(f"{path}.instanceTypes[{index}]", name, "reference", message, fix)
    if pool.gpu_limit is None and pool.static_nodes is None:
        message = "is missing: no model of the stack decides how many GPUs such a pool may have"
        yield Problem(f"{pool.path}.gpuLimit", None, "required", message, "add the most GPUs it may launch")
    if pool.ami_family != "al2023":
        message = "shares GPUs by settings of the system, which this program does not write"
        yield Problem(f"{pool.path}.amiFamily", pool.ami_family, "sharing", message, "use amiFamily: al2023")
