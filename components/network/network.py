"""The VPC that the cluster's nodes live in."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from components.network.endpoints import create_endpoints
from components.network.flow_logs import create_flow_logs
from components.network.subnets import ZoneSubnets, plan_subnets
from components.scheduling import DISCOVERY_TAG

NAT_PER_ZONE = "perZone"
NAT_SINGLE = "single"
NAT_NONE = "none"


class NetworkArgs(TypedDict):
    """Inputs of Network."""

    cluster_name: str
    """Value of the discovery tags; must be the name of the cluster that will use the network."""
    region: str
    """Region of the endpoints' service names."""
    cidr: str
    """Private IPv4 block of the VPC, /16 to /22. Changing it replaces the VPC."""
    availability_zones: list[str]
    """Two or three zone names; one private and one public subnet in each."""
    nat_gateways: NotRequired[str]
    """``perZone`` (default; survives the loss of a zone), ``single`` (cheaper) or ``none`` (no way out)."""
    interface_endpoints: NotRequired[list[str]]
    """Services reached without the internet, e.g. ``ecr.api``; each costs per zone and hour. Default none."""
    flow_logs: NotRequired[bool]
    """Log every flow of the VPC to CloudWatch, for 30 days. Default false."""
    permissions_boundary: NotRequired[str | None]
    """ARN of a permissions boundary for the flow logs' role."""


class Network(pulumi.ComponentResource):
    """VPC with a private and a public subnet per zone; nodes use only the private ones."""

    vpc_id: pulumi.Output[str]
    private_subnet_ids: pulumi.Output[list[str]]
    """Usable as soon as known: each is known only once its route out exists."""
    public_subnet_ids: pulumi.Output[list[str]]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("llm-serving:index:Network", name, {**args}, opts)
        child = pulumi.ResourceOptions(parent=self)
        plan = plan_subnets(args["cidr"], args["availability_zones"])
        self._prefix = name
        self._cluster_name = args["cluster_name"]

        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=args["cidr"],
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags={"Name": args["cluster_name"]},
            opts=child,
        )
        # Without rules nothing can use the group that AWS puts on whatever names no group of its own.
        aws.ec2.DefaultSecurityGroup(f"{name}-default", vpc_id=vpc.id, opts=child)
        public, public_ready = self._public_subnets(vpc, plan)
        gateways = self._nat_gateways(plan, public, args.get("nat_gateways", NAT_PER_ZONE), public_ready)
        private, tables, private_ready = self._private_subnets(vpc, plan, gateways)
        create_endpoints(
            name,
            vpc,
            subnet_ids=[subnet.id for subnet in private],
            route_table_ids=[table.id for table in tables],
            services=args.get("interface_endpoints", []),
            region=args["region"],
            opts=child,
        )
        if args.get("flow_logs", False):
            create_flow_logs(
                name,
                vpc,
                cluster_name=args["cluster_name"],
                permissions_boundary=args.get("permissions_boundary"),
                opts=child,
            )

        self.vpc_id = vpc.id
        self.private_subnet_ids = _ids_after(private, private_ready)
        self.public_subnet_ids = _ids_after(public, public_ready)
        self.register_outputs(
            {
                "vpcId": self.vpc_id,
                "privateSubnetIds": self.private_subnet_ids,
                "publicSubnetIds": self.public_subnet_ids,
            },
        )

    def _public_subnets(
        self, vpc: aws.ec2.Vpc, plan: Sequence[ZoneSubnets]
    ) -> tuple[list[aws.ec2.Subnet], list[pulumi.CustomResource]]:
        child = pulumi.ResourceOptions(parent=self)
        internet = aws.ec2.InternetGateway(f"{self._prefix}-internet", vpc_id=vpc.id, opts=child)
        table = aws.ec2.RouteTable(f"{self._prefix}-public", vpc_id=vpc.id, opts=child)
        route = aws.ec2.Route(
            f"{self._prefix}-public-internet",
            route_table_id=table.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=internet.id,
            opts=child,
        )
        subnets: list[aws.ec2.Subnet] = []
        ready: list[pulumi.CustomResource] = [route]
        for zone in plan:
            subnet = aws.ec2.Subnet(
                f"{self._prefix}-public-{zone.zone}",
                vpc_id=vpc.id,
                availability_zone=zone.zone,
                cidr_block=zone.public_cidr,
                tags={"Name": f"{self._cluster_name}-public-{zone.zone}", "kubernetes.io/role/elb": "1"},
                opts=child,
            )
            subnets.append(subnet)
            ready.append(
                aws.ec2.RouteTableAssociation(
                    f"{self._prefix}-public-{zone.zone}", route_table_id=table.id, subnet_id=subnet.id, opts=child
                )
            )
        return subnets, ready

    def _nat_gateways(
        self,
        plan: Sequence[ZoneSubnets],
        public: Sequence[aws.ec2.Subnet],
        mode: str,
        public_ready: Sequence[pulumi.CustomResource],
    ) -> list[aws.ec2.NatGateway]:
        """One gateway per zone, one for all, or none. A gateway needs the internet gateway's route to be of use."""
        count = {NAT_PER_ZONE: len(plan), NAT_SINGLE: 1, NAT_NONE: 0}[mode]
        gateways: list[aws.ec2.NatGateway] = []
        for zone, subnet in list(zip(plan, public, strict=True))[:count]:
            address = aws.ec2.Eip(
                f"{self._prefix}-nat-{zone.zone}",
                domain="vpc",
                tags={"Name": f"{self._cluster_name}-nat-{zone.zone}"},
                opts=pulumi.ResourceOptions(parent=self, depends_on=list(public_ready)),
            )
            gateways.append(
                aws.ec2.NatGateway(
                    f"{self._prefix}-nat-{zone.zone}",
                    allocation_id=address.id,
                    subnet_id=subnet.id,
                    tags={"Name": f"{self._cluster_name}-{zone.zone}"},
                    opts=pulumi.ResourceOptions(parent=self, depends_on=list(public_ready)),
                )
            )
        return gateways

    def _private_subnets(
        self, vpc: aws.ec2.Vpc, plan: Sequence[ZoneSubnets], gateways: Sequence[aws.ec2.NatGateway]
    ) -> tuple[list[aws.ec2.Subnet], list[aws.ec2.RouteTable], list[pulumi.CustomResource]]:
        child = pulumi.ResourceOptions(parent=self)
        subnets: list[aws.ec2.Subnet] = []
        tables: list[aws.ec2.RouteTable] = []
        ready: list[pulumi.CustomResource] = []
        for index, zone in enumerate(plan):
            logical = f"{self._prefix}-private-{zone.zone}"
            subnet = aws.ec2.Subnet(
                logical,
                vpc_id=vpc.id,
                availability_zone=zone.zone,
                cidr_block=zone.private_cidr,
                tags={
                    "Name": f"{self._cluster_name}-private-{zone.zone}",
                    "kubernetes.io/role/internal-elb": "1",
                    DISCOVERY_TAG: self._cluster_name,
                },
                opts=child,
            )
            table = aws.ec2.RouteTable(logical, vpc_id=vpc.id, opts=child)
            if gateways:
                ready.append(
                    aws.ec2.Route(
                        f"{logical}-nat",
                        route_table_id=table.id,
                        destination_cidr_block="0.0.0.0/0",
                        nat_gateway_id=gateways[min(index, len(gateways) - 1)].id,
                        opts=child,
                    )
                )
            ready.append(
                aws.ec2.RouteTableAssociation(logical, route_table_id=table.id, subnet_id=subnet.id, opts=child)
            )
            subnets.append(subnet)
            tables.append(table)
        return subnets, tables, ready


def _ids_after(subnets: Sequence[aws.ec2.Subnet], ready: Sequence[pulumi.CustomResource]) -> pulumi.Output[list[str]]:
    """Return the subnets' ids, as an output that also depends on the routes.

    Whatever is put into the subnets then comes after its way out exists and goes before it is cut: a node that is
    being drained still has to reach the control plane and the registries.
    """
    return pulumi.Output.all([subnet.id for subnet in subnets], [each.id for each in ready]).apply(lambda ids: ids[0])
