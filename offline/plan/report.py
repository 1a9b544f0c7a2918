"""The plan as a person reads it: each block answers one question, the most expensive first.

Renders the JSON document and nothing else, so that everything on screen is also in the document.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from offline.plan import resources
from offline.plan.models import cold_start, model_table, why
from offline.plan.tables import LEFT, PROSE, RIGHT, Grid
from offline.plan.units import plural, usd

MINIMUM_WIDTH = 100
"""Columns where the terminal has fewer: figures stay aligned and whole, the terminal wraps the rest."""
UNBOUNDED = 10_000
"""Columns of a pipe: one line per fact, for grep and diff."""

_SHARING = {"time_slices": "pods take turns on each GPU", "mig_profile": "partitions of each GPU"}

Block = tuple[str, Sequence[RenderableType]]


def print_report(document: Mapping[str, Any], *, refused: int) -> None:
    """Print the whole report, with that many refused candidates per model."""
    console = _console()
    outputs = document["outputs"]
    heading = ["llm-serving", document["stack"], outputs["region"], f"Kubernetes {outputs['kubernetesVersion']}"]
    with console.capture() as captured:
        console.print(Text(" · ".join([*heading, "offline plan, nothing was contacted"]), style="bold"))
        for title, content in _blocks(document, console, refused):
            console.print()
            console.print(Text(title, style="bold"))
            for part in content:
                console.print(Padding(part, (0, 0, 0, 2), expand=False))
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _console() -> Console:
    """Return a console as wide as the terminal; in a pipe nothing is wrapped.

    Codes of any kind, bold too, are for terminals without NO_COLOR (https://no-color.org).
    """
    terminal = sys.stdout.isatty()
    width = max(os.get_terminal_size(sys.stdout.fileno()).columns, MINIMUM_WIDTH) if terminal else UNBOUNDED
    return Console(width=width, highlight=False, force_terminal=terminal and not os.environ.get("NO_COLOR"))


def _blocks(document: Mapping[str, Any], console: Console, refused: int) -> Iterator[Block]:
    models = document["models"]
    yield f"What runs where   (prices: {'; '.join(_prices(models))})", model_table(models, console)
    for model in models:
        title = f"Why {model['name']} runs on {model['instance_type']} with TP {model['tp']}"
        yield title + (f" and PP {model['pp']}" if model["pp"] > 1 else ""), list(why(model, console, refused))
    yield "Cold start, from pod to ready", [Text(cold_start(model)) for model in models]
    yield "Node pools", _node_pools(document["node_pools"], console)
    yield "Cost per hour", _cost(document["cost"], console)
    yield "Cost by use, beside the hours", _usage(document["cost"]["usage"], console)
    found = document["resources"]
    count = sum(resource["custom"] for resource in found)
    title = f"Resources   {plural(count, 'resource')} in {plural(len(found) - count, 'component')}"
    yield title, [resources.tree(found)]
    if document["warnings"]:
        yield "Warnings", [part for warning in document["warnings"] for part in _warning(warning)]


def _prices(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return which price lists the costs rest on."""
    notes = [note for model in models for note in model["assumptions"] if note["name"] == "usd_per_hour"]
    return list(dict.fromkeys(f"{note['value']}, {note['version']}" for note in notes))


def _node_pools(pools: Sequence[Mapping[str, Any]], console: Console) -> list[RenderableType]:
    figures = [("name", LEFT), ("capacity", LEFT), ("GPU limit", RIGHT)]
    grid = Grid([*figures, ("instance types", PROSE), ("zones", PROSE), ("models", PROSE)])
    for pool in pools:
        capacity, types, zones, models = (
            ", ".join(pool[key]) for key in ("capacity", "instance_types", "zones", "models")
        )
        grid.rows.append([pool["name"], capacity, str(pool["gpu_limit"]), types, zones, models])
    return [*grid.tables(console), *map(Text, _pool_notes(pools))]


def _pool_notes(pools: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what sets a pool apart from a plain one, then what holds for several pools at once."""
    for pool in pools:
        size, group = pool["static_nodes"], pool["placement_group"]
        special = [
            f"always {plural(size, 'node')}" if size else "",
            "EFA" if pool["efa"] else "",
            f"placement group {group}" if group else "",
            *(f"{value} {_SHARING[way]}" for way, value in (pool["sharing"] or {}).items()),
        ]
        if any(special):
            yield f"{pool['name']}: {', '.join(filter(None, special))}"
    for title, key in (("AMI", "ami_alias"), ("Zones", "zones_basis")):
        for value in dict.fromkeys(pool[key] for pool in pools):
            of = [pool["name"] for pool in pools if pool[key] == value]
            yield f"{title}: {value}" + ("" if len(of) == len(pools) else f" ({', '.join(of)})")


def _cost(cost: Mapping[str, Any], console: Console) -> list[RenderableType]:
    grid = Grid([("item", LEFT), ("floor", RIGHT), ("ceiling", RIGHT), ("", PROSE)])
    grid.rows.append(["total", usd(cost["floor_usd_per_hour"]), usd(cost["ceiling_usd_per_hour"]), ""])
    for line in cost["lines"]:
        low, high = usd(line["floor_usd_per_hour"]), usd(line["ceiling_usd_per_hour"])
        grid.rows.append([f"  {line['item']}", low, high, line["basis"]])
    return grid.tables(console)


def _usage(lines: Sequence[Mapping[str, Any]], console: Console) -> list[RenderableType]:
    grid = Grid([("", LEFT), ("", RIGHT), ("", PROSE)], headings=False)
    grid.rows.extend([line["item"], usd(line["usd"]), line["basis"]] for line in lines)
    missing = "Not counted: traffic between zones and to callers, disks of nodes, logs, requests"
    return [*(grid.tables(console) if lines else ()), Text(missing)]


def _warning(warning: Mapping[str, Any]) -> list[RenderableType]:
    """Return a warning as every command shows it: place and value, then reason and fix, indented where they wrap."""
    place = warning["path"] if warning["value"] is None else f"{warning['path']} = {warning['value']}"
    reasons = (warning["message"], f"fix: {warning['fix']}")
    return [Text(place), *(Padding(Text(reason), (0, 0, 0, 2), expand=False) for reason in reasons)]
