"""What gives pods their nodes and GPUs: Karpenter, its pools, the GPU Operator, the EFA device plugin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components import versions
from components.efa_device_plugin import EfaDevicePlugin
from components.gpu_operator import GpuOperator, GpuOperatorArgs
from components.karpenter import CpuNodePool, CpuNodePoolArgs, GpuNodePool, GpuNodePoolArgs, Karpenter
from infra.layers.foundation import Foundation
from infra.planning.pools import PoolPlan, reservation, shares


@dataclass(frozen=True)
class Platform:
    """What model servers stand on, beside the cluster."""

    cpu_pool: CpuNodePool
    gpu_pools: Mapping[str, GpuNodePool]
    """By the pool's name."""
    devices: Sequence[pulumi.Resource]
    """What makes GPUs and EFA interfaces appear on nodes."""


def build_platform(foundation: Foundation, pools: Sequence[PoolPlan]) -> Platform:
    """Declare the node autoscaler, its pools and what their devices need."""
    karpenter = _karpenter(foundation, pools)
    return Platform(
        cpu_pool=_cpu_pool(foundation, karpenter),
        gpu_pools={planned.pool.name: _gpu_pool(foundation, planned, karpenter) for planned in pools},
        devices=[_gpu_operator(foundation, pools), *_efa_plugin(foundation, pools)],
    )


def _karpenter(foundation: Foundation, pools: Sequence[PoolPlan]) -> Karpenter:
    config = foundation.config
    account = aws.get_caller_identity_output(opts=pulumi.InvokeOutputOptions(provider=foundation.aws)).account_id
    return Karpenter(
        "karpenter",
        {
            "cluster_name": foundation.cluster.cluster_name,
            "region": config.region,
            "account_id": account,
            "node_needs_cni_policy": config.cluster.node_needs_cni_policy,
            "isolated_vpc": _is_isolated(foundation),
            "static_capacity": any(planned.pool.static_nodes is not None for planned in pools),
            "node_overlay": any(planned.pool.sharing is not None for planned in pools),
            "permissions_boundary": config.permissions_boundary,
            "registries": foundation.registries,
        },
        foundation.after(),
    )


def _is_isolated(foundation: Foundation) -> bool:
    """Tell whether nodes and controllers reach nothing outside of the VPC's endpoints."""
    return foundation.config.network.nat_gateways == "none"


def _cpu_pool(foundation: Foundation, karpenter: Karpenter) -> CpuNodePool:
    args: CpuNodePoolArgs = {
        "cluster_name": foundation.cluster.cluster_name,
        "node_role_name": karpenter.node_role_name,
        "ami_alias": versions.AL2023_AMI,
        "zones": list(foundation.config.network.availability_zones),
        "tags": {**foundation.tags},
    }
    if _is_isolated(foundation):
        args["instance_profile"] = karpenter.node_instance_profile
    # What belongs to somebody else does not carry our discovery tag.
    if foundation.config.network.vpc_id:
        args["subnet_ids"] = foundation.subnet_ids
    if foundation.config.cluster.name:
        args["security_group_id"] = foundation.cluster.security_group_id
    return CpuNodePool("cpu", args, foundation.after(karpenter))


def _gpu_pool(foundation: Foundation, planned: PoolPlan, karpenter: Karpenter) -> GpuNodePool:
    pool, config = planned.pool, foundation.config
    args: GpuNodePoolArgs = {
        "pool": pool.name,
        "cluster_name": foundation.cluster.cluster_name,
        "node_role_name": karpenter.node_role_name,
        "ami_alias": pool.alias,
        "allow_latest_ami": config.allow_latest_ami,
        "instance_types": list(planned.instance_types),
        "capacity": list(pool.capacity),
        "gpu_limit": planned.gpu_limit,
        "zones": list(pool.zones or config.network.availability_zones),
        "check_offerings": True,
        "reservations": [reservation(each) for each in pool.reservations],
        "capacity_block": pool.capacity_block,
        "efa": pool.efa,
        "vpc_id": foundation.vpc_id,
        "maintenance_windows": [
            {"days": list(window.days), "start_utc": window.start_utc, "hours": window.hours}
            for window in pool.maintenance_windows
        ],
        "consolidate_after_minutes": pool.consolidate_after_minutes,
        "tags": {**foundation.tags},
    }
    if _is_isolated(foundation):
        args["instance_profile"] = karpenter.node_instance_profile
    if pool.static_nodes is not None:
        args["static_nodes"] = pool.static_nodes
    if pool.placement_group is not None:
        args["placement_group"] = pool.placement_group
    if pool.sharing is not None:
        args["sharing"] = shares(pool.sharing)
    if planned.grace_minutes is not None:
        args["termination_grace_minutes"] = planned.grace_minutes
    if pool.volume_gib is not None:
        args["volume_gib"] = pool.volume_gib
    if config.network.vpc_id:
        args["subnet_ids"] = foundation.subnet_ids
    if config.cluster.name:
        args["security_group_id"] = foundation.cluster.security_group_id
    return GpuNodePool(pool.name, args, foundation.after(karpenter))


def _gpu_operator(foundation: Foundation, pools: Sequence[PoolPlan]) -> GpuOperator:
    sharing = [planned.pool.sharing for planned in pools if planned.pool.sharing]
    families = {planned.pool.ami_family for planned in pools}
    args: GpuOperatorArgs = {
        # Nodes of the other family are opted out of what their system brings along, one by one, by labels.
        "ami_family": "bottlerocket" if families == {"bottlerocket"} else "al2023",
        "time_slices": [each.time_slices for each in sharing if each.time_slices],
        "mig": any(each.mig_profile for each in sharing),
        "registries": foundation.registries,
    }
    return GpuOperator("gpu-operator", args, foundation.after())


def _efa_plugin(foundation: Foundation, pools: Sequence[PoolPlan]) -> list[pulumi.Resource]:
    """Return the device plugin of pools with EFA, where there are any."""
    types = dict.fromkeys(name for planned in pools if planned.pool.efa for name in planned.instance_types)
    if not types:
        return []
    return [
        EfaDevicePlugin(
            "efa-device-plugin",
            {"instance_types": list(types), "registries": foundation.registries},
            foundation.after(),
        )
    ]
