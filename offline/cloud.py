"""A simulated cloud: answers creations by echoing inputs, with identifiers that look like the real ones."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from offline.values import revealed

ACCOUNT: Final = "123456789012"
"""AWS's own documentation account."""

_ID_PREFIXES: Final = {
    "aws:ec2/egressOnlyInternetGateway:EgressOnlyInternetGateway": "eigw",
    "aws:ec2/eip:Eip": "eipalloc",
    "aws:ec2/flowLog:FlowLog": "fl",
    "aws:ec2/internetGateway:InternetGateway": "igw",
    "aws:ec2/launchTemplate:LaunchTemplate": "lt",
    "aws:ec2/natGateway:NatGateway": "nat",
    "aws:ec2/networkAcl:NetworkAcl": "acl",
    "aws:ec2/placementGroup:PlacementGroup": "pg",
    "aws:ec2/routeTable:RouteTable": "rtb",
    "aws:ec2/routeTableAssociation:RouteTableAssociation": "rtbassoc",
    "aws:ec2/securityGroup:SecurityGroup": "sg",
    "aws:ec2/subnet:Subnet": "subnet",
    "aws:ec2/vpc:Vpc": "vpc",
    "aws:ec2/vpcEndpoint:VpcEndpoint": "vpce",
    "aws:efs/accessPoint:AccessPoint": "fsap",
    "aws:efs/fileSystem:FileSystem": "fs",
    "aws:efs/mountTarget:MountTarget": "fsmt",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": "sgr",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": "sgr",
}
"""Type token to the prefix of its EC2- or EFS-style id (prefix, dash, 17 hexadecimal digits)."""

_ARN_RESOURCES: Final = {
    "aws:cloudwatch/eventRule:EventRule": "rule/{name}",
    "aws:cloudwatch/logGroup:LogGroup": "log-group:{name}",
    "aws:efs/accessPoint:AccessPoint": "access-point/{id}",
    "aws:efs/fileSystem:FileSystem": "file-system/{id}",
    "aws:eks/addon:Addon": "addon/{name}",
    "aws:iam/instanceProfile:InstanceProfile": "instance-profile/{name}",
    "aws:iam/policy:Policy": "policy/{name}",
    "aws:iam/role:Role": "role/{name}",
    "aws:kms/key:Key": "key/{id}",
    "aws:s3/bucket:Bucket": "{name}",
    "aws:sqs/queue:Queue": "{name}",
}
_ARN_SERVICES: Final = {"cloudwatch/eventRule": "events", "cloudwatch/logGroup": "logs"}
_GLOBAL_SERVICES: Final = frozenset({"iam", "s3"})


class Cloud:
    """Echoes what it is asked to create. Subclasses add what a kind of resource really answers."""

    def __init__(self, region: str = "us-east-1") -> None:
        self.region = region

    @property
    def partition(self) -> str:
        """Return the ARN partition of the region."""
        for prefix, partition in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov")):
            if self.region.startswith(prefix):
                return partition
        return "aws"

    def create(self, urn: str, type_: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Return (id, properties) of a new resource. The id depends on the URN alone: runs repeat exactly."""
        identity = self._identity(urn, type_, name, inputs)
        outputs = dict(inputs)
        if type_.startswith("aws:"):
            outputs.setdefault("name", name)
            outputs["arn"] = self._arn(type_, identity, str(revealed(outputs["name"])))
        return identity, outputs

    def invoke(self, token: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a data source. Raises NotImplementedError for those that a plan without a cloud cannot answer."""
        del args
        raise NotImplementedError(f"{token} has no offline answer: the program may not depend on it")

    def _identity(self, urn: str, type_: str, name: str, inputs: Mapping[str, Any]) -> str:
        if type_.startswith("kubernetes:"):
            return _kubernetes_identity(name, inputs)
        digits = hashlib.sha256(urn.encode()).hexdigest()
        if prefix := _ID_PREFIXES.get(type_):
            return f"{prefix}-{digits[:17]}"
        if type_ == "aws:kms/key:Key":
            return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:32]}"
        return name

    def _arn(self, type_: str, identity: str, name: str) -> str:
        path = type_.split(":")[1]
        service = _ARN_SERVICES.get(path, path.split("/")[0])
        default = path.rpartition("/")[2] + "/{id}"
        resource = _ARN_RESOURCES.get(type_, default).format(id=identity, name=name)
        region = "" if service in _GLOBAL_SERVICES else self.region
        account = "" if service == "s3" else ACCOUNT
        return f"arn:{self.partition}:{service}:{region}:{account}:{resource}"


def _kubernetes_identity(name: str, inputs: Mapping[str, Any]) -> str:
    metadata = revealed(inputs.get("metadata"))
    if not isinstance(metadata, Mapping):
        return name
    parts = [part for part in (metadata.get("namespace"), metadata.get("name", name)) if isinstance(part, str)]
    return "/".join(parts)
