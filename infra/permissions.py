"""AWS permissions of the models' servers. Pure."""

import json

from components.iam import partition


def read_policy(source: str, region: str) -> str:
    """Return the IAM policy that lets servers list and read one s3:// prefix, and nothing else."""
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    arn = f"arn:{partition(region)}:s3:::{bucket}"
    below = f"{prefix.rstrip('/')}/*" if prefix.rstrip("/") else "*"
    listing = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": arn}
    reading = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{arn}/{below}"}
    condition = {"Condition": {"StringLike": {"s3:prefix": [below.removesuffix("/*"), below]}}}
    return json.dumps({"Version": "2012-10-17", "Statement": [{**listing, **condition}, reading]})
