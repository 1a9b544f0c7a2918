"""Karpenter's permissions, queue, node role and releases."""

import json
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import versions
from components.iam import MANAGED_POLICY_SIZE_LIMIT
from components.karpenter.policy import controller_policy, interruption_events, policy_names, queue_policy
from components.karpenter.values import controller_values
from offline.recording import Deployment
from offline.teardown import destroy_position, requirements
from tests.components.platform import deployed_platform

RELEASE = "kubernetes:helm.sh/v3:Release"

EXPLAINED = {
    # One action over several resource types, split into statements so that each has the conditions that it supports.
    ("node-lifecycle", "RESOURCE_MISMATCH"),
    # Public parameters of AWS have no account in their ARN.
    ("resource-discovery", "RESOURCE_MISMATCH"),
    # Limited by the condition arc-zonal-shift:ResourceIdentifier instead.
    ("zonal-shift", "RESOURCE_STAR"),
}


@pytest.fixture(scope="module")
def deployed() -> Deployment:
    """Return the whole platform."""
    return deployed_platform()


def policy(name: str, cluster: str = "demo", region: str = "us-east-1") -> str:
    """Render one policy for an example account."""
    return controller_policy(
        name,
        partition="aws",
        region=region,
        account="123456789012",
        cluster=cluster,
        node_role_arn=f"arn:aws:iam::123456789012:role/{cluster}-karpenter-node",
        queue_arn=f"arn:aws:sqs:{region}:123456789012:{cluster}",
    )


@given(cluster=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", fullmatch=True))
def test_each_policy_fits_for_any_cluster_name(cluster: str) -> None:
    """Prevents LimitExceeded at AWS for clusters with long names (EKS allows 100 characters)."""
    for name in policy_names():
        text = policy(name, cluster)
        assert len(text) <= MANAGED_POLICY_SIZE_LIMIT
        assert "${" not in text


@pytest.mark.parametrize("name", policy_names())
def test_policies_pass_the_linter(name: str) -> None:
    """Prevents misspelt actions and condition keys, which IAM accepts and never matches."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from parliament import analyze_policy_string  # noqa: PLC0415 - its import warns
    found = {(name, finding.issue) for finding in analyze_policy_string(policy(name)).findings}
    assert found <= EXPLAINED


def test_every_write_is_limited_to_this_cluster() -> None:
    """Prevents a controller that can terminate or tag instances of another cluster in the account."""
    writes = ("Create", "Delete", "Run", "Terminate", "Tag", "Add", "Remove", "PassRole")
    for name in policy_names():
        for statement in json.loads(policy(name, "demo"))["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            if not any(action.split(":")[1].startswith(writes) for action in actions):
                continue
            text = json.dumps(statement)
            assert "demo" in text or statement["Sid"] == "AllowScopedEC2InstanceAccessActions"


OWN, POOL = "kubernetes.io/cluster/demo", "karpenter.sh/nodepool"
CLUSTER, CLASS, REGION = "eks:eks-cluster-name", "karpenter.k8s.aws/ec2nodeclass", "topology.kubernetes.io/region"
CONDITIONS = {
    # Statement -> what the request must carry, what the resource must carry, other keys
    # (aws/karpenter-provider-aws@v1.14.1 website getting-started cloudformation.yaml).
    "AllowScopedEC2LaunchTemplateAccessActions": ((), (OWN, POOL), ()),
    "AllowScopedEC2InstanceActionsWithTags": ((CLUSTER, OWN, POOL), (), ()),
    "AllowScopedResourceCreationTagging": ((CLUSTER, OWN, POOL), (), ("ec2:CreateAction",)),
    "AllowScopedResourceTagging": ((CLUSTER,), (OWN, POOL), ("aws:TagKeys",)),
    "AllowScopedDeletion": ((), (OWN, POOL), ()),
    "AllowPassingInstanceRole": ((), (), ("iam:PassedToService",)),
    "AllowScopedInstanceProfileCreationActions": ((CLUSTER, CLASS, OWN, REGION), (), ()),
    "AllowScopedInstanceProfileTagActions": ((CLUSTER, CLASS, OWN, REGION), (CLASS, OWN, REGION), ()),
    "AllowScopedInstanceProfileActions": ((), (CLASS, OWN, REGION), ()),
    "AllowZonalShiftStatusReadOnly": ((), (), ("arc-zonal-shift:ResourceIdentifier",)),
    "AllowRegionalReadActions": ((), (), ("aws:RequestedRegion",)),
}


def test_no_condition_is_lost() -> None:
    """Prevents one dropped line of data that lets the controller end, tag or pass what is not its own."""
    conditions: dict[str, set[str]] = {}
    for name in policy_names():
        for statement in json.loads(policy(name))["Statement"]:
            keys = {key for operator in statement.get("Condition", {}).values() for key in operator}
            conditions[statement["Sid"]] = keys
    assert {sid: keys for sid, keys in conditions.items() if keys} == {
        sid: {*(f"aws:RequestTag/{tag}" for tag in asked), *(f"aws:ResourceTag/{tag}" for tag in carried), *others}
        for sid, (asked, carried, others) in CONDITIONS.items()
    }


def test_what_is_launched_without_conditions_is_only_looked_up() -> None:
    """Prevents that the statement without tags, which every launch needs, also covers instances or templates."""
    named = {each["Sid"]: each for each in json.loads(policy("node-lifecycle"))["Statement"]}
    kinds = {arn.rpartition(":")[2] for arn in named["AllowScopedEC2InstanceAccessActions"]["Resource"]}
    shared = ("image", "snapshot", "security-group", "subnet", "capacity-reservation", "placement-group")
    assert kinds == {f"{kind}/*" for kind in shared}


def test_what_newer_releases_need_is_there() -> None:
    """Prevents a policy copied from an older guide: these were added in 1.10, 1.11 and 1.12."""
    text = "".join(policy(name) for name in policy_names())
    for needed in ("ec2:DescribePlacementGroups", "ec2:DescribeInstanceStatus", "iam:ListInstanceProfiles"):
        assert needed in text
    assert "EC2 Capacity Reservation Instance Interruption Warning" in "".join(interruption_events().values())


def test_the_queue_refuses_plain_text() -> None:
    """Prevents events that travel unencrypted, and senders other than AWS's event services."""
    allow, deny = json.loads(queue_policy("arn:aws:sqs:us-east-1:123456789012:demo"))["Statement"]
    assert allow["Principal"] == {"Service": ["events.amazonaws.com", "sqs.amazonaws.com"]}
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_spot_always_has_its_queue(deployed: Deployment) -> None:
    """Prevents spot nodes that vanish without a drain: queue, five rules and the setting that names the queue."""
    queue = deployed.one("aws:sqs/queue:Queue")
    assert queue.inputs["sqsManagedSseEnabled"] is True
    targets = deployed.of_type("aws:cloudwatch/eventTarget:EventTarget")
    assert len(targets) == 5
    assert {target.inputs["arn"] for target in targets} == {queue.outputs["arn"]}
    settings = deployed.one(RELEASE, "karpenter").inputs["values"]["settings"]
    assert settings["interruptionQueue"] == queue.inputs["name"] == "demo"


def test_nodes_may_join(deployed: Deployment) -> None:
    """Prevents instances that boot, are billed and never appear: with API authentication the role needs an entry."""
    entry = deployed.one("aws:eks/accessEntry:AccessEntry", "karpenter-node")
    assert entry.inputs["type"] == "EC2_LINUX"
    assert entry.inputs["principalArn"] == deployed.one("aws:iam/role:Role", "karpenter-node").outputs["arn"]


def test_crds_are_a_release_of_the_same_version(deployed: Deployment) -> None:
    """Prevents an upgraded controller with old CRDs: Helm never upgrades what a chart keeps in crds/."""
    crds, controller = deployed.one(RELEASE, "karpenter-crd"), deployed.one(RELEASE, "karpenter")
    assert crds.inputs["version"] == controller.inputs["version"] == versions.KARPENTER_VERSION
    assert controller.inputs["skipCrds"] is True
    assert crds.urn in requirements(deployed, controller.urn)
    assert not any(release.inputs.get("createNamespace") for release in deployed.of_type(RELEASE))


def test_the_controller_outlives_its_pools_and_its_permissions_outlive_it(deployed: Deployment) -> None:
    """Prevents the deadlock of a destroy that removes Karpenter, or its role or queue, before its nodes are gone."""
    position = destroy_position(deployed)

    def at(type_: str, name: str) -> int:
        return position[deployed.one(type_, name).urn]

    custom = {r.name: position[r.urn] for kind in ("NodePool", "EC2NodeClass") for r in deployed.of_kind(kind)}
    assert custom
    controller = at(RELEASE, "karpenter")
    assert max(custom.values()) < controller < at(RELEASE, "karpenter-crd")
    assert position[deployed.of_kind("NodePool")[1].urn] < position[deployed.of_kind("EC2NodeClass")[1].urn]
    for type_ in (
        "aws:eks/podIdentityAssociation:PodIdentityAssociation",
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        "aws:sqs/queuePolicy:QueuePolicy",
        "aws:cloudwatch/eventTarget:EventTarget",
    ):
        ours = [r for r in deployed.of_type(type_) if r.name.startswith("karpenter")]
        assert ours
        assert all(controller < position[r.urn] for r in ours)
    assert controller < at("aws:eks/accessEntry:AccessEntry", "karpenter-node")


def values(**changes: Any) -> dict[str, Any]:
    """Return the controller chart's values."""
    options: dict[str, Any] = {
        "cluster_name": "demo",
        "queue_name": "demo",
        "region": "us-east-1",
        "isolated_vpc": False,
        "static_capacity": False,
        "node_overlay": False,
    }
    return controller_values(**{**options, **changes})


def test_karpenter_can_start_on_an_empty_cluster() -> None:
    """Prevents that Karpenter waits for DNS, which waits for nodes; and that it runs on nodes of its own."""
    assert values()["dnsPolicy"] == "Default"
    assert values()["nodeSelector"]["llm-serving/pool"] == "system"
    assert {"name": "AWS_REGION", "value": "us-east-1"} in values()["controller"]["env"]


def test_gates_are_what_the_pools_use() -> None:
    """Prevents alpha features that nobody uses, and pools whose feature is off."""
    gates = values()["settings"]["featureGates"]
    assert gates["reservedCapacity"] is True
    assert gates["nodeRepair"] is True
    assert gates["staticCapacity"] is gates["nodeOverlay"] is gates["spotToSpotConsolidation"] is False
    assert values(static_capacity=True)["settings"]["featureGates"]["staticCapacity"] is True
    assert values(isolated_vpc=True)["settings"]["isolatedVPC"] is True
    assert values()["serviceMonitor"]["enabled"] is False
