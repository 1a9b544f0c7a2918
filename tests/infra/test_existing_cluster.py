"""A stack in somebody else's cluster: platform and models only, and nothing of the cluster is touched."""

import copy
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from infra.decisions import decide
from infra.settings.stack import parse_stack
from offline.recording import Deployment
from offline.teardown import destroy_position
from offline.values import revealed
from tests.infra.stacks import REGION, VALID, changed, parsed
from tests.infra.test_stack import deployed

ROOT = Path(__file__).resolve().parents[2]
GROUP = "sg-0e5c1a57e20f0f0f0"
ROLE = "arn:aws:iam::123456789012:role/llm-deployer"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"


def theirs(**settings: Any) -> dict[str, Any]:
    """Return a stack in an existing cluster, with other settings at its top level."""
    network = {
        **VALID["network"],
        "vpcId": "vpc-0123456789abcdef0",
        "privateSubnetIds": ["subnet-0a1b2c3d4e5f60718", "subnet-1a1b2c3d4e5f60718"],
    }
    values = {**copy.deepcopy(dict(VALID)), "cluster": {"name": "shared-eks"}, "network": network, "access": {}}
    return {**values, **settings}


@pytest.fixture(scope="module")
def made() -> Deployment:
    """Return what a stack in an existing cluster registers, with everything set that it can have."""
    cluster = {"name": "shared-eks", "nodeNeedsCniPolicy": True}
    return deployed(theirs(cluster=cluster, access={"kubeconfigRoleArn": ROLE}, permissionsBoundary=BOUNDARY))


def test_nothing_of_the_cluster_or_its_network_is_made(made: Deployment) -> None:
    """Prevents that destroy, or a changed setting, reaches a cluster that other teams live in."""
    owned = ("eks:", "aws:eks/cluster", "aws:eks/addon", "aws:eks/nodeGroup")
    network = ("aws:ec2/vpc:", "aws:ec2/subnet", "aws:ec2/route", "aws:ec2/tag")
    assert not [r.urn for r in made.resources if r.type.startswith((*owned, *network))]
    asked = [call.args["name"] for call in made.invocations if call.token.endswith("getCluster")]
    assert asked == ["shared-eks"]


def test_everything_carries_the_clusters_name(made: Deployment) -> None:
    """Prevents permissions and a queue for a cluster that does not exist."""
    assert made.one("aws:sqs/queue:Queue").inputs["name"] == "shared-eks"
    (entry,) = made.of_type("aws:eks/accessEntry:AccessEntry")
    assert entry.inputs["clusterName"] == "shared-eks"
    assert made.outputs["clusterName"] == "shared-eks"
    assert "addonVersions" not in made.outputs


def test_nodes_are_placed_by_id(made: Deployment) -> None:
    """Prevents nodes that look for our discovery tag on subnets and a security group that do not carry it."""
    for node_class in made.of_kind("EC2NodeClass"):
        spec = node_class.inputs["spec"]
        assert spec["securityGroupSelectorTerms"] == [{"id": GROUP}]
        assert [set(term) for term in spec["subnetSelectorTerms"]] == [{"id"}, {"id"}]


def test_nodes_bring_network_permissions_where_the_plugin_has_none(made: Deployment) -> None:
    """Prevents nodes that never become Ready."""
    attached = made.of_type("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    assert any(str(r.inputs["policyArn"]).endswith("/AmazonEKS_CNI_Policy") for r in attached)
    plain = deployed(theirs()).of_type("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    assert not any(str(r.inputs["policyArn"]).endswith("/AmazonEKS_CNI_Policy") for r in plain)


def test_the_program_signs_in_as_it_is_told(made: Deployment) -> None:
    """Prevents a program that reaches the cluster with whatever credentials happen to be there."""
    provider = made.one("pulumi:providers:kubernetes")
    config = json.loads(revealed(provider.inputs["kubeconfig"]))
    assert config["users"][0]["user"]["exec"]["args"][-2:] == ["--role-arn", ROLE]
    profile = deployed(theirs(access={"kubeconfigProfile": "llm"})).one("pulumi:providers:kubernetes")
    assert "AWS_PROFILE" in revealed(profile.inputs["kubeconfig"])


def test_a_cluster_of_our_own_is_signed_in_to_in_the_same_way() -> None:
    """Prevents a setting that works for one of the two kinds of cluster only."""
    access = {**VALID["access"], "kubeconfigProfile": "llm", "kubeconfigRoleArn": ROLE}
    cluster = deployed(changed("access", access)).one("eks:index:Cluster")
    assert revealed(cluster.inputs)["providerCredentialOpts"] == {"profileName": "llm", "roleArn": ROLE}


def test_every_role_is_bounded(made: Deployment) -> None:
    """Prevents an `up` that an account with boundaries refuses half-way."""
    roles = made.of_type("aws:iam/role:Role")
    assert roles
    assert {r.inputs.get("permissionsBoundary") for r in roles} == {BOUNDARY}


def test_what_is_ours_goes_in_order(made: Deployment) -> None:
    """Prevents nodes that nobody terminates in a cluster that stays: pools go before their controller."""
    position = destroy_position(made)
    controller = made.one("kubernetes:helm.sh/v3:Release", "karpenter")
    pools = made.of_kind("NodePool")
    servers = made.of_kind("Deployment")
    for pool in pools:
        assert position[pool.urn] < position[controller.urn]
        assert all(position[each.urn] < position[pool.urn] for each in servers if pool.name != "cpu")
    assert position[controller.urn] < position[made.one("pulumi:providers:kubernetes").urn]


def test_only_what_is_ours_is_in_the_cost(made: Deployment) -> None:
    """Prevents a bill for a control plane and nodes that another team pays."""
    items = " ".join(line["item"] for line in made.outputs["cost"]["lines"])
    assert "control plane" not in items
    assert "System nodes" not in items
    assert "NAT" not in items


@pytest.mark.parametrize(
    ("settings", "path", "rule"),
    [
        ({"network": VALID["network"]}, "network.vpcId", "required"),
        ({"systemNodes": {"max": 9}}, "systemNodes", "conflict"),
        ({"addonVersions": {"coredns": "v1.12.1-eksbuild.2"}}, "addonVersions", "conflict"),
        ({"access": {"admins": [ROLE]}}, "access.admins", "conflict"),
        ({"access": {"readers": [ROLE]}}, "access.readers", "conflict"),
        ({"access": {"publicCidrs": ["198.18.0.0/24"]}}, "access.publicCidrs", "conflict"),
        ({"cluster": {"name": "-"}}, "cluster.name", "format"),
        ({"cluster": {"nodeNeedsCniPolicy": True}}, "cluster.nodeNeedsCniPolicy", "conflict"),
        ({"access": {"kubeconfigRoleArn": "deployer"}}, "access.kubeconfigRoleArn", "format"),
    ],
)
def test_settings_that_somebody_elses_cluster_ignores_are_refused(
    settings: dict[str, Any], path: str, rule: str
) -> None:
    """Prevents administrators, nodes and add-ons that are configured and never made."""
    found = parse_stack(theirs(**settings), REGION)[1]
    assert [(problem.path, problem.rule) for problem in found] == [(path, rule)]
    assert found[0].fix


REASON = "the payments team certifies 1.34 until March 2027"


def versions_of(day: str, **settings: Any) -> tuple[list[str], list[str]]:
    """Return the rules that refuse, and those that are told, of Kubernetes 1.34 as of a day."""
    values = {**changed("kubernetesVersion", "1.34"), **settings}
    made = decide(parsed(values), ROOT, today=dt.date.fromisoformat(day))
    about = ("kubernetesVersion", "kubernetesSupportOverride")
    return [each.rule for each in made.problems], [each.rule for each in made.warnings if each.path in about]


def test_the_end_of_support_can_be_passed_with_a_reason_only() -> None:
    """Prevents a cluster that slides into extended support unnoticed, and one that cannot be run there on purpose."""
    override = {"kubernetesSupportOverride": REASON}
    assert versions_of("2026-10-02") == ([], [])
    assert versions_of("2026-10-03") == ([], ["support-ends"])
    assert versions_of("2026-12-03") == (["support-ended"], [])
    assert versions_of("2026-12-03", **override) == ([], ["support-ended"])
    assert versions_of("2027-12-03", **override) == (["support-over"], [])
    assert versions_of("2026-10-02", **override) == ([], ["unused"])


def test_the_reason_is_kept_and_eks_is_told() -> None:
    """Prevents an exception that nobody can explain later, and a cluster that EKS upgrades all the same."""
    values = {**changed("kubernetesVersion", "1.33"), "kubernetesSupportOverride": REASON}
    made = decide(parsed(values), ROOT, today=dt.date(2026, 11, 20))
    assert any(REASON in warning.message for warning in made.warnings)
    cluster = deployed({**VALID, "kubernetesSupportOverride": REASON}).one("eks:index:Cluster")
    assert revealed(cluster.inputs)["upgradePolicy"] == {"supportType": "EXTENDED"}
    usual = deployed(VALID).one("eks:index:Cluster")
    assert revealed(usual.inputs)["upgradePolicy"] == {"supportType": "STANDARD"}
