"""Every policy of every stack keeps AWS's limits and allows no more than it must.

Limits: docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from offline.recording import Deployment, Registration
from offline.teardown import dependencies
from offline.values import revealed
from tests.operations.everywhere import recorded

MANAGED_POLICY = 6144
"""Characters of a managed policy without white space."""
INLINE_POLICIES = 10240
TRUST_POLICY = 2048
ROLE_NAME = 64
POLICIES_PER_ROLE = 10
QUEUE_POLICY = 8192
"""docs.aws.amazon.com/AWSSimpleQueueService quotas-policies."""


def size(document: str) -> int:
    """Return what AWS counts: everything but white space."""
    return len(re.sub(r"\s", "", document))


def documents(deployment: Deployment) -> Iterator[tuple[Registration, str, int]]:
    """Yield every policy document with the limit that it has to keep."""
    limits = {
        ("aws:iam/policy:Policy", "policy"): MANAGED_POLICY,
        ("aws:iam/rolePolicy:RolePolicy", "policy"): INLINE_POLICIES,
        ("aws:iam/role:Role", "assumeRolePolicy"): TRUST_POLICY,
        ("aws:sqs/queuePolicy:QueuePolicy", "policy"): QUEUE_POLICY,
    }
    for resource in deployment.resources:
        for (type_, key), limit in limits.items():
            if resource.type == type_:
                document = revealed(resource.inputs[key])
                yield resource, document if isinstance(document, str) else json.dumps(document), limit


def statements(document: str) -> list[dict[str, Any]]:
    """Return a policy's statements."""
    found = json.loads(document)["Statement"]
    return found if isinstance(found, list) else [found]


def test_every_policy_fits(up: Deployment) -> None:
    """Prevents LimitExceeded in the middle of `up`: six controller policies are too large for one."""
    found = list(documents(up))
    assert {r.type for r, _, _ in found} >= {"aws:iam/policy:Policy", "aws:iam/role:Role"}
    for resource, document, limit in found:
        assert size(document) <= limit, resource.name


def test_roles_have_names_and_policies_that_aws_accepts(up: Deployment) -> None:
    """Prevents names cut by AWS, and an eleventh managed policy."""
    roles = [revealed(r.inputs["name"]) for r in up.of_type("aws:iam/role:Role")]
    assert all(len(name) <= ROLE_NAME for name in roles)
    assert len(set(roles)) == len(roles)
    attached = Counter(
        revealed(r.inputs["role"]) for r in up.of_type("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    )
    assert max(attached.values()) <= POLICIES_PER_ROLE


def test_nothing_is_allowed_on_everything_without_a_condition(up: Deployment) -> None:
    """Prevents a controller that may change resources of other clusters; reading and listing have no resource."""
    for resource, document, _ in documents(up):
        for statement in statements(document):
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            if statement["Effect"] != "Allow" or statement.get("Resource") not in ("*", ["*"]):
                continue
            reading = all(re.match(r"\w[\w-]*:(Describe|Get|List)", action) for action in actions)
            assert reading or statement.get("Condition"), (resource.name, statement.get("Sid"))


def test_a_boundary_reaches_every_role_that_is_made() -> None:
    """Prevents an `up` that an account with boundaries refuses half-way."""
    deployment = recorded("existing-vpc")
    roles = deployment.of_type("aws:iam/role:Role")
    assert roles
    assert not [r.name for r in roles if not r.inputs.get("permissionsBoundary")]


def test_pods_get_a_role_only_with_its_policies(up: Deployment) -> None:
    """Prevents controllers whose role may do nothing yet: they fail with AccessDenied until they restart."""
    edges = dependencies(up)
    associations = up.of_type("aws:eks/podIdentityAssociation:PodIdentityAssociation")
    assert associations
    for each in associations:
        beside = {r.urn for r in up.children(each.parent) if r.type.endswith("RolePolicyAttachment")}
        assert beside, each.name
        assert beside <= edges[each.urn], each.name


def test_administrators_come_from_the_stack_file() -> None:
    """Prevents a cluster that nobody but its creator can reach, and administrators that nobody named."""
    entries = recorded("existing-vpc").of_type("aws:eks/accessEntry:AccessEntry")
    assert "arn:aws:iam::123456789012:role/platform-admins" in {r.inputs["principalArn"] for r in entries}
    assert {r.inputs.get("type") for r in recorded("dev").of_type("aws:eks/accessEntry:AccessEntry")} == {"EC2_LINUX"}
