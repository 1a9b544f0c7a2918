"""The EKS cluster: control plane, add-ons, system nodes, access, and the provider that reaches it."""

from components.cluster.cluster import Cluster, ClusterArgs, SystemNodesArgs
from components.cluster.existing import ExistingCluster, ExistingClusterArgs

__all__ = ["Cluster", "ClusterArgs", "ExistingCluster", "ExistingClusterArgs", "SystemNodesArgs"]
