"""What the EKS add-ons are configured with, and which AWS permissions they need. Pure."""

import json
from typing import Any, NamedTuple

from components import versions
from components.scheduling import GPU_TAINT, system_placement, toleration


class AddonIdentity(NamedTuple):
    """A service account of an add-on that calls AWS, and the managed policy that it needs."""

    service_account: str
    policy: str
    """Name below ``policy/`` of a policy that AWS manages."""


IDENTITIES = {
    # With its own role, the network plugin's permissions need not stand on every node's role.
    versions.VPC_CNI: AddonIdentity("aws-node", "AmazonEKS_CNI_Policy"),
    # V2 acts only on volumes tagged `ebs.csi.aws.com/cluster: true`, which the driver sets. Unlike the first version
    # it is not below service-role/ (IAM's list of managed policies as shipped in moto 5.2.5, created 2026-04-16).
    versions.EBS_CSI: AddonIdentity("ebs-csi-controller-sa", "AmazonEBSCSIDriverPolicyV2"),
    versions.EFS_CSI: AddonIdentity("efs-csi-controller-sa", "service-role/AmazonEFSCSIDriverPolicy"),
}

_ON_SYSTEM_NODES = system_placement()

CONFIGURATION: dict[str, dict[str, Any]] = {
    versions.VPC_CNI: {"enableNetworkPolicy": "true"},
    versions.COREDNS: _ON_SYSTEM_NODES,
    versions.METRICS_SERVER: _ON_SYSTEM_NODES,
    versions.EBS_CSI: {"controller": _ON_SYSTEM_NODES},
    versions.EFS_CSI: {
        "controller": _ON_SYSTEM_NODES,
        # efs-proxy's memory grows with throughput; killed, it hangs every mount of the node
        # (kubernetes-sigs/aws-efs-csi-driver@a4fc676, chart values).
        "node": {"resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}}},
    },
    # The agent reads GPU health from its own DCGM host engine. Without this toleration the engine stays off tainted
    # GPU nodes, the agent cannot connect, reports AcceleratedHardwareReady=False, and healthy nodes are replaced
    # (github.com/aws/containers-roadmap/issues/2555; chart v1.7.0 has `dcgmAgent.tolerations: []`). The add-on takes
    # the value since v1.3.0 (seen on a live cluster: github.com/littlemex/distributed-ai infra/eks/gpu-addons.tf).
    versions.NODE_MONITORING_AGENT: {"dcgmAgent": {"tolerations": [toleration(GPU_TAINT)]}},
}


def configuration_values(addon: str) -> str | None:
    """Return the add-on's configuration as JSON with sorted keys (no phantom differences); None for EKS's defaults."""
    values = CONFIGURATION.get(addon)
    return None if values is None else json.dumps(values, sort_keys=True)
