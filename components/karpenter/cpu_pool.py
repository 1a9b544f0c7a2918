"""Nodes without GPUs, from zero: for Jobs that download models."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import pulumi

from components.karpenter.budgets import EMPTY_BUDGET, HELD_BACK
from components.karpenter.node_class import node_class
from components.karpenter.node_pool import Lifetime, PoolTemplate, any_of, node_pool
from components.karpenter.objects import create_node_class, create_node_pool
from components.karpenter.storage import Storage, root_volume_gib
from components.scheduling import CPU_POOL, EFS_STARTUP_TAINT, POOL_LABEL

FAMILIES = ["c7i", "m7i", "c6i", "m6i"]
"""amd64 with at least 12.5 Gbit/s bursts: a download is bound by the network, then by EFS."""
VCPUS_BETWEEN = ("3", "33")
"""Exclusive bounds: 4 to 32 vCPUs. Smaller nodes hold no Job beside the DaemonSets, larger ones serve no purpose."""
VCPU_LIMIT = 64
"""Downloads of several models at once; more would wait for the file system."""
DRAIN_MINUTES = 60


class CpuNodePoolArgs(TypedDict):
    """Inputs of CpuNodePool."""

    cluster_name: pulumi.Input[str]
    """Value of the discovery tags."""
    node_role_name: pulumi.Input[str]
    """Role of the nodes, by name."""
    instance_profile: NotRequired[pulumi.Input[str]]
    """Existing instance profile instead of one that Karpenter makes for the role, where it cannot reach IAM."""
    ami_alias: str
    """``al2023@v…`` or ``bottlerocket@v…``."""
    zones: list[str]
    """Zones of the pool's subnets."""
    tags: NotRequired[dict[str, str]]
    """AWS tags of the instances and volumes."""
    subnet_ids: NotRequired[pulumi.Input[Sequence[pulumi.Input[str]]]]
    """Subnets by id instead of by discovery tag."""
    security_group_id: NotRequired[pulumi.Input[str]]
    """Security group of the nodes by id instead of by discovery tag."""


class CpuNodePool(pulumi.ComponentResource):
    """EC2NodeClass and NodePool named ``cpu``."""

    node_class_name: pulumi.Output[str]
    node_pool_names: pulumi.Output[list[str]]

    def __init__(self, name: str, args: CpuNodePoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("llm-serving:index:CpuNodePool", name, {**args}, opts)
        nodes = create_node_class(
            name,
            node_class(
                CPU_POOL,
                cluster_name=args["cluster_name"],
                node_role_name=args["node_role_name"],
                ami_alias=args["ami_alias"],
                storage=Storage(root_volume_gib(images=1), instance_store=False),
                fast_image_pull=True,
                instance_profile=args.get("instance_profile"),
                tags=args.get("tags"),
                subnet_ids=args.get("subnet_ids"),
                security_group_id=args.get("security_group_id"),
            ),
            parent=self,
        )
        more_than, less_than = VCPUS_BETWEEN
        template = PoolTemplate(
            node_class_name=CPU_POOL,
            labels={POOL_LABEL: CPU_POOL},
            requirements=[
                any_of("karpenter.k8s.aws/instance-family", FAMILIES),
                {"key": "karpenter.k8s.aws/instance-cpu", "operator": "Gt", "values": [more_than]},
                {"key": "karpenter.k8s.aws/instance-cpu", "operator": "Lt", "values": [less_than]},
                any_of("kubernetes.io/arch", ["amd64"]),
                any_of("kubernetes.io/os", ["linux"]),
            ],
            lifetime=Lifetime(
                consolidate_after_minutes=5, expire_after_hours=168, termination_grace_minutes=DRAIN_MINUTES
            ),
            # A download of hours is not worth interrupting for a smaller node.
            budgets=[EMPTY_BUDGET, {"nodes": "0", "reasons": HELD_BACK}],
            limits={"cpu": str(VCPU_LIMIT)},
            startup_taints=[EFS_STARTUP_TAINT],
        )
        create_node_pool(
            name,
            node_pool(CPU_POOL, template, capacity="on-demand", weight=None, zones=args["zones"]),
            drain_minutes=DRAIN_MINUTES,
            parent=self,
            depends_on=[nodes],
        )
        self.node_class_name = pulumi.Output.from_input(CPU_POOL)
        self.node_pool_names = pulumi.Output.from_input([CPU_POOL])
        self.register_outputs({"nodeClassName": self.node_class_name, "nodePoolNames": self.node_pool_names})
