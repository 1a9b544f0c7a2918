"""Taints and tolerations are closed: everything that must run on a node does, and nothing else."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from components import versions
from components.scheduling import CPU_POOL, EFS_STARTUP_TAINT, GPU_RESOURCE, GPU_TAINT, POOL_LABEL, SYSTEM_TAINT
from offline.recording import Deployment
from offline.values import revealed

RELEASE = "kubernetes:helm.sh/v3:Release"
REMOVED_BY = {EFS_STARTUP_TAINT["key"]: versions.EFS_CSI}
"""Startup taint to the add-on whose node pod takes it away (kubernetes-sigs/aws-efs-csi-driver docs/README.md)."""
TOLERATE_EVERYTHING = (versions.VPC_CNI, versions.KUBE_PROXY, versions.POD_IDENTITY_AGENT, versions.EFS_CSI)
"""DaemonSets of EKS that run on every node by their own defaults (awsdocs/amazon-eks-user-guide add-ons)."""
CONTROLLERS = (versions.COREDNS, versions.METRICS_SERVER, versions.EBS_CSI, versions.EFS_CSI)


@pytest.fixture
def own(up: Deployment) -> Deployment:
    """Return the stacks whose add-ons and system nodes are theirs."""
    if not up.of_type("eks:index:Cluster"):
        pytest.skip("the cluster is somebody else's, with what runs on it")
    return up


def tolerates(tolerations: list[Mapping[str, Any]], taint: Mapping[str, Any]) -> bool:
    """Tell whether some toleration matches a taint, by Kubernetes' own rule."""
    return any(
        each.get("key") in (None, taint["key"])
        and each.get("effect") in (None, "", taint["effect"])
        and (each.get("operator") == "Exists" or each.get("value") == taint.get("value"))
        for each in tolerations
    )


def operator_values(deployment: Deployment) -> dict[str, Any]:
    """Return the values of the GPU Operator's chart."""
    release = next(r for r in deployment.of_type(RELEASE) if "gpu-operator" in str(r.inputs["chart"]))
    return revealed(release.inputs["values"])


def addon_configuration(deployment: Deployment, addon: str) -> dict[str, Any]:
    """Return what an add-on is configured with."""
    found = [r for r in deployment.of_type("aws:eks/addon:Addon") if r.inputs["addonName"] == addon]
    return json.loads(found[0].inputs.get("configurationValues") or "{}") if found else {}


def gpu_taints(deployment: Deployment) -> list[Mapping[str, Any]]:
    """Return every lasting taint of nodes that carry GPUs."""
    found: dict[str, Mapping[str, Any]] = {}
    for pool in deployment.of_kind("NodePool"):
        template = pool.inputs["spec"]["template"]
        if template["metadata"]["labels"][POOL_LABEL] != CPU_POOL:
            found |= {taint["key"]: taint for taint in template["spec"].get("taints", ())}
    assert found
    return list(found.values())


def test_every_operand_of_the_gpu_operator_reaches_gpu_nodes(own: Deployment) -> None:
    """Prevents nodes that never offer nvidia.com/gpu, because one DaemonSet does not tolerate the pool's taint."""
    values = operator_values(own)
    for taint in gpu_taints(own):
        assert tolerates(values["daemonsets"]["tolerations"], taint)
        assert tolerates(values["node-feature-discovery"]["worker"]["tolerations"], taint)
        health = addon_configuration(own, versions.NODE_MONITORING_AGENT)
        assert tolerates(health["dcgmAgent"]["tolerations"], taint)


def test_every_pod_tolerates_its_own_nodes_and_no_others(up: Deployment) -> None:
    """Prevents model pods that stay pending, and downloads that land on a GPU node."""
    taints = gpu_taints(up)
    workloads = [*up.of_kind("Deployment"), *up.of_kind("Job")]
    assert workloads
    for each in workloads:
        pod = each.inputs["spec"]["template"]["spec"]
        limits = pod["containers"][0]["resources"].get("limits", {})
        wants_gpu = GPU_RESOURCE in limits
        for taint in taints:
            assert tolerates(pod.get("tolerations", []), taint) is wants_gpu, each.name
        assert not tolerates(pod.get("tolerations", []), SYSTEM_TAINT), each.name


def test_every_startup_taint_is_taken_away_by_something_installed(own: Deployment) -> None:
    """Prevents nodes that stay closed for ever: Karpenter never calls such a node initialized."""
    installed = {r.inputs["addonName"] for r in own.of_type("aws:eks/addon:Addon")}
    for pool in own.of_kind("NodePool"):
        for taint in pool.inputs["spec"]["template"]["spec"].get("startupTaints", ()):
            assert REMOVED_BY[taint["key"]] in installed, (pool.name, taint)


def test_every_controller_runs_on_system_nodes(own: Deployment) -> None:
    """Prevents controllers on nodes that they, or Karpenter, would have to make first."""
    group = own.one("aws:eks/nodeGroup:NodeGroup").inputs
    effects = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute"}
    system = [{**taint, "effect": effects[taint["effect"]]} for taint in group["taints"]]
    assert {taint["key"] for taint in system} == {SYSTEM_TAINT["key"]}
    values = operator_values(own)
    placements = [
        values["operator"],
        values["node-feature-discovery"]["master"],
        values["node-feature-discovery"]["gc"],
        *(_controller(own, addon) for addon in CONTROLLERS),
    ]
    for placement in placements:
        assert all(tolerates(placement["tolerations"], taint) for taint in system), placement
        assert placement["nodeSelector"].items() <= group["labels"].items()


def _controller(deployment: Deployment, addon: str) -> dict[str, Any]:
    configuration = addon_configuration(deployment, addon)
    return configuration.get("controller", configuration)


def test_labels_of_gpu_nodes_start_the_operands(up: Deployment) -> None:
    """Prevents a node without device plugin until feature discovery ran, and two plugins on Bottlerocket."""
    for pool in up.of_kind("NodePool"):
        template = pool.inputs["spec"]["template"]
        labels = template["metadata"]["labels"]
        if labels[POOL_LABEL] == CPU_POOL:
            assert GPU_TAINT not in template["spec"].get("taints", [])
            continue
        assert labels["nvidia.com/gpu.present"] == "true"
        node_class = next(r for r in up.of_kind("EC2NodeClass") if r.inputs["metadata"]["name"] == labels[POOL_LABEL])
        family = node_class.inputs["spec"]["amiSelectorTerms"][0]["alias"].partition("@")[0]
        runs_its_own = family == "bottlerocket"
        assert (labels.get("nvidia.com/gpu.deploy.device-plugin") == "false") is runs_its_own


def test_daemonsets_that_tolerate_everything_are_eks_own() -> None:
    """Prevents this battery from leaving an add-on out: each is a DaemonSet, a controller, or both."""
    covered = {*TOLERATE_EVERYTHING, *CONTROLLERS, versions.NODE_MONITORING_AGENT}
    assert covered == {*versions.ADDONS_BEFORE_NODES, *versions.ADDONS_AFTER_NODES}
