"""CIDR arithmetic of the VPC. Pure.

The VPC is cut into quarters. Each of up to three zones gets one quarter as its private subnet (nodes and pods take one
address each); the last quarter is cut into sixteenths, one public subnet per zone (NAT gateways and load balancers).
Adding a zone later therefore never moves the subnets of the others.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

MIN_ZONES = 2
"""EKS refuses a control plane in fewer zones."""
MAX_ZONES = 3
MIN_VPC_PREFIX = 16
"""AWS's largest VPC block."""
MAX_VPC_PREFIX = 22
"""Public subnets are 1/64 of the VPC, and AWS's smallest subnet is a /28."""
RFC_1918 = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


@dataclass(frozen=True)
class ZoneSubnets:
    """The two subnets of one availability zone."""

    zone: str
    private_cidr: str
    public_cidr: str


def cidr_problem(cidr: str) -> str | None:
    """Why the block cannot be a VPC of this layout; None if it can."""
    try:
        network = ipaddress.IPv4Network(cidr)
    except ValueError as error:
        return f"not an IPv4 network: {error}"
    if not MIN_VPC_PREFIX <= network.prefixlen <= MAX_VPC_PREFIX:
        return f"a /{network.prefixlen} is outside /{MIN_VPC_PREFIX} to /{MAX_VPC_PREFIX}"
    if not any(network.subnet_of(private) for private in RFC_1918):
        return f"{network} is not a private range (RFC 1918)"
    return None


def plan_subnets(cidr: str, zones: Sequence[str]) -> list[ZoneSubnets]:
    """Return the subnets of each zone, in the order of the zones.

    Raises:
        ValueError: an impossible block, a repeated zone, or fewer than two or more than three zones.

    """
    if problem := cidr_problem(cidr):
        raise ValueError(f"cidr {cidr}: {problem}")
    if not MIN_ZONES <= len(zones) <= MAX_ZONES:
        raise ValueError(f"{len(zones)} availability zones: between {MIN_ZONES} and {MAX_ZONES} are needed")
    if len(set(zones)) != len(zones):
        raise ValueError(f"availability zones repeat: {', '.join(zones)}")
    *private, last = ipaddress.IPv4Network(cidr).subnets(prefixlen_diff=2)
    public = last.subnets(prefixlen_diff=4)
    return [ZoneSubnets(zone, str(own), str(shared)) for zone, own, shared in zip(zones, private, public, strict=False)]
