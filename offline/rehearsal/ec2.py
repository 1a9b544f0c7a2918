"""The EC2 answers that moto lacks: offers by zone, no capacity, reservations, fleets that take the cheapest offer.

moto carries EC2's own DescribeInstanceTypes and the offerings by zone, so Karpenter computes with real capacities.
``answers(market)`` replaces the few methods of moto's EC2 frontend that would make Karpenter decide on fiction.
"""

# ruff: noqa: SLF001 - moto has no public way to read a request or to replace an answer

import datetime as dt
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any, cast

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS
from moto.ec2.responses import EC2Response

ACCOUNT = "123456789012"
Obj = dict[str, Any]
_ORIGINAL_FLEET = EC2Response.create_fleet


@dataclass
class Reservation:
    """A targeted capacity reservation, or a Capacity Block when ``block`` is true."""

    instance_type: str
    zone: str
    count: int
    tags: dict[str, str] = field(default_factory=dict)
    block: bool = False
    id: str = field(default_factory=lambda: "cr-" + uuid.uuid4().hex[:17])
    used: int = 0

    @property
    def available(self) -> int:
        """Instances not yet taken."""
        return self.count - self.used

    def describe(self) -> Obj:
        """As DescribeCapacityReservations answers."""
        now = dt.datetime.now(dt.UTC)
        end = {"EndDateType": "limited", "EndDate": now + dt.timedelta(days=1)} if self.block else {}
        return {
            "CapacityReservationId": self.id, "OwnerId": ACCOUNT, "InstanceType": self.instance_type,
            "AvailabilityZone": self.zone, "InstancePlatform": "Linux/UNIX", "Tenancy": "default",
            "TotalInstanceCount": self.count, "AvailableInstanceCount": self.available, "State": "active",
            "StartDate": now - dt.timedelta(hours=1), "EndDateType": "unlimited", "Interruptible": False,
            "InstanceMatchCriteria": "targeted", "ReservationType": "capacity-block" if self.block else "default",
            "Tags": [{"Key": k, "Value": v} for k, v in self.tags.items()], **end,
        }  # fmt: skip


@dataclass
class Market:
    """What EC2 has to offer. ``exhausted`` and ``reservations`` may be changed at any time."""

    region: str
    zones: tuple[str, ...]
    families: frozenset[str]
    exhausted: set[str] = field(default_factory=set)
    """fnmatch patterns of ``type/zone/capacity-type`` for which EC2 has no capacity."""
    reservations: list[Reservation] = field(default_factory=list)
    placement_groups: tuple[str, ...] = ()
    """Names of cluster placement groups that exist."""
    prices: dict[str, float] = field(default_factory=dict)
    """USD per hour, as Karpenter rated the offer, by id of the instance launched."""
    counter: threading.Lock = field(default_factory=threading.Lock)
    """Held while an offer is taken: Karpenter asks for several fleets at once."""

    @property
    def backend(self) -> Any:
        """Moto's EC2 of this account and region."""
        return ec2_backends[ACCOUNT][self.region]

    def instances(self) -> dict[str, Any]:
        """Moto's instances that are not terminated, by id."""
        found = [i for r in self.backend.all_reservations() for i in r.instances]
        return {i.id: i for i in found if i.state not in {"terminated", "shutting-down"}}

    def sells(self, instance_type: str) -> bool:
        """Whether the type's family is part of this market."""
        return instance_type.split(".", maxsplit=1)[0] in self.families

    def refuses(self, instance_type: str, zone: str, capacity: str) -> bool:
        """Whether there is no capacity of this kind."""
        return any(fnmatch(f"{instance_type}/{zone}/{capacity}", pattern) for pattern in self.exhausted)


@contextmanager
def answers(market: Market) -> Iterator[None]:
    """Moto's EC2 frontend answers for this market while the context is open."""

    def instance_types(response: Any) -> ActionResult:
        response.error_on_dryrun()
        found = market.backend.describe_instance_types(
            response._get_param("InstanceTypes", []), response._filters_from_querystring()
        )
        return ActionResult({"InstanceTypes": [t for t in found if market.sells(t["InstanceType"])]})

    def offerings(_: Any) -> ActionResult:
        by_zone = INSTANCE_TYPE_OFFERINGS["availability-zone"].get(market.region, [])
        sold = [o for o in by_zone if o["Location"] in market.zones and market.sells(o["InstanceType"])]
        return ActionResult({"InstanceTypeOfferings": [{**o, "LocationType": "availability-zone"} for o in sold]})

    def reservations(response: Any) -> ActionResult:
        return ActionResult({"CapacityReservations": [r.describe() for r in _selected(market, response)]})

    def placement_groups(response: Any) -> ActionResult:
        wanted = response._get_param("GroupNames", []) or response._filters_from_querystring().get("group-name")
        found = [name for name in market.placement_groups if not wanted or name in wanted]
        groups = [{"GroupName": n, "GroupId": f"pg-{n}", "State": "available", "Strategy": "cluster"} for n in found]
        return ActionResult({"PlacementGroups": groups})

    def spot_prices(_: Any) -> ActionResult:
        """None: Karpenter then rates spot like on-demand, where moto has one price for every type."""
        return ActionResult({"SpotPriceHistory": []})

    def fleet(response: Any) -> ActionResult:
        response.error_on_dryrun()
        return _create_fleet(market, response)

    patches: dict[str, Callable[[Any], ActionResult]] = {
        "describe_instance_types": instance_types, "describe_instance_type_offerings": offerings,
        "describe_capacity_reservations": reservations, "describe_spot_price_history": spot_prices,
        "describe_placement_groups": placement_groups, "create_fleet": fleet,
    }  # fmt: skip
    before = {name: EC2Response.__dict__.get(name) for name in patches}
    for name, function in patches.items():
        setattr(EC2Response, name, function)
    try:
        yield
    finally:
        for name, function in before.items():
            if function is None:
                delattr(EC2Response, name)
            else:
                setattr(EC2Response, name, function)


def _selected(market: Market, response: Any) -> list[Reservation]:
    """Return the reservations that a describe call's ids and filters let through."""
    ids = response._get_param("CapacityReservationIds", [])
    found = [r for r in market.reservations if not ids or r.id in ids]
    if ids and not found:
        raise EC2ClientError("InvalidCapacityReservationId.NotFound", f"{ids} does not exist")
    fixed = {"instance-match-criteria": "targeted", "owner-id": ACCOUNT, "state": "active"}
    for key, values in response._filters_from_querystring().items():
        if key.startswith("tag:"):
            found = [r for r in found if r.tags.get(key.removeprefix("tag:")) in values]
        elif key == "tag-key":
            found = [r for r in found if set(values) & set(r.tags)]
        elif key in fixed and fixed[key] not in values:
            found = []
    return found


@dataclass(frozen=True)
class _Offer:
    price: float
    instance_type: str
    zone: str
    config: Obj
    override: Obj
    reservation: Reservation | None


def _create_fleet(market: Market, response: Any) -> ActionResult:
    """Launch the cheapest offer that has capacity; refuse the others in EC2's words."""
    target = response._get_param("TargetCapacitySpecification", {})
    lifecycle = target.get("DefaultTargetCapacityType", "on-demand")
    with market.counter:
        offers, errors = _offers(market, response._get_param("LaunchTemplateConfigs", []), lifecycle)
        if not offers:
            fleet = "fleet-" + uuid.uuid4().hex[:17]
            return ActionResult({"FleetId": fleet, "Errors": errors, "Instances": []})
        best = min(offers, key=lambda o: (o.price, o.instance_type, o.zone))
        result = _launch(best, target, response)
        for launched in result["Instances"]:
            for instance_id in launched["InstanceIds"]:
                _settle(market, instance_id, best)
    return ActionResult({**result, "Errors": errors})


def _offers(market: Market, configs: list[Obj], lifecycle: str) -> tuple[list[_Offer], list[Obj]]:
    offers, errors = [], []
    for config in configs:
        specification = config["LaunchTemplateSpecification"]
        data = _template(market, config)
        wanted = data.get("CapacityReservationSpecification", {}).get("CapacityReservationTarget", {})
        named = wanted.get("CapacityReservationId")
        reservation = next((r for r in market.reservations if r.id == named), None)
        capacity = "reserved" if reservation else lifecycle
        for override in config.get("Overrides", []):
            kind, zone = override["InstanceType"], override.get("AvailabilityZone", "")
            refused = market.refuses(kind, zone, capacity)
            if refused or (reservation and not reservation.available):
                full = reservation and not refused
                errors.append({
                    "ErrorCode": "ReservationCapacityExceeded" if full else "InsufficientInstanceCapacity",
                    "ErrorMessage": f"no {capacity} capacity for {kind} in {zone} (rehearsed)",
                    "Lifecycle": lifecycle,
                    "LaunchTemplateAndOverrides": {
                        "LaunchTemplateSpecification": specification, "Overrides": override,
                    },
                })  # fmt: skip
            else:
                price = float(override.get("Priority", 0))
                offers.append(_Offer(price, kind, zone, config, override, reservation))
    return offers, errors


def _template(market: Market, config: Obj) -> Obj:
    name = config["LaunchTemplateSpecification"]["LaunchTemplateName"]
    return market.backend.get_launch_template_by_name(name).latest_version().data


def _launch(offer: _Offer, target: Obj, response: Any) -> Obj:
    """Moto's own CreateFleet with this one offer as the request."""
    ask = response._get_param

    def narrowed(name: str, if_none: Any = None) -> Any:
        if name == "LaunchTemplateConfigs":
            return [{**offer.config, "Overrides": [offer.override]}]
        if name == "TargetCapacitySpecification" and offer.reservation:
            count = min(int(target.get("TotalTargetCapacity", 1)), offer.reservation.available)
            return {**target, "DefaultTargetCapacityType": "on-demand", "TotalTargetCapacity": count}
        return ask(name, if_none)

    response._get_param = narrowed
    try:
        return cast("Obj", _ORIGINAL_FLEET(response).result)
    finally:
        del response._get_param


def _settle(market: Market, instance_id: str, offer: _Offer) -> None:
    """Set what moto's fleets forget of the launch template; Karpenter would see drift."""
    instance = market.instances()[instance_id]
    data = _template(market, offer.config)
    groups = data.get("SecurityGroupIds") or [g for i in data.get("NetworkInterfaces", []) for g in i.get("Groups", [])]
    instance.security_groups = [market.backend.get_security_group_from_id(g) for g in dict.fromkeys(groups)]
    for interface in instance.nics.values():
        interface._group_set = []
    market.prices[instance_id] = offer.price
    if offer.reservation:
        offer.reservation.used += 1
        instance.capacity_reservation_id = offer.reservation.id
        instance.capacity_reservation_specification = {
            "CapacityReservationPreference": "capacity-reservations-only",
            "CapacityReservationTarget": {"CapacityReservationId": offer.reservation.id},
        }
