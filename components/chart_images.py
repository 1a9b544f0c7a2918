"""Which images a pinned chart starts. Pure; the images are data, read from each chart's defaults."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_DATA = Path(__file__).parent / "chart_images.json"


@dataclass(frozen=True)
class ChartImage:
    """One image of a chart."""

    part: str
    image: str
    """As the chart's defaults name it: registry, path, tag and, where the chart pins it, digest."""
    repository: str
    """What ``value`` holds by default; a mirror replaces it."""
    value: str
    """Path of the chart value that the repository comes from."""
    enabled: str = ""
    """Path of the chart value that switches the part off; empty: it always runs."""


@cache
def _charts() -> dict[str, Any]:
    return json.loads(_DATA.read_text(encoding="utf-8"))["charts"]


def known_version(chart: str) -> str:
    """Return the version of a chart whose images are known. Raises KeyError for a chart that nobody has read."""
    return _charts()[chart]["version"]


def started_images(chart: str, values: Mapping[str, Any]) -> list[ChartImage]:
    """Return the images that a chart starts with these values. Raises KeyError for a chart that nobody has read."""
    images = [ChartImage(**each) for each in _charts()[chart]["images"]]
    return [each for each in images if not each.enabled or value_at(values, each.enabled) is not False]


def value_at(values: Mapping[str, Any], path: str) -> Any:
    """Return what chart values hold at a dotted path; None where they leave it to the chart."""
    found: Any = values
    for key in path.split("."):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
