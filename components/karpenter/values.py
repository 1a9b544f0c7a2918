"""Helm values of Karpenter's controller chart. Pure."""

from typing import Any

from components.scheduling import POOL_LABEL, SYSTEM_POOL


def controller_values(
    *,
    cluster_name: Any,
    queue_name: Any,
    region: str,
    isolated_vpc: bool,
    static_capacity: bool,
    node_overlay: bool,
) -> dict[str, Any]:
    """Return the chart's values.

    Replicas, anti-affinity, zone spread and the toleration of the system taint are the chart's own defaults.
    """
    return {
        "serviceAccount": {"name": "karpenter"},
        "priorityClassName": "system-cluster-critical",
        # Karpenter must start while CoreDNS has no node to run on.
        "dnsPolicy": "Default",
        "nodeSelector": {"kubernetes.io/os": "linux", POOL_LABEL: SYSTEM_POOL},
        "controller": {
            # Pods cannot ask the metadata service (one hop only), so the region is given.
            "env": [{"name": "AWS_REGION", "value": region}],
            "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        },
        # Needs the Prometheus CRDs, which this program does not install.
        "serviceMonitor": {"enabled": False},
        "settings": {
            "clusterName": cluster_name,
            # The queue's name; empty would mean no handling of interruptions at all.
            "interruptionQueue": queue_name,
            "eksControlPlane": True,
            "isolatedVPC": isolated_vpc,
            "featureGates": {
                "reservedCapacity": True,
                # Replaces nodes whose AcceleratedHardwareReady is false; the condition is the node monitoring agent's.
                "nodeRepair": True,
                "nodeOverlay": node_overlay,
                "staticCapacity": static_capacity,
                # Spot GPU capacity is too shallow to trade one node for another.
                "spotToSpotConsolidation": False,
            },
        },
    }
