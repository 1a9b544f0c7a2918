"""Rules of the cluster: one of the stack's own, or somebody else's."""

from collections.abc import Iterator

from infra.settings.problems import Problem
from infra.settings.sections import Access, StackConfig, SystemNodes


def cluster_rules(config: StackConfig) -> Iterator[Problem]:
    """Yield settings that an existing cluster lacks, or that have no effect on it."""
    cluster = config.cluster
    if config.allow_latest_ami and config.protect:
        message = "replaces nodes at times that nobody chose, and protect says that the stack is no toy"
        yield Problem("allowLatestAmi", True, "conflict", message, "remove it, or protect")
    if cluster.name is None:
        if cluster.node_needs_cni_policy:
            message = "is about an existing cluster, and cluster.name is not set"
            yield Problem("cluster.nodeNeedsCniPolicy", True, "conflict", message, "set cluster.name, or remove it")
        return
    if config.network.vpc_id is None:
        message = f"is missing: {cluster.name} lives in a VPC already"
        fix = "name its VPC, and one private subnet for each of availabilityZones as privateSubnetIds"
        yield Problem("network.vpcId", None, "required", message, fix)
    default = Access()
    ineffective = {
        "systemNodes": None if config.system_nodes == SystemNodes() else "its owner's nodes carry the controllers",
        "addonVersions": "its owner installs the add-ons" if config.addon_versions else None,
        "access.admins": "its owner says who may administer it" if config.access.admins != default.admins else None,
        "access.readers": "its owner says who may read it" if config.access.readers != default.readers else None,
        "access.publicCidrs": "its owner decides about its endpoint" if config.access.public_cidrs else None,
    }
    for path, reason in ineffective.items():
        if reason:
            message = f"has no effect on an existing cluster (cluster.name): {reason}"
            yield Problem(path, None, "conflict", message, "remove it, or cluster.name")
