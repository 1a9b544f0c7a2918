"""What the plan says of capacity that is paid for already: where it lies, when it ends, what is bought beside it."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from infra.decisions import decide
from infra.settings.problems import Problem
from infra.settings.stack import parse_stack
from tests.infra.stacks import REGION
from tests.infra.test_pool_settings import P5, RESERVED, ROOT, stack


def warnings(values: Mapping[str, Any]) -> list[Problem]:
    """Return what is said of a stack that can be deployed."""
    config, found = parse_stack(values, REGION)
    assert not found
    return [*decide(config, ROOT).warnings]


def test_a_reservation_whose_zone_nobody_knows_is_announced() -> None:
    """Prevents capacity that is paid for in a zone without a subnet, while Karpenter buys the same elsewhere."""
    held = {"id": "cr-0123456789abcdef0"}
    unknown = [w for w in warnings(stack({**P5, **RESERVED, "reservations": [held]})) if w.rule == "reservation-zone"]
    assert [(w.path, w.value) for w in unknown] == [("gpuPools[0].reservations[0]", held["id"])]
    assert "describe-capacity-reservations" in unknown[0].fix
    assert not [w for w in warnings(stack({**P5, **RESERVED})) if w.rule == "reservation-zone"]


def test_the_day_of_a_blocks_end_is_told() -> None:
    """Prevents a drain on a day that nobody had in mind; the last day itself still serves."""
    held = [{"id": "cr-0123456789abcdef0", "zone": "us-east-1a", "endsOn": day} for day in ("2027-01-02", "2026-12-31")]
    config, found = parse_stack(stack({**P5, **RESERVED, "capacityBlock": True, "reservations": held}), REGION)
    assert not found
    made = decide(config, ROOT, today=dt.date(2026, 12, 31))
    assert not made.problems
    (told,) = [each.message for each in made.warnings if each.rule == "capacity-block"]
    assert "on 2026-12-31 at 11:30 UTC" in told
    assert "from 10:50 UTC" in told
    assert decide(config, ROOT, today=dt.date(2027, 1, 1)).problems


def test_what_is_bought_beside_a_block_needs_its_quota() -> None:
    """Prevents a fallback that never starts: only the block's own instances may not count against the quota."""
    block = {**P5, **RESERVED, "capacityBlock": True}
    assert not [w for w in warnings(stack(block)) if w.rule == "quota"]
    beside = warnings(stack({**block, "capacity": ["reserved", "on-demand"]}))
    assert [w.value for w in beside if w.rule == "quota"] == ["L-417A185B"]
