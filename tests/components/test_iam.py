"""Names and documents of IAM."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.iam import ROLE_NAME_LIMIT, dns_suffix, fit, managed_policy, partition, service_trust


@given(name=st.text("abcdefghij-", min_size=1, max_size=200), limit=st.integers(20, 128))
def test_names_never_exceed_the_limit(name: str, limit: int) -> None:
    """Prevents that a long cluster name fails at AWS after the VPC was built."""
    assert len(fit(name, limit)) <= limit
    assert fit(name, limit) == name or len(name) > limit


def test_long_names_stay_apart() -> None:
    """Prevents that two roles of one long-named cluster collide after cutting."""
    stem = "c" * ROLE_NAME_LIMIT
    assert fit(f"{stem}-one", ROLE_NAME_LIMIT) != fit(f"{stem}-two", ROLE_NAME_LIMIT)


@pytest.mark.parametrize(
    ("region", "expected", "suffix"),
    [
        ("us-east-1", "aws", "amazonaws.com"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
    ],
)
def test_arns_follow_the_partition(region: str, expected: str, suffix: str) -> None:
    """Prevents policies that name resources of another partition: nothing would match."""
    assert partition(region) == expected
    assert dns_suffix(region) == suffix
    assert managed_policy(region, "X") == f"arn:{expected}:iam::aws:policy/X"


def test_pod_identity_may_tag_its_sessions() -> None:
    """Prevents pods without credentials: EKS takes the role with session tags, and TagSession must be allowed."""
    statement = json.loads(service_trust("pods.eks.amazonaws.com", tag_session=True))["Statement"][0]
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
