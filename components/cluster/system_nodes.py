"""The managed node group that runs the controllers, so that Karpenter never runs on a node it manages itself."""

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from components.iam import NODE_POLICIES, ROLE_NAME_LIMIT, dns_suffix, fit, managed_policy, service_trust
from components.scheduling import POOL_LABEL, SYSTEM_POOL, SYSTEM_TAINT

AMI_TYPE = "AL2023_x86_64_STANDARD"
ROOT_DEVICE = "/dev/xvda"
"""Of Amazon Linux 2023."""


def create_system_nodes(
    name: str,
    *,
    cluster_name: str,
    region: str,
    cluster: pulumi.Input[str],
    kubernetes_version: str,
    subnet_ids: pulumi.Input[Sequence[pulumi.Input[str]]],
    nodes: dict[str, Any],
    permissions_boundary: str | None,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource],
) -> aws.eks.NodeGroup:
    """Create the role, the launch template and the tainted node group, which waits for what nodes need to be Ready."""
    child = pulumi.ResourceOptions(parent=parent)
    role, attachments = _node_role(name, cluster_name, region, permissions_boundary, child)
    template = _launch_template(name, cluster_name, int(nodes["disk_gib"]), child)
    minimum = int(nodes["min"])
    return aws.eks.NodeGroup(
        f"{name}-system",
        cluster_name=cluster,
        node_role_arn=role.arn,
        subnet_ids=subnet_ids,
        version=kubernetes_version,
        ami_type=AMI_TYPE,
        capacity_type="ON_DEMAND",
        instance_types=list(nodes["instance_types"]),
        launch_template={"id": template.id, "version": template.latest_version.apply(str)},
        scaling_config={"min_size": minimum, "max_size": int(nodes["max"]), "desired_size": minimum},
        update_config={"max_unavailable": 1},
        node_repair_config={"enabled": True},
        labels={POOL_LABEL: SYSTEM_POOL},
        taints=[{"key": SYSTEM_TAINT["key"], "value": SYSTEM_TAINT["value"], "effect": "NO_SCHEDULE"}],
        opts=pulumi.ResourceOptions(
            parent=parent,
            depends_on=[*attachments, *depends_on],
            ignore_changes=["scalingConfig.desiredSize"],
        ),
    )


def _node_role(
    name: str, cluster_name: str, region: str, permissions_boundary: str | None, opts: pulumi.ResourceOptions
) -> tuple[aws.iam.Role, list[aws.iam.RolePolicyAttachment]]:
    """Return the nodes' role and what must be attached to it before a node can join."""
    role = aws.iam.Role(
        f"{name}-system",
        name=fit(f"{cluster_name}-system-node", ROLE_NAME_LIMIT),
        assume_role_policy=service_trust(f"ec2.{dns_suffix(region)}"),
        permissions_boundary=permissions_boundary,
        opts=opts,
    )
    attachments = [
        aws.iam.RolePolicyAttachment(
            f"{name}-system-{policy}", role=role.name, policy_arn=managed_policy(region, policy), opts=opts
        )
        for policy in NODE_POLICIES
    ]
    return role, attachments


def _launch_template(
    name: str, cluster_name: str, disk_gib: int, opts: pulumi.ResourceOptions
) -> aws.ec2.LaunchTemplate:
    return aws.ec2.LaunchTemplate(
        f"{name}-system",
        block_device_mappings=[
            {
                "device_name": ROOT_DEVICE,
                "ebs": {
                    "volume_size": disk_gib,
                    "volume_type": "gp3",
                    "encrypted": "true",
                    "delete_on_termination": "true",
                },
            }
        ],
        # One hop: pods cannot take the node's role from the metadata service, they have Pod Identity.
        metadata_options={"http_tokens": "required", "http_put_response_hop_limit": 1, "http_endpoint": "enabled"},
        tag_specifications=[
            {"resource_type": kind, "tags": {"Name": f"{cluster_name}-{SYSTEM_POOL}"}}
            for kind in ("instance", "volume")
        ],
        opts=opts,
    )
