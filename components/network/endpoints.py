"""Private ways to AWS services: model weights and image layers that come from S3 then skip the NAT gateway's bill."""

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws


def service_name(region: str, service: str) -> str:
    """Name of an endpoint service in a region; China's partition turns the domain around."""
    prefix = "cn.com.amazonaws" if region.startswith("cn-") else "com.amazonaws"
    return f"{prefix}.{region}.{service}"


def create_endpoints(
    name: str,
    vpc: aws.ec2.Vpc,
    *,
    subnet_ids: Sequence[pulumi.Input[str]],
    route_table_ids: Sequence[pulumi.Input[str]],
    services: Sequence[str],
    region: str,
    opts: pulumi.ResourceOptions,
) -> None:
    """Create the gateway endpoint of S3, which is free, and one interface endpoint per named service."""
    aws.ec2.VpcEndpoint(
        f"{name}-s3",
        vpc_id=vpc.id,
        service_name=service_name(region, "s3"),
        vpc_endpoint_type="Gateway",
        route_table_ids=list(route_table_ids),
        opts=opts,
    )
    if not services:
        return
    group = aws.ec2.SecurityGroup(
        f"{name}-endpoints",
        vpc_id=vpc.id,
        description="HTTPS from inside the VPC to the interface endpoints",
        ingress=[
            {"protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_blocks": [vpc.cidr_block]},
        ],
        opts=opts,
    )
    for service in services:
        aws.ec2.VpcEndpoint(
            f"{name}-{service.replace('.', '-')}",
            vpc_id=vpc.id,
            service_name=service_name(region, service),
            vpc_endpoint_type="Interface",
            private_dns_enabled=True,
            subnet_ids=list(subnet_ids),
            security_group_ids=[group.id],
            opts=opts,
        )
