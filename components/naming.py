"""Names that AWS limits in length, and the partition a region belongs to. Pure."""

import hashlib

IAM_ROLE_NAME_LIMIT = 64
IAM_POLICY_NAME_LIMIT = 128
_DIGEST_LENGTH = 6


def partition(region: str) -> str:
    """AWS partition of a region, as it stands in ARNs (``aws``, ``aws-cn``, ``aws-us-gov``)."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def dns_suffix(region: str) -> str:
    """Domain of service principals and endpoints in that region's partition."""
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
