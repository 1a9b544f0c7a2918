"""The catalogue's facts against EC2's own answers as moto ships them, and its errors."""

import datetime as dt
import gzip
import json
from pathlib import Path
from typing import Any

import moto
import pytest

from components.sizing import catalog, prices

MOTO = Path(moto.__file__).parent / "ec2" / "resources"


def _ec2(name: str) -> Any:
    return json.loads(gzip.decompress((MOTO / name).read_bytes()))


def test_specs_equal_what_ec2_answers() -> None:
    """Prevents a wrong GPU count, CPU count, memory or EFA count from steering every decision."""
    described = _ec2("instance_types.json.gz")
    for each in catalog.instance_types():
        facts = described[each.name]
        assert facts["VCpuInfo"]["DefaultVCpus"] == each.vcpus, each.name
        assert facts["MemoryInfo"]["SizeInMiB"] == each.memory_mib, each.name
        gpu = facts["GpuInfo"]["Gpus"][0]
        assert gpu.get("Count", 0) == each.gpu_count, each.name
        efa = facts["NetworkInfo"].get("EfaInfo", {}).get("MaximumEfaInterfaces", 0)
        assert efa == each.efa_count, each.name
        if each.excluded is None:
            assert gpu["MemoryInfo"]["SizeInMiB"] == each.gpu.memory_api_mib, each.name


def test_offerings_equal_what_ec2_answers_per_zone() -> None:
    """Prevents a plan for a zone (or region) where EC2 does not sell the type."""
    names = {each.name for each in catalog.instance_types()}
    for region in catalog.regions():
        answered: dict[str, set[str]] = {}
        for offer in _ec2(f"instance_type_offerings/availability-zone/{region}.json.gz"):
            if offer["InstanceType"] in names:
                answered.setdefault(offer["InstanceType"], set()).add(offer["Location"])
        assert {name: set(catalog.offered_zones(region, name)) for name in names} == {
            name: answered.get(name, set()) for name in names
        }


def test_region_traps() -> None:
    """Prevents forgetting that families are missing from large regions (eu-west-1 has no g6, g6e, g7e, p5)."""
    offered = {each.family for each in catalog.instance_types() if "eu-west-1" in each.offered_regions}
    assert offered >= {"g4dn", "g5", "p4d"}
    assert not offered & {"g6", "g6e", "g7e", "p5"}
    assert catalog.offered_zones("us-east-1", "p5e.48xlarge") == ()


def test_memory_is_what_cuda_reports_not_what_is_sold() -> None:
    """Prevents booking the marketing size: an A10G has 22.06 GiB, not 24; a T4 14.57, not 16."""
    for each in catalog.gpus():
        if each.memory_api_mib is None or each.memory_expected_gib is None or each.memory_safe_gib is None:
            continue
        assert each.memory_safe_gib <= each.memory_expected_gib < each.memory_api_mib / 1024
    assert catalog.gpu("a10g").memory_expected_gib == 22.06
    assert catalog.gpu("t4").memory_expected_gib == 14.57


@pytest.mark.parametrize("key", ["t4g", "l4-fractional", "gb200", "rtx-pro-4500-server"])
def test_gpus_without_a_memory_figure_are_refused_with_the_reason(key: str) -> None:
    """Prevents a made-up memory total for a GPU that nobody measured."""
    with pytest.raises(catalog.RefusedGpuError, match=r"cannot be sized: .{20,}"):
        catalog.gpu(key)


def test_unknown_keys_say_what_is_accepted() -> None:
    """Prevents an error that leaves the user guessing."""
    with pytest.raises(catalog.UnknownCatalogKeyError, match="accepted: t4, a10g"):
        catalog.gpu("a10")
    with pytest.raises(catalog.UnknownCatalogKeyError, match=r"did you mean g5\.12xlarge"):
        catalog.instance_type("g5.12xlrge")
    with pytest.raises(catalog.UnknownCatalogKeyError, match=r"did you mean .*us-east-1"):
        catalog.offered_zones("us-est-1", "g5.xlarge")


def test_families_that_cannot_serve_are_excluded_with_two_numbers() -> None:
    """Prevents choosing a fractional GPU, an arm64 host without image or a GPU that the driver is too old for."""
    excluded = {each.family for each in catalog.instance_types() if each.excluded is not None}
    assert excluded == {"g5g", "g6f", "gr6f", "g7"}
    for each in catalog.instance_types():
        if each.excluded is not None:
            assert each.excluded.actual < each.excluded.limit


def test_prices_carry_date_region_and_the_cuts_of_2025() -> None:
    """Prevents tables from before the June 2025 cut ($98/h for p5) and a price without a date."""
    assert prices.hourly("p5.48xlarge", "us-east-1") == prices.Price(
        55.04, "hour", "us-east-1", "2026-07-20", prices.on_demand_table("us-east-1").source
    )
    assert catalog.instance_type("p4d.24xlarge").usd_per_hour == pytest.approx(21.957642)
    assert catalog.instance_type("p5e.48xlarge").usd_per_hour is None
    small = prices.hourly("m7i.large", "us-east-1")
    assert small is not None
    assert "general knowledge" in small.source


def test_prices_of_another_region_or_old_ones_warn() -> None:
    """Prevents a plan for eu-west-1 that shows us-east-1 prices as its own, and silent use of old prices."""
    fresh, old = dt.date(2026, 8, 1), dt.date(2027, 8, 1)
    assert prices.warnings("us-east-1", fresh) == ()
    assert prices.warnings("eu-west-1", fresh) == (
        "no price list for eu-west-1: prices are those of us-east-1, 2026-07-20, on-demand",
    )
    (stale,) = prices.warnings("us-east-1", old)
    assert "377 days old" in stale


def test_other_prices_have_unit_date_and_source() -> None:
    """Prevents a cost line whose origin nobody can check."""
    for name in ("eks_control_plane", "nat_gateway", "interface_endpoint", "public_ipv4", "efs_storage"):
        price = prices.other(name)
        assert price.usd > 0
        assert price.unit
        assert price.date
        assert price.source
