"""What must be asked for before nodes can start is said in every plan."""

import math

from components.sizing.catalog import instance_type
from offline.recording import Deployment
from tests.operations.everywhere import recorded


def said(deployment: Deployment, rule: str) -> dict[str, str]:
    """Return the messages of one rule by their value."""
    return {str(each["value"]): each["message"] for each in deployment.outputs["warnings"] if each["rule"] == rule}


def test_every_quota_that_nodes_use_up_is_named(up: Deployment) -> None:
    """Prevents pods that stay pending for ever without a message: quotas of new accounts are zero."""
    codes = set()
    for pool in up.outputs["nodePools"]:
        blocks = up.stack == "capacity-block"
        for kind in map(instance_type, pool["instance_types"] if not blocks else ()):
            ways = {kind.quota_spot if way == "spot" else kind.quota_on_demand for way in pool["capacity"]}
            codes |= ways - {None}
    assert set(said(up, "quota")) == codes


def test_the_quota_covers_the_limit_of_the_pool() -> None:
    """Prevents a quota that is enough for what runs from the start and too small for the first rollout."""
    deployment = recorded("capacity-chain")
    pool = deployment.outputs["nodePools"][0]
    kinds = [instance_type(name) for name in pool["instance_types"]]
    most = max(math.ceil(pool["gpu_limit"] / kind.gpu_count) * kind.vcpus for kind in kinds)
    assert f"{most:,} vCPUs" in said(deployment, "quota")["L-DB2E81BA"]
    assert f"{most:,} vCPUs" in said(deployment, "quota")["L-3819A6DF"]


def test_the_end_of_a_block_is_in_the_plan() -> None:
    """Prevents a drain at 10:50 UTC that nobody expected: the block is over at 11:30."""
    message = said(recorded("capacity-block"), "capacity-block")["True"]
    assert "11:30 UTC" in message
    assert "40 minutes before, from 10:50 UTC" in message
    assert not said(recorded("prod"), "capacity-block")
