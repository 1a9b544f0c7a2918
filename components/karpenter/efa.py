"""Network interfaces of nodes that speak EFA, by instance type. Pure; the card layouts are data.

An EC2NodeClass with a static list fits only types with at least those cards, so a pool with EFA has one layout.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

_DATA = Path(__file__).parent / "efa_layouts.json"


@cache
def _layouts() -> dict[str, tuple[int, int]]:
    types = json.loads(_DATA.read_text(encoding="utf-8"))["types"]
    return {name: (cards, first) for name, (cards, first) in types.items()}


def layout(instance_type: str) -> tuple[int, int]:
    """Cards of the type, and the first that takes EFA. Types with one EFA interface have a single card."""
    return _layouts().get(instance_type, (1, 0))


def network_interfaces(instance_type: str) -> list[dict[str, Any]]:
    """Return ``EC2NodeClass.spec.networkInterfaces``: the IP interface and one EFA-only interface per capable card."""
    cards, first = layout(instance_type)
    primary = {"networkCardIndex": 0, "deviceIndex": 0, "interfaceType": "interface"}
    efa = [
        {"networkCardIndex": card, "deviceIndex": 1 if card == 0 else 0, "interfaceType": "efa-only"}
        for card in range(first, cards)
    ]
    return [primary, *efa]


def efa_interfaces(instance_type: str) -> int:
    """Return how many ``vpc.amazonaws.com/efa`` a node of the type offers with that layout."""
    return len(network_interfaces(instance_type)) - 1
