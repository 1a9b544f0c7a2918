"""NodePool: which nodes Karpenter may launch and when it may take them away. Pure builders of the manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.karpenter.node_class import API_VERSION as NODE_CLASS_API_VERSION
from components.scheduling import SPOT_NOTICE_S

API_VERSION = "karpenter.sh/v1"

CAPACITY_TYPES = ("reserved", "on-demand", "spot")
WEIGHTS = (90, 50, 10)
"""Of the first, second and third way to buy in a pool's own order: Karpenter tries the heavier NodePool first."""


@dataclass(frozen=True)
class Lifetime:
    """How long nodes live and how they go."""

    consolidate_after_minutes: int
    """An empty node is kept this long: a pool that flaps must not pay a cold start each time."""
    expire_after_hours: int | None
    """None: never (capacity that ends by itself)."""
    termination_grace_minutes: int
    """Drain time; afterwards pods go even with ``do-not-disrupt``, or an expired node would stay for ever."""


@dataclass(frozen=True)
class PoolTemplate:
    """What all NodePools of one logical pool share."""

    node_class_name: str
    labels: Mapping[str, str]
    requirements: Sequence[Mapping[str, Any]]
    lifetime: Lifetime
    budgets: Sequence[Mapping[str, Any]]
    limits: Mapping[str, str]
    taints: Sequence[Mapping[str, str]] = ()
    startup_taints: Sequence[Mapping[str, str]] = ()
    consolidation_policy: str = "WhenEmpty"


def any_of(key: str, values: Sequence[Any]) -> dict[str, Any]:
    """Return the requirement that a node's label is one of the values."""
    return {"key": key, "operator": "In", "values": [*values]}


def capacity_pool_name(pool: str, capacity: str, chain: Sequence[str]) -> str:
    """Return the NodePool's name: the pool's own where it has one capacity type."""
    return pool if len(chain) == 1 else f"{pool}-{capacity}"


def node_pool(
    name: str, template: PoolTemplate, *, capacity: str, weight: int | None, zones: Any, static_nodes: int | None = None
) -> dict[str, Any]:
    """Return the manifest of one capacity type of a pool.

    A static pool has a fixed number of nodes; Karpenter allows it neither a weight nor limits other than nodes.
    """
    lifetime = template.lifetime
    grace = f"{lifetime.termination_grace_minutes}m"
    if capacity == "spot":
        # Longer, and a pod with do-not-disrupt still serves when EC2 takes the node: nobody asks it to leave before.
        grace = f"{min(lifetime.termination_grace_minutes, SPOT_NOTICE_S // 60)}m"
    expire = "Never" if lifetime.expire_after_hours is None else f"{lifetime.expire_after_hours}h"
    spec: dict[str, Any] = {
        "template": {
            "metadata": {"labels": dict(template.labels)},
            "spec": {
                "nodeClassRef": {
                    "group": NODE_CLASS_API_VERSION.partition("/")[0],
                    "kind": "EC2NodeClass",
                    "name": template.node_class_name,
                },
                "requirements": [
                    any_of("karpenter.sh/capacity-type", [capacity]),
                    {"key": "topology.kubernetes.io/zone", "operator": "In", "values": zones},
                    *(dict(each) for each in template.requirements),
                ],
                "expireAfter": expire,
                "terminationGracePeriod": grace,
            },
        },
        "disruption": {
            "consolidationPolicy": template.consolidation_policy,
            "consolidateAfter": f"{lifetime.consolidate_after_minutes}m",
            "budgets": [dict(each) for each in template.budgets],
        },
    }
    node = spec["template"]["spec"]
    if template.taints:
        node["taints"] = [dict(each) for each in template.taints]
    if template.startup_taints:
        node["startupTaints"] = [dict(each) for each in template.startup_taints]
    if static_nodes is not None:
        spec |= {"replicas": static_nodes, "limits": {"nodes": str(static_nodes)}}
    else:
        spec["limits"] = dict(template.limits)
        if weight is not None:
            spec["weight"] = weight
    return {"apiVersion": API_VERSION, "kind": "NodePool", "metadata": {"name": name}, "spec": spec}
