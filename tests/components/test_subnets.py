"""CIDR arithmetic of the VPC."""

import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.network.subnets import MAX_VPC_PREFIX, MIN_VPC_PREFIX, cidr_problem, plan_subnets

ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]


@st.composite
def vpcs(draw: st.DrawFn) -> str:
    """Draw any block of 10.0.0.0/8 that may be a VPC."""
    prefix = draw(st.integers(MIN_VPC_PREFIX, MAX_VPC_PREFIX))
    number = draw(st.integers(0, 2 ** (prefix - 8) - 1))
    return str(ipaddress.IPv4Network((int(ipaddress.IPv4Address("10.0.0.0")) + (number << (32 - prefix)), prefix)))


@given(cidr=vpcs(), count=st.integers(2, 3))
def test_subnets_lie_in_the_vpc_and_never_overlap(cidr: str, count: int) -> None:
    """Prevents a plan that AWS refuses half-way: a subnet outside the VPC, or two that share addresses."""
    vpc = ipaddress.IPv4Network(cidr)
    plan = plan_subnets(cidr, ZONES[:count])
    subnets = [ipaddress.IPv4Network(block) for zone in plan for block in (zone.private_cidr, zone.public_cidr)]
    assert all(subnet.subnet_of(vpc) for subnet in subnets)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(subnets, 2))
    assert all(16 <= subnet.prefixlen <= 28 for subnet in subnets)


@given(cidr=vpcs())
def test_a_third_zone_leaves_the_first_two_alone(cidr: str) -> None:
    """Prevents that a stack which grows by a zone replaces the subnets, and with them every node, of the others."""
    assert plan_subnets(cidr, ZONES)[:2] == plan_subnets(cidr, ZONES[:2])


def test_nodes_get_a_quarter_of_the_vpc_in_each_zone() -> None:
    """Prevents private subnets too small for pods, each of which takes an address."""
    plan = plan_subnets("10.40.0.0/16", ZONES)
    assert [zone.private_cidr for zone in plan] == ["10.40.0.0/18", "10.40.64.0/18", "10.40.128.0/18"]
    assert [zone.public_cidr for zone in plan] == ["10.40.192.0/22", "10.40.196.0/22", "10.40.200.0/22"]


@pytest.mark.parametrize(
    ("cidr", "reason"),
    [
        ("10.40.0.0/15", "outside /16 to /22"),
        ("10.40.0.0/23", "outside /16 to /22"),
        ("10.40.0.1/16", "host bits set"),
        ("54.0.0.0/16", "not a private range"),
        ("ten", "not an IPv4 network"),
    ],
)
def test_an_impossible_vpc_is_named(cidr: str, reason: str) -> None:
    """Prevents that AWS, minutes later, is the first to say that the block cannot be used."""
    assert reason in (cidr_problem(cidr) or "")
    with pytest.raises(ValueError, match=reason.replace("/", "/")):
        plan_subnets(cidr, ZONES)


@pytest.mark.parametrize("zones", [["us-east-1a"], [*ZONES, "us-east-1d"], ["us-east-1a", "us-east-1a"]])
def test_zones_must_be_two_or_three_and_differ(zones: list[str]) -> None:
    """Prevents a control plane in one zone, which EKS refuses, and a zone that is silently left out."""
    with pytest.raises(ValueError, match="availability zones"):
        plan_subnets("10.40.0.0/16", zones)
