"""What EC2 sells in a rehearsal, and how big a managed node is. moto carries EC2's own descriptions of the types."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from offline.rehearsal.bundle import Bundle
from offline.rehearsal.ec2 import Market, Reservation
from offline.rehearsal.kube import Obj

CPU_FAMILIES = ("c6i", "c7i", "m5", "m6i", "m7i", "r6i", "r7i", "m7g", "c7g")
"""Beside the families that a stack names: the usual cheap choices, arm64 among them, so that a pool that forgets to
exclude them shows it."""
_RESERVED_CPU_STEPS = ((1, 0.06), (2, 0.01), (4, 0.005), (float("inf"), 0.0025))
"""Cores up to, and the share of each that EKS reserves for the kubelet (awslabs/amazon-eks-ami, nodeadm)."""
_EVICTION_MIB = 100


@dataclass(frozen=True)
class SystemNode:
    """Capacity and allocatable of a managed node, by EKS's own reservations."""

    capacity: Obj
    allocatable: Obj

    @classmethod
    def of(cls, instance_type: str) -> "SystemNode":
        """Return the node of a type. Raises LookupError for one that EC2 does not have."""
        found: dict[str, Any] | None = INSTANCE_TYPES.get(instance_type)
        if found is None:
            raise LookupError(f"EC2 knows no instance type {instance_type}")
        cpus, memory = found["VCpuInfo"]["DefaultVCpus"], found["MemoryInfo"]["SizeInMiB"]
        network = found["NetworkInfo"]
        pods = min(110, network["MaximumNetworkInterfaces"] * (network["Ipv4AddressesPerInterface"] - 1) + 2)
        free_memory = memory - (255 + 11 * pods) - _EVICTION_MIB
        base = {"pods": str(pods), "ephemeral-storage": "80Gi"}
        return cls(
            capacity={"cpu": str(cpus), "memory": f"{memory}Mi", **base},
            allocatable={"cpu": f"{round(1000 * (cpus - _reserved(cpus)))}m", "memory": f"{free_memory}Mi", **base},
        )


def _reserved(cpus: int) -> float:
    cores, start = 0.0, 0.0
    for upto, share in _RESERVED_CPU_STEPS:
        cores += max(0.0, min(cpus, upto) - start) * share
        start = upto
    return cores


def market_of(bundle: Bundle, reservations: Iterable[Reservation]) -> Market:
    """Return a market with every family that the stack's pools and plan name."""
    named = {str(model["instance_type"]) for model in bundle.models}
    named |= {group.instance_type for group in bundle.node_groups}
    for pool in bundle.of_kind("NodePool"):
        for requirement in pool["spec"]["template"]["spec"]["requirements"]:
            if requirement["key"] in {"node.kubernetes.io/instance-type", "karpenter.k8s.aws/instance-family"}:
                named |= set(requirement.get("values", []))
    families = frozenset({name.split(".")[0] for name in named} | set(CPU_FAMILIES))
    groups = bundle.account.placement_groups
    return Market(
        bundle.account.region, bundle.zones, families, reservations=[*reservations], placement_groups=groups
    )


def assumed_reservations(bundle: Bundle) -> tuple[Reservation, ...]:
    """Return what must be reserved for the selectors of the stack's node classes to find something.

    One reservation per selector term, in the first zone that the pool allows, with room for the replicas that the
    plan always runs of the pool's first model type.
    """
    found = []
    for pool in bundle.of_kind("NodePool"):
        spec = pool["spec"]["template"]["spec"]
        allowed = {r["key"]: r.get("values", []) for r in spec["requirements"]}
        classes = [c for c in bundle.of_kind("EC2NodeClass") if c["metadata"]["name"] == spec["nodeClassRef"]["name"]]
        terms = [t for c in classes for t in c["spec"].get("capacityReservationSelectorTerms", [])]
        if "reserved" not in allowed.get("karpenter.sh/capacity-type", []):
            continue
        types = allowed.get("node.kubernetes.io/instance-type", [])
        models = [m for m in bundle.models if m["instance_type"] in types]
        zones = allowed.get("topology.kubernetes.io/zone") or bundle.zones
        for term in terms:
            for model in models[:1]:
                count = int(pool["spec"].get("replicas") or max(1, model["replicas_min"] * model["nodes"]))
                identity = {"id": term["id"]} if "id" in term else {}
                tags = dict(term.get("tags", {}))
                found.append(Reservation(model["instance_type"], zones[0], count, tags, **identity))
    return tuple({r.id if not r.tags else str(sorted(r.tags.items())): r for r in found}.values())
