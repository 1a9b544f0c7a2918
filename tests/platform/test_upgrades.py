"""What an upgrade changes, and in which order: prod before and after, resource by resource."""

from typing import Any

import pytest

from components import versions
from offline.program import deploy_stack
from offline.recording import Deployment
from offline.stack_files import StackFiles
from offline.teardown import requirements
from tests.program.conftest import recorded, shipped

RELEASE = "kubernetes:helm.sh/v3:Release"


def prod(**config: str) -> Deployment:
    """Deploy prod with some settings changed."""
    files = shipped("prod")
    return deploy_stack(StackFiles(files.project, files.stack, {**files.config, **config}, files.secrets))


def changed(before: Deployment, after: Deployment) -> set[tuple[str, str]]:
    """Return type and name of every resource that is new, gone or has other inputs; components only pass them on."""

    def inputs(deployment: Deployment) -> dict[tuple[str, str], Any]:
        return {(r.type, r.name): r.inputs for r in deployment.resources if r.custom or r.remote}

    old, new = inputs(before), inputs(after)
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def test_a_kubernetes_version_touches_cluster_nodes_and_addons_only() -> None:
    """Prevents an upgrade that replaces node pools, the cache or model servers on the way."""
    upgraded = prod(**{"llm-serving:kubernetesVersion": "1.36"})
    found = changed(recorded("prod"), upgraded)
    assert {type_ for type_, _ in found} == {"eks:index:Cluster", "aws:eks/nodeGroup:NodeGroup", "aws:eks/addon:Addon"}
    nodes = upgraded.one("aws:eks/nodeGroup:NodeGroup")
    assert upgraded.one("eks:index:Cluster").urn in requirements(upgraded, nodes.urn)
    assert nodes.inputs["updateConfig"] == {"maxUnavailable": 1}


def test_a_karpenter_version_updates_the_definitions_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a new controller that meets old definitions, and anything else that moves with it."""
    before = recorded("prod")
    monkeypatch.setattr(versions, "KARPENTER", versions.KARPENTER._replace(version="1.15.0"))
    monkeypatch.setattr(versions, "KARPENTER_CRD", versions.KARPENTER_CRD._replace(version="1.15.0"))
    after = prod()
    assert changed(before, after) == {(RELEASE, "karpenter"), (RELEASE, "karpenter-crd")}
    assert after.one(RELEASE, "karpenter-crd").urn in requirements(after, after.one(RELEASE, "karpenter").urn)


def test_a_new_ami_changes_node_classes_and_waits_for_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a new AMI that replaces serving nodes at once, or that also touches pools and models."""
    before = recorded("prod")
    monkeypatch.setattr(versions, "AL2023_AMI", "al2023@v20261101")
    after = prod()
    found = changed(before, after)
    classes = {(r.type, r.name) for r in after.of_kind("EC2NodeClass")}
    assert found == classes
    for pool in after.of_kind("NodePool"):
        budgets = pool.inputs["spec"]["disruption"]["budgets"]
        assert {"nodes": "0", "reasons": ["Drifted", "Underutilized"]} in budgets
