"""List prices as data: on-demand instances by region and date, and what is not an instance.

All amounts are US dollars. Nothing is asked from AWS: a price older than ``STALE_DAYS`` earns a warning.
"""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

REFERENCE_REGION = "us-east-1"
"""The region whose prices stand in for regions without a table."""

STALE_DAYS = 180
"""AWS cut P4/P5 prices by up to 45 % in June 2025: older tables than half a year mislead."""

HOURS_PER_MONTH = 730
"""The month that AWS's own calculator uses."""


@dataclass(frozen=True)
class PriceTable:
    """On-demand list prices of one region."""

    region: str
    date: str
    source: str
    usd_per_hour: Mapping[str, float]


@dataclass(frozen=True)
class Price:
    """One price with what it rests on."""

    usd: float
    unit: str
    region: str
    """The region that the price is of, which may not be the one that was asked for."""
    date: str
    source: str


@cache
def _document() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "data" / "prices.json").read_text(encoding="utf-8"))


@cache
def on_demand_table(region: str) -> PriceTable:
    """Give the region's own table, or that of us-east-1 where it has none (``region`` says which)."""
    tables = _document()["on_demand"]
    used = region if region in tables else REFERENCE_REGION
    table = tables[used]
    return PriceTable(used, table["date"], table["source"], table["usd_per_hour"])


def hourly(instance_type: str, region: str) -> Price | None:
    """On-demand price of one instance type per hour, GPU or not; None where no list has it."""
    table = on_demand_table(region)
    usd = table.usd_per_hour.get(instance_type)
    if usd is not None:
        return Price(usd, "hour", table.region, table.date, table.source)
    small = _document()["small_instances"]
    usd = small["usd_per_hour"].get(instance_type)
    return None if usd is None else Price(usd, "hour", small["region"], small["date"], small["source"])


def other(name: str) -> Price:
    """Price of what is not an instance, us-east-1 list, such as ``nat_gateway`` or ``efs_storage``.

    Raises:
        KeyError: a name that ``data/prices.json`` does not have.

    """
    row = _document()["other"][name]
    return Price(row["usd"], row["unit"], REFERENCE_REGION, row["date"], row["source"])


def purchase_note(way: str) -> str:
    """Say what buying in another way changes: reserved_odcr, capacity_block, compute_savings_plan, spot."""
    row = _document()["purchase"][way]
    return f"{row['text']} ({row['source']})"


def warnings(region: str, today: dt.date) -> tuple[str, ...]:
    """Warn of prices that are another region's, or old."""
    table = on_demand_table(region)
    found: list[str] = []
    if table.region != region:
        found.append(f"no price list for {region}: prices are those of {table.region}, {table.date}, on-demand")
    age = (today - dt.date.fromisoformat(table.date)).days
    if age > STALE_DAYS:
        found.append(f"prices of {table.region} are of {table.date}, {age} days old: check them before you buy")
    return tuple(found)
