"""Settings of a GPU pool: its meaning, unit, default and limits, as in sections.py."""
# ruff: noqa: RUF009 - setting() is a declaration, and frozen sections are safe defaults

from collections.abc import Mapping
from dataclasses import dataclass

from components import versions
from infra.settings import checks
from infra.settings.schema import setting

CAPACITY_TYPES = ("reserved", "on-demand", "spot")
AMI_FAMILIES = ("al2023", "bottlerocket")


@dataclass(frozen=True)
class Reservation:
    """Capacity that is already paid for. Exactly one of the two."""

    id: str | None = setting(
        "Reservation or Capacity Block by id.", default=None, check=checks.reservation, shape=checks.RESERVATION
    )
    tags: Mapping[str, str] = setting("Reservations that carry all of these tags.", default={})
    owner_id: str | None = setting(
        "Account that shares them, where that is not this one; only with `tags`.",
        default=None,
        check=checks.account,
        shape=checks.ACCOUNT,
    )
    zone: str | None = setting("Zone of the reservation, to refuse one where the pool has no subnet.", default=None)
    ends_on: str | None = setting(
        "Last day of a Capacity Block, so that plans say when it drains and refuse one that is over; only with "
        "`capacityBlock`.",
        default=None,
        check=checks.day,
        shape=checks.DAY,
    )


@dataclass(frozen=True)
class MaintenanceWindow:
    """Hours in which nodes that drifted (new AMI, changed disk) may be replaced, one at a time."""

    days: tuple[str, ...] = setting("Days: sun, mon, tue, wed, thu, fri, sat.", example="[sat, sun]")
    start_utc: str = setting("Start as HH:MM in UTC; Karpenter knows no time zones.", example='"02:00"')
    hours: int = setting("Length in hours.", minimum=1, maximum=24, example="4")


@dataclass(frozen=True)
class Sharing:
    """Several pods per GPU, for workloads that are not models of this stack. Exactly one of the last two."""

    instance_types: tuple[str, ...] = setting(
        "Types to launch. No other pool may use them: Karpenter learns of shares by instance type.",
        example="[g5.4xlarge]",
    )
    time_slices: int | None = setting(
        "Pods that take turns on each GPU, without memory isolation; they ask for `nvidia.com/gpu.shared`.",
        default=None,
        minimum=2,
        maximum=48,
    )
    mig_profile: str | None = setting(
        "Partition that every GPU is cut into, with memory of its own; pods ask for `nvidia.com/mig-<profile>`. "
        "A100, H100, H200, B200, B300 and RTX PRO 6000 only.",
        default=None,
        example="1g.10gb",
    )

    @property
    def way(self) -> dict[str, int | str]:
        """How GPUs are shared: what is set of the two."""
        given = {"time_slices": self.time_slices, "mig_profile": self.mig_profile}
        return {key: value for key, value in given.items() if value is not None}


@dataclass(frozen=True)
class GpuPool:
    """GPU nodes that Karpenter may launch. Which types of the families, and how many, follows from the models."""

    name: str = setting("Name; models choose pools by it.", check=checks.dns_label, shape=checks.DNS_LABEL)
    families: tuple[str, ...] = setting("Instance families that may be considered.", example="[g5]")
    capacity: tuple[str, ...] = setting(
        f"Ways to buy, in order of preference: {', '.join(CAPACITY_TYPES)}.", default=("on-demand",)
    )
    reservations: tuple[Reservation, ...] = setting("What `reserved` may use.", default=())
    gpu_limit: int | None = setting(
        "Most GPUs of this pool; caps the limit that follows from the replicas. Required with `sharing`.",
        default=None,
        minimum=1,
    )
    zones: tuple[str, ...] = setting("Zones of this pool. Empty: all of `network.availabilityZones`.", default=())
    capacity_block: bool = setting(
        "The reservations are Capacity Blocks, which end by themselves: nodes do not expire before.", default=False
    )
    maintenance_windows: tuple[MaintenanceWindow, ...] = setting(
        "When drifted nodes may be replaced. Empty: never; serving nodes then keep their AMI until they are empty.",
        default=(),
    )
    consolidate_after_minutes: int = setting(
        "How long an empty node is kept: shorter than a cold start throws warm nodes away.",
        default=15,
        minimum=1,
        maximum=1440,
    )
    volume_gib: int | None = setting(
        "Root volume in GiB. Unset: computed from image, logs and local disks.", default=None, minimum=50, maximum=16000
    )
    ami_family: str = setting(
        "Operating system of the nodes, with NVIDIA's driver.", default="al2023", choices=AMI_FAMILIES
    )
    ami_alias: str | None = setting(
        "Dated alias of the AMI. Unset: this program's for the family. `latest` only with `allowLatestAmi`.",
        default=None,
        check=checks.ami_alias,
        shape=checks.AMI_ALIAS,
    )
    static_nodes: int | None = setting(
        "A fixed number of nodes that always run, for a fleet that is paid for anyway, instead of growing from zero. "
        "Needs one way to buy.",
        default=None,
        minimum=1,
        maximum=1000,
    )
    efa: bool = setting(
        "EFA interfaces on every node, and a security group that lets them talk. One zone, one layout of cards.",
        default=False,
    )
    placement_group: str | None = setting("Existing placement group to launch the nodes in, by name.", default=None)
    sharing: Sharing | None = setting("Several pods per GPU. Models of this stack never use such a pool.", default=None)
    path: str = ""

    @property
    def alias(self) -> str:
        """The AMI that nodes start from."""
        default = versions.BOTTLEROCKET_AMI if self.ami_family == "bottlerocket" else versions.AL2023_AMI
        return self.ami_alias or default
