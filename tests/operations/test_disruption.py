"""The disruption contract: when a node may be taken, for every pool and every pod of every stack."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from components.karpenter.budgets import DAYS
from components.scheduling import POOL_LABEL, SPOT_NOTICE_S
from offline.recording import Deployment, Registration
from offline.stack_files import read_stack
from tests.operations.everywhere import EXAMPLES, recorded
from tests.platform.test_contracts import expressions, gpu_pods, minutes, pools

WEEK = 7 * 24 * 60
REASONS = ("Empty", "Drifted", "Underutilized")
MINIMUM_LIFE_HOURS = 24
"""A node that expires sooner than its pool can be drained and refilled is in permanent replacement."""


def specs(deployment: Deployment) -> Iterator[tuple[Registration, Mapping[str, Any]]]:
    """Yield every NodePool with its spec."""
    found = deployment.of_kind("NodePool")
    assert found
    for pool in found:
        yield pool, pool.inputs["spec"]


def allowed(budgets: list[Mapping[str, Any]], reason: str, minute: int) -> float:
    """Return what Karpenter's budgets allow for a reason in a minute of the week: the smallest active one counts.

    Nodes as a number, or a share as a fraction below one; without a budget of that reason there is no bound.
    """
    active = [b["nodes"] for b in budgets if reason in b.get("reasons", REASONS) and _active(b, minute)]
    return min((float(n.rstrip("%")) / 100 if n.endswith("%") else float(n) for n in active), default=float("inf"))


def _active(budget: Mapping[str, Any], minute: int) -> bool:
    if "schedule" not in budget:
        return True
    at, hour, _, _, day = budget["schedule"].split()
    hours, rest = budget["duration"].rstrip("m").split("h")
    start = DAYS.index(day) * 1440 + int(hour) * 60 + int(at)
    return (minute - start) % WEEK < int(hours) * 60 + int(rest)


WINDOWS = {("capacity-chain", "g5"): range(2 * 60, 6 * 60)}
"""Minutes of the week in which a stack's file lets the drifted nodes of a pool go: Sundays, 02:00 to 06:00 UTC."""


def test_busy_nodes_are_only_taken_inside_a_window(up: Deployment) -> None:
    """Prevents the eviction of a loaded model in serving hours, minute by minute of the week, by drift or by price."""
    for pool, spec in specs(up):
        budgets = spec["disruption"]["budgets"]
        inside = WINDOWS.get((up.stack, spec["template"]["metadata"]["labels"][POOL_LABEL]), ())
        for minute in range(0, WEEK, 15):
            assert allowed(budgets, "Underutilized", minute) == 0, pool.name
            assert allowed(budgets, "Drifted", minute) == (1 if minute in inside else 0), (pool.name, minute)


def test_empty_nodes_always_go(up: Deployment) -> None:
    """Prevents idle GPU nodes that keep billing because a budget meant for busy ones holds them."""
    for pool, spec in specs(up):
        assert spec["disruption"]["consolidationPolicy"] == "WhenEmpty", pool.name
        assert minutes(spec["disruption"]["consolidateAfter"]) >= 1
        assert all(allowed(spec["disruption"]["budgets"], "Empty", minute) == 1 for minute in range(0, WEEK, 60))


def test_expiry_comes_with_an_end_and_never_for_blocks(up: Deployment) -> None:
    """Prevents half-drained nodes that stay for ever, and blocks whose nodes are replaced while they are paid for."""
    for pool, spec in specs(up):
        node = spec["template"]["spec"]
        assert re.fullmatch(r"\d+m", node["terminationGracePeriod"]), pool.name
        if node["expireAfter"] == "Never":
            assert up.stack == "capacity-block"
        else:
            life = int(node["expireAfter"].removesuffix("h"))
            assert life >= MINIMUM_LIFE_HOURS
            assert life * 60 > minutes(node["terminationGracePeriod"])


def test_every_pod_on_a_pool_can_end_within_its_nodes_grace(up: Deployment) -> None:
    """Prevents answers and downloads that are cut off: pod, node and Pulumi each wait longer than the one before."""
    waits = {name: spec for name, found in pools(up).items() for spec in found}
    for model, template in gpu_pods(up):
        pod = template["spec"]
        server = pod["containers"][0]
        pre_stop = server["lifecycle"]["preStop"]["sleep"]["seconds"]
        shutdown = int(server["args"][server["args"].index("--shutdown-timeout") + 1])
        assert pre_stop + shutdown < pod["terminationGracePeriodSeconds"], model.name
        for name in expressions(template)[POOL_LABEL]:
            grace = minutes(waits[name]["template"]["spec"]["terminationGracePeriod"])
            assert pod["terminationGracePeriodSeconds"] <= grace * 60
    for pool, spec in specs(up):
        grace = minutes(spec["template"]["spec"]["terminationGracePeriod"])
        assert minutes(pool.timeouts["delete"]) > grace, pool.name


def test_spot_is_left_within_its_notice(up: Deployment) -> None:
    """Prevents requests that end when EC2 takes the node: do-not-disrupt holds the pod for the node's whole grace."""
    for pool, spec in specs(up):
        node = spec["template"]["spec"]
        ways = next(each["values"] for each in node["requirements"] if each["key"] == "karpenter.sh/capacity-type")
        if "spot" in ways:
            assert minutes(node["terminationGracePeriod"]) * 60 <= SPOT_NOTICE_S, pool.name


def test_reserved_capacity_decides_the_zone(up: Deployment) -> None:
    """Prevents on-demand nodes in other zones beside idle reservations: Karpenter obeys a preferred spread first."""
    first = {pool["name"]: pool["capacity"][0] for pool in up.outputs["nodePools"]}
    for model, template in gpu_pods(up):
        reserved = any(first[name] == "reserved" for name in expressions(template)[POOL_LABEL])
        assert ("topologySpreadConstraints" in template["spec"]) != reserved, model.name


def test_every_pod_of_ours_says_that_it_must_not_be_moved(up: Deployment) -> None:
    """Prevents a model or a download that one missing annotation gives away."""
    workloads = [*up.of_kind("Deployment"), *up.of_kind("Job")]
    assert workloads
    for each in workloads:
        annotations = each.inputs["spec"]["template"]["metadata"].get("annotations", {})
        assert annotations.get("karpenter.sh/do-not-disrupt") == "true", each.name


def test_every_model_has_a_guard_that_lets_a_drain_finish(up: Deployment) -> None:
    """Prevents evictions of all replicas at once, and a guard that blocks the drain of the last node for ever."""
    guards = {r.inputs["metadata"]["name"]: r.inputs["spec"] for r in up.of_kind("PodDisruptionBudget")}
    for model, _ in gpu_pods(up):
        guard = guards[model.inputs["metadata"]["name"]]
        assert guard["maxUnavailable"] >= 1
        assert guard["selector"]["matchLabels"].items() <= model.inputs["spec"]["selector"]["matchLabels"].items()


def test_windows_of_an_example_are_those_of_its_file() -> None:
    """Prevents the tests above from judging by a window that the file no longer has."""
    files = read_stack(EXAMPLES["capacity-chain"].parents[2], EXAMPLES["capacity-chain"])
    assert '"days": ["sun"], "startUtc": "02:00", "hours": 4' in files.config["llm-serving:gpuPools"]


@pytest.mark.parametrize("reason", REASONS)
def test_the_reckoning_sees_a_budget_that_is_too_generous(reason: str) -> None:
    """Prevents a reckoning that passes whatever the budgets say."""
    assert allowed([{"nodes": "10%"}], reason, 0) == 0.1
    assert allowed([], reason, 0) == float("inf")
    scheduled = {"nodes": "0", "reasons": [reason], "schedule": "0 2 * * sun", "duration": "4h0m"}
    assert allowed([{"nodes": "1"}, scheduled], reason, 3 * 60) == 0
    assert allowed([{"nodes": "1"}, scheduled], reason, 7 * 60) == 1


def test_reserved_capacity_is_never_let_go_for_drift_elsewhere() -> None:
    """Prevents a chain whose pools differ in more than how they buy: budgets are those of the logical pool."""
    chain = [spec for _, spec in specs(recorded("capacity-chain")) if spec.get("weight")]
    assert len(chain) == 3
    assert len({str(spec["disruption"]) for spec in chain}) == 1
    assert len({str(spec["limits"]) for spec in chain}) == 1
