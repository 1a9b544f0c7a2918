"""The stacks' AWS resources, really created in moto: what AWS would reject is rejected here."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from moto import mock_aws

from offline.moto_cloud import MotoCloud
from offline.program import deploy_stack
from offline.recording import Deployment
from tests.program.conftest import shipped


@dataclass(frozen=True)
class Account:
    """A deployment together with the simulated account it went to."""

    cloud: MotoCloud
    deployment: Deployment


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """Deploy prod into an empty moto account."""
    with pytest.MonkeyPatch.context() as patch, mock_aws(config={"iam": {"load_aws_managed_policies": True}}):
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(variable, "testing")
        cloud = MotoCloud()
        yield Account(cloud, deploy_stack(shipped("prod"), cloud=cloud))


def test_most_aws_resources_really_exist(account: Account) -> None:
    """Prevents the tests below from passing because everything was merely echoed."""
    aws = [r for r in account.deployment.resources if r.package == "aws" and not r.is_provider]
    simulated = {r.type for r in aws if r.urn not in account.cloud.created}
    assert all(
        type_.startswith("aws:eks/") or type_ in {"aws:ec2/flowLog:FlowLog", "aws:ec2/tag:Tag"} or "default" in type_
        for type_ in simulated
    ), simulated


def test_every_zone_has_a_way_out_of_its_own(account: Account) -> None:
    """Prevents a zone failure from cutting the others off, and subnets without a route."""
    ec2 = account.cloud.client("ec2")
    gateways = {g["NatGatewayId"]: g["SubnetId"] for g in ec2.describe_nat_gateways()["NatGateways"]}
    zones = {s["SubnetId"]: s["AvailabilityZone"] for s in ec2.describe_subnets()["Subnets"]}
    ways = {}
    for table in ec2.describe_route_tables()["RouteTables"]:
        exits = [route["NatGatewayId"] for route in table["Routes"] if route.get("NatGatewayId")]
        for association in table["Associations"]:
            if association.get("SubnetId") and exits:
                ways[association["SubnetId"]] = gateways[exits[0]]
    assert len(ways) == 3
    assert all(zones[private] == zones[public] for private, public in ways.items())


def test_the_file_system_is_reachable_in_every_zone_and_from_the_nodes_only(account: Account) -> None:
    """Prevents pods that cannot mount the weights in one zone, and a cache that is open to the VPC."""
    efs, ec2 = account.cloud.client("efs"), account.cloud.client("ec2")
    system = efs.describe_file_systems()["FileSystems"][0]
    assert system["Encrypted"]
    targets = efs.describe_mount_targets(FileSystemId=system["FileSystemId"])["MountTargets"]
    assert len({target["AvailabilityZoneName"] for target in targets}) == 3
    groups = {
        group
        for target in targets
        for group in efs.describe_mount_target_security_groups(MountTargetId=target["MountTargetId"])["SecurityGroups"]
    }
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": sorted(groups)}])
    inbound = [rule for rule in rules["SecurityGroupRules"] if not rule["IsEgress"]]
    assert inbound
    assert all(rule["FromPort"] == rule["ToPort"] == 2049 for rule in inbound)
    assert all("ReferencedGroupInfo" in rule and "CidrIpv4" not in rule for rule in inbound)


def test_interruptions_reach_karpenters_queue(account: Account) -> None:
    """Prevents spot and maintenance events that end nowhere: each rule targets the queue, which lets events in."""
    events, sqs = account.cloud.client("events"), account.cloud.client("sqs")
    url = sqs.list_queues()["QueueUrls"][0]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    rules = [rule["Name"] for rule in events.list_rules()["Rules"]]
    assert len(rules) >= 4
    for rule in rules:
        assert [t["Arn"] for t in events.list_targets_by_rule(Rule=rule)["Targets"]] == [attributes["QueueArn"]]
    senders = json.dumps(json.loads(attributes["Policy"]))
    assert "events.amazonaws.com" in senders


def test_no_policy_of_ours_allows_everything(account: Account) -> None:
    """Prevents a controller that could take over the account."""
    iam = account.cloud.client("iam")
    for policy in iam.list_policies(Scope="Local")["Policies"]:
        version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])
        for statement in version["PolicyVersion"]["Document"]["Statement"]:
            assert statement["Action"] not in ("*", ["*"]), policy["PolicyName"]
