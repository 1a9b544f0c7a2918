"""Network and cluster, made or somebody else's, and what everything inside the cluster is declared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws

from components.cluster import Cluster, ExistingCluster
from components.network import Network
from components.registries import RegistriesArgs
from infra.settings.sections import StackConfig, local_charts

ROOT = Path(__file__).resolve().parents[2]
"""Folder of Pulumi.yaml; what stack files name is relative to it."""
CONTROL_PLANE_LOGS = ["api", "audit", "authenticator"]


@dataclass(frozen=True)
class Foundation:
    """What the rest of the stack stands on."""

    config: StackConfig
    aws: aws.Provider
    cluster: Cluster | ExistingCluster
    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[list[pulumi.Input[str]]]
    registries: RegistriesArgs
    tags: Mapping[str, str]

    @property
    def cluster_name(self) -> str:
        """The cluster's physical name."""
        return cluster_name(self.config)

    def after(self, *dependencies: pulumi.Resource) -> pulumi.ResourceOptions:
        """Return the options of a component inside the cluster that needs these others."""
        providers = [self.aws, self.cluster.kubernetes]
        return pulumi.ResourceOptions(providers=providers, depends_on=[self.cluster, *dependencies])


def lay_foundation(config: StackConfig) -> Foundation:
    """Declare the AWS provider, the network and the cluster, as far as they are the stack's own."""
    tags = {"project": pulumi.get_project(), "stack": pulumi.get_stack(), **config.tags}
    provider = aws.Provider("aws", region=config.region, default_tags={"tags": tags})
    outside = pulumi.ResourceOptions(providers=[provider])
    network = _network(config, outside)
    if network is None:
        vpc_id: pulumi.Input[str] = config.network.vpc_id or ""
        private: Any = list(config.network.private_subnet_ids)
        public: Any = list(config.network.public_subnet_ids)
    else:
        vpc_id, private, public = network.vpc_id, network.private_subnet_ids, network.public_subnet_ids
    if config.cluster.name is None:
        after_network = pulumi.ResourceOptions.merge(
            outside, pulumi.ResourceOptions(depends_on=[network] if network else [])
        )
        cluster = _cluster(config, vpc_id, (private, public), after_network)
    else:
        cluster = _existing_cluster(config, config.cluster.name, outside)
    return Foundation(config, provider, cluster, vpc_id, private, _registries(config), tags)


def cluster_name(config: StackConfig) -> str:
    """Return the cluster's physical name, which tags, IAM conditions and the names of roles and queue carry."""
    return config.cluster.name or f"{pulumi.get_project()}-{pulumi.get_stack()}"


def _network(config: StackConfig, opts: pulumi.ResourceOptions) -> Network | None:
    """Return the stack's own network; None where it lives in an existing VPC."""
    network = config.network
    if network.vpc_id:
        return None
    return Network(
        "network",
        {
            "cluster_name": cluster_name(config),
            "region": config.region,
            "cidr": network.cidr,
            "availability_zones": list(network.availability_zones),
            "nat_gateways": network.nat_gateways,
            "interface_endpoints": list(network.interface_endpoints),
            "flow_logs": network.flow_logs,
            "permissions_boundary": config.permissions_boundary,
        },
        opts,
    )


def _cluster(
    config: StackConfig, vpc_id: pulumi.Input[str], subnets: tuple[Any, Any], opts: pulumi.ResourceOptions
) -> Cluster:
    """Return a cluster of the stack's own; ``subnets`` are the private and the public ones."""
    private, public = subnets
    access, nodes = config.access, config.system_nodes
    return Cluster(
        "cluster",
        {
            "cluster_name": cluster_name(config),
            "region": config.region,
            "kubernetes_version": config.kubernetes_version,
            "vpc_id": vpc_id,
            "private_subnet_ids": private,
            "public_subnet_ids": public,
            "endpoint_public_cidrs": list(access.public_cidrs),
            "admins": list(access.admins),
            "readers": list(access.readers),
            "log_types": CONTROL_PLANE_LOGS,
            "system_nodes": {
                "instance_types": list(nodes.instance_types),
                "min": nodes.min,
                "max": nodes.max,
                "disk_gib": nodes.disk_gib,
            },
            "addon_versions": dict(config.addon_versions),
            "protect": config.protect,
            "extended_support": config.kubernetes_support_override is not None,
            "permissions_boundary": config.permissions_boundary,
            "kubeconfig_profile": access.kubeconfig_profile,
            "kubeconfig_role_arn": access.kubeconfig_role_arn,
        },
        opts,
    )


def _existing_cluster(config: StackConfig, name: str, opts: pulumi.ResourceOptions) -> ExistingCluster:
    return ExistingCluster(
        "cluster",
        {
            "cluster_name": name,
            "region": config.region,
            "kubernetes_version": config.kubernetes_version,
            "believed_vpc_id": config.network.vpc_id,
            "kubeconfig_profile": config.access.kubeconfig_profile,
            "kubeconfig_role_arn": config.access.kubeconfig_role_arn,
        },
        opts,
    )


def _registries(config: StackConfig) -> RegistriesArgs:
    """Return the mirrors; a directory of charts is relative to Pulumi.yaml, Helm runs elsewhere."""
    charts = config.registries.charts
    if charts and "://" not in charts:
        charts = str(local_charts(charts, ROOT))
    registries: RegistriesArgs = {}
    if charts:
        registries["charts"] = charts
    if config.registries.images:
        registries["images"] = config.registries.images
    return registries
