"""The models: namespace, cache, weights, servers."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components import versions
from components.model_cache import ModelCache, ModelPreload, model_directory
from components.model_sizing import ModelSizing
from components.pod_identity import PodIdentity
from components.registries import image
from components.vllm import API_KEY_SECRET, HUGGING_FACE_SECRET, ServingNamespace, VllmModel
from infra.config import Secrets
from infra.decisions import Decisions
from infra.layers.foundation import Foundation
from infra.layers.platform import Platform
from infra.permissions import read_policy
from infra.planning.models import ModelPlan
from infra.planning.pools import PoolPlan, may_surge
from infra.settings.rules import is_bucket, is_hub

NAMESPACE = "serving"


@dataclass(frozen=True)
class Serving:
    """What every model stands on."""

    foundation: Foundation
    platform: Platform
    namespace: ServingNamespace
    cache: ModelCache
    secrets: Secrets
    pools: Sequence[PoolPlan]


def serve(
    foundation: Foundation, platform: Platform, decisions: Decisions, secrets: Secrets
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
            "cluster_name": foundation.cluster_name,
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
    serving = Serving(foundation, platform, namespace, cache, secrets, decisions.pools)
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
            "surge": may_surge(plan, serving.pools),
            "efa": all(pool.efa for pool in plan.pools),
            "interruptible": any("spot" in pool.capacity for pool in plan.pools),
            "spread_zones": all(pool.capacity[0] != "reserved" for pool in plan.pools),
            "api_key_secret": API_KEY_SECRET if serving.secrets.api_key else None,
            "client_namespaces": list(config.access.client_namespaces),
            "metrics_namespaces": list(config.access.metrics_namespaces),
            "cache_throughput": config.cache.throughput,
        },
        foundation.after(serving.namespace, cache, *weights, *pools, *serving.platform.devices),
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
