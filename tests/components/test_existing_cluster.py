"""A cluster that somebody else owns."""

import json
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from components.cluster import ExistingCluster, ExistingClusterArgs
from components.cluster.existing import MistakenClusterError, check_beliefs, kubeconfig
from components.karpenter import Karpenter
from offline.eks_cloud import EksCloud
from offline.harness import deploy

ISSUER = "https://oidc.eks.us-east-1.amazonaws.com/id/theirs"


def program() -> None:
    """Put Karpenter into an existing cluster."""
    args: ExistingClusterArgs = {"cluster_name": "theirs", "region": "us-east-1"}
    cluster = ExistingCluster("cluster", args)
    Karpenter(
        "karpenter",
        {
            "cluster_name": cluster.cluster_name,
            "region": "us-east-1",
            "account_id": "123456789012",
            "node_needs_cni_policy": True,
        },
        opts=pulumi.ResourceOptions(providers=[cluster.kubernetes]),
    )


def test_somebody_elses_cluster_is_read_and_never_touched() -> None:
    """Prevents that destroy, or a changed setting, reaches a cluster that other teams live in."""
    made = deploy(program, cloud=EksCloud())
    theirs = ("eks:", "aws:eks/cluster", "aws:eks/addon", "aws:ec2/")
    assert not [r for r in made.resources if r.type.startswith(theirs)]
    outputs = made.component_outputs[next(r.urn for r in made.components() if r.name == "cluster")]
    answer = EksCloud().invoke("aws:eks/getCluster:getCluster", {"name": "theirs"})
    assert outputs["securityGroupId"] == answer["vpcConfig"]["clusterSecurityGroupId"]
    assert outputs["vpcId"] == answer["vpcConfig"]["vpcId"]
    assert outputs["clusterArn"] == answer["arn"]
    assert made.one("pulumi:providers:kubernetes").inputs["clusterIdentifier"] == ISSUER


def test_nodes_carry_network_permissions_where_the_plugin_has_none() -> None:
    """Prevents Karpenter's nodes that never become Ready in a cluster whose network plugin uses the node's role."""
    made = deploy(program, cloud=EksCloud())
    attached = made.of_type("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    assert any(str(r.inputs["policyArn"]).endswith("AmazonEKS_CNI_Policy") for r in attached)


def test_a_cluster_that_is_not_what_the_stack_file_says_is_refused() -> None:
    """Prevents a file system in the wrong VPC, and compatibility checks of a version that does not run."""
    believed = {"version": "1.35", "VPC": "vpc-1"}
    assert check_beliefs("theirs", believed, {"version": "1.35", "VPC": ""})
    assert check_beliefs("theirs", {"version": None, "VPC": None}, {"version": "1.33", "VPC": "vpc-2"})
    with pytest.raises(MistakenClusterError, match=r"has version 1\.33, not 1\.35 and VPC vpc-2, not vpc-1"):
        check_beliefs("theirs", believed, {"version": "1.33", "VPC": "vpc-2"})


def test_a_mistaken_cluster_stops_the_program() -> None:
    """Prevents a check that nobody awaits."""

    class Old(EksCloud):
        def invoke(self, token: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
            return {**super().invoke(token, args), "version": "1.33"}

    args: ExistingClusterArgs = {"cluster_name": "theirs", "region": "us-east-1", "kubernetes_version": "1.35"}
    with pytest.raises(MistakenClusterError, match=r"1\.33, not 1\.35"):
        deploy(lambda: ExistingCluster("cluster", args), cloud=Old())


def test_the_kubeconfig_holds_no_credential() -> None:
    """Prevents tokens in the state: the provider asks the aws command each time."""
    config = json.loads(
        kubeconfig(
            "theirs", region="us-east-1", endpoint="https://e", certificate_authority="Q0E=", profile="p", role_arn="r"
        )
    )
    user = config["users"][0]["user"]
    assert set(user) == {"exec"}
    assert user["exec"]["args"][-2:] == ["--role-arn", "r"]
    assert user["exec"]["env"] == [{"name": "AWS_PROFILE", "value": "p"}]
    assert config["clusters"][0]["cluster"]["server"] == "https://e"
