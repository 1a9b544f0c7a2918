"""EC2NodeClass: what a node is made of. Pure builders of the manifest."""

from collections.abc import Mapping, Sequence
from typing import Any

from components.karpenter.storage import Storage
from components.scheduling import DISCOVERY_TAG, POOL_LABEL

API_VERSION = "karpenter.k8s.aws/v1"
BOTTLEROCKET_SYSTEM_GIB = 4
"""Bottlerocket keeps its system on a volume of its own; images and logs are on the second."""
FAST_VOLUME = {"iops": 6000, "throughput": 750}
"""gp3 figures for unpacking images in parallel, which wants at least 600 MiB/s (github.com/pytorch/ci-infra/pull/1033).
Throughput may be at most a quarter of the IOPS."""

# nodeadm pulls and unpacks the layers of an image in parallel; it ignores the gate on small types
# (awslabs/amazon-eks-ami@81fec2e doc/usage).
FAST_IMAGE_PULL = """\
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  featureGates:
    FastImagePull: true
"""


def ami_family(alias: str) -> str:
    """Family of an AMI alias: ``al2023`` or ``bottlerocket``."""
    return alias.partition("@")[0]


def block_devices(family: str, storage: Storage) -> list[dict[str, Any]]:
    """Return encrypted gp3 volumes for the AMI family; large ones are fast, because images unpack on them."""
    speed = {} if storage.instance_store else FAST_VOLUME
    volume = {"volumeType": "gp3", "encrypted": True, "deleteOnTermination": True}
    data = {**volume, **speed, "volumeSize": f"{storage.root_gib}Gi"}
    if family == "bottlerocket":
        system = {**volume, "volumeSize": f"{BOTTLEROCKET_SYSTEM_GIB}Gi"}
        return [{"deviceName": "/dev/xvda", "ebs": system}, {"deviceName": "/dev/xvdb", "ebs": data}]
    return [{"deviceName": "/dev/xvda", "rootVolume": True, "ebs": data}]


def reservation_terms(reservations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return ``capacityReservationSelectorTerms``: an id alone, or tags with an optional owner."""
    terms: list[dict[str, Any]] = []
    for reservation in reservations:
        if reservation.get("id"):
            terms.append({"id": reservation["id"]})
        else:
            owner = {"ownerID": reservation["owner_id"]} if reservation.get("owner_id") else {}
            terms.append({"tags": dict(reservation["tags"]), **owner})
    return terms


def node_class(
    name: str,
    *,
    cluster_name: Any,
    node_role_name: Any,
    ami_alias: str,
    storage: Storage,
    fast_image_pull: bool,
    subnet_ids: Any = None,
    security_group_id: Any = None,
    extra_security_group_ids: Sequence[Any] = (),
    reservations: Sequence[Mapping[str, Any]] = (),
    placement_group: Any = None,
    interfaces: Sequence[Mapping[str, Any]] = (),
    tags: Mapping[str, Any] | None = None,
    instance_profile: Any = None,
) -> dict[str, Any]:
    """Return the manifest.

    ``instance_profile`` replaces the role where Karpenter cannot reach IAM to make a profile of its own.
    ``subnet_ids`` and ``security_group_id`` replace discovery by tag, for what somebody else owns and tags.
    """
    family = ami_family(ami_alias)
    discovery = {"tags": {DISCOVERY_TAG: cluster_name}}
    spec: dict[str, Any] = {
        **({"role": node_role_name} if instance_profile is None else {"instanceProfile": instance_profile}),
        "amiSelectorTerms": [{"alias": ami_alias}],
        "subnetSelectorTerms": [{"id": each} for each in subnet_ids] if subnet_ids else [discovery],
        "securityGroupSelectorTerms": [
            discovery if security_group_id is None else {"id": security_group_id},
            *({"id": group} for group in extra_security_group_ids),
        ],
        "blockDeviceMappings": block_devices(family, storage),
        # One hop: pods cannot take the node's role, they have Pod Identity.
        "metadataOptions": {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1,
        },
        "tags": {POOL_LABEL: name, **(tags or {})},
    }
    if storage.instance_store:
        spec["instanceStorePolicy"] = "RAID0"
    if fast_image_pull and family == "al2023":
        spec["userData"] = FAST_IMAGE_PULL
    if reservations:
        spec["capacityReservationSelectorTerms"] = reservation_terms(reservations)
    if placement_group is not None:
        spec["placementGroupSelector"] = {"name": placement_group}
    if interfaces:
        # A node with several interfaces cannot have a public address.
        spec["associatePublicIPAddress"] = False
        spec["networkInterfaces"] = [dict(each) for each in interfaces]
    return {
        "apiVersion": API_VERSION,
        "kind": "EC2NodeClass",
        # Ready means that Karpenter found AMI, subnets and groups and that its permissions passed a dry run.
        "metadata": {"name": name, "annotations": {"pulumi.com/waitFor": "condition=Ready"}},
        "spec": spec,
    }
