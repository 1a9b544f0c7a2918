"""The VPC as it is registered, and as AWS (moto) accepts it."""

from typing import Any

import pulumi_aws as aws
import pytest
from moto import mock_aws

from components.network import Network, NetworkArgs
from offline.harness import deploy
from offline.moto_cloud import MotoCloud
from offline.recording import Deployment
from offline.teardown import destroy_position, requirements

ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]
BASE: NetworkArgs = {
    "cluster_name": "demo",
    "region": "us-east-1",
    "cidr": "10.40.0.0/16",
    "availability_zones": ZONES,
}


def network(**changes: Any) -> Deployment:
    """Deploy a network with some inputs changed."""
    args: Any = {**BASE, **changes}
    return deploy(lambda: Network("network", args))


@pytest.mark.parametrize(("mode", "gateways"), [("perZone", 3), ("single", 1), ("none", 0)])
def test_nat_gateways_follow_the_mode(mode: str, gateways: int) -> None:
    """Prevents a setting that is accepted and ignored: three gateways cost three times one."""
    made = network(nat_gateways=mode)
    assert len(made.of_type("aws:ec2/natGateway:NatGateway")) == gateways
    assert len(made.of_type("aws:ec2/eip:Eip")) == gateways
    routes = [r for r in made.of_type("aws:ec2/route:Route") if "natGatewayId" in r.inputs]
    assert len(routes) == (3 if gateways else 0)


def test_each_zone_leaves_through_its_own_gateway() -> None:
    """Prevents that the loss of one zone cuts the nodes of the others off."""
    made = network()
    gateway = {r.outputs["subnetId"]: r.id for r in made.of_type("aws:ec2/natGateway:NatGateway")}
    public = {r.inputs["availabilityZone"]: r.id for r in made.of_type("aws:ec2/subnet:Subnet") if "public" in r.name}
    for zone in ZONES:
        route = made.one("aws:ec2/route:Route", f"network-private-{zone}-nat")
        assert route.inputs["natGatewayId"] == gateway[public[zone]]


def test_only_private_subnets_are_found_by_karpenter() -> None:
    """Prevents GPU nodes in public subnets, and load balancers that find no subnet."""
    subnets = network().of_type("aws:ec2/subnet:Subnet")
    tags = {r.name: r.inputs["tags"] for r in subnets}
    private = [name for name in tags if "private" in name]
    public = [name for name in tags if "public" in name]
    assert len(private) == len(public) == 3
    assert all(tags[name]["karpenter.sh/discovery"] == "demo" for name in private)
    assert all(tags[name]["kubernetes.io/role/internal-elb"] == "1" for name in private)
    assert not any("karpenter.sh/discovery" in tags[name] for name in public)
    assert all(tags[name]["kubernetes.io/role/elb"] == "1" for name in public)
    assert not any(r.inputs.get("mapPublicIpOnLaunch") for r in subnets)


def test_weights_from_s3_never_pass_the_nat_gateway() -> None:
    """Prevents a NAT bill of $0.045 per GB for checkpoints and image layers: S3 has a route in every zone."""
    endpoint = network().one("aws:ec2/vpcEndpoint:VpcEndpoint", "network-s3")
    assert endpoint.inputs["vpcEndpointType"] == "Gateway"
    assert len(endpoint.inputs["routeTableIds"]) == 3


def test_interface_endpoints_are_reachable_from_the_vpc_only() -> None:
    """Prevents endpoints that no node can use, or that anybody can."""
    made = network(interface_endpoints=["ecr.api", "eks-auth"])
    names = {r.inputs["serviceName"] for r in made.of_type("aws:ec2/vpcEndpoint:VpcEndpoint")}
    assert {"com.amazonaws.us-east-1.ecr.api", "com.amazonaws.us-east-1.eks-auth"} < names
    endpoint = made.one("aws:ec2/vpcEndpoint:VpcEndpoint", "network-ecr-api")
    assert endpoint.inputs["privateDnsEnabled"] is True
    assert len(endpoint.inputs["subnetIds"]) == 3
    group = made.one("aws:ec2/securityGroup:SecurityGroup", "network-endpoints")
    assert [rule["cidrBlocks"] for rule in group.inputs["ingress"]] == [["10.40.0.0/16"]]
    assert network().of_type("aws:ec2/securityGroup:SecurityGroup") == []


def test_the_default_security_group_lets_nothing_through() -> None:
    """Prevents that whatever names no group of its own may speak to all others in the VPC."""
    made = network()
    group = made.one("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
    assert group.inputs["vpcId"] == made.one("aws:ec2/vpc:Vpc").id
    assert not group.inputs.get("ingress")
    assert not group.inputs.get("egress")


def test_china_turns_the_service_names_around() -> None:
    """Prevents endpoints that do not exist in that partition."""
    made = network(region="cn-north-1", interface_endpoints=["sts"])
    assert made.one("aws:ec2/vpcEndpoint:VpcEndpoint", "network-sts").inputs["serviceName"].startswith("cn.com.")


def test_what_uses_a_subnet_goes_before_its_way_out() -> None:
    """Prevents that destroy cuts nodes off the control plane while Karpenter still drains them."""
    made = deploy(_with_user)
    user = made.one("aws:eks/nodeGroup:NodeGroup", "nodes")
    needed = requirements(made, user.urn)
    assert {r.urn for r in made.of_type("aws:ec2/natGateway:NatGateway")} < needed
    assert {r.urn for r in made.of_type("aws:ec2/routeTableAssociation:RouteTableAssociation")} & needed
    position = destroy_position(made)
    assert position[user.urn] < min(position[r.urn] for r in made.of_type("aws:ec2/route:Route") if "nat" in r.name)


def _with_user() -> None:
    made = Network("network", BASE)
    aws.eks.NodeGroup(
        "nodes",
        cluster_name="demo",
        node_role_arn="arn:aws:iam::123456789012:role/nodes",
        subnet_ids=made.private_subnet_ids,
        scaling_config={"min_size": 1, "max_size": 1, "desired_size": 1},
    )


@mock_aws
def test_aws_accepts_the_network() -> None:
    """Prevents subnets, routes or policies that EC2, IAM or CloudWatch refuse."""
    cloud = MotoCloud()
    args: NetworkArgs = {**BASE, "flow_logs": True, "interface_endpoints": ["ecr.api", "ecr.dkr"]}
    deploy(lambda: Network("network", args), cloud=cloud)
    ec2 = cloud.client("ec2")
    ours = {"Name": "vpc-id", "Values": [v["VpcId"] for v in ec2.describe_vpcs()["Vpcs"] if not v["IsDefault"]]}
    subnets = ec2.describe_subnets(Filters=[ours])["Subnets"]
    assert {subnet["AvailabilityZone"] for subnet in subnets} == set(ZONES)
    assert len(subnets) == 6
    assert cloud.client("iam").get_role(RoleName="demo-flow-logs")
