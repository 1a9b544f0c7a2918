"""Tensor-parallel all-reduce: two per layer, each as slow as the link between the GPUs."""

from dataclasses import dataclass
from functools import cache

from components.sizing.catalog import Gpu
from components.sizing.latency.constants import Link, document

_MICRO, _GIGA = 1e-6, 1e9


@dataclass(frozen=True)
class AllReduce:
    """Time of one all-reduce among ``ranks`` GPUs."""

    link: Link
    ranks: int

    def seconds(self, message_bytes: float) -> float:
        """Of a message of so many bytes on every rank: a ring moves 2(n - 1)/n of it over each link."""
        if self.ranks == 1:
            return 0.0
        moved = 2.0 * (self.ranks - 1) / self.ranks * message_bytes
        latency = self.link.latency_s + self.link.hop_s * 2 * (self.ranks - 1)
        return latency + min(moved / self.link.small_bus, self.link.large_latency_s + moved / self.link.large_bus)


def link(gpu: Gpu) -> Link:
    """How GPUs of this kind reach each other inside one AWS instance: NVLink, PCIe with or without peer access."""
    if gpu.nvlink and gpu.nvlink_gbs_per_gpu:
        return _nvlink(gpu.nvlink_gbs_per_gpu)
    return _pcie("pcie-p2p" if gpu.p2p else "pcie-host", gpu.key)


@cache
def _nvlink(gbs_per_gpu: float) -> Link:
    row = document()["links"]["nvlink"]
    bus = row["bus_share_of_nvlink"] * gbs_per_gpu * _GIGA
    return Link("nvlink", row["latency_us"] * _MICRO, row["hop_us"] * _MICRO, bus, 0.0, bus)


@cache
def _pcie(name: str, gpu_key: str) -> Link:
    row = document()["links"][name]
    scale = row.get("scale", {}).get(gpu_key, 1.0) * _GIGA
    return Link(
        name,
        row["latency_us"] * _MICRO,
        row["hop_us"] * _MICRO,
        row["small_bus_gbs"] * scale,
        row["large_latency_us"] * _MICRO,
        row["large_bus_gbs"] * scale,
    )
