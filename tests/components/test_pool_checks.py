"""Bad pools are refused before anything is created, each with place, value, rule and fix."""

from dataclasses import replace
from typing import Any

import pytest

from components.karpenter import InvalidPoolError, PoolFacts, pool_problems
from tests.components.platform import AMI, ZONES, gpu_pool

GOOD = PoolFacts(
    instance_types=["g5.12xlarge"], capacity=["on-demand"], gpu_limit=8, zones=ZONES, ami_alias=AMI, reservations=()
)
EFA = replace(GOOD, instance_types=["p5.48xlarge"], zones=["us-east-1a"], efa=True)
ELSEWHERE = [{"id": "cr-1", "zone": "us-east-1f"}]
RESERVED = replace(GOOD, capacity=["reserved"], reservations=[{"id": "cr-1", "zone": "us-east-1a"}])


@pytest.mark.parametrize("pool", [GOOD, EFA, RESERVED])
def test_good_pools_have_no_problem(pool: PoolFacts) -> None:
    """Prevents a check that refuses what works."""
    assert pool_problems(pool) == []


@pytest.mark.parametrize(
    ("pool", "changes", "path", "rule"),
    [
        (GOOD, {"instance_types": ["g5.13xlarge"]}, "instanceTypes", "unknown-type"),
        (GOOD, {"instance_types": ["g5g.xlarge"]}, "instanceTypes", "arch"),
        (GOOD, {"instance_types": ["g6f.xlarge"]}, "instanceTypes", "excluded"),
        (GOOD, {"instance_types": []}, "instanceTypes", "instance-types"),
        (GOOD, {"capacity": []}, "capacity", "capacity"),
        (GOOD, {"capacity": ["ondemand"]}, "capacity", "capacity"),
        (GOOD, {"capacity": ["reserved"]}, "capacity", "reservation-missing"),
        (GOOD, {"reservations": [{"id": "cr-1"}]}, "reservations", "reservation-unused"),
        (RESERVED, {"reservations": [{"id": "cr-1", "tags": {"a": "b"}}]}, "reservations[0]", "reservation-selector"),
        (RESERVED, {"reservations": [{"zone": "us-east-1a"}]}, "reservations[0]", "reservation-selector"),
        (RESERVED, {"reservations": ELSEWHERE}, "reservations[0].zone", "reservation-zone"),
        (RESERVED, {"capacity": ["reserved", "spot"], "capacity_block": True}, "capacity", "capacity-block"),
        (GOOD, {"capacity_block": True}, "capacityBlock", "capacity-block"),
        (
            RESERVED,
            {"reservations": [{"id": "cr-1", "owner_id": "123456789012"}]},
            "reservations[0].ownerId",
            "reservation-selector",
        ),
        (GOOD, {"gpu_limit": 3}, "gpuLimit", "limit-below-node"),
        (GOOD, {"ami_alias": "al2@v20260724"}, "amiAlias", "ami-family"),
        (GOOD, {"ami_alias": "al2023"}, "amiAlias", "ami-family"),
        (GOOD, {"ami_alias": "al2023@latest"}, "amiAlias", "ami-latest"),
        (GOOD, {"static_nodes": 2, "capacity": ["on-demand", "spot"]}, "staticNodes", "static-capacity"),
        (GOOD, {"static_nodes": 0}, "staticNodes", "static-capacity"),
        (EFA, {"instance_types": ["g5.xlarge"]}, "efa", "efa-missing"),
        (EFA, {"instance_types": ["p5.48xlarge", "p5en.48xlarge"]}, "efa", "efa-layout"),
        (EFA, {"zones": ZONES}, "efa", "efa-zone"),
        (EFA, {"placement_group": True, "capacity_block": True}, "placementGroup", "placement-group"),
        (GOOD, {"sharing": {"time_slices": 1}}, "sharing.timeSlices", "sharing"),
        (GOOD, {"sharing": {"time_slices": 4, "mig_profile": "1g.10gb"}}, "sharing", "sharing"),
        (GOOD, {"sharing": {"mig_profile": "1g.10gb"}}, "sharing.migProfile", "mig-profile"),
        (
            GOOD,
            {"maintenance_windows": [{"days": ["sunday"], "start_utc": "2:00", "hours": 0}]},
            "maintenanceWindows",
            "maintenance-window",
        ),
    ],
)
def test_each_mistake_is_named(pool: PoolFacts, changes: dict[str, Any], path: str, rule: str) -> None:
    """Prevents a pool that is created, billed and useless, or refused by AWS with a message about something else."""
    problems = pool_problems(replace(pool, **changes))
    assert (path, rule) in {(problem.path, problem.rule) for problem in problems}
    assert all(problem.message and problem.fix for problem in problems)


def test_latest_is_for_development_only() -> None:
    """Prevents that development stacks must follow AMI releases by hand."""
    assert pool_problems(replace(GOOD, ami_alias="al2023@latest", allow_latest_ami=True)) == []


def test_all_problems_are_reported_at_once() -> None:
    """Prevents fixing one mistake per run."""
    bad = replace(GOOD, gpu_limit=1, capacity=["reserved", "spots"], ami_alias="al2023@latest")
    assert {problem.rule for problem in pool_problems(bad)} == {
        "limit-below-node",
        "reservation-missing",
        "capacity",
        "ami-latest",
    }


def test_the_component_refuses_what_the_checks_refuse() -> None:
    """Prevents that the component, used without the stack's checks, creates a pool that cannot work."""
    with pytest.raises(InvalidPoolError, match=r"gpuLimit = 1: one g5\.12xlarge has 4 GPUs"):
        gpu_pool(gpu_limit=1)
