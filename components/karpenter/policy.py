"""What Karpenter's controller may do in AWS, and which events it listens to. Pure; the statements are data."""

import json
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

from components.iam import document

_DATA = Path(__file__).parent / "controller_permissions.json"


@cache
def _data() -> dict[str, Any]:
    return json.loads(_DATA.read_text(encoding="utf-8"))


def policy_names() -> tuple[str, ...]:
    """Short names of the controller's policies. Six, because together they exceed what one managed policy may hold."""
    return tuple(_data()["policies"])


def controller_policy(
    name: str, *, partition: str, region: str, account: str, cluster: str, node_role_arn: str, queue_arn: str
) -> str:
    """Return one policy as JSON: every write is limited to what carries this cluster's tags.

    Raises:
        KeyError: a name that ``policy_names`` does not have.

    """
    template = Template(json.dumps(_data()["policies"][name]))
    statements = template.substitute(
        partition=partition,
        region=region,
        account=account,
        cluster=cluster,
        node_role_arn=node_role_arn,
        queue_arn=queue_arn,
    )
    return document(json.loads(statements))


def interruption_events() -> dict[str, str]:
    """EventBridge patterns, by short name, of everything that tells Karpenter to drain a node early."""
    return {
        event["name"]: json.dumps({"source": event["source"], "detail-type": event["detail-type"]})
        for event in _data()["interruption_events"]
    }


def queue_policy(queue_arn: str) -> str:
    """Return the queue's policy: AWS's event services may send, and nobody may speak without TLS."""
    return document(
        [
            {
                "Sid": "AllowEvents",
                "Effect": "Allow",
                "Principal": {"Service": ["events.amazonaws.com", "sqs.amazonaws.com"]},
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
            },
            {
                "Sid": "DenyPlainText",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sqs:*",
                "Resource": queue_arn,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ],
    )
