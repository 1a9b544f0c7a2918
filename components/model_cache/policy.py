"""Resource policy of the model cache's file system. Pure."""

import json


def file_system_policy(file_system_arn: str, access_point_arn: str) -> str:
    """Return a policy that lets clients in only encrypted, only through the access point, and never as root."""
    statements = [
        {
            "Sid": "MountThroughTheAccessPoint",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
            "Resource": file_system_arn,
            "Condition": {
                "Bool": {"elasticfilesystem:AccessedViaMountTarget": "true"},
                "StringEquals": {"elasticfilesystem:AccessPointArn": access_point_arn},
            },
        },
        {
            "Sid": "OnlyEncrypted",
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": "*",
            "Resource": file_system_arn,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
