"""A record of every flow in the VPC."""

import pulumi
import pulumi_aws as aws

from components.iam import ROLE_NAME_LIMIT, document, fit, service_trust

RETENTION_DAYS = 30


def write_policy(log_group_arn: str) -> str:
    """Return the policy that lets flow logs write into one log group and nothing else."""
    return document(
        [
            {
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
                "Resource": f"{log_group_arn}:*",
            }
        ],
    )


def create_flow_logs(
    name: str,
    vpc: aws.ec2.Vpc,
    *,
    cluster_name: str,
    permissions_boundary: str | None,
    opts: pulumi.ResourceOptions,
) -> None:
    """Create the log group, the role that writes to it, and the flow log."""
    group = aws.cloudwatch.LogGroup(
        f"{name}-flow-logs", name=f"/aws/vpc/{cluster_name}/flow-logs", retention_in_days=RETENTION_DAYS, opts=opts
    )
    role = aws.iam.Role(
        f"{name}-flow-logs",
        name=fit(f"{cluster_name}-flow-logs", ROLE_NAME_LIMIT),
        assume_role_policy=service_trust("vpc-flow-logs.amazonaws.com"),
        permissions_boundary=permissions_boundary,
        opts=opts,
    )
    policy = aws.iam.RolePolicy(f"{name}-flow-logs", role=role.id, policy=group.arn.apply(write_policy), opts=opts)
    aws.ec2.FlowLog(
        f"{name}-flow-logs",
        vpc_id=vpc.id,
        traffic_type="ALL",
        iam_role_arn=role.arn,
        log_destination=group.arn,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[policy])),
    )
