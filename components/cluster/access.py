"""Who may use the cluster's API, by IAM principal."""

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from components.iam import fit, partition

_KEY_LIMIT = 48
"""Length of a principal's part in a logical name; longer ones end in a digest."""


def principal_key(arn: str) -> str:
    """Return a logical name for a principal that does not depend on its place in a list."""
    return fit(arn.rpartition(":")[2].replace("/", "-"), _KEY_LIMIT)


def create_access(
    name: str,
    *,
    cluster: pulumi.Input[str],
    region: str,
    admins: Sequence[str],
    readers: Sequence[str],
    opts: pulumi.ResourceOptions,
) -> list[pulumi.Resource]:
    """Create an access entry and a cluster-wide policy per principal."""
    policies = {"AmazonEKSClusterAdminPolicy": admins, "AmazonEKSAdminViewPolicy": readers}
    created: list[pulumi.Resource] = []
    for policy, principals in policies.items():
        for principal in principals:
            logical = f"{name}-access-{principal_key(principal)}"
            entry = aws.eks.AccessEntry(logical, cluster_name=cluster, principal_arn=principal, opts=opts)
            association = aws.eks.AccessPolicyAssociation(
                logical,
                cluster_name=cluster,
                principal_arn=entry.principal_arn,
                policy_arn=f"arn:{partition(region)}:eks::aws:cluster-access-policy/{policy}",
                access_scope={"type": "cluster"},
                opts=opts,
            )
            created += [entry, association]
    return created
