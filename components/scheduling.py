"""Labels, taints and tolerations that decide which pods land on which nodes.

Node pools, add-ons, charts and workloads read them from here: a taint without its toleration is an outage. Pure.
"""

from typing import Any

POOL_LABEL = "llm-serving/pool"
"""On every node: the logical pool it belongs to. Pods are pinned by it."""
SYSTEM_POOL = "system"
"""Controllers, on the managed node group."""
CPU_POOL = "cpu"
"""Jobs without a GPU, such as the preloaders; grows from zero."""

DISCOVERY_TAG = "karpenter.sh/discovery"
"""AWS tag by which Karpenter finds subnets and security groups; its value is the cluster's name."""

GPU_RESOURCE = "nvidia.com/gpu"
EFA_RESOURCE = "vpc.amazonaws.com/efa"

# Key = resource name and effect NoSchedule: EKS's ExtendedResourceToleration admission then tolerates it for every pod
# that asks for a GPU (docs.aws.amazon.com/eks/latest/userguide/platform-versions.html).
GPU_TAINT = {"key": GPU_RESOURCE, "value": "true", "effect": "NoSchedule"}
SYSTEM_TAINT = {"key": "CriticalAddonsOnly", "value": "true", "effect": "NoSchedule"}

EFS_STARTUP_TAINT = {"key": "efs.csi.aws.com/agent-not-ready", "effect": "NoExecute"}
"""Removed by the EFS CSI node pod itself: a model server that starts before it cannot mount its weights."""


def toleration(taint: dict[str, str]) -> dict[str, str]:
    """Return the toleration of a taint, whatever the taint's value."""
    return {"key": taint["key"], "operator": "Exists", "effect": taint["effect"]}


def system_placement() -> dict[str, Any]:
    """``nodeSelector`` and ``tolerations`` that put a controller on the system nodes."""
    return {"nodeSelector": {POOL_LABEL: SYSTEM_POOL}, "tolerations": [toleration(SYSTEM_TAINT)]}


SPOT_NOTICE_S = 120
"""From EC2's warning until it takes a spot instance
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html)."""
