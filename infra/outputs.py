"""What the stack exports."""

from collections.abc import Mapping

import pulumi

from components.cluster import Cluster, ExistingCluster
from infra.decisions import Decisions
from infra.settings.sections import StackConfig


def export(
    config: StackConfig,
    decisions: Decisions,
    cluster: Cluster | ExistingCluster,
    endpoints: Mapping[str, pulumi.Output[str]],
) -> None:
    """Export how to reach the cluster and the models, and every decision with its cost."""
    pulumi.export("region", config.region)
    pulumi.export("kubernetesVersion", config.kubernetes_version)
    pulumi.export("clusterName", cluster.cluster_name)
    pulumi.export("clusterEndpoint", cluster.endpoint)
    if isinstance(cluster, Cluster):
        pulumi.export("addonVersions", cluster.addon_versions)
    pulumi.export(
        "kubeconfigCommand",
        pulumi.Output.concat("aws eks update-kubeconfig --region ", config.region, " --name ", cluster.cluster_name),
    )
    pulumi.export("endpoints", dict(endpoints))
    for name, value in decisions.to_json().items():
        pulumi.export(name, value)
