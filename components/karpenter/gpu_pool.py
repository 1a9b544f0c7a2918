"""One logical pool of GPU nodes."""

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from components.karpenter.budgets import disruption_budgets
from components.karpenter.checks import PoolFacts, pool_problems
from components.karpenter.efa import network_interfaces
from components.karpenter.node_class import ami_family, node_class
from components.karpenter.node_pool import WEIGHTS, Lifetime, PoolTemplate, any_of, capacity_pool_name, node_pool
from components.karpenter.objects import create_node_class, create_node_pool, create_object
from components.karpenter.offerings import offered_zones
from components.karpenter.sharing import node_overlays, sharing_labels
from components.karpenter.storage import Storage, choose_storage
from components.scheduling import EFS_STARTUP_TAINT, GPU_RESOURCE, GPU_TAINT, POOL_LABEL
from components.sizing.catalog import InstanceType, instance_type

PARALLEL_PULL_VCPUS = 8
"""nodeadm ignores the gate on types smaller than 2xlarge (github.com/pytorch/ci-infra/pull/1033)."""


DEFAULT_GRACE_MINUTES = 60


class ReservationArgs(TypedDict):
    """Capacity that is paid for already."""

    id: NotRequired[str]
    """``cr-…``; conflicts with tags."""
    tags: NotRequired[dict[str, str]]
    """Tags of the reservations; conflicts with id."""
    owner_id: NotRequired[str]
    """Account that shares the reservations; only with tags."""
    zone: NotRequired[str]
    """Zone of the reservation, to refuse one where the pool has no subnet."""


class SharingArgs(TypedDict):
    """Several pods per GPU. Needs Karpenter's node_overlay and the matching option of the GPU Operator."""

    time_slices: NotRequired[int]
    """Pods that take turns on each GPU, without memory isolation, as ``nvidia.com/gpu.shared``."""
    mig_profile: NotRequired[str]
    """Partitions such as ``1g.10gb``, as ``nvidia.com/mig-1g.10gb``; conflicts with time_slices."""


class MaintenanceWindowArgs(TypedDict):
    """Hours in which drifted nodes may be replaced, one at a time."""

    days: list[str]
    """``sun`` to ``sat``."""
    start_utc: str
    """``HH:MM``, UTC: Karpenter knows no time zones."""
    hours: int
    """1 to 24."""


class GpuNodePoolArgs(TypedDict):
    """Inputs of GpuNodePool."""

    pool: str
    """Name of the logical pool: label of its nodes, and name or prefix of its NodePools."""
    cluster_name: pulumi.Input[str]
    """Value of the discovery tags."""
    node_role_name: pulumi.Input[str]
    """Role of the nodes, by name."""
    instance_profile: NotRequired[pulumi.Input[str]]
    """Existing instance profile instead of one that Karpenter makes for the role, where it cannot reach IAM."""
    instance_types: list[str]
    """What the plan chose and its alternates; amd64."""
    capacity: list[str]
    """``reserved``, ``on-demand``, ``spot`` in order of preference; each becomes a weighted NodePool."""
    gpu_limit: int
    """Most GPUs in each NodePool; at least one node of the largest type."""
    zones: list[str]
    """Zones of the pool's subnets."""
    ami_alias: str
    """``al2023@v…`` or ``bottlerocket@v…``; ``latest`` only with allow_latest_ami."""
    allow_latest_ami: NotRequired[bool]
    """Accept that each AMI release replaces the nodes. Default false."""
    volume_gib: NotRequired[int]
    """Root volume instead of the computed one."""
    subnet_ids: NotRequired[pulumi.Input[Sequence[pulumi.Input[str]]]]
    """Subnets by id instead of by discovery tag (a VPC that somebody else tags)."""
    security_group_id: NotRequired[pulumi.Input[str]]
    """Security group of the nodes by id instead of by discovery tag (a cluster that somebody else owns)."""
    check_offerings: NotRequired[bool]
    """Ask EC2 at preview in which of the zones it offers the types, and use only those. Default false."""
    reservations: NotRequired[list[ReservationArgs]]
    """Needed for, and only for, ``reserved``."""
    capacity_block: NotRequired[bool]
    """The reservation ends by itself: nodes do not expire. Default false."""
    static_nodes: NotRequired[int]
    """A fixed number of nodes instead of growing from zero. Needs one capacity type."""
    efa: NotRequired[bool]
    """EFA interfaces on every node; needs vpc_id, one layout, one zone. Default false."""
    vpc_id: NotRequired[pulumi.Input[str]]
    """VPC of the EFA security group."""
    placement_group: NotRequired[pulumi.Input[str]]
    """Name of an existing placement group."""
    sharing: NotRequired[SharingArgs | None]
    """Several pods per GPU; no other pool may use the same instance types. Default: whole GPUs."""
    consolidate_after_minutes: NotRequired[int]
    """How long an empty node is kept. Default 15."""
    expire_after_hours: NotRequired[int]
    """Age at which a node is replaced. Default 720; never for a Capacity Block."""
    termination_grace_minutes: NotRequired[int]
    """Most that draining a node takes; at least the pods' own grace period. Default 60."""
    maintenance_windows: NotRequired[list[MaintenanceWindowArgs]]
    """When drifted nodes may be replaced. Default: never."""
    tags: NotRequired[dict[str, str]]
    """AWS tags of the instances and volumes."""


class InvalidPoolError(pulumi.RunError):
    """The pool cannot work; the message lists every reason, and Pulumi prints it without a traceback."""


class GpuNodePool(pulumi.ComponentResource):
    """EC2NodeClass and one NodePool per capacity type. Depends on Karpenter, goes before it."""

    node_class_name: pulumi.Output[str]
    node_pool_names: pulumi.Output[list[str]]

    def __init__(self, name: str, args: GpuNodePoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("llm-serving:index:GpuNodePool", name, {**args}, opts)
        if problems := pool_problems(_facts(args)):
            lines = [f"{each.path} = {each.value}: {each.message}; fix: {each.fix}" for each in problems]
            raise InvalidPoolError(f"pool {args['pool']}:\n" + "\n".join(lines))
        self._args = args
        types = [instance_type(each) for each in args["instance_types"]]
        grace = int(args.get("termination_grace_minutes", DEFAULT_GRACE_MINUTES))
        chain = args["capacity"]
        names = {capacity: capacity_pool_name(args["pool"], capacity, chain) for capacity in chain}
        nodes = create_node_class(name, self._node_class(name, types), parent=self)
        template = self._template(types, grace)
        zones = self._zones()
        for step, capacity in enumerate(chain):
            manifest = node_pool(
                names[capacity],
                template,
                capacity=capacity,
                weight=WEIGHTS[step] if len(chain) > 1 else None,
                zones=zones,
                static_nodes=int(args["static_nodes"]) if "static_nodes" in args else None,
            )
            logical = capacity_pool_name(name, capacity, chain)
            create_node_pool(logical, manifest, drain_minutes=grace, parent=self, depends_on=[nodes])
        for overlay, manifest in node_overlays(args["pool"], types, args.get("sharing")).items():
            create_object(overlay, manifest, parent=self)
        self.node_class_name = pulumi.Output.from_input(args["pool"])
        self.node_pool_names = pulumi.Output.from_input([*names.values()])
        self.register_outputs({"nodeClassName": self.node_class_name, "nodePoolNames": self.node_pool_names})

    def _node_class(self, name: str, types: Sequence[InstanceType]) -> dict[str, Any]:
        args = self._args
        efa = args.get("efa", False)
        placement_group = args.get("placement_group")
        return node_class(
            args["pool"],
            cluster_name=args["cluster_name"],
            node_role_name=args["node_role_name"],
            ami_alias=args["ami_alias"],
            storage=self._storage(types),
            fast_image_pull=any(each.vcpus >= PARALLEL_PULL_VCPUS for each in types),
            instance_profile=args.get("instance_profile"),
            subnet_ids=args.get("subnet_ids"),
            security_group_id=args.get("security_group_id"),
            extra_security_group_ids=[self._efa_group(name).id] if efa else [],
            reservations=args.get("reservations", []),
            placement_group=placement_group,
            interfaces=network_interfaces(types[0].name) if efa else [],
            tags=args.get("tags"),
        )

    def _storage(self, types: Sequence[InstanceType]) -> Storage:
        chosen = choose_storage(each.local_nvme_gb for each in types)
        return chosen._replace(root_gib=int(self._args.get("volume_gib", chosen.root_gib)))

    def _template(self, types: Sequence[InstanceType], grace: int) -> PoolTemplate:
        args = self._args
        return PoolTemplate(
            node_class_name=args["pool"],
            labels={
                **gpu_labels(args["pool"], ami_family(args["ami_alias"])),
                **sharing_labels(args.get("sharing") or {}),
            },
            requirements=[
                any_of("node.kubernetes.io/instance-type", [each.name for each in types]),
                any_of("kubernetes.io/arch", ["amd64"]),
                any_of("kubernetes.io/os", ["linux"]),
            ],
            lifetime=Lifetime(
                consolidate_after_minutes=int(args.get("consolidate_after_minutes", 15)),
                expire_after_hours=None if args.get("capacity_block") else int(args.get("expire_after_hours", 720)),
                termination_grace_minutes=grace,
            ),
            budgets=disruption_budgets(args.get("maintenance_windows", [])),
            limits={GPU_RESOURCE: str(int(args["gpu_limit"]))},
            taints=[GPU_TAINT],
            startup_taints=[EFS_STARTUP_TAINT],
        )

    def _zones(self) -> pulumi.Input[list[str]]:
        zones = self._args["zones"]
        if not self._args.get("check_offerings", False):
            return zones
        return offered_zones(self._args["instance_types"], zones, parent=self)

    def _efa_group(self, name: str) -> aws.ec2.SecurityGroup:
        """EFA bypasses IP: both directions must name the group itself, an open CIDR does not count."""
        return aws.ec2.SecurityGroup(
            f"{name}-efa",
            vpc_id=self._args.get("vpc_id"),
            description=f"EFA traffic between the nodes of {self._args['pool']}",
            ingress=[{"protocol": "-1", "from_port": 0, "to_port": 0, "self": True}],
            egress=[{"protocol": "-1", "from_port": 0, "to_port": 0, "self": True}],
            opts=pulumi.ResourceOptions(parent=self),
        )


def gpu_labels(pool: str, family: str) -> dict[str, str]:
    """Return the labels of a GPU node.

    The last two are what the GPU Operator's operands select on. Set here, they exist before node feature discovery
    ran, so the device plugin starts at once and the operator does not flip the first to "false" meanwhile
    (NVIDIA/gpu-operator v26.7.0 controllers/nodelabeling_controller.go:237).
    """
    labels = {
        POOL_LABEL: pool,
        "nvidia.com/gpu.present": "true",
        "feature.node.kubernetes.io/pci-10de.present": "true",
    }
    if family == "bottlerocket":
        # The system runs a device plugin and a MIG manager of its own; two would fight for the GPUs.
        labels["nvidia.com/gpu.deploy.device-plugin"] = "false"
        labels["nvidia.com/gpu.deploy.mig-manager"] = "false"
    return labels


def _facts(args: GpuNodePoolArgs) -> PoolFacts:
    return PoolFacts(
        instance_types=args["instance_types"],
        capacity=args["capacity"],
        gpu_limit=int(args["gpu_limit"]),
        zones=args["zones"],
        ami_alias=args["ami_alias"],
        reservations=args.get("reservations", []),
        capacity_block=args.get("capacity_block", False),
        efa=args.get("efa", False),
        placement_group="placement_group" in args,
        static_nodes=int(args["static_nodes"]) if "static_nodes" in args else None,
        maintenance_windows=args.get("maintenance_windows", []),
        allow_latest_ami=args.get("allow_latest_ami", False),
        sharing=args.get("sharing") or {},
    )
