"""The order in which a destroy takes the real stacks apart."""

import itertools

import pytest

from offline.recording import Deployment, Registration
from offline.teardown import destroy_position, requirements
from tests.program.conftest import recorded

CHART_OF_GROUP = {
    "karpenter.sh": "karpenter-crd",
    "karpenter.k8s.aws": "karpenter-crd",
    "nvidia.com": "gpu-operator",
}
"""Which chart's release brings the definitions of an API group."""
BUILT_IN_GROUPS = {"apps", "batch", "policy"}


def _release(deployment: Deployment, chart: str) -> Registration:
    charts = [r for r in deployment.of_type("kubernetes:helm.sh/v3:Release") if _chart(r) == chart]
    assert len(charts) == 1, chart
    return charts[0]


def _chart(release: Registration) -> str:
    return str(release.inputs["chart"]).rpartition("/")[2]


def _rows(deployment: Deployment) -> list[list[Registration]]:
    """Return the layers of a stack, in the order in which they must go."""
    providers = deployment.of_type("pulumi:providers:kubernetes")
    nodes = [r for r in deployment.resources if "NodeGroup" in r.type and (r.custom or r.remote)]
    return [
        deployment.of_kind("Deployment"),
        deployment.of_kind("NodePool"),
        deployment.of_kind("EC2NodeClass"),
        [_release(deployment, "karpenter")],
        [_release(deployment, "karpenter-crd")],
        providers,
        nodes,
        deployment.of_type("eks:index:Cluster"),
        deployment.of_type("aws:ec2/vpc:Vpc"),
    ]


def test_the_stack_is_taken_apart_from_the_top(up: Deployment) -> None:
    """Prevents the deadlock of every peer: a controller that dies before its finalizers ran, nodes that pin the VPC."""
    position = destroy_position(up)
    rows = _rows(up)
    assert all(rows)
    for upper, lower in itertools.pairwise(rows):
        last = max(position[r.urn] for r in upper)
        first = min(position[r.urn] for r in lower)
        assert last < first, f"{upper[0].type} goes at {last}, {lower[0].type} at {first}"


def test_routes_outlive_the_nodes(up: Deployment) -> None:
    """Prevents nodes that lose their way to the control plane while they are drained."""
    position = destroy_position(up)
    nodes = max(position[r.urn] for r in _rows(up)[6])
    routes = [r for r in up.resources if r.type in {"aws:ec2/route:Route", "aws:ec2/natGateway:NatGateway"}]
    assert routes
    assert nodes < min(position[r.urn] for r in routes)


def test_storage_outlives_its_users(up: Deployment) -> None:
    """Prevents a mount target that is gone while a pod still writes to it: its node then hangs."""
    position = destroy_position(up)
    users = max(position[r.urn] for kind in ("Deployment", "Job") for r in up.of_kind(kind))
    targets = min(position[r.urn] for r in up.of_type("aws:efs/mountTarget:MountTarget"))
    assert users < targets


@pytest.mark.parametrize("kind", ["NodePool", "EC2NodeClass"])
def test_custom_resources_need_the_release_of_their_definition(up: Deployment, kind: str) -> None:
    """Prevents `no matches for kind` on the first deployment, and definitions that vanish before their objects."""
    for resource in up.of_kind(kind):
        group = resource.inputs["apiVersion"].partition("/")[0]
        assert _release(up, CHART_OF_GROUP[group]).urn in requirements(up, resource.urn)


def test_no_custom_resource_comes_without_a_chart() -> None:
    """Prevents a new custom resource from escaping the rule above."""
    for stack in ("prod", "staging", "dev"):
        groups = {
            str(r.inputs["apiVersion"]).partition("/")[0]
            for r in recorded(stack).resources
            if r.package == "kubernetes" and "/" in str(r.inputs.get("apiVersion", ""))
        }
        assert {g for g in groups if not g.endswith("k8s.io") and g not in BUILT_IN_GROUPS} <= set(CHART_OF_GROUP)


def test_workloads_need_the_gpu_operator(up: Deployment) -> None:
    """Prevents model pods that never schedule because nothing advertises the GPUs of a new node."""
    operator = _release(up, "gpu-operator").urn
    for deployment in up.of_kind("Deployment"):
        assert operator in requirements(up, deployment.urn)
