"""What NCCL and libfabric are told, by GPU and network."""

import pytest

from components.karpenter.efa import efa_interfaces as laid_out
from components.sizing.catalog import instance_type, instance_types
from components.vllm.nccl import NO_GPU_DIRECT, efa_interfaces, nccl_environment


def decision(name: str, gpus: int) -> dict[str, object]:
    """Return the part of a decision that the environment depends on."""
    return {"instance_type": name, "gpu": instance_type(name).gpu_key, "gpus": gpus, "tp": gpus}


@pytest.mark.parametrize(
    ("name", "gpus", "expected"),
    [("g5.12xlarge", 4, {"NCCL_P2P_DISABLE": "1"}), ("g5.2xlarge", 1, {}), ("p5.48xlarge", 8, {})],
)
def test_without_efa_only_broken_peer_access_is_told(name: str, gpus: int, expected: dict[str, str]) -> None:
    """Prevents hangs on PCIe boxes, and settings that slow down machines with NVSwitch."""
    assert nccl_environment(decision(name, gpus), efa=False) == expected


def test_efa_without_gpu_direct_goes_through_host_memory() -> None:
    """Prevents NCCL that fails on g5, g6 and g6e because it asks their EFA for RDMA to the GPU."""
    told = nccl_environment(decision("g6e.48xlarge", 8), efa=True)
    assert (told["FI_EFA_USE_DEVICE_RDMA"], told["NCCL_PROTO"]) == ("0", "simple")


def test_efa_with_gpu_direct_is_left_alone() -> None:
    """Prevents copied advice (FI_PROVIDER, FI_EFA_USE_DEVICE_RDMA=0) that slows p5 down or is for old libraries."""
    told = nccl_environment(decision("p5.48xlarge", 8), efa=True)
    assert told == {"NCCL_SOCKET_IFNAME": "eth0", "GLOO_SOCKET_IFNAME": "eth0", "FI_EFA_USE_HUGE_PAGE": "0"}


def test_pods_ask_for_what_their_nodes_are_laid_out_with() -> None:
    """Prevents pods that fit no node because they ask for an interface more than the node class makes."""
    for each in instance_types():
        if each.efa_count:
            assert efa_interfaces([each.name], efa=True) == laid_out(each.name)
    assert efa_interfaces(["p5.48xlarge"], efa=False) == 0
    assert efa_interfaces(["g5.2xlarge", "g5.12xlarge"], efa=True) == 0


def test_families_without_gpu_direct_exist() -> None:
    """Prevents a misspelt family, which would then be treated as if it had GPUDirect RDMA."""
    assert set(NO_GPU_DIRECT) <= {each.family for each in instance_types()}
