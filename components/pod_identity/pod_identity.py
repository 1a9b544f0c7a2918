"""Role, policies and association that give the pods of one service account their AWS permissions.

EKS Pod Identity instead of roles for service accounts: no OIDC provider, no thumbprint, no annotation on the account.
"""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from components.iam import POLICY_NAME_LIMIT, ROLE_NAME_LIMIT, fit, service_trust

# EKS tags the session with cluster, namespace and service account, so it needs both actions
# (docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html).
_TRUST_POLICY = service_trust("pods.eks.amazonaws.com", tag_session=True)


class PodIdentityArgs(TypedDict):
    """Inputs of PodIdentity."""

    cluster_name: pulumi.Input[str]
    """Cluster whose pods get the role; also the start of the role's name."""
    namespace: pulumi.Input[str]
    """Namespace of the service account."""
    service_account: pulumi.Input[str]
    """The account need not exist yet, but the association must exist before its pods start."""
    policy_arns: NotRequired[list[pulumi.Input[str]]]
    """Existing policies to attach. Default none."""
    policies: NotRequired[dict[str, pulumi.Input[str]]]
    """Policies to create, as JSON documents by short name. Default none."""
    permissions_boundary: NotRequired[str | None]
    """ARN of the policy that bounds the role, where the account demands one."""


class PodIdentity(pulumi.ComponentResource):
    """IAM role that only the pods of one service account in one cluster can take."""

    role_arn: pulumi.Output[str]

    def __init__(self, name: str, args: PodIdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("llm-serving:index:PodIdentity", name, {**args}, opts)
        child = pulumi.ResourceOptions(parent=self)
        cluster_name = pulumi.Output.from_input(args["cluster_name"])
        role = aws.iam.Role(
            name,
            name=cluster_name.apply(lambda cluster: fit(f"{cluster}-{name}", ROLE_NAME_LIMIT)),
            assume_role_policy=_TRUST_POLICY,
            permissions_boundary=args.get("permissions_boundary"),
            opts=child,
        )
        attachments: list[pulumi.Resource] = [
            aws.iam.RolePolicyAttachment(f"{name}-{index}", role=role.name, policy_arn=arn, opts=child)
            for index, arn in enumerate(args.get("policy_arns", []))
        ]
        for short_name, document in args.get("policies", {}).items():
            policy = aws.iam.Policy(
                f"{name}-{short_name}",
                name=cluster_name.apply(
                    lambda cluster, short_name=short_name: fit(f"{cluster}-{name}-{short_name}", POLICY_NAME_LIMIT)
                ),
                policy=document,
                opts=child,
            )
            attachments.append(
                aws.iam.RolePolicyAttachment(f"{name}-{short_name}", role=role.name, policy_arn=policy.arn, opts=child)
            )
        # Last: a pod that starts with the association but without its policies fails with AccessDenied.
        aws.eks.PodIdentityAssociation(
            name,
            cluster_name=cluster_name,
            namespace=args["namespace"],
            service_account=args["service_account"],
            role_arn=role.arn,
            opts=pulumi.ResourceOptions(parent=self, depends_on=attachments),
        )
        self.role_arn = role.arn
        self.register_outputs({"roleArn": self.role_arn})
