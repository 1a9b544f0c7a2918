"""EC2's kinds: instances and whatever hangs on them, then the network."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from offline.sweep.finding import Client, Finding
from offline.sweep.owner import Owner, tag_map

_GONE = {"terminated", "shutting-down", "deleted", "deleting"}


@dataclass(frozen=True)
class Ec2Kind:
    """How one kind is listed, described and removed."""

    name: str
    operation: str
    results: str
    """Key of the answer that holds the resources."""
    id: str
    remove: str
    """Command, with a place for the id."""
    filter_name: str = "Filters"
    """NAT gateways alone spell it differently."""

    def look(self, client: Client, owner: Owner) -> Iterator[Finding]:
        """Yield every resource of the kind that the stack owns."""
        found: dict[str, Mapping[str, Any]] = {}
        for filters in owner.filters():
            for each in self._listed(client("ec2"), filters):
                tags = tag_map(each.get("Tags") or each.get("TagSet"))
                if owner.owns(tags) and _state(each) not in _GONE and each.get("GroupName") != "default":
                    found[each[self.id]] = {**each, "tags": tags}
        for identity, each in sorted(found.items()):
            yield Finding(self.name, identity, _detail(each), self.remove.format(identity))

    def _listed(self, ec2: Any, filters: list[dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
        arguments = {self.filter_name: filters}
        if ec2.can_paginate(self.operation):
            answers = ec2.get_paginator(self.operation).paginate(**arguments)
        else:
            answers = [getattr(ec2, self.operation)(**arguments)]
        for answer in answers:
            for each in answer[self.results]:
                yield from each["Instances"] if self.results == "Reservations" else [each]


def _state(resource: Mapping[str, Any]) -> str:
    state = resource.get("State", resource.get("Status", ""))
    return state["Name"] if isinstance(state, Mapping) else state


def _detail(resource: Mapping[str, Any]) -> str:
    """Return what helps a reader to recognise the resource."""
    size = f"{resource['Size']} GiB" if "Size" in resource else ""
    pool = resource["tags"].get("karpenter.sh/nodepool")
    names = (resource.get(key, "") for key in ("InstanceType", "VpcEndpointType", "CidrBlock", "PublicIp", "GroupName"))
    named = resource.get("LaunchTemplateName") or resource["tags"].get("Name", "")
    parts = (*names, size, _state(resource), resource.get("Description", ""), named, f"pool {pool}" if pool else "")
    return ", ".join(str(part) for part in dict.fromkeys(parts) if part)


INSTANCES = Ec2Kind(
    "instance", "describe_instances", "Reservations", "InstanceId", "ec2 terminate-instances --instance-ids {}"
)
STORAGE_AND_INTERFACES = (
    Ec2Kind("volume", "describe_volumes", "Volumes", "VolumeId", "ec2 delete-volume --volume-id {}"),
    Ec2Kind(
        "network interface",
        "describe_network_interfaces",
        "NetworkInterfaces",
        "NetworkInterfaceId",
        "ec2 delete-network-interface --network-interface-id {}",
    ),
    Ec2Kind(
        "launch template",
        "describe_launch_templates",
        "LaunchTemplates",
        "LaunchTemplateId",
        "ec2 delete-launch-template --launch-template-id {}",
    ),
)
NETWORK = (
    Ec2Kind(
        "VPC endpoint",
        "describe_vpc_endpoints",
        "VpcEndpoints",
        "VpcEndpointId",
        "ec2 delete-vpc-endpoints --vpc-endpoint-ids {}",
    ),
    Ec2Kind(
        "NAT gateway",
        "describe_nat_gateways",
        "NatGateways",
        "NatGatewayId",
        "ec2 delete-nat-gateway --nat-gateway-id {}",
        filter_name="Filter",
    ),
    Ec2Kind("elastic IP", "describe_addresses", "Addresses", "AllocationId", "ec2 release-address --allocation-id {}"),
    Ec2Kind(
        "security group",
        "describe_security_groups",
        "SecurityGroups",
        "GroupId",
        "ec2 delete-security-group --group-id {}",
    ),
    Ec2Kind("subnet", "describe_subnets", "Subnets", "SubnetId", "ec2 delete-subnet --subnet-id {}"),
    Ec2Kind(
        "route table",
        "describe_route_tables",
        "RouteTables",
        "RouteTableId",
        "ec2 delete-route-table --route-table-id {}",
    ),
    Ec2Kind(
        "internet gateway",
        "describe_internet_gateways",
        "InternetGateways",
        "InternetGatewayId",
        "ec2 delete-internet-gateway --internet-gateway-id {}",
    ),
    Ec2Kind("VPC", "describe_vpcs", "Vpcs", "VpcId", "ec2 delete-vpc --vpc-id {}"),
)
