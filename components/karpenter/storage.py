"""How large a node's root volume must be, and whether local NVMe takes its place. Pure."""

import math
from collections.abc import Iterable
from typing import NamedTuple

OPERATING_SYSTEM_GIB = 8
"""Amazon Linux 2023 with the NVIDIA driver and the kubelet's own files."""
IMAGE_COMPRESSED_GIB = 10
"""vllm/vllm-openai is 10.76 GB as pulled (github.com/aws-samples/karpenter-blueprints/pull/32)."""
IMAGE_UNPACKED_GIB = 20
"""The same image unpacked; an estimate, nobody published the figure."""
IMAGES_AT_ONCE = 2
"""During a rollout the node holds the old and the new image."""
LOGS_GIB = 10
USABLE_SHARE = 0.85
"""The kubelet starts to delete images at 85 % (kubernetes.io/docs/concepts/architecture/garbage-collection)."""
STEP_GIB = 10


class Storage(NamedTuple):
    """Where a node keeps images, logs and empty directories."""

    root_gib: int
    instance_store: bool
    """The node's NVMe disks become one RAID 0 volume for containerd, kubelet and logs."""


def root_volume_gib(*, local_model_gib: float = 0, images: int = IMAGES_AT_ONCE) -> int:
    """Return the root volume's size in GiB for a node that unpacks images, keeps logs and maybe a model on it."""
    needed = OPERATING_SYSTEM_GIB + images * (IMAGE_COMPRESSED_GIB + IMAGE_UNPACKED_GIB) + LOGS_GIB + local_model_gib
    return math.ceil(needed / USABLE_SHARE / STEP_GIB) * STEP_GIB


def choose_storage(local_nvme_gb: Iterable[int], *, local_model_gib: float = 0) -> Storage:
    """Return the storage for a pool of types with that much NVMe each.

    The root volume may be small only where every type of the pool has disks of its own.
    """
    disks = list(local_nvme_gb)
    if disks and all(disks):
        return Storage(root_volume_gib(images=0), instance_store=True)
    return Storage(root_volume_gib(local_model_gib=local_model_gib), instance_store=any(disks))
