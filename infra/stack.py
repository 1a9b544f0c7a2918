"""The whole deployment: network, cluster, platform, serving, each after what it needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws

from components import versions
from components.cluster import Cluster
from components.gpu_operator import GpuOperator, GpuOperatorArgs
from components.karpenter import CpuNodePool, CpuNodePoolArgs, GpuNodePool, GpuNodePoolArgs, Karpenter
from components.model_cache import ModelCache, ModelPreload, model_directory
from components.model_sizing import ModelSizing
from components.network import Network
from components.pod_identity import PodIdentity
from components.registries import RegistriesArgs, image
from components.vllm import API_KEY_SECRET, HUGGING_FACE_SECRET, ServingNamespace, VllmModel
from infra.config import InvalidStack, Secrets, read_secrets, read_settings
from infra.decisions import Decisions, decide
from infra.outputs import export
from infra.permissions import read_policy
from infra.planning.models import ModelPlan
from infra.planning.pools import PoolPlan, reservation
from infra.settings.rules import is_bucket, is_hub
from infra.settings.sections import StackConfig

ROOT = Path(__file__).resolve().parents[1]
"""Folder of Pulumi.yaml; what stack files name is relative to it."""
NAMESPACE = "serving"
CONTROL_PLANE_LOGS = ["api", "audit", "authenticator"]
AMI_FAMILY = "al2023"


@dataclass(frozen=True)
class Foundation:
    """What the rest of the stack stands on."""

    config: StackConfig
    aws: aws.Provider
    cluster: Cluster
    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[list[pulumi.Input[str]]]
    registries: RegistriesArgs

    def after(self, *dependencies: pulumi.Resource) -> pulumi.ResourceOptions:
        """Return the options of a component inside the cluster that needs these others."""
        providers = [self.aws, self.cluster.kubernetes]
        return pulumi.ResourceOptions(providers=providers, depends_on=[self.cluster, *dependencies])


@dataclass(frozen=True)
class Platform:
    """What gives pods their nodes and GPUs."""

    cpu_pool: CpuNodePool
    gpu_pools: Mapping[str, GpuNodePool]
    """By the pool's name."""
    operator: GpuOperator


@dataclass(frozen=True)
class Serving:
    """What every model stands on."""

    foundation: Foundation
    platform: Platform
    namespace: ServingNamespace
    cache: ModelCache
    secrets: Secrets


def deploy() -> None:
    """Read the settings, decide, and declare everything.

    Raises:
        InvalidStack: with every problem, before any resource is registered.

    """
    settings, secrets = read_settings(), read_secrets()
    config = settings.config
    decisions = decide(
        config,
        ROOT,
        token=secrets.hugging_face_token is not None,
        api_key=secrets.api_key is not None,
        ignored=settings.ignored,
    )
    if settings.problems or decisions.problems:
        raise InvalidStack(pulumi.get_stack(), (*settings.problems, *decisions.problems))
    for warning in decisions.warnings:
        pulumi.log.warn(str(warning).strip())
    foundation = _foundation(config)
    platform = _platform(foundation, decisions)
    endpoints = _serving(foundation, decisions, secrets, platform)
    export(config, decisions, foundation.cluster, endpoints)


def cluster_name() -> str:
    """Return the cluster's physical name, which tags, IAM conditions and the names of roles and queue carry."""
    return f"{pulumi.get_project()}-{pulumi.get_stack()}"


def _foundation(config: StackConfig) -> Foundation:
    name = cluster_name()
    provider = aws.Provider("aws", region=config.region, default_tags={"tags": _tags(config)})
    outside = pulumi.ResourceOptions(providers=[provider])
    network = _network(config, name, outside)
    if network is None:
        vpc_id: pulumi.Input[str] = config.network.vpc_id or ""
        private: Any = list(config.network.private_subnet_ids)
        public: Any = list(config.network.public_subnet_ids)
    else:
        vpc_id, private, public = network.vpc_id, network.private_subnet_ids, network.public_subnet_ids
    nodes = config.system_nodes
    cluster = Cluster(
        "cluster",
        {
            "cluster_name": name,
            "region": config.region,
            "kubernetes_version": config.kubernetes_version,
            "vpc_id": vpc_id,
            "private_subnet_ids": private,
            "public_subnet_ids": public,
            "endpoint_public_cidrs": list(config.access.public_cidrs),
            "admins": list(config.access.admins),
            "readers": list(config.access.readers),
            "log_types": CONTROL_PLANE_LOGS,
            "system_nodes": {
                "instance_types": list(nodes.instance_types),
                "min": nodes.min,
                "max": nodes.max,
                "disk_gib": nodes.disk_gib,
            },
            "addon_versions": dict(config.addon_versions),
            "protect": config.protect,
            "permissions_boundary": config.permissions_boundary,
        },
        pulumi.ResourceOptions.merge(outside, pulumi.ResourceOptions(depends_on=[network] if network else [])),
    )
    return Foundation(config, provider, cluster, vpc_id, private, _registries(config))


def _network(config: StackConfig, name: str, opts: pulumi.ResourceOptions) -> Network | None:
    """Return the stack's own network; None where it lives in an existing VPC."""
    network = config.network
    if network.vpc_id:
        return None
    return Network(
        "network",
        {
            "cluster_name": name,
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


def _platform(foundation: Foundation, decisions: Decisions) -> Platform:
    """Declare the node autoscaler, its pools and the GPU operator."""
    config, cluster = foundation.config, foundation.cluster
    account = aws.get_caller_identity_output(opts=pulumi.InvokeOutputOptions(provider=foundation.aws)).account_id
    karpenter = Karpenter(
        "karpenter",
        {
            "cluster_name": cluster.cluster_name,
            "region": config.region,
            "account_id": account,
            "permissions_boundary": config.permissions_boundary,
            "registries": foundation.registries,
        },
        foundation.after(),
    )
    cpu: CpuNodePoolArgs = {
        "cluster_name": cluster.cluster_name,
        "node_role_name": karpenter.node_role_name,
        "ami_alias": versions.AL2023_AMI,
        "zones": list(config.network.availability_zones),
    }
    if config.network.vpc_id:
        # The subnets of an existing VPC do not carry our discovery tag.
        cpu["subnet_ids"] = foundation.subnet_ids
    operator: GpuOperatorArgs = {"ami_family": AMI_FAMILY, "registries": foundation.registries}
    return Platform(
        cpu_pool=CpuNodePool("cpu", cpu, foundation.after(karpenter)),
        gpu_pools={planned.pool.name: _gpu_pool(foundation, planned, karpenter) for planned in decisions.pools},
        operator=GpuOperator("gpu-operator", operator, foundation.after()),
    )


def _gpu_pool(foundation: Foundation, planned: PoolPlan, karpenter: Karpenter) -> GpuNodePool:
    pool = planned.pool
    args: GpuNodePoolArgs = {
        "pool": pool.name,
        "cluster_name": foundation.cluster.cluster_name,
        "node_role_name": karpenter.node_role_name,
        "ami_alias": versions.AL2023_AMI,
        "instance_types": list(planned.instance_types),
        "capacity": list(pool.capacity),
        "gpu_limit": planned.gpu_limit,
        "zones": list(planned.zones),
        "reservations": [reservation(each) for each in pool.reservations],
        "capacity_block": pool.capacity_block,
        "maintenance_windows": [
            {"days": list(window.days), "start_utc": window.start_utc, "hours": window.hours}
            for window in pool.maintenance_windows
        ],
        "consolidate_after_minutes": pool.consolidate_after_minutes,
        "tags": _tags(foundation.config),
    }
    if pool.volume_gib is not None:
        args["volume_gib"] = pool.volume_gib
    if foundation.config.network.vpc_id:
        args["subnet_ids"] = foundation.subnet_ids
    return GpuNodePool(pool.name, args, foundation.after(karpenter))


def _serving(
    foundation: Foundation, decisions: Decisions, secrets: Secrets, platform: Platform
) -> dict[str, pulumi.Output[str]]:
    """Declare the namespace, the cache and every model; return the models' endpoints by name."""
    config = foundation.config
    protect = config.protect if config.cache.protect is None else config.cache.protect
    namespace = ServingNamespace(
        "serving",
        {
            "namespace": NAMESPACE,
            "hugging_face_token": secrets.hugging_face_token,
            "api_key": secrets.api_key,
        },
        foundation.after(),
    )
    cache = ModelCache(
        "model-cache",
        {
            "cluster_name": cluster_name(),
            "vpc_id": foundation.vpc_id,
            "zones": list(config.network.availability_zones),
            "subnet_ids": foundation.subnet_ids,
            "client_security_group_id": foundation.cluster.security_group_id,
            "namespace": NAMESPACE,
            "throughput_mode": config.cache.throughput,
            "provisioned_mibps": config.cache.provisioned_mibps,
            "protect": protect,
            "retain_on_delete": config.cache.retain_on_delete,
        },
        foundation.after(namespace),
    )
    serving = Serving(foundation, platform, namespace, cache, secrets)
    return {plan.model.name: _model(serving, plan) for plan in decisions.models}


def _model(serving: Serving, plan: ModelPlan) -> pulumi.Output[str]:
    """Declare one model: its decision, its weights, its servers."""
    model, foundation, cache = plan.model, serving.foundation, serving.cache
    config = foundation.config
    decision = plan.to_json(config.cache.throughput)
    ModelSizing(f"{model.name}-sizing", {"decision": decision})
    weights = _weights(serving, plan)
    pools = [serving.platform.gpu_pools[pool.name] for pool in plan.pools]
    servers = VllmModel(
        model.name,
        {
            "decision": decision,
            "namespace": NAMESPACE,
            "image": image(versions.VLLM_IMAGE, foundation.registries),
            "model_path": _model_path(plan),
            "claim_name": cache.claim_name,
            "pools": [pool.name for pool in plan.pools],
            "replicas": plan.decision.replicas,
            "output_tokens": model.output_tokens,
            "surge": plan.surge,
            "api_key_secret": API_KEY_SECRET if serving.secrets.api_key else None,
            "client_namespaces": list(config.access.client_namespaces),
            "metrics_namespaces": list(config.access.metrics_namespaces),
            "cache_throughput": config.cache.throughput,
        },
        foundation.after(serving.namespace, cache, *weights, *pools, serving.platform.operator),
    )
    return servers.endpoint


def _weights(serving: Serving, plan: ModelPlan) -> list[pulumi.Resource]:
    """Declare how the weights reach the servers; return what those must wait for."""
    model, foundation = plan.model, serving.foundation
    if is_hub(model.source):
        preload = ModelPreload(
            f"{model.name}-weights",
            {
                "model": model.name,
                "source": model.source,
                "revision": model.revision or "main",
                "namespace": NAMESPACE,
                "image": image(versions.VLLM_IMAGE, foundation.registries),
                "claim_name": serving.cache.claim_name,
                "checkpoint_bytes": plan.decision.checkpoint_bytes,
                "token_secret": HUGGING_FACE_SECRET if serving.secrets.hugging_face_token else None,
            },
            foundation.after(serving.namespace, serving.cache, serving.platform.cpu_pool),
        )
        return [preload]
    if is_bucket(model.source):
        identity = PodIdentity(
            f"{model.name}-weights",
            {
                "cluster_name": foundation.cluster.cluster_name,
                "namespace": NAMESPACE,
                "service_account": model.name,
                "policies": {"read": read_policy(model.source, foundation.config.region)},
                "permissions_boundary": foundation.config.permissions_boundary,
            },
            foundation.after(serving.namespace),
        )
        return [identity]
    return []


def _model_path(plan: ModelPlan) -> str:
    model = plan.model
    return model_directory(model.name, model.revision or "main") if is_hub(model.source) else model.source


def _registries(config: StackConfig) -> RegistriesArgs:
    """Return the mirrors; a directory of charts is relative to Pulumi.yaml, Helm runs elsewhere."""
    charts = config.registries.charts
    if charts and "://" not in charts:
        charts = str((ROOT / charts).resolve())
    registries: RegistriesArgs = {}
    if charts:
        registries["charts"] = charts
    if config.registries.images:
        registries["images"] = config.registries.images
    return registries


def _tags(config: StackConfig) -> dict[str, str]:
    return {"project": pulumi.get_project(), "stack": pulumi.get_stack(), **config.tags}
