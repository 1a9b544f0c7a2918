"""What the smaller upgrades change on prod: GPU Operator, vLLM, one add-on, a maintenance window, a pool's limit."""

import json

import pytest

from components import versions
from offline.recording import Deployment
from tests.platform.test_upgrades import changed, prod
from tests.program.conftest import recorded, shipped

RELEASE = "kubernetes:helm.sh/v3:Release"


def kinds(found: set[tuple[str, str]]) -> set[str]:
    """Return the types of what changed."""
    return {type_ for type_, _ in found}


def test_a_gpu_operator_version_is_one_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents an upgrade of the operator that also restarts models or replaces nodes."""
    before = recorded("prod")
    monkeypatch.setattr(versions, "GPU_OPERATOR", versions.GPU_OPERATOR._replace(version="v26.11.0"))
    assert changed(before, prod()) == {(RELEASE, "gpu-operator")}


def test_a_vllm_image_rolls_servers_and_repeats_finished_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents an engine upgrade that replaces pools or the cache; preloaders find their markers and end at once."""
    before = recorded("prod")
    monkeypatch.setattr(versions, "VLLM_IMAGE", "vllm/vllm-openai:v0.34.0")
    after = prod()
    found = changed(before, after)
    assert kinds(found) == {"kubernetes:apps/v1:Deployment", "kubernetes:batch/v1:Job"}
    assert len(found) == 6
    for server in after.of_kind("Deployment"):
        assert server.inputs["spec"]["strategy"]["type"] == "RollingUpdate"
    for preloader in after.of_kind("Job"):
        assert "/.complete" in str(preloader.inputs["spec"])


def test_an_addon_version_is_one_addon() -> None:
    """Prevents a fix of one add-on that moves the others, or the nodes."""
    upgraded = prod(**{"llm-serving:addonVersions": json.dumps({"coredns": "v1.12.4-eksbuild.1"})})
    found = changed(recorded("prod"), upgraded)
    assert found == {("aws:eks/addon:Addon", "cluster-coredns")}


def _with_pool(**settings: object) -> Deployment:
    pools = json.loads(shipped("prod").config["llm-serving:gpuPools"])
    pools[0].update(settings)
    return prod(**{"llm-serving:gpuPools": json.dumps(pools)})


def test_a_maintenance_window_changes_one_pools_budgets() -> None:
    """Prevents a change of when nodes may go that itself makes nodes go: only `disruption` differs."""
    before, after = recorded("prod"), _with_pool(
        maintenanceWindows=[{"days": ["sun"], "startUtc": "02:00", "hours": 4}]
    )  # fmt: skip
    assert changed(before, after) == {("kubernetes:karpenter.sh/v1:NodePool", "g5")}
    old, new = (next(r for r in d.of_kind("NodePool") if r.name == "g5").inputs["spec"] for d in (before, after))
    assert {key for key in old if old[key] != new[key]} == {"disruption"}
    assert {key for key in old["disruption"] if old["disruption"][key] != new["disruption"][key]} == {"budgets"}


def test_one_more_replica_changes_limits_and_no_node_class() -> None:
    """Prevents a bigger `replicas.max` from drifting the nodes that serve already."""
    models = json.loads(shipped("prod").config["llm-serving:models"])
    models[0]["replicas"] = {"min": 1, "max": 5}
    found = changed(recorded("prod"), prod(**{"llm-serving:models": json.dumps(models)}))
    assert found == {("kubernetes:karpenter.sh/v1:NodePool", "g5")}


def test_a_renamed_pool_drains_before_it_goes() -> None:
    """Prevents a rename that deletes the nodes of a pool before its models run on the new one."""
    before = recorded("prod")
    models = json.loads(shipped("prod").config["llm-serving:models"])
    pools = json.loads(shipped("prod").config["llm-serving:gpuPools"])
    pools[0]["name"] = "serving"
    for model in models:
        model["pools"] = ["serving" if name == "g5" else name for name in model["pools"]]
    after = prod(**{"llm-serving:gpuPools": json.dumps(pools), "llm-serving:models": json.dumps(models)})
    gone = {r.urn for r in before.resources} - {r.urn for r in after.resources}
    assert {urn.rpartition("::")[2] for urn in gone} == {"g5"}
    assert all("delete" in r.timeouts for r in before.resources if r.urn in gone and r.inputs.get("kind"))
