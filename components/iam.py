"""ARNs, trust policies and names of IAM: partition of a region, lengths that AWS allows. Pure."""

import hashlib
import json
from typing import Any

ROLE_NAME_LIMIT = 64
POLICY_NAME_LIMIT = 128
MANAGED_POLICY_SIZE_LIMIT = 6144
"""Characters of one managed policy, white space not counted
(docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html)."""
_DIGEST_LENGTH = 6

# AmazonEKS_CNI_Policy is absent: the network plugin has a role of its own through Pod Identity.
NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonSSMManagedInstanceCore")
"""What a node itself needs: join the cluster, pull images, be reached by Session Manager."""


def partition(region: str) -> str:
    """AWS partition of a region, as it stands in ARNs (``aws``, ``aws-cn``, ``aws-us-gov``)."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def dns_suffix(region: str) -> str:
    """Domain of EC2's service principal in that region's partition."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def fit(name: str, limit: int) -> str:
    """Return the name itself, or its start and a digest of the whole where it is longer than the limit.

    The digest keeps two long names apart that share their first characters.
    """
    if len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{name[: limit - _DIGEST_LENGTH - 1].rstrip('-')}-{digest}"


def managed_policy(region: str, name: str) -> str:
    """ARN of a policy that AWS manages, e.g. ``service-role/AmazonEFSCSIDriverPolicy``."""
    return f"arn:{partition(region)}:iam::aws:policy/{name}"


def service_trust(service: str, *, tag_session: bool = False) -> str:
    """Trust policy of a role that one AWS service takes; EKS also tags its sessions."""
    actions = ["sts:AssumeRole", "sts:TagSession"] if tag_session else ["sts:AssumeRole"]
    return document([{"Effect": "Allow", "Principal": {"Service": service}, "Action": actions}])


def document(statements: list[dict[str, Any]]) -> str:
    """Return a policy document as the shortest JSON: white space would count against nothing but readability."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
