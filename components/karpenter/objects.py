"""Karpenter's objects as Pulumi resources, with the time that creating and deleting them takes."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

INSTANCE_MINUTES = 15
"""From the end of a drain until EC2 has terminated the instance and Karpenter has dropped the NodeClaim."""


def create_node_class(name: str, manifest: Mapping[str, Any], *, parent: pulumi.Resource) -> pulumi.CustomResource:
    """Create an EC2NodeClass; its finalizer waits until no NodeClaim uses it."""
    return _custom_resource(
        name,
        manifest,
        pulumi.ResourceOptions(
            parent=parent, custom_timeouts=pulumi.CustomTimeouts(create="10m", update="10m", delete="30m")
        ),
    )


def create_node_pool(
    name: str,
    manifest: Mapping[str, Any],
    *,
    drain_minutes: int,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource],
) -> pulumi.CustomResource:
    """Create a NodePool; deleting it (in the foreground) waits until all of its nodes are drained and gone."""
    delete = f"{max(30, drain_minutes + INSTANCE_MINUTES)}m"
    return _custom_resource(
        name,
        manifest,
        pulumi.ResourceOptions(
            parent=parent, depends_on=list(depends_on), custom_timeouts=pulumi.CustomTimeouts(delete=delete)
        ),
    )


def create_object(name: str, manifest: Mapping[str, Any], *, parent: pulumi.Resource) -> pulumi.CustomResource:
    """Create an object that has no side effect in AWS, such as a NodeOverlay."""
    return _custom_resource(name, manifest, pulumi.ResourceOptions(parent=parent))


def _custom_resource(name: str, manifest: Mapping[str, Any], opts: pulumi.ResourceOptions) -> pulumi.CustomResource:
    return kubernetes.apiextensions.CustomResource(
        name,
        api_version=manifest["apiVersion"],
        kind=manifest["kind"],
        metadata=manifest["metadata"],
        spec=manifest["spec"],
        opts=opts,
    )
