"""Kubernetes quantities as numbers, and what pods ask for."""

import re

from components.scheduling import GPU_RESOURCE
from offline.rehearsal.kube import Obj

_FACTORS = {
    "m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip
MIB = 2**20


def number(quantity: str | float) -> float:
    """Return the value of a quantity such as 500m or 12Gi, in units. Raises ValueError for what is none."""
    match = re.fullmatch(r"([0-9.eE+-]+?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?", str(quantity))
    if match is None:
        raise ValueError(f"{quantity!r} is no quantity")
    return float(match.group(1)) * _FACTORS[match.group(2) or ""]


def asked(pod_spec: Obj, resource: str) -> float:
    """Return what a pod's containers request of a resource; a limit without a request is one."""
    return sum(_of(container, resource) for container in pod_spec["containers"])


def gpus(pod_spec: Obj) -> int:
    """GPUs that a pod asks for."""
    return int(asked(pod_spec, GPU_RESOURCE))


def _of(container: Obj, resource: str) -> float:
    resources = container.get("resources", {})
    both = {**resources.get("limits", {}), **resources.get("requests", {})}
    return number(both.get(resource, 0))
