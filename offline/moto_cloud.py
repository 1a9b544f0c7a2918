"""A simulated AWS whose resources really exist, in moto: ids, ARNs and API-side validation come from there.

Use inside `moto.mock_aws()`; what the program created is then there to be asserted with boto3. AWS rejects here what it
would reject there: malformed policies, unknown managed policies, overlapping subnets, a second mount target in a
zone, bad event patterns, wrong parameter shapes. Not checked: least privilege, and types without a maker below.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import boto3

from offline.eks_cloud import EksCloud
from offline.values import revealed

Created = tuple[str, Mapping[str, Any]]
Client = Callable[[str], Any]
Maker = Callable[[Client, str, Mapping[str, Any]], Created]


class MotoCloud(EksCloud):
    """Creates AWS resources in moto; everything else is simulated as by `EksCloud`."""

    def __init__(self, region: str = "us-east-1") -> None:
        super().__init__(region)
        self._clients: dict[str, Any] = {}
        self.created: dict[str, str] = {}
        """URN to physical id of everything made in moto."""

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service in the stack's region."""
        if service not in self._clients:
            self._clients[service] = boto3.client(service, region_name=self.region)
        return self._clients[service]

    def create(self, urn: str, type_: str, name: str, inputs: Mapping[str, Any]) -> Created:
        """Create the resource in moto where it can, and return (id, properties)."""
        maker = _MAKERS.get(type_)
        if maker is None:
            return super().create(urn, type_, name, inputs)
        identity, outputs = maker(self.client, name, revealed(inputs))
        self.created[urn] = identity
        return identity, {**inputs, "name": revealed(inputs).get("name", name), **outputs}

    def _cluster_group(self, cluster_name: str, inputs: Mapping[str, Any]) -> str:
        """Make the group that EKS makes itself, so that rules may refer to it."""
        group = {"description": "EKS created security group", "vpcId": inputs["vpcId"]}
        return _security_group(self.client, f"eks-cluster-sg-{cluster_name}", group)[0]


def _tags(resource_type: str, inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    tags = [{"Key": key, "Value": value} for key, value in (inputs.get("tags") or {}).items()]
    return [{"ResourceType": resource_type, "Tags": tags}] if tags else []


def _given(inputs: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """Return the API's parameters for those Pulumi inputs that are set."""
    return {api: inputs[ours] for api, ours in names.items() if inputs.get(ours) is not None}


def _vpc(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    del name
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock=inputs["cidrBlock"], TagSpecifications=_tags("vpc", inputs))["Vpc"]
    for attribute, key in (("EnableDnsSupport", "enableDnsSupport"), ("EnableDnsHostnames", "enableDnsHostnames")):
        if inputs.get(key) is not None:
            ec2.modify_vpc_attribute(VpcId=vpc["VpcId"], **{attribute: {"Value": inputs[key]}})
    return vpc["VpcId"], {"arn": f"arn:aws:ec2:::vpc/{vpc['VpcId']}"}


def _subnet(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    del name
    where = _given(inputs, VpcId="vpcId", CidrBlock="cidrBlock", AvailabilityZone="availabilityZone")
    subnet = client("ec2").create_subnet(**where, TagSpecifications=_tags("subnet", inputs))["Subnet"]
    return subnet["SubnetId"], {"arn": subnet["SubnetArn"]}


def _internet_gateway(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    del name
    identity = client("ec2").create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    client("ec2").attach_internet_gateway(InternetGatewayId=identity, VpcId=inputs["vpcId"])
    return identity, {}


def _eip(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    del name
    address = client("ec2").allocate_address(Domain=inputs.get("domain", "vpc"))
    return address["AllocationId"], {"publicIp": address["PublicIp"], "allocationId": address["AllocationId"]}


def _nat_gateway(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    del name
    where = _given(inputs, SubnetId="subnetId", AllocationId="allocationId")
    return client("ec2").create_nat_gateway(**where)["NatGateway"]["NatGatewayId"], {}


def _route_table(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    del name
    return client("ec2").create_route_table(VpcId=inputs["vpcId"])["RouteTable"]["RouteTableId"], {}


def _route(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    del name
    client("ec2").create_route(
        **_given(
            inputs,
            RouteTableId="routeTableId",
            DestinationCidrBlock="destinationCidrBlock",
            GatewayId="gatewayId",
            NatGatewayId="natGatewayId",
        )
    )
    return f"r-{inputs['routeTableId']}-{inputs.get('destinationCidrBlock')}", {}


def _route_table_association(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    del name
    where = _given(inputs, RouteTableId="routeTableId", SubnetId="subnetId")
    return client("ec2").associate_route_table(**where)["AssociationId"], {}


def _vpc_endpoint(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    del name
    endpoint = client("ec2").create_vpc_endpoint(
        **_given(
            inputs,
            VpcId="vpcId",
            ServiceName="serviceName",
            VpcEndpointType="vpcEndpointType",
            RouteTableIds="routeTableIds",
            SubnetIds="subnetIds",
            SecurityGroupIds="securityGroupIds",
            PrivateDnsEnabled="privateDnsEnabled",
        )
    )["VpcEndpoint"]
    return endpoint["VpcEndpointId"], {}


def _flow_log(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    del name
    made = client("ec2").create_flow_logs(
        ResourceIds=[inputs["vpcId"]],
        ResourceType="VPC",
        **_given(
            inputs,
            TrafficType="trafficType",
            LogDestination="logDestination",
            LogDestinationType="logDestinationType",
            DeliverLogsPermissionArn="iamRoleArn",
        ),
    )
    return made["FlowLogIds"][0], {}


def _launch_template(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    # Pulumi's nested names are the API's, but for the first letter.
    data = {"MetadataOptions": {key[0].upper() + key[1:]: value for key, value in inputs["metadataOptions"].items()}}
    made = client("ec2").create_launch_template(LaunchTemplateName=inputs.get("name", name), LaunchTemplateData=data)
    template = made["LaunchTemplate"]
    return template["LaunchTemplateId"], {"latestVersion": template["LatestVersionNumber"]}


def _tag(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    del name
    tag = {"Key": inputs["key"], "Value": inputs["value"]}
    client("ec2").create_tags(Resources=[inputs["resourceId"]], Tags=[tag])
    return f"{inputs['resourceId']},{inputs['key']}", {}


def _permission(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return an API permission from an inline rule or a rule resource of Pulumi's."""
    cidrs = [*(rule.get("cidrBlocks") or []), *([rule["cidrIpv4"]] if rule.get("cidrIpv4") else [])]
    groups = [*(rule.get("securityGroups") or []), rule.get("referencedSecurityGroupId")]
    return {
        "IpProtocol": rule.get("protocol") or rule.get("ipProtocol"),
        **_given(rule, FromPort="fromPort", ToPort="toPort"),
        "IpRanges": [{"CidrIp": cidr} for cidr in cidrs],
        "UserIdGroupPairs": [{"GroupId": group} for group in groups if group],
    }


def _security_group(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    ec2 = client("ec2")
    description = inputs.get("description", "Managed by Pulumi")
    group = ec2.create_security_group(
        GroupName=inputs.get("name", name), Description=description, **_given(inputs, VpcId="vpcId")
    )
    for rule in inputs.get("ingress") or []:
        ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[_permission(rule)])
    return group["GroupId"], {"arn": group.get("SecurityGroupArn", group["GroupId"])}


def _security_group_rule(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    del name
    rules = client("ec2").authorize_security_group_ingress(
        GroupId=inputs["securityGroupId"], IpPermissions=[_permission(inputs)]
    )["SecurityGroupRules"]
    return rules[0]["SecurityGroupRuleId"], {}


def _role(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    role = client("iam").create_role(
        RoleName=inputs.get("name", name), AssumeRolePolicyDocument=inputs["assumeRolePolicy"]
    )["Role"]
    return role["RoleName"], {"arn": role["Arn"], "name": role["RoleName"]}


def _policy(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    policy = client("iam").create_policy(PolicyName=inputs.get("name", name), PolicyDocument=inputs["policy"])["Policy"]
    return policy["Arn"], {"arn": policy["Arn"], "name": policy["PolicyName"]}


def _role_policy(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    policy = inputs.get("name", name)
    client("iam").put_role_policy(RoleName=inputs["role"], PolicyName=policy, PolicyDocument=inputs["policy"])
    return f"{inputs['role']}:{policy}", {}


def _role_policy_attachment(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    client("iam").attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
    return name, {}


def _key(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    del name
    key = client("kms").create_key(**_given(inputs, Description="description", Policy="policy"))["KeyMetadata"]
    if inputs.get("enableKeyRotation"):
        client("kms").enable_key_rotation(KeyId=key["KeyId"])
    return key["KeyId"], {"arn": key["Arn"], "keyId": key["KeyId"]}


def _key_alias(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    alias = inputs.get("name", f"alias/{name}")
    client("kms").create_alias(AliasName=alias, TargetKeyId=inputs["targetKeyId"])
    return alias, {}


def _file_system(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    options = _given(
        inputs,
        Encrypted="encrypted",
        ThroughputMode="throughputMode",
        ProvisionedThroughputInMibps="provisionedThroughputInMibps",
        KmsKeyId="kmsKeyId",
    )
    made = client("efs").create_file_system(CreationToken=inputs.get("creationToken", name), **options)
    identity = made["FileSystemId"]
    return identity, {"arn": made["FileSystemArn"], "dnsName": f"{identity}.efs.{client('efs').meta.region_name}"}


def _file_system_policy(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    del name
    client("efs").put_file_system_policy(FileSystemId=inputs["fileSystemId"], Policy=inputs["policy"])
    return inputs["fileSystemId"], {}


def _mount_target(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    del name
    where = _given(inputs, FileSystemId="fileSystemId", SubnetId="subnetId", SecurityGroups="securityGroups")
    return client("efs").create_mount_target(**where)["MountTargetId"], {}


def _access_point(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    options: dict[str, Any] = {"ClientToken": name, "FileSystemId": inputs["fileSystemId"]}
    if user := inputs.get("posixUser"):
        options["PosixUser"] = _given(user, Uid="uid", Gid="gid")
    if root := inputs.get("rootDirectory"):
        options["RootDirectory"] = _given(root, Path="path")
        if owner := root.get("creationInfo"):
            info = _given(owner, OwnerUid="ownerUid", OwnerGid="ownerGid", Permissions="permissions")
            options["RootDirectory"]["CreationInfo"] = info
    made = client("efs").create_access_point(**options)
    return made["AccessPointId"], {"arn": made["AccessPointArn"]}


def _queue(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    sqs = client("sqs")
    attributes = {
        "MessageRetentionPeriod": inputs.get("messageRetentionSeconds"),
        "SqsManagedSseEnabled": inputs.get("sqsManagedSseEnabled"),
    }
    given = {key: str(value).lower() for key, value in attributes.items() if value is not None}
    url = sqs.create_queue(QueueName=inputs.get("name", name), Attributes=given)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return url, {"url": url, "arn": arn}


def _queue_policy(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    json.loads(inputs["policy"])
    client("sqs").set_queue_attributes(QueueUrl=inputs["queueUrl"], Attributes={"Policy": inputs["policy"]})
    return name, {}


def _event_rule(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    rule = inputs.get("name", name)
    arn = client("events").put_rule(Name=rule, EventPattern=inputs["eventPattern"])["RuleArn"]
    return rule, {"arn": arn}


def _event_target(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    target = {"Id": inputs.get("targetId", name), "Arn": inputs["arn"]}
    client("events").put_targets(Rule=inputs["rule"], Targets=[target])
    return f"{inputs['rule']}-{target['Id']}", {}


def _log_group(client: Client, name: str, inputs: Mapping[str, Any]) -> Created:
    group = inputs.get("name", name)
    client("logs").create_log_group(logGroupName=group)
    if days := inputs.get("retentionInDays"):
        client("logs").put_retention_policy(logGroupName=group, retentionInDays=days)
    found = client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    return group, {"arn": found[0]["arn"].removesuffix(":*")}


_MAKERS: Final[Mapping[str, Maker]] = {
    "aws:cloudwatch/eventRule:EventRule": _event_rule,
    "aws:cloudwatch/eventTarget:EventTarget": _event_target,
    "aws:cloudwatch/logGroup:LogGroup": _log_group,
    "aws:ec2/eip:Eip": _eip,
    "aws:ec2/flowLog:FlowLog": _flow_log,
    "aws:ec2/internetGateway:InternetGateway": _internet_gateway,
    "aws:ec2/launchTemplate:LaunchTemplate": _launch_template,
    "aws:ec2/natGateway:NatGateway": _nat_gateway,
    "aws:ec2/route:Route": _route,
    "aws:ec2/routeTable:RouteTable": _route_table,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _route_table_association,
    "aws:ec2/securityGroup:SecurityGroup": _security_group,
    "aws:ec2/subnet:Subnet": _subnet,
    "aws:ec2/tag:Tag": _tag,
    "aws:ec2/vpc:Vpc": _vpc,
    "aws:ec2/vpcEndpoint:VpcEndpoint": _vpc_endpoint,
    "aws:efs/accessPoint:AccessPoint": _access_point,
    "aws:efs/fileSystem:FileSystem": _file_system,
    "aws:efs/fileSystemPolicy:FileSystemPolicy": _file_system_policy,
    "aws:efs/mountTarget:MountTarget": _mount_target,
    "aws:iam/policy:Policy": _policy,
    "aws:iam/role:Role": _role,
    "aws:iam/rolePolicy:RolePolicy": _role_policy,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": _role_policy_attachment,
    "aws:kms/alias:Alias": _key_alias,
    "aws:kms/key:Key": _key,
    "aws:sqs/queue:Queue": _queue,
    "aws:sqs/queuePolicy:QueuePolicy": _queue_policy,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _security_group_rule,
}
