"""What the stack costs per hour: line items, and the floor and ceiling that they add up to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from components.sizing import catalog, prices
from infra.planning.models import ModelPlan
from infra.planning.pools import PoolPlan
from infra.planning.usage import GB, UsageLine, usage
from infra.settings.rules import is_bucket
from infra.settings.sections import StackConfig


@dataclass(frozen=True)
class CostLine:
    """One item: what it costs per hour at the least and at the most. None: nobody has a price for it."""

    item: str
    floor: float | None
    ceiling: float | None
    basis: str
    """How it is computed and where the price is from."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "item": self.item,
            "floor_usd_per_hour": self.floor,
            "ceiling_usd_per_hour": self.ceiling,
            "basis": self.basis,
        }


@dataclass(frozen=True)
class Cost:
    """All line items, and what costs by use. Traffic between zones, disks and logs are in neither."""

    lines: tuple[CostLine, ...] = ()
    usage: tuple[UsageLine, ...] = ()

    @property
    def floor(self) -> float:
        """US dollars per hour with what always runs."""
        return sum(line.floor or 0 for line in self.lines)

    @property
    def ceiling(self) -> float:
        """US dollars per hour with every replica and every system node."""
        return sum(line.ceiling or 0 for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for the plan."""
        return {
            "floor_usd_per_hour": round(self.floor, 4),
            "ceiling_usd_per_hour": round(self.ceiling, 4),
            "lines": [line.to_json() for line in self.lines],
            "usage": [line.to_json() for line in self.usage],
        }


def cost(config: StackConfig, plans: Iterable[ModelPlan], pools: Iterable[PoolPlan], *, extended: bool) -> Cost:
    """Return what the stack costs, at on-demand list prices; ``extended``: its Kubernetes is past standard support."""
    plans = tuple(plans)
    beside = _beside_models(pools, config.region)
    lines = (*_models(plans), *beside, *_platform(config, extended=extended), *_storage(config, plans))
    return Cost(lines, tuple(usage(config, plans)))


def _models(plans: Iterable[ModelPlan]) -> Iterator[CostLine]:
    for plan in plans:
        decision = plan.decision
        each = decision.price_of_replica
        yield CostLine(
            f"{decision.name}: {decision.replicas} to {decision.replicas_max} × {decision.instance_type}",
            each * decision.replicas,
            each * decision.replicas_max,
            f"${each:.3f}/h per replica, on-demand",
        )


def _beside_models(pools: Iterable[PoolPlan], region: str) -> Iterator[CostLine]:
    """Yield GPU nodes that no replica pays for: fixed ones that stand idle, and those that share their GPUs."""
    for planned in pools:
        pool, kind = planned.pool, planned.instance_types[0]
        if pool.static_nodes is not None:
            running = sum(each.decision.replicas for each in planned.models)
            growing = sum(each.decision.replicas_max for each in planned.models)
            idle = (max(0, pool.static_nodes - running), max(0, pool.static_nodes - growing))
            yield _nodes(f"Pool {pool.name}: rest of its {pool.static_nodes} fixed × {kind}", kind, region, idle)
        elif pool.sharing is not None:
            most = planned.gpu_limit // catalog.instance_type(kind).gpu_count
            yield _nodes(f"Pool {pool.name}: 0 to {most} × {kind}, shared", kind, region, (0, most))


def _platform(config: StackConfig, *, extended: bool) -> Iterator[CostLine]:
    if config.cluster.name is None:
        if extended:
            yield _fixed("EKS control plane, extended support", 1, "eks_control_plane_extended_support")
        else:
            yield _fixed("EKS control plane", 1, "eks_control_plane")
        yield _system_nodes(config)
    network = config.network
    zones = len(network.availability_zones)
    gateways = {"perZone": zones, "single": 1, "none": 0}[network.nat_gateways]
    if not network.vpc_id and gateways:
        yield _fixed(f"NAT gateways: {gateways}", gateways, "nat_gateway")
        yield _fixed(f"Public IPv4 addresses: {gateways}", gateways, "public_ipv4")
    if not network.vpc_id and network.interface_endpoints:
        count = len(network.interface_endpoints) * zones
        yield _fixed(
            f"Interface endpoints: {len(network.interface_endpoints)} in {zones} zones", count, "interface_endpoint"
        )


def _system_nodes(config: StackConfig) -> CostLine:
    nodes = config.system_nodes
    kind = nodes.instance_types[0]
    item = f"System nodes: {nodes.min} to {nodes.max} × {kind}"
    return _nodes(item, kind, config.region, (nodes.min, nodes.max))


def _nodes(item: str, kind: str, region: str, counts: tuple[int, int]) -> CostLine:
    """Return the line of the least and the most nodes of a type."""
    price = prices.hourly(kind, region)
    if price is None:
        return CostLine(item, None, None, f"no list has a price for {kind}")
    least, most = counts
    return CostLine(item, price.usd * least, price.usd * most, f"${price.usd}/h, {price.source}")


def _storage(config: StackConfig, plans: Iterable[ModelPlan]) -> Iterator[CostLine]:
    stored = sum(plan.decision.checkpoint_bytes for plan in plans if not is_bucket(plan.model.source)) / GB
    if stored:
        yield _monthly(f"EFS: {stored:,.0f} GB of weights", stored, "efs_storage")
    if config.cache.provisioned_mibps:
        item = f"EFS: {config.cache.provisioned_mibps:,} MiB/s provisioned"
        yield _monthly(item, config.cache.provisioned_mibps, "efs_provisioned_throughput")


def _monthly(item: str, amount: float, name: str) -> CostLine:
    price = prices.other(name)
    usd = amount * price.usd / prices.HOURS_PER_MONTH
    return CostLine(item, usd, usd, f"${price.usd}/{price.unit}, {price.source}")


def _fixed(item: str, count: int, name: str) -> CostLine:
    price = prices.other(name)
    return CostLine(item, price.usd * count, price.usd * count, f"${price.usd}/{price.unit}, {price.source}")
