"""GPUs, EC2 GPU instance types and where EC2 offers them: facts with source and date, read once from ``data/``.

Memory is what CUDA reports, never the marketing size: an A10G is sold with 24 GB and shows 22.06 GiB.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from components.sizing import prices

DATA = Path(__file__).parent / "data"


class UnknownCatalogKeyError(LookupError):
    """A GPU, instance type, family or region that the catalogue does not have; the message says what it has."""


class RefusedGpuError(LookupError):
    """A GPU that the catalogue knows but cannot size for; the message says why."""


@dataclass(frozen=True, eq=False)
class Gpu:
    """One GPU model, one object per key.

    Memory in GiB (2**30), bandwidth in GB/s, tensor throughput in dense TFLOPS with FP32 accumulate.
    """

    key: str
    name: str
    architecture: str
    compute_capability: int
    """Major and minor as one number: 8.6 is 86."""
    memory_expected_gib: float | None
    """The total that CUDA reports. None: nobody reported one, the caller must give it."""
    memory_safe_gib: float | None
    """The lower figure that a promise may rest on (other drivers report a little less)."""
    memory_api_mib: int | None
    """What the EC2 API says: larger than what CUDA reports, kept only to recognise the type."""
    bandwidth_gbs: float
    tflops: Mapping[str, float]
    """By bf16, fp16, fp8, int8, fp4; a format without tensor cores for it is absent."""
    nvlink: bool
    nvlink_gbs_per_gpu: float | None
    pcie: str
    p2p: bool
    """Whether CUDA peer access works between the GPUs of one AWS instance."""
    p2p_note: str
    efa_rdma: bool
    """GPUDirect RDMA over EFA."""
    aws_families: tuple[str, ...]
    refused: str | None
    notes: tuple[str, ...]
    sources: tuple[str, ...]
    unverified: tuple[str, ...]


@dataclass(frozen=True)
class Exclusion:
    """Why serving never uses a family, with the two numbers that decide it."""

    actual: float
    limit: float
    unit: str
    text: str
    source: str


@dataclass(frozen=True)
class InstanceType:
    """One EC2 type with GPUs. Allocatable: what Karpenter 1.14 expects its node to offer to pods."""

    name: str
    family: str
    gpu_key: str
    gpu_count: int
    arch: str
    vcpus: int
    memory_mib: int
    allocatable_cpu_millicores: int
    allocatable_memory_mib: int
    allocatable_pods: int
    local_nvme_gb: int
    network_baseline_gbps: float
    ebs_max_throughput_mbps: float
    """Megabytes per second."""
    efa_count: int
    efa_on_card_0: bool
    usage_classes: tuple[str, ...]
    """What the EC2 API accepts (on-demand, spot, capacity-block); no statement about capacity."""
    quota_on_demand: str | None
    quota_spot: str | None
    excluded: Exclusion | None
    """None: serving may use it."""
    usd_per_hour: float | None
    """On-demand list price in us-east-1; None: it has none there."""
    price_date: str | None
    offered_regions: tuple[str, ...]

    @property
    def gpu(self) -> Gpu:
        """The GPU's facts, also where it is refused (the type then is ``excluded``)."""
        return _all_gpus()[self.gpu_key]


@cache
def _document(name: str) -> dict[str, Any]:
    return json.loads((DATA / name).read_text(encoding="utf-8"))


@cache
def _all_gpus() -> dict[str, Gpu]:
    lists = ("aws_families", "notes", "sources", "unverified")
    return {
        row["key"]: Gpu(**{**row, **{name: tuple(row[name]) for name in lists}})
        for row in _document("gpus.json")["gpus"]
    }


@cache
def _offerings() -> dict[str, dict[str, tuple[str, ...]]]:
    """Region -> type -> zone names."""
    regions: dict[str, dict[str, tuple[str, ...]]] = {}
    for region, by_letters in _document("offerings.json")["regions"].items():
        regions[region] = {
            name: tuple(f"{region}{letter}" for letter in letters)
            for letters, names in by_letters.items()
            for name in names
        }
    return regions


@cache
def _all_instance_types() -> dict[str, InstanceType]:
    document = _document("instance_types.json")
    excluded = {family: Exclusion(**row) for family, row in document["excluded_families"].items()}
    table = prices.on_demand_table(prices.REFERENCE_REGION)
    types: dict[str, InstanceType] = {}
    for row in document["rows"]:
        fields = dict(zip(document["columns"], row, strict=True))
        price = table.usd_per_hour.get(fields["name"])
        fields["usage_classes"] = tuple(fields["usage_classes"])
        types[fields["name"]] = InstanceType(
            **fields,
            excluded=excluded.get(fields["family"]),
            usd_per_hour=price,
            price_date=None if price is None else table.date,
            offered_regions=tuple(region for region, offered in _offerings().items() if fields["name"] in offered),
        )
    return types


def closest(value: str, accepted: Iterable[str]) -> str:
    """``; did you mean X?`` for a near miss, else the whole list of what is accepted."""
    known = list(accepted)
    near = difflib.get_close_matches(value, known, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else f"accepted: {', '.join(known)}"


def gpu(key: str) -> Gpu:
    """Facts of one GPU by its key.

    Raises:
        UnknownCatalogKeyError: no such key; the message lists what is accepted.
        RefusedGpuError: a known GPU that has no memory figure; the message says why.

    """
    found = _all_gpus().get(key)
    if found is None:
        raise UnknownCatalogKeyError(f"unknown GPU {key!r}; accepted: {', '.join(each.key for each in gpus())}")
    if found.refused is not None:
        raise RefusedGpuError(f"GPU {key!r} ({found.name}) cannot be sized: {found.refused}")
    return found


def gpus() -> tuple[Gpu, ...]:
    """Every GPU that can be sized for, consumer cards (for checking published logs) last."""
    return tuple(each for each in _all_gpus().values() if each.refused is None)


def instance_type(name: str) -> InstanceType:
    """Facts of one EC2 type.

    Raises:
        UnknownCatalogKeyError: no such GPU instance type; the message names close matches.

    """
    found = _all_instance_types().get(name)
    if found is None:
        raise UnknownCatalogKeyError(f"unknown GPU instance type {name!r}; {closest(name, _all_instance_types())}")
    return found


def instance_types() -> tuple[InstanceType, ...]:
    """Every EC2 GPU type, also those that serving excludes (``excluded`` says why)."""
    return tuple(_all_instance_types().values())


def families() -> tuple[str, ...]:
    """Every family of the catalogue, in its order."""
    return tuple(dict.fromkeys(each.family for each in instance_types()))


def regions() -> tuple[str, ...]:
    """Regions whose offerings are known."""
    return tuple(_offerings())


def offered_zones(region: str, name: str) -> tuple[str, ...]:
    """Zones of the region where EC2 offers the type; empty where it does not.

    Zone names are those of the account that was asked: in another account a letter may be another building.

    Raises:
        UnknownCatalogKeyError: a region without known offerings.

    """
    if region not in _offerings():
        raise UnknownCatalogKeyError(f"no offerings are known for region {region!r}; {closest(region, regions())}")
    return _offerings()[region].get(name, ())


def offerings_date() -> str:
    """Date of the offerings snapshot (ISO)."""
    return _document("offerings.json")["date"]


def offerings_source() -> str:
    """Origin of the offerings snapshot."""
    return _document("offerings.json")["source"]
