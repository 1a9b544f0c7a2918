"""Forms that single values must have: addresses, names, ARNs. Each returns a complaint or None."""

import datetime as dt
import ipaddress
import re
from typing import Any

from infra.settings.schema import matches

DNS_LABEL = "a name of lower-case letters, digits and dashes that starts with a letter, at most 40 characters"
dns_label = matches(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")

NAMESPACE = "a name of lower-case letters, digits and dashes, at most 63 characters"
namespace = matches(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

ARN = "an ARN such as arn:aws:iam::123456789012:role/platform"
iam_arn = matches(r"arn:aws[a-z-]*:iam::\d{12}:(role|user)/[\w+=,.@/-]+")
POLICY_ARN = "an ARN such as arn:aws:iam::123456789012:policy/boundary"
policy_arn = matches(r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[\w+=,.@/-]+")

SOURCE = "a Hugging Face id (org/name), s3://bucket/prefix or a path below /models"
source = matches(r"[\w.-]+/[\w.-]+|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.=-]+)*/?|/models/[\w./-]+")

REVISION = "a commit hash of 40 hex digits, a tag or a branch"
revision = matches(r"[\w][\w./-]{0,99}")

RESERVATION = "a capacity reservation id such as cr-0123456789abcdef0"
reservation = matches(r"cr-[0-9a-f]{8,17}")

CLUSTER_NAME = "a cluster name of letters, digits, dashes and underscores, at most 80 characters"
cluster_name = matches(r"[0-9A-Za-z][0-9A-Za-z_-]{0,79}")
"""EKS takes 100 characters, but Karpenter's queue has the cluster's name, and SQS takes 80."""

AMI_ALIAS = "family@version, such as al2023@v20260724 or bottlerocket@v1.57.0"
ami_alias = matches(r"(al2023@v\d{8}|bottlerocket@v\d+\.\d+\.\d+|(al2023|bottlerocket)@latest)")

REASON = "a sentence of at least ten characters that says why, and until when"
reason = matches(r"(?s).{10,500}")

ACCOUNT = "an account id of twelve digits, in quotes"
account = matches(r"\d{12}")

ADDON_VERSION = "a version such as v1.20.1-eksbuild.1"
addon_version = matches(r"v\d+\.\d+\.\d+-eksbuild\.\d+")

instance_type = matches(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
_GRAVITON = re.compile(r"[a-z]+\d[a-z]*g[a-z]*\.")
_RFC_1918 = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_NOT_PUBLIC = (*_RFC_1918, ipaddress.IPv4Network("100.64.0.0/10"))

IMAGE_PREFIX = "a registry prefix without a scheme, such as 123456789012.dkr.ecr.us-east-1.amazonaws.com/mirror"
image_prefix = matches(r"[a-zA-Z0-9][\w.-]*(:\d+)?(/[\w.-]+)*")

CHARTS = "an https:// or oci:// repository, or a directory of packaged charts"
charts = matches(r"(https?|oci)://\S+|[./~]\S*")

VPC = "a VPC id such as vpc-0123456789abcdef0"
vpc = matches(r"vpc-[0-9a-f]{8,17}")

SUBNET = "a subnet id such as subnet-0123456789abcdef0"
subnet = matches(r"subnet-[0-9a-f]{8,17}")

MINOR = 'a minor version in quotes, such as "1.35" (without quotes YAML reads 1.30 as 1.3)'
minor = matches(r"1\.\d\d")

TAG = "up to 128 letters, digits, spaces and _.:/=+-@ as key, up to 256 as value"
"""docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html: what every service accepts."""
tag_key = matches(r"[\w .:/=+@-]{1,128}")
tag_value = matches(r"[\w .:/=+@-]{0,256}")
MOST_TAGS = 40
"""Of the 50 that a resource may have; ours, Karpenter's and EKS's take the rest."""

DAY = 'a day as "YYYY-MM-DD", in quotes'


def day(value: Any) -> str | None:
    """Complain about what is no day of the calendar."""
    try:
        dt.date.fromisoformat(value)
    except ValueError:
        return "is no day"
    return None


CIDR = "a CIDR block such as 10.40.0.0/16"


def cidr(value: Any) -> str | None:
    """Complain about anything that is no exact IPv4 network."""
    try:
        ipaddress.IPv4Network(value)
    except ValueError as error:
        return f"is no IPv4 network: {error}"
    return None


def public_cidr(value: Any) -> str | None:
    """Complain about a network that EKS accepts for no public endpoint."""
    complaint = cidr(value)
    if complaint:
        return complaint
    network = ipaddress.IPv4Network(value)
    if any(network.subnet_of(private) for private in _NOT_PUBLIC):
        return "is private: the public endpoint sees public addresses only, and EKS refuses it"
    return None


def is_graviton(kind: str) -> bool:
    """Whether an instance type's name says that its processor is Arm: a g after the generation."""
    return bool(_GRAVITON.match(kind))


def vpc_cidr(value: Any) -> str | None:
    """Complain about a network that no VPC can have, or that is too small for three zones of pods."""
    complaint = cidr(value)
    if complaint:
        return complaint
    network = ipaddress.IPv4Network(value)
    if not any(network.subnet_of(private) for private in _RFC_1918):
        return "is no private network (RFC 1918)"
    if not 16 <= network.prefixlen <= 20:
        return f"has the prefix /{network.prefixlen}; a VPC takes /16 at most, and pods need /20 at least"
    return None
