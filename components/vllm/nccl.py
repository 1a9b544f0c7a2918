"""What NCCL and libfabric must be told, by the GPUs and network of the nodes. Pure."""

from collections.abc import Mapping
from typing import Any

from components.sizing import catalog
from components.vllm.arguments import lacks_peer_access

NO_GPU_DIRECT = ("g4dn", "g5", "g6", "gr6", "g6e")
"""Families whose EFA cannot write GPU memory directly; p4d, p5, p6 and g7e can (AWS, EFA and NCCL by instance type)."""


def nccl_environment(decision: Mapping[str, Any], *, efa: bool) -> dict[str, str]:
    """Return the environment variables; none where NCCL finds out by itself.

    With libfabric 1.18 and aws-ofi-nccl 1.7 or newer, EFA with GPUDirect RDMA needs no setting of its own
    (aws/aws-ofi-nccl RELEASENOTES.md).
    """
    values: dict[str, str] = {}
    if lacks_peer_access(decision):
        values["NCCL_P2P_DISABLE"] = "1"
    if efa:
        # The VPC CNI calls a pod's interface eth0; NCCL and Gloo otherwise try the first that they see.
        values |= {"NCCL_SOCKET_IFNAME": "eth0", "GLOO_SOCKET_IFNAME": "eth0"}
        # The pod asks for no huge pages: Karpenter does not know of them.
        values["FI_EFA_USE_HUGE_PAGE"] = "0"
        if catalog.instance_type(decision["instance_type"]).family in NO_GPU_DIRECT:
            values |= {"FI_EFA_USE_DEVICE_RDMA": "0", "NCCL_PROTO": "simple"}
    return values


def efa_interfaces(instance_types: list[str], *, efa: bool) -> int:
    """Return how many EFA interfaces a pod may ask for on any of the types; 0 without EFA."""
    return min(catalog.instance_type(name).efa_count for name in instance_types) if efa else 0
