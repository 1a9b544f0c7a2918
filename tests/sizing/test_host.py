"""What a pod asks of its host: by loader, by GPUs, and against Karpenter's allocatable."""

import pytest

from components.sizing import catalog, host
from components.sizing.host import HostOverhead, need, shortage

LLAMA_8B_GIB = 14.96
LLAMA_70B_AWQ_GIB = 37.04


def test_prefetch_needs_the_checkpoint_in_the_page_cache() -> None:
    """Prevents a memory limit below which vLLM silently stops prefetching from NFS."""
    wanted = need(LLAMA_8B_GIB, 1, multiprocess=False, loader="prefetch")
    assert wanted.memory_mib / 1024 * host.PREFETCH_SHARE > LLAMA_8B_GIB
    assert wanted.memory_mib == pytest.approx((LLAMA_8B_GIB / 0.9 + 10) * 1024, abs=1)
    assert wanted.shm_gib == 0


def test_shared_memory_counts_against_the_pods_limit() -> None:
    """Prevents a /dev/shm that fills the limit and gets the pod killed; TP 4 needs more than the default 64 MiB."""
    one = need(LLAMA_70B_AWQ_GIB, 1, multiprocess=False, loader="lazy")
    four = need(LLAMA_70B_AWQ_GIB, 4, multiprocess=True, loader="lazy")
    eight = need(LLAMA_70B_AWQ_GIB, 8, multiprocess=True, loader="lazy")
    assert (four.shm_gib, eight.shm_gib) == (3, 4)
    assert four.memory_mib - one.memory_mib >= four.shm_gib * 1024


def test_loaders_ask_for_what_they_use() -> None:
    """Prevents a streaming pod that is sized for a page cache it does not have, or is killed by its buffers."""
    by_loader = {
        loader: need(381.5, 8, multiprocess=True, loader=loader).memory_mib for loader in ("prefetch", "stream", "lazy")
    }
    assert by_loader["lazy"] < by_loader["stream"] < by_loader["prefetch"]
    assert by_loader["stream"] - by_loader["lazy"] == 8 * host.STREAM_GIB * 1024


def test_nominal_sizes_are_not_allocatable() -> None:
    """Prevents a pod that stays pending for ever: g5.12xlarge gives 173,400 MiB of its 196,608."""
    wanted = host.HostNeed("lazy", 1000, 180_000, 0)
    lack = shortage(wanted, catalog.instance_type("g5.12xlarge"), HostOverhead(0, 0))
    assert lack is not None
    assert (lack.resource, lack.actual, lack.limit) == ("memory", 180_000, 173_400)


def test_daemonsets_are_taken_off() -> None:
    """Prevents a request that fits an empty node but not one with its DaemonSets."""
    node = catalog.instance_type("g5.2xlarge")
    wanted = host.HostNeed("lazy", node.allocatable_cpu_millicores - 100, 1024, 0)
    assert shortage(wanted, node, HostOverhead(100, 0)) is None
    lack = shortage(wanted, node, HostOverhead(101, 0))
    assert lack is not None
    assert lack.resource == "CPU"


def test_the_rule_and_its_numbers_can_be_read() -> None:
    """Prevents a host request whose origin nobody can check."""
    wanted = need(LLAMA_8B_GIB, 1, multiprocess=False, loader="prefetch")
    told = {each.name: each for each in host.assumptions(wanted, HostOverhead())}
    assert told["host_memory_mib"].value == wanted.memory_mib
    assert "÷ 0.9" in told["host_memory_mib"].source
    assert told["load_strategy"].value == "prefetch"
    assert told["daemonsets"].value == "500m CPU, 1024 MiB"
