"""GPUs that several pods share: time slices, or MIG partitions. Pure.

Karpenter knows only whole GPUs. What a shared one offers is told to it by NodeOverlays, and to the node by two labels
that the GPU Operator's device plugin and MIG manager read.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from components.karpenter.node_pool import any_of
from components.scheduling import GPU_RESOURCE
from components.sizing.catalog import InstanceType

API_VERSION = "karpenter.sh/v1alpha1"
_DATA = Path(__file__).parent / "mig_profiles.json"


@cache
def _profiles() -> dict[str, dict[str, int]]:
    return json.loads(_DATA.read_text(encoding="utf-8"))["profiles"]


def mig_profiles(gpu_key: str) -> tuple[str, ...]:
    """Profiles that a whole GPU can be cut into; empty for GPUs without MIG."""
    return tuple(_profiles().get(gpu_key, {}))


def sharing_labels(sharing: Mapping[str, Any]) -> dict[str, str]:
    """Labels that choose the node's configuration."""
    if slices := sharing.get("time_slices"):
        return {"nvidia.com/device-plugin.config": f"time-sliced-{int(slices)}"}
    if profile := sharing.get("mig_profile"):
        return {"nvidia.com/mig.config": f"all-{profile}"}
    return {}


def shared_capacity(sharing: Mapping[str, Any], gpu_key: str, gpu_count: int) -> dict[str, str]:
    """Return what one node offers to pods beside, or instead of, whole GPUs."""
    if slices := sharing.get("time_slices"):
        return {f"{GPU_RESOURCE}.shared": str(gpu_count * int(slices))}
    profile = sharing["mig_profile"]
    return {f"nvidia.com/mig-{profile}": str(gpu_count * _profiles()[gpu_key][profile])}


def node_overlays(
    pool: str, types: Sequence[InstanceType], sharing: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """Return a NodeOverlay per number of GPUs, by name."""
    if not sharing:
        return {}
    alike: dict[tuple[str, int], list[str]] = {}
    for each in types:
        alike.setdefault((each.gpu_key, each.gpu_count), []).append(each.name)
    return {
        f"{pool}-{gpu_key}-{count}": {
            "apiVersion": API_VERSION,
            "kind": "NodeOverlay",
            "metadata": {"name": f"{pool}-{gpu_key}-{count}"},
            "spec": {
                "requirements": [any_of("node.kubernetes.io/instance-type", names)],
                "capacity": shared_capacity(sharing, gpu_key, count),
            },
        }
        for (gpu_key, count), names in alike.items()
    }
