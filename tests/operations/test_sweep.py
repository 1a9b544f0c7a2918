"""What a stack left behind is found, what belongs to others is not, and nothing is ever changed."""

import functools
import json
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from offline.program import ROOT, stack_file
from offline.stack_files import StackFiles, read_stack
from offline.sweep import command, services
from offline.sweep.finding import Client, Finding
from offline.sweep.owner import Owner, owner_of, tag_map

REGION = "us-east-1"
CLUSTER = "llm-serving-prod"
OWN = {"project": "llm-serving", "stack": "prod"}
KARPENTER = {
    f"kubernetes.io/cluster/{CLUSTER}": "owned",
    "eks:eks-cluster-name": CLUSTER,
    "karpenter.sh/nodepool": "g5",
}
FOREIGN: tuple[dict[str, str], ...] = (
    {},
    {"project": "llm-serving", "stack": "staging"},
    {"project": "llm-serving"},
    {"stack": "prod"},
    {f"kubernetes.io/cluster/{CLUSTER}2": "owned", "karpenter.sh/nodepool": "g5"},
    {f"kubernetes.io/cluster/{CLUSTER}": "shared"},
)
"""Tags of what others own: another stack, half of our tags, a cluster with a longer name, subnets we only use."""
OWNER = Owner(REGION, CLUSTER, OWN)


@functools.cache
def _client(service: str) -> Any:
    """Return a client; moto answers it in whichever mock is active, so that each is made once."""
    return boto3.client(service, region_name=REGION)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Return clients of an empty account."""
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "testing")
    with mock_aws():
        yield _client


def pairs(tags: dict[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    """Return tags as most of AWS wants them."""
    return [{key: name, value: text} for name, text in tags.items()]


def named(resource: str, tags: dict[str, str]) -> list[dict[str, Any]]:
    """Return tags as EC2 wants them at creation."""
    return [{"ResourceType": resource, "Tags": pairs(tags)}] if tags else []


def plant_network(client: Client, tags: dict[str, str], block: str) -> dict[str, str]:
    """Make one of every kind of network resource and return their ids by kind."""
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock=block, TagSpecifications=named("vpc", tags))["Vpc"]["VpcId"]
    made = {"VPC": vpc}
    made["subnet"] = ec2.create_subnet(VpcId=vpc, CidrBlock=block, TagSpecifications=named("subnet", tags))["Subnet"][
        "SubnetId"
    ]
    made["security group"] = ec2.create_security_group(
        GroupName="nodes", Description="nodes", VpcId=vpc, TagSpecifications=named("security-group", tags)
    )["GroupId"]
    made["elastic IP"] = ec2.allocate_address(Domain="vpc", TagSpecifications=named("elastic-ip", tags))["AllocationId"]
    made["NAT gateway"] = ec2.create_nat_gateway(
        SubnetId=made["subnet"], AllocationId=made["elastic IP"], TagSpecifications=named("natgateway", tags)
    )["NatGateway"]["NatGatewayId"]
    made["network interface"] = ec2.create_network_interface(
        SubnetId=made["subnet"], TagSpecifications=named("network-interface", tags)
    )["NetworkInterface"]["NetworkInterfaceId"]
    made["VPC endpoint"] = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.s3", TagSpecifications=named("vpc-endpoint", tags)
    )["VpcEndpoint"]["VpcEndpointId"]
    return made


def plant_nodes(client: Client, tags: dict[str, str], subnet: str, name: str) -> dict[str, str]:
    """Make what Karpenter makes."""
    ec2 = client("ec2")
    made = {}
    made["instance"] = ec2.run_instances(
        ImageId="ami-12c6146b",
        InstanceType="g5.xlarge",
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        TagSpecifications=named("instance", tags),
    )["Instances"][0]["InstanceId"]
    made["volume"] = ec2.create_volume(
        AvailabilityZone=f"{REGION}a", Size=100, TagSpecifications=named("volume", tags)
    )["VolumeId"]
    made["launch template"] = ec2.create_launch_template(
        LaunchTemplateName=f"karpenter-{name}",
        LaunchTemplateData={"InstanceType": "g5.xlarge"},
        TagSpecifications=named("launch-template", tags),
    )["LaunchTemplate"]["LaunchTemplateId"]
    profile = client("iam").create_instance_profile(InstanceProfileName=f"profile-{name}", Tags=pairs(tags))
    made["instance profile"] = profile["InstanceProfile"]["InstanceProfileName"]
    return made


def plant_services(client: Client, tags: dict[str, str], name: str, subnet: str) -> dict[str, str]:
    """Make one of every kind outside of EC2."""
    made = {}
    system = client("efs").create_file_system(CreationToken=f"cache{name}", Tags=pairs(tags))
    made["file system"] = system["FileSystemId"]
    mount = client("efs").create_mount_target(FileSystemId=system["FileSystemId"], SubnetId=subnet)
    made["mount target"] = mount["MountTargetId"]
    url = client("sqs").create_queue(QueueName=f"{CLUSTER}{name}", tags=tags)["QueueUrl"]
    made["queue"] = url.rpartition("/")[2]
    client("events").put_rule(
        Name=f"rule-{name}", EventPattern='{"source": ["aws.ec2"]}', Tags=pairs(tags) if tags else []
    )
    made["event rule"] = f"rule-{name}"
    key = client("kms").create_key(
        Description=f"Model weights of {CLUSTER}", Tags=pairs(tags, "TagKey", "TagValue") if tags else []
    )
    made["key"] = key["KeyMetadata"]["KeyId"]
    balancer = client("elbv2").create_load_balancer(
        Name=f"lb{name}", Type="network", Subnets=[subnet], **({"Tags": pairs(tags)} if tags else {})
    )
    made["load balancer"] = balancer["LoadBalancers"][0]["LoadBalancerArn"]
    made["role"] = client("iam").create_role(
        RoleName=f"{CLUSTER}-role{name}", AssumeRolePolicyDocument="{}", Tags=pairs(tags)
    )["Role"]["RoleName"]
    made["policy"] = client("iam").create_policy(
        PolicyName=f"{CLUSTER}-policy{name}", PolicyDocument=_POLICY, Tags=pairs(tags)
    )["Policy"]["Arn"]
    return made


_POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:ReceiveMessage", "Resource": "*"}]}
)


def found(client: Client, owner: Owner = OWNER) -> dict[str, set[str]]:
    """Return the ids that a sweep finds, by kind."""
    result = command.sweep(owner, client)
    assert not result.unseen
    kinds: dict[str, set[str]] = {}
    for each in result.found:
        kinds.setdefault(each.kind, set()).add(each.id)
    return kinds


def test_an_empty_account_has_nothing(client: Client) -> None:
    """Prevents a sweep that always finds something, which nobody reads."""
    result = command.sweep(OWNER, client)
    assert not result.found
    assert result.exit_code == 0


def test_every_kind_that_is_left_is_found(client: Client) -> None:
    """Prevents orphans that keep billing, or keep a VPC from being deleted, unseen."""
    network = plant_network(client, OWN, "10.1.0.0/20")
    nodes = plant_nodes(client, KARPENTER, network["subnet"], "ours")
    others = plant_services(client, OWN, "", network["subnet"])
    client("logs").create_log_group(logGroupName=f"/aws/eks/{CLUSTER}/cluster")
    client("eks").create_cluster(
        name=CLUSTER,
        roleArn="arn:aws:iam::123456789012:role/eks",
        resourcesVpcConfig={"subnetIds": [network["subnet"]]},
        tags=OWN,
    )
    kinds = found(client)
    for kind, identity in {**network, **nodes, **others}.items():
        assert identity in kinds.get(kind, set()), kind
    assert kinds["log group"] == {f"/aws/eks/{CLUSTER}/cluster"}
    assert kinds["cluster"] == {CLUSTER}
    assert command.sweep(OWNER, client).exit_code == 1


def test_what_others_own_is_never_listed(client: Client) -> None:
    """Prevents the peers' defect of a clean-up that names resources it does not own."""
    subnet = ""
    for number, tags in enumerate(FOREIGN, start=2):
        network = plant_network(client, tags, f"10.{number}.0.0/20")
        subnet = network["subnet"]
        plant_nodes(client, tags, subnet, f"theirs{number}")
        plant_services(client, tags, str(number), subnet)
    client("logs").create_log_group(logGroupName=f"/aws/eks/{CLUSTER}2/cluster")
    client("eks").create_cluster(
        name=f"{CLUSTER}2",
        roleArn="arn:aws:iam::123456789012:role/eks",
        resourcesVpcConfig={"subnetIds": [subnet]},
    )
    assert not found(client)


def test_a_terminated_instance_is_gone(client: Client) -> None:
    """Prevents an alarm for the hour in which EC2 still shows instances that are terminated."""
    network = plant_network(client, {}, "10.3.0.0/20")
    nodes = plant_nodes(client, KARPENTER, network["subnet"], "gone")
    client("ec2").terminate_instances(InstanceIds=[nodes["instance"]])
    assert "instance" not in found(client)


def test_a_retained_cache_is_named_as_such(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents weights that were kept on purpose from being taken for waste, and from failing a pipeline."""
    system = client("efs").create_file_system(CreationToken="kept", Tags=pairs(OWN))["FileSystemId"]
    client("kms").create_key(Description=f"Model weights of {CLUSTER}", Tags=pairs(OWN, "TagKey", "TagValue"))
    kept = command.sweep(Owner(REGION, CLUSTER, OWN, keeps_cache=True), client)
    assert {each.kind for each in kept.found if each.kept} == {"file system", "key"}
    assert kept.exit_code == 0
    print(command._text(kept))
    shown = capsys.readouterr().out
    assert "Kept on purpose (cache.retainOnDelete): 2" in shown
    assert system in shown
    assert command.sweep(OWNER, client).exit_code == 1


def test_a_sweep_only_reads(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a look around that changes the account."""
    called: list[str] = []
    original = botocore.session.Session.create_client

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = original(self, *args, **kwargs)
        made.meta.events.register("before-call", lambda model, **_: called.append(model.name))
        return made

    network = plant_network(client, OWN, "10.4.0.0/20")
    plant_nodes(client, KARPENTER, network["subnet"], "seen")
    plant_services(client, OWN, "", network["subnet"])
    monkeypatch.setattr(botocore.session.Session, "create_client", watched)
    before = found(functools.cache(lambda service: boto3.client(service, region_name=REGION)))
    assert before
    assert called
    assert not [name for name in called if not name.startswith(("Describe", "List", "Get"))]
    assert found(client) == before


def test_every_finding_has_a_command_for_this_region(client: Client) -> None:
    """Prevents advice that removes something in whatever region the shell points at."""
    plant_network(client, OWN, "10.5.0.0/20")
    document = command.sweep(OWNER, client).to_json()
    assert document["found"]
    for each in document["found"]:
        assert each["remove"].startswith(f"aws --region {REGION} ")
        assert each["id"] in each["remove"]


def test_removal_follows_what_hangs_on_what() -> None:
    """Prevents a list that starts with the VPC, which cannot go before anything else has."""
    order = list(command.LOOKS)
    assert order.index("instance") < order.index("network interface") < order.index("security group")
    assert order.index("security group") < order.index("subnet") < order.index("VPC")
    assert order.index("file systems") < order.index("subnet")
    assert order.index("instance profiles") < order.index("roles and policies")


def test_a_kind_that_cannot_be_seen_is_said(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents `nothing is left` from someone who was not allowed to look."""

    def denied(client: Client, owner: Owner) -> Iterator[Finding]:
        del client, owner
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "sqs:ListQueues"}}, "ListQueues")
        yield

    monkeypatch.setattr(command, "LOOKS", {**command.LOOKS, "queues": denied})
    result = command.sweep(OWNER, client)
    assert list(result.unseen) == ["queues"]
    assert result.exit_code == 2
    assert "Nothing is left" not in command._text(result)


def test_no_credentials_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    """Prevents a traceback, or an endless search for credentials, on a machine that is not signed in."""
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert command.main(["--stack", "prod"]) == 2
    assert "sign in first" in capsys.readouterr().err
    assert command.main(["--stack", "prod", "--profile", "nobody"]) == 2
    assert "nobody" in capsys.readouterr().err


def test_the_command_prints_what_it_found(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents exit codes and documents that scripts cannot rely on."""
    assert command.main(["--stack", "prod"]) == 0
    assert "Nothing is left." in capsys.readouterr().out
    client("efs").create_file_system(CreationToken="left", Tags=pairs(OWN))
    assert command.main(["--stack", "prod", "--format", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["cluster"], document["region"]) == (CLUSTER, REGION)
    assert [each["kind"] for each in document["found"]] == ["file system"]
    with pytest.raises(SystemExit) as wrong:
        command.main(["--stack", "nothing"])
    assert wrong.value.code == 2


@pytest.mark.parametrize("stack", ["prod", "staging", "dev"])
def test_the_owner_is_whom_the_program_deploys_as(stack: str) -> None:
    """Prevents a sweep by names and tags that the program does not use."""
    from tests.program.conftest import recorded  # noqa: PLC0415  (only this test runs the program)

    owner = owner_of(read_stack(ROOT, stack_file(stack)))
    deployment = recorded(stack)
    assert deployment.one("eks:index:Cluster").inputs["name"] == owner.cluster
    provider = deployment.one("pulumi:providers:aws").inputs
    tags = provider["defaultTags"]
    assert (json.loads(tags) if isinstance(tags, str) else tags)["tags"] == dict(owner.tags)
    groups = [r.inputs["name"] for r in deployment.of_type("aws:cloudwatch/logGroup:LogGroup")]
    assert groups
    assert all(f"/{owner.cluster}/" in name for name in groups)
    assert deployment.one("aws:sqs/queue:Queue").inputs["name"] == owner.cluster
    named_roles = [r.inputs["name"] for r in deployment.of_type("aws:iam/role:Role")]
    assert all(name.startswith(f"{owner.cluster}-") for name in named_roles)
    cache = next(r for r in deployment.of_type("aws:kms/key:Key") if "cache" in r.name)
    assert cache.inputs["description"] == services._KEY_OF_THE_CACHE.format(owner.cluster)


def test_in_somebody_elses_cluster_only_our_own_tags_count(client: Client) -> None:
    """Prevents the nodes, logs and load balancers of a cluster that we only used from being listed as ours."""
    config = {"llm-serving:cluster": json.dumps({"name": CLUSTER})}
    owner = owner_of(StackFiles("llm-serving", "guest", config, {}))
    assert (owner.cluster, owner.cluster_is_ours) == (CLUSTER, False)
    network = plant_network(client, {}, "10.6.0.0/20")
    plant_nodes(client, KARPENTER, network["subnet"], "theirs")
    client("logs").create_log_group(logGroupName=f"/aws/eks/{CLUSTER}/cluster")
    own = {"project": "llm-serving", "stack": "guest"}
    ours = plant_nodes(client, {**KARPENTER, **own}, network["subnet"], "ours")
    assert found(client, owner) == {kind: {identity} for kind, identity in ours.items()}


def test_tags_of_the_stack_and_its_retention_are_read() -> None:
    """Prevents a sweep that overlooks resources with the stack's own tags, or calls a kept cache an orphan."""
    config = {
        "aws:region": "eu-west-1",
        "llm-serving:tags": '{"team": "ml"}',
        "llm-serving:cache": '{"retainOnDelete": true}',
    }
    owner = owner_of(StackFiles("llm-serving", "eu", config, {}))
    assert owner == Owner("eu-west-1", "llm-serving-eu", {"project": "llm-serving", "stack": "eu", "team": "ml"}, True)
    assert owner_of(StackFiles("llm-serving", "eu", {"llm-serving:tags": "wrong"}, {})).tags["stack"] == "eu"


def test_tags_are_read_in_every_spelling() -> None:
    """Prevents owned resources of EFS, KMS and SQS from being overlooked because their tags look different."""
    for spelled in (
        [{"Key": "a", "Value": "b"}],
        [{"TagKey": "a", "TagValue": "b"}],
        {"a": "b"},
        [{"key": "a", "value": "b"}],
    ):
        assert tag_map(spelled) == {"a": "b"}
    assert tag_map(None) == {}
