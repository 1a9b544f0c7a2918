"""Everything that can hold a side effect in AWS goes before what it hangs on, in every stack.

The tests of tests/program look at the layers of a stack; here every single resource of each kind is held against every
single one that it hangs on.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from components import versions
from components.scheduling import POOL_LABEL
from offline.recording import Deployment, Registration
from offline.teardown import dependencies, destroy_batches, destroy_position
from tests.operations.everywhere import recorded

Pick = Callable[[Registration], bool]


def kinds(*names: str) -> Pick:
    """Return a pick of Kubernetes objects by kind."""
    return lambda r: r.package == "kubernetes" and r.inputs.get("kind") in names


def types(*tokens: str) -> Pick:
    """Return a pick of resources by the end of their type, `iam/role:Role` for example."""
    return lambda r: r.type.endswith(tokens)


def below(component: str, pick: Pick) -> Pick:
    """Narrow a pick to resources below a component type."""
    return lambda r: f"index:{component}$" in r.urn and pick(r)


def attached(role: str) -> Pick:
    """Return a pick of the policies of one of the cluster's own roles."""
    return lambda r: r.type.endswith("RolePolicyAttachment") and r.name.startswith(f"cluster-{role}")


def release(chart: str) -> Pick:
    """Return a pick of one chart's release."""
    return lambda r: r.type.endswith(":Release") and str(r.inputs["chart"]).rpartition("/")[2].startswith(chart)


ROUTES = types("ec2/route:Route", "ec2/natGateway:NatGateway", "ec2/routeTableAssociation:RouteTableAssociation")
PERMISSIONS = types("iam/role:Role", "iam/policy:Policy", "RolePolicyAttachment", "PodIdentityAssociation")
PODS = kinds("Deployment", "Job")
KARPENTER_OBJECTS = kinds("NodePool", "EC2NodeClass")

ADDONS_WITH_PERMISSIONS = (versions.VPC_CNI, versions.EBS_CSI, versions.EFS_CSI)


def addon(name: str) -> Pick:
    """Return a pick of one EKS add-on."""
    return lambda r: r.type.endswith("addon:Addon") and r.inputs["addonName"] == name


def identity(name: str) -> Pick:
    """Return a pick of the permissions of one PodIdentity component."""
    return lambda r: "PodIdentity$" in r.urn and r.name.startswith(name) and PERMISSIONS(r)


RULES: dict[str, tuple[Pick, Pick]] = {
    **{f"{name} before its permissions": (addon(name), identity(name)) for name in ADDONS_WITH_PERMISSIONS},
    # holder (what leaves something in AWS behind if it goes late) -> what it hangs on
    "pods before the nodes they run on": (PODS, kinds("NodePool")),
    "pods before the mounts of their node": (PODS, types("efs/mountTarget:MountTarget", "efs/accessPoint:AccessPoint")),
    "pods before the rule that lets them mount": (PODS, below("ModelCache", types("SecurityGroupIngressRule"))),
    "volumes before their file system": (kinds("PersistentVolume"), types("fileSystem:FileSystem")),
    "pods before their namespace": (PODS, kinds("Namespace")),
    "pods before what advertises GPUs": (kinds("Deployment"), release("gpu-operator")),
    "nodes and classes before who terminates them": (KARPENTER_OBJECTS, release("karpenter")),
    "nodes and classes before the permissions to terminate": (KARPENTER_OBJECTS, below("Karpenter", PERMISSIONS)),
    "nodes before their access entry": (KARPENTER_OBJECTS, types("accessEntry:AccessEntry")),
    "nodes before the queue of their interruptions": (
        KARPENTER_OBJECTS,
        types("sqs/queue:Queue", "queuePolicy:QueuePolicy", "eventRule:EventRule", "eventTarget:EventTarget"),
    ),
    "nodes before the tag that finds their group": (KARPENTER_OBJECTS, types("ec2/tag:Tag")),
    "nodes before their way out": (KARPENTER_OBJECTS, ROUTES),
    "nodes before the endpoints they pull through": (KARPENTER_OBJECTS, types("vpcEndpoint:VpcEndpoint")),
    "controller before its definitions": (
        lambda r: release("karpenter")(r) and not release("karpenter-crd")(r),
        release("karpenter-crd"),
    ),
    "charts before the nodes of their pods": (types(":Release"), types("eks/nodeGroup:NodeGroup")),
    "objects before the network plugin": (
        lambda r: r.package == "kubernetes" and not r.is_provider,
        types("eks/addon:Addon"),
    ),
    "cluster before the permissions that remove its interfaces": (
        types("eks:index:Cluster"),
        attached("control-plane"),
    ),
    "system nodes before their permissions": (types("eks/nodeGroup:NodeGroup"), attached("system")),
    "system nodes before the cluster": (types("eks/nodeGroup:NodeGroup"), types("eks:index:Cluster")),
    "system nodes before their way out": (types("eks/nodeGroup:NodeGroup"), ROUTES),
    "cluster before its logs and keys": (
        types("eks:index:Cluster"),
        below("Cluster", types("LogGroup", "kms/key:Key")),
    ),
    "cluster before its subnets": (types("eks:index:Cluster"), types("ec2/subnet:Subnet", "ec2/vpc:Vpc")),
    "mounts before their group and subnets": (
        types("efs/mountTarget:MountTarget"),
        lambda r: (
            types("ec2/subnet:Subnet")(r)
            or below("ModelCache", types("ec2/securityGroup:SecurityGroup", "fileSystem:FileSystem"))(r)
        ),
    ),
    "NAT gateways before their addresses": (types("natGateway:NatGateway"), types("ec2/eip:Eip")),
    "everything in the VPC before the VPC": (
        types("ec2/subnet:Subnet", "SecurityGroup", "InternetGateway", "VpcEndpoint", "RouteTable"),
        types("ec2/vpc:Vpc"),
    ),
}


def unordered(deployment: Deployment, holder: Pick, base: Pick) -> Iterator[tuple[str, str]]:
    """Yield every pair whose holder does not go before what it hangs on."""
    position = destroy_position(deployment)
    holders = [r for r in deployment.resources if holder(r) and (r.custom or r.remote)]
    bases = [r for r in deployment.resources if base(r) and (r.custom or r.remote)]
    for upper in holders:
        for lower in bases:
            if upper.urn != lower.urn and position[upper.urn] >= position[lower.urn]:
                yield upper.urn.rpartition("::")[2], f"{lower.type} {lower.name}"


def closures(deployment: Deployment) -> dict[str, frozenset[str]]:
    """Return, per URN, everything that must outlive it, by edges alone."""
    edges = dependencies(deployment)
    found: dict[str, frozenset[str]] = {}
    for batch in reversed(destroy_batches(deployment)):
        for resource in batch:
            direct = edges[resource.urn]
            found[resource.urn] = direct.union(*(found[urn] for urn in direct))
    return found


def pools_of(pod: Mapping[str, Any]) -> set[str]:
    """Return the logical pools that a pod may run in, by selector or affinity."""
    if selector := pod.get("nodeSelector"):
        return {selector["karpenter.sh/nodepool"]}
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    terms = (each for term in required["nodeSelectorTerms"] for each in term["matchExpressions"])
    return {value for each in terms if each["key"] == POOL_LABEL for value in each["values"]}


@pytest.mark.parametrize("rule", RULES)
def test_what_holds_a_side_effect_goes_first(up: Deployment, rule: str) -> None:
    """Prevents orphans: an instance, an interface or a mount that outlives whoever could remove it."""
    holder, base = RULES[rule]
    assert not list(unordered(up, holder, base))


OF_SEVERAL_OWNERS = {
    "pods before the nodes they run on",
    "pods before their namespace",
    "NAT gateways before their addresses",
}
"""Rules that look at more pairs than belong together; what does belong together has its edges in the next test."""


@pytest.mark.parametrize("rule", sorted(RULES.keys() - OF_SEVERAL_OWNERS))
def test_the_order_follows_from_edges(up: Deployment, rule: str) -> None:
    """Prevents an order that only the depth of today's graph makes, and that the next resource turns around."""
    holder, base = RULES[rule]
    needed = closures(up)
    real = [r for r in up.resources if r.custom or r.remote]
    lower = {r.urn for r in real if base(r)}
    assert not [r.name for r in real if holder(r) and not lower - {r.urn} <= needed[r.urn]]


def test_every_pod_needs_its_own_nodes_and_namespace(up: Deployment) -> None:
    """Prevents pools that are asked to go while their servers run, and pods created before a node could be launched."""
    needed = closures(up)
    pools = {r.urn: r.inputs["spec"]["template"]["metadata"]["labels"][POOL_LABEL] for r in up.of_kind("NodePool")}
    namespaces = {r.urn: r.inputs["metadata"]["name"] for r in up.of_kind("Namespace")}
    for pod in (*up.of_kind("Deployment"), *up.of_kind("Job")):
        own = pools_of(pod.inputs["spec"]["template"]["spec"])
        below = {urn for urn, pool in pools.items() if pool in own}
        below |= {urn for urn, name in namespaces.items() if name == pod.inputs["metadata"]["namespace"]}
        assert len(below) > len(own), pod.name
        assert below <= needed[pod.urn], pod.name


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_looks_at_something(rule: str) -> None:
    """Prevents a rule that passes because nothing of its kind is there."""
    holder, base = RULES[rule]
    resources = recorded("prod").resources
    assert any(holder(r) for r in resources)
    assert any(base(r) for r in resources)


def test_every_pool_goes_before_its_own_class_and_group(up: Deployment) -> None:
    """Prevents nodes whose class, or whose EFA security group, is asked to go while they still use it."""
    position = destroy_position(up)
    nodes = [r for r in up.resources if kinds("NodePool")(r)]
    assert nodes
    for pool in nodes:
        beside = [r for r in up.children(pool.parent) if kinds("EC2NodeClass")(r) or types("SecurityGroup")(r)]
        assert beside
        assert all(position[pool.urn] < position[r.urn] for r in beside), pool.name


def test_the_rules_see_a_missing_edge() -> None:
    """Prevents rules that cannot fail: without its edges, a node class outlives the controller that finalizes it."""
    whole = recorded("dev")
    cut = Deployment(whole.project, whole.stack)
    for each in whole.resources:
        loose = "GpuNodePool" in each.urn or "CpuNodePool" in each.urn
        cut.resources.append(replace(each, dependencies=frozenset()) if loose else each)
    holder, base = RULES["nodes and classes before who terminates them"]
    assert list(unordered(cut, holder, base))


def test_whatever_waits_for_aws_has_a_time_to_do_so(up: Deployment) -> None:
    """Prevents a destroy that gives up after the default five minutes while nodes still drain."""
    slow = [r for r in up.resources if KARPENTER_OBJECTS(r)]
    assert slow
    assert not [r.name for r in slow if "delete" not in r.timeouts]


def test_a_retained_cache_stays_with_its_key() -> None:
    """Prevents weights that were kept and can never be read again."""
    kept = {r.type for r in recorded("existing-vpc").resources if r.retain_on_delete}
    assert kept == {"aws:efs/fileSystem:FileSystem", "aws:kms/key:Key"}
    assert not [r for r in recorded("prod").resources if r.retain_on_delete]
