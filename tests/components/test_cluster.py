"""The control plane, its add-ons, system nodes and access, as registered."""

import json

import pytest
from moto import mock_aws

from components import versions
from components.cluster.access import principal_key
from components.cluster.addons import CONFIGURATION, configuration_values
from offline.moto_cloud import MotoCloud
from offline.recording import Deployment
from offline.teardown import destroy_position, requirements
from tests.components.platform import ROLE, cluster, deployed_platform

ADDON = "aws:eks/addon:Addon"


@pytest.fixture(scope="module")
def plain() -> Deployment:
    """Return a cluster with default options."""
    return cluster()


def test_the_control_plane_has_the_settings_that_cannot_be_changed_later(plain: Deployment) -> None:
    """Prevents a cluster that must be replaced: authentication by API, the name that conditions use, its own key."""
    inputs = plain.one("eks:index:Cluster").inputs
    assert inputs["name"] == "demo"
    assert inputs["authenticationMode"] == "API"
    assert inputs["encryptionConfigKeyArn"] == plain.one("aws:kms/key:Key").outputs["arn"]
    assert plain.one("aws:kms/key:Key").inputs["enableKeyRotation"] is True
    assert inputs["skipDefaultSecurityGroups"] is True
    assert inputs["skipDefaultNodeGroup"] is True
    assert inputs["upgradePolicy"] == {"supportType": "STANDARD"}
    assert inputs["createOidcProvider"] is False


def test_coredns_is_never_left_to_eks_cluster(plain: Deployment) -> None:
    """Prevents twenty minutes of waiting and a failure: eks.Cluster would install it before any node exists."""
    assert plain.one("eks:index:Cluster").inputs["corednsAddonOptions"] == {"enabled": False}
    assert plain.one("eks:index:Cluster").inputs["useDefaultVpcCni"] is True


@pytest.mark.parametrize(("cidrs", "public"), [([], False), (["203.0.113.0/24"], True)])
def test_the_public_endpoint_is_opened_to_named_networks_only(cidrs: list[str], public: bool) -> None:
    """Prevents an API server that the whole internet may knock on."""
    inputs = cluster(endpoint_public_cidrs=cidrs).one("eks:index:Cluster").inputs
    assert inputs["endpointPrivateAccess"] is True
    assert inputs["endpointPublicAccess"] is public
    assert inputs.get("publicAccessCidrs") == (cidrs or None)


def test_addons_come_in_the_order_that_nodes_need(plain: Deployment) -> None:
    """Prevents nodes that never become Ready, and add-ons that wait for nodes which wait for them."""
    nodes = plain.one("aws:eks/nodeGroup:NodeGroup")
    before = requirements(plain, nodes.urn)
    for addon in (versions.VPC_CNI, versions.POD_IDENTITY_AGENT):
        assert plain.one(ADDON, f"cluster-{addon}").urn in before
    assert plain.one("eks:index:Cluster").inputs["kubeProxyAddonOptions"]["version"] == "EKS default for 1.35"
    for addon in versions.ADDONS_AFTER_NODES:
        assert nodes.urn in requirements(plain, plain.one(ADDON, f"cluster-{addon}").urn)


def test_an_addon_waits_for_its_permissions(plain: Deployment) -> None:
    """Prevents drivers that start without credentials: the association must exist before their pods do."""
    for addon in (versions.VPC_CNI, versions.EBS_CSI, versions.EFS_CSI):
        needed = requirements(plain, plain.one(ADDON, f"cluster-{addon}").urn)
        assert plain.one("aws:eks/podIdentityAssociation:PodIdentityAssociation", addon).urn in needed


def test_the_nodes_role_has_no_network_permissions(plain: Deployment) -> None:
    """Prevents every pod on a node from taking network interfaces: only the plugin's own role may."""
    attached = plain.of_type("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    network = [r for r in attached if str(r.inputs["policyArn"]).endswith("AmazonEKS_CNI_Policy")]
    assert [r.inputs["role"] for r in network] == ["demo-vpc-cni"]


def test_addon_versions_come_from_config_else_from_eks() -> None:
    """Prevents drift to the newest add-on at every run: without a pin, it is EKS's default for the version."""
    made = cluster(addon_versions={"coredns": "v1.13.1-eksbuild.1"})
    assert made.one(ADDON, "cluster-coredns").inputs["addonVersion"] == "v1.13.1-eksbuild.1"
    assert made.one(ADDON, "cluster-metrics-server").inputs["addonVersion"] == "EKS default for 1.35"
    asked = {call.args["addonName"] for call in made.invocations if call.token.endswith("getAddonVersion")}
    assert "coredns" not in asked
    assert not any(call.args.get("mostRecent") for call in made.invocations)


def test_controllers_of_addons_run_on_system_nodes() -> None:
    """Prevents DNS and storage controllers that stay pending on a cluster whose only nodes are tainted."""
    placement = {
        "nodeSelector": {"llm-serving/pool": "system"},
        "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists", "effect": "NoSchedule"}],
    }
    assert CONFIGURATION[versions.COREDNS] == placement
    assert CONFIGURATION[versions.METRICS_SERVER] == placement
    assert CONFIGURATION[versions.EBS_CSI]["controller"] == placement
    assert CONFIGURATION[versions.EFS_CSI]["controller"] == placement


def test_gpu_health_is_measured_where_gpus_are() -> None:
    """Prevents the replacement of healthy nodes (aws/containers-roadmap#2555): the agent's engine must run there."""
    tolerated = json.loads(configuration_values(versions.NODE_MONITORING_AGENT) or "{}")["dcgmAgent"]["tolerations"]
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in tolerated


def test_configuration_of_addons_is_stable() -> None:
    """Prevents an update of every add-on at every run because keys changed their order."""
    for addon in CONFIGURATION:
        text = configuration_values(addon) or ""
        assert text == json.dumps(json.loads(text), sort_keys=True)


def test_system_nodes_are_tainted_encrypted_and_closed_to_pods(plain: Deployment) -> None:
    """Prevents model servers on system nodes, plain-text disks, and pods that take the node's role by IMDS."""
    group = plain.one("aws:eks/nodeGroup:NodeGroup")
    assert group.inputs["taints"] == [{"key": "CriticalAddonsOnly", "value": "true", "effect": "NO_SCHEDULE"}]
    assert group.inputs["labels"] == {"llm-serving/pool": "system"}
    assert group.inputs["scalingConfig"] == {"minSize": 2, "maxSize": 4, "desiredSize": 2}
    assert "scalingConfig.desiredSize" in group.ignore_changes
    assert group.inputs["nodeRepairConfig"] == {"enabled": True}
    template = plain.one("aws:ec2/launchTemplate:LaunchTemplate").inputs
    assert template["metadataOptions"]["httpTokens"] == "required"
    assert template["metadataOptions"]["httpPutResponseHopLimit"] == 1
    disk = template["blockDeviceMappings"][0]["ebs"]
    assert (disk["encrypted"], disk["volumeType"], disk["volumeSize"]) == ("true", "gp3", 50)


def test_the_clusters_own_security_group_is_found_by_karpenter(plain: Deployment) -> None:
    """Prevents nodes in a group that neither the control plane nor the file system lets through."""
    tag = plain.one("aws:ec2/tag:Tag").inputs
    assert tag["resourceId"] == plain.one("eks:index:Cluster").outputs["clusterSecurityGroupId"]
    assert (tag["key"], tag["value"]) == ("karpenter.sh/discovery", "demo")


def test_administrators_and_readers_get_exactly_their_policy() -> None:
    """Prevents a reader who is cluster-admin, and an administrator whom only aws-auth would have known."""
    reader = "arn:aws:iam::123456789012:role/auditors/reader"
    made = cluster(admins=[ROLE], readers=[reader])
    policies = {
        r.inputs["principalArn"]: str(r.inputs["policyArn"]).rpartition("/")[2]
        for r in made.of_type("aws:eks/accessPolicyAssociation:AccessPolicyAssociation")
    }
    assert policies == {ROLE: "AmazonEKSClusterAdminPolicy", reader: "AmazonEKSAdminViewPolicy"}
    assert {r.name for r in made.of_type("aws:eks/accessEntry:AccessEntry")} == {
        f"cluster-access-{principal_key(each)}" for each in (ROLE, reader)
    }
    # A role that lost its access first could not take down what is in the cluster.
    provider = requirements(made, made.one("pulumi:providers:kubernetes").urn)
    assert provider >= {r.urn for r in made.of_type("aws:eks/accessPolicyAssociation:AccessPolicyAssociation")}


def test_protection_reaches_what_holds_state() -> None:
    """Prevents that one careless destroy takes production: cluster and key are protected, nodes are not."""
    made = cluster(protect=True)
    assert made.one("eks:index:Cluster").protect
    assert made.one("eks:index:Cluster").inputs["deletionProtection"] is True
    assert made.one("aws:kms/key:Key").protect
    assert not made.one("aws:eks/nodeGroup:NodeGroup").protect
    assert not cluster().one("aws:kms/key:Key").protect


def test_every_role_is_bounded_where_the_account_demands_it() -> None:
    """Prevents AccessDenied in accounts that only allow roles with a permissions boundary."""
    boundary = "arn:aws:iam::123456789012:policy/boundary"
    roles = cluster(permissions_boundary=boundary).of_type("aws:iam/role:Role")
    assert len(roles) == 5
    assert {r.inputs.get("permissionsBoundary") for r in roles} == {boundary}


def test_control_plane_logs_end_with_the_cluster(plain: Deployment) -> None:
    """Prevents a log group that EKS made and destroy leaves behind, kept and paid for ever."""
    logs = plain.one("aws:cloudwatch/logGroup:LogGroup")
    assert logs.inputs["name"] == "/aws/eks/demo/cluster"
    assert logs.inputs["retentionInDays"] == 90
    assert logs.urn in requirements(plain, plain.one("eks:index:Cluster").urn)


def test_the_kubernetes_provider_outlives_nothing_it_needs() -> None:
    """Prevents a destroy that loses nodes, DNS, storage drivers or its own access before the workloads are gone."""
    made = deployed_platform()
    provider = made.one("pulumi:providers:kubernetes")
    assert provider.inputs["clusterIdentifier"] == made.one("eks:index:Cluster").outputs["oidcProviderUrl"]
    position = destroy_position(made)
    needs = [*made.of_type("aws:eks/nodeGroup:NodeGroup"), *made.of_type(ADDON)]
    needs += made.of_type("aws:eks/accessPolicyAssociation:AccessPolicyAssociation")
    assert all(position[provider.urn] < position[r.urn] for r in needs)


def test_preview_registers_what_up_registers() -> None:
    """Prevents resources that a preview hides because they are made when some value becomes known."""
    first, second = deployed_platform(preview=True), deployed_platform()
    assert {(r.type, r.name) for r in first.resources} == {(r.type, r.name) for r in second.resources}


@mock_aws(config={"iam": {"load_aws_managed_policies": True}})
def test_aws_accepts_the_platform() -> None:
    """Prevents policies, queues, rules and roles that AWS refuses."""
    cloud = MotoCloud()
    deployed_platform(cloud)
    iam = cloud.client("iam")
    roles = {role["RoleName"] for role in iam.list_roles()["Roles"]}
    assert {"demo-karpenter", "demo-karpenter-node", "demo-system-node", "demo-vpc-cni"} <= roles
    attached = iam.list_attached_role_policies(RoleName="demo-karpenter")["AttachedPolicies"]
    assert len(attached) == 6
    assert len(cloud.client("events").list_rules()["Rules"]) == 5
