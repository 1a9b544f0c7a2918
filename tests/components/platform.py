"""Programs that several tests of the platform's components deploy."""

from typing import Any

import pulumi

from components.cluster import Cluster, ClusterArgs
from components.gpu_operator import GpuOperator
from components.karpenter import CpuNodePool, GpuNodePool, GpuNodePoolArgs, Karpenter
from components.network import Network
from offline.cloud import Cloud
from offline.harness import deploy
from offline.recording import Deployment

ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]
AMI = "al2023@v20260724"
ROLE = "arn:aws:iam::123456789012:role/platform"

CLUSTER: ClusterArgs = {
    "cluster_name": "demo",
    "region": "us-east-1",
    "kubernetes_version": "1.35",
    "vpc_id": "vpc-0a1b2c3d4e5f60718",
    "private_subnet_ids": ["subnet-0a1b2c3d4e5f60718", "subnet-1a1b2c3d4e5f60718"],
    "system_nodes": {"instance_types": ["m7i.large"], "min": 2, "max": 4, "disk_gib": 50},
}

G5: GpuNodePoolArgs = {
    "pool": "g5",
    "cluster_name": "demo",
    "node_role_name": "demo-karpenter-node",
    "instance_types": ["g5.12xlarge", "g5.2xlarge"],
    "capacity": ["on-demand"],
    "gpu_limit": 24,
    "zones": ZONES,
    "ami_alias": AMI,
}

P5_EFA: GpuNodePoolArgs = {
    "pool": "p5",
    "cluster_name": "demo",
    "node_role_name": "demo-karpenter-node",
    "instance_types": ["p5.48xlarge"],
    "capacity": ["reserved"],
    "reservations": [{"tags": {"pool": "p5"}, "zone": "us-east-1a"}],
    "gpu_limit": 16,
    "zones": ["us-east-1a"],
    "ami_alias": AMI,
    "efa": True,
    "vpc_id": "vpc-0a1b2c3d4e5f60718",
}


def cluster(**changes: Any) -> Deployment:
    """Deploy a cluster alone, with some inputs changed."""
    args: Any = {**CLUSTER, **changes}
    return deploy(lambda: Cluster("cluster", args))


def gpu_pool(base: GpuNodePoolArgs = G5, **changes: Any) -> Deployment:
    """Deploy one GPU pool alone, with some inputs changed."""
    args: Any = {**base, **changes}
    return deploy(lambda: GpuNodePool(args["pool"], args))


def platform() -> None:
    """Declare network, cluster, Karpenter, two pools and the GPU Operator in the order that a stack declares them."""
    network = Network(
        "network", {"cluster_name": "demo", "region": "us-east-1", "cidr": "10.40.0.0/16", "availability_zones": ZONES}
    )
    made = Cluster(
        "cluster",
        {
            **CLUSTER,
            "vpc_id": network.vpc_id,
            "private_subnet_ids": network.private_subnet_ids,
            "admins": [ROLE],
        },
    )
    inside = pulumi.ResourceOptions(providers=[made.kubernetes])
    karpenter = Karpenter(
        "karpenter",
        {"cluster_name": made.cluster_name, "region": "us-east-1", "account_id": "123456789012"},
        opts=inside,
    )
    after = pulumi.ResourceOptions(providers=[made.kubernetes], depends_on=[karpenter])
    GpuNodePool("g5", {**G5, "node_role_name": karpenter.node_role_name, "capacity": ["on-demand", "spot"]}, opts=after)
    CpuNodePool(
        "cpu",
        {"cluster_name": "demo", "node_role_name": karpenter.node_role_name, "ami_alias": AMI, "zones": ZONES},
        opts=after,
    )
    GpuOperator("gpu-operator", {"ami_family": "al2023"}, opts=inside)


def deployed_platform(cloud: Cloud | None = None, *, preview: bool = False) -> Deployment:
    """Deploy the whole platform."""
    return deploy(platform, cloud=cloud, preview=preview)
