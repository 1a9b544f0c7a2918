"""A record of every flow in the VPC."""

import json

import pulumi
import pulumi_aws as aws

from components.naming import IAM_ROLE_NAME_LIMIT, fit

_TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    },
)


def write_policy(log_group_arn: str) -> str:
    """Return the policy that lets flow logs write into one log group and nothing else."""
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
                    "Resource": f"{log_group_arn}:*",
                }
            ],
        },
    )


def create_flow_logs(
    name: str,
    vpc: aws.ec2.Vpc,
    *,
    cluster_name: str,
    days: int,
    permissions_boundary: str | None,
    opts: pulumi.ResourceOptions,
) -> None:
    """Create the log group, the role that writes to it, and the flow log."""
    group = aws.cloudwatch.LogGroup(
        f"{name}-flow-logs", name=f"/aws/vpc/{cluster_name}/flow-logs", retention_in_days=days, opts=opts
    )
    role = aws.iam.Role(
        f"{name}-flow-logs",
        name=fit(f"{cluster_name}-flow-logs", IAM_ROLE_NAME_LIMIT),
        assume_role_policy=_TRUST,
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
