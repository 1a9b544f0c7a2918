"""The AWS that Karpenter talks to: moto's server on loopback, holding what the program's AWS side would have made."""

import datetime as dt
import json
import logging
import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import boto3
import requests
from moto.server import ThreadedMotoServer
from moto.ssm.models import Parameter, ssm_backends

from offline.rehearsal.ec2 import ACCOUNT, Market, answers

AMAZON = "602401143452"
"""Owner of the EKS images in most regions (AWS, "Amazon container image registries for Amazon EKS add-ons")."""


@dataclass(frozen=True)
class Tagged:
    """A subnet or a security group: its tags, its zone (subnets), and its id where a selector names one."""

    tags: Mapping[str, str]
    zone: str = ""
    id: str | None = None


@dataclass(frozen=True)
class Account:
    """What Karpenter looks at of the account, as the program declares it."""

    cluster: str
    region: str
    kubernetes: str
    subnets: tuple[Tagged, ...]
    security_groups: tuple[Tagged, ...]
    roles: tuple[str, ...]
    instance_profiles: tuple[str, ...]
    queue: str | None
    ami_aliases: tuple[str, ...]
    ami_ids: tuple[str, ...]
    placement_groups: tuple[str, ...]


class Cloud:
    """``with Cloud(account, market) as cloud: cloud.environment`` is what a controller needs to use it.

    moto's state belongs to the process: one Cloud at a time, each starts empty.
    """

    def __init__(self, account: Account, market: Market) -> None:
        self.account, self.market = account, market
        self._queue_url = ""

    def __enter__(self) -> Self:
        os.environ.setdefault("AWS_ACCESS_KEY_ID", "testing")
        os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "testing")
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._open = ExitStack()
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        with ExitStack() as opening:
            opening.enter_context(answers(self.market))
            server.start()
            opening.callback(server.stop)
            host, port = server.get_host_and_port()
            self.url = f"http://{host}:{port}"
            requests.post(f"{self.url}/moto-api/reset", timeout=30).raise_for_status()
            self._seed()
            self._open = opening.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    @property
    def environment(self) -> dict[str, str]:
        """Environment of an AWS client that must reach nothing but this cloud."""
        return {
            "AWS_ENDPOINT_URL": self.url, "AWS_REGION": self.account.region, "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1",
        }  # fmt: skip

    def client(self, service: str) -> Any:
        """Return a boto3 client of this cloud."""
        return boto3.client(
            service, region_name=self.account.region, endpoint_url=self.url, aws_access_key_id="testing",
            aws_secret_access_key="testing",  # noqa: S106 - moto takes any
        )  # fmt: skip

    def interrupt(self, instance_id: str) -> None:
        """EC2's two-minute warning, as EventBridge would put it on the queue. Raises ValueError without a queue."""
        if not self._queue_url:
            raise ValueError("the stack makes no interruption queue: nobody would tell Karpenter")
        region = self.account.region
        event = {
            "version": "0", "id": instance_id, "detail-type": "EC2 Spot Instance Interruption Warning",
            "source": "aws.ec2", "account": ACCOUNT, "region": region,
            "time": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "resources": [f"arn:aws:ec2:{region}::instance/{instance_id}"],
            "detail": {"instance-id": instance_id, "instance-action": "terminate"},
        }  # fmt: skip
        self.client("sqs").send_message(QueueUrl=self._queue_url, MessageBody=json.dumps(event))

    def reclaim(self, instance_ids: list[str]) -> None:
        """End instances, as EC2 does when the two minutes of a warning are over."""
        self.client("ec2").terminate_instances(InstanceIds=instance_ids)

    def _seed(self) -> None:
        account, ec2, iam = self.account, self.client("ec2"), self.client("iam")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        made = []
        for number, subnet in enumerate(account.subnets):
            block = f"10.0.{8 * number}.0/21"
            reply = ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=subnet.zone)
            made.append(self._named(self._subnets(subnet.zone), reply["Subnet"]["SubnetId"], subnet))
        for number, group in enumerate(account.security_groups):
            reply = ec2.create_security_group(GroupName=f"group-{number}", Description="rehearsed", VpcId=vpc)
            self._named(self.market.backend.groups[vpc], reply["GroupId"], group)
        for role in {*account.roles, "cluster"}:
            iam.create_role(RoleName=role, AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[]}')
        for profile in account.instance_profiles:
            iam.create_instance_profile(InstanceProfileName=profile)
        self.client("eks").create_cluster(
            name=account.cluster, version=account.kubernetes, roleArn=f"arn:aws:iam::{ACCOUNT}:role/cluster",
            resourcesVpcConfig={"subnetIds": made}, kubernetesNetworkConfig={"serviceIpv4Cidr": "172.20.0.0/16"},
        )  # fmt: skip
        if account.queue:
            self._queue_url = self.client("sqs").create_queue(QueueName=account.queue)["QueueUrl"]
        for alias in account.ami_aliases:
            self._publish(alias)
        for image in account.ami_ids:
            self._image(image, "x86_64", image)

    def _subnets(self, zone: str) -> dict[str, Any]:
        return self.market.backend.subnets[zone]

    def _named(self, store: dict[str, Any], made: str, wanted: Tagged) -> str:
        """Give a made object the tags and, where a selector names it by id, the id that the program expects."""
        identity = made
        if wanted.id:
            entry = store.pop(made)
            entry.id = identity = wanted.id
            if hasattr(entry, "group_id"):  # a security group has its id twice
                entry.group_id = identity
            store[identity] = entry
        if wanted.tags:
            tags = [{"Key": k, "Value": v} for k, v in wanted.tags.items()]
            self.client("ec2").create_tags(Resources=[identity], Tags=tags)
        return identity

    def _image(self, name: str, architecture: str, image_id: str | None = None) -> str:
        images = self.market.backend
        image = images.register_image(name)
        image.architecture, image.owner_id = architecture, AMAZON
        if image_id:
            images.amis[image_id] = images.amis.pop(image.id)
            image.id = image_id
        return image.id

    def _publish(self, alias: str) -> None:
        """Write the SSM parameters from which Karpenter resolves an alias (its pkg/providers/amifamily)."""
        store: Any = ssm_backends[ACCOUNT][self.account.region]._parameters  # noqa: SLF001 - moto refuses AWS's own paths
        for path, (name, architecture) in _parameters(alias, self.account.kubernetes).items():
            if path not in store:
                store[path].append(Parameter(
                    account_id=ACCOUNT, name=path, value=self._image(name, architecture), parameter_type="String",
                    description=None, allowed_pattern=None, keyid=None, version=1, data_type="text",
                    last_modified_date=dt.datetime.now(dt.UTC),
                ))  # fmt: skip


def _parameters(alias: str, kubernetes: str) -> dict[str, tuple[str, str]]:
    """Parameter path -> (image name, architecture) of one AMI alias. Raises ValueError for families unknown here."""
    family, _, version = alias.partition("@")
    found: dict[str, tuple[str, str]] = {}
    if family == "al2023":
        root = f"/aws/service/eks/optimized-ami/{kubernetes}/amazon-linux-2023"
        for architecture, variant in (
            ("x86_64", "standard"), ("x86_64", "nvidia"), ("x86_64", "neuron"), ("arm64", "standard"),
            ("arm64", "nvidia"),
        ):  # fmt: skip
            name = f"amazon-eks-node-al2023-{architecture}-{variant}-{kubernetes}-{version}"
            last = "recommended" if version == "latest" else name
            found[f"{root}/{architecture}/{variant}/{last}/image_id"] = (name, architecture)
    elif family == "bottlerocket":
        for architecture in ("x86_64", "arm64"):
            for flavour in ("", "-nvidia"):
                root = f"/aws/service/bottlerocket/aws-k8s-{kubernetes}{flavour}/{architecture}"
                name = f"bottlerocket{flavour}-{architecture}-{version}"
                found[f"{root}/{re.sub('^v', '', version)}/image_id"] = (name, architecture)
    else:
        raise ValueError(f"the rehearsal knows no images of the alias {alias!r}: al2023 and bottlerocket only")
    return found
