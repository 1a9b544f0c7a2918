"""Kubernetes side of the model cache: class, volume and claim. Pure.

Names carry the file system's id: where that is replaced, volume, claim and everything that mounts the claim follow.
A claim that kept its name would silently stay bound to nothing.
"""

from typing import Any

CLASS_NAME = "model-cache"
DRIVER = "efs.csi.aws.com"
NOMINAL_SIZE = "1Ti"
"""Kubernetes demands a size; EFS has none and ignores it."""


def names(file_system_id: str) -> str:
    """Return the name of the volume and of its claim."""
    return f"models-{file_system_id}"


def storage_class() -> dict[str, Any]:
    """Return the class that volume and claim share: it only keeps the cluster's default class from stepping in."""
    return {
        "metadata": {"name": CLASS_NAME},
        "provisioner": DRIVER,
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "Immediate",
    }


def persistent_volume(name: Any, handle: Any, namespace: str) -> dict[str, Any]:
    """Return the volume: the file system through its access point, for one claim only.

    Args:
        name: name of volume and claim (may be a Pulumi output, as ``handle``).
        handle: ``file-system::access-point``.
        namespace: the claim's.

    """
    return {
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": NOMINAL_SIZE},
            "volumeMode": "Filesystem",
            "accessModes": ["ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": CLASS_NAME,
            "claimRef": {"namespace": namespace, "name": name},
            "csi": {"driver": DRIVER, "volumeHandle": handle, "volumeAttributes": {"encryptInTransit": "true"}},
        },
    }


def claim(name: Any, namespace: str) -> dict[str, Any]:
    """Return the claim, bound to its volume by name: nothing is provisioned and no pod has to come first."""
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": CLASS_NAME,
            "volumeName": name,
            "resources": {"requests": {"storage": NOMINAL_SIZE}},
        },
    }
