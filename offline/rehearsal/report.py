"""A rehearsal as a person reads it, and as JSON."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from offline.plan.tables import Grid
from offline.plan.units import usd
from offline.rehearsal.judgement import ModelResult, Server, use_of
from offline.rehearsal.stages import Stage

_WIDTH = 160


@dataclass(frozen=True)
class Report:
    """All stages of a rehearsal, and what it cannot vouch for."""

    stack: str
    versions: dict[str, str]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]
    stages: tuple[Stage, ...]
    times: dict[str, float]
    """Seconds by part of the rehearsal."""
    memory_mib: int

    @property
    def differences(self) -> list[str]:
        """Of all stages."""
        return [f"{stage.title}: {text}" for stage in self.stages for text in stage.differences]

    def to_json(self) -> dict[str, Any]:
        """Everything that the text says, as plain data."""
        return {
            "stack": self.stack, "versions": self.versions, "notes": list(self.notes),
            "left_out": list(self.left_out), "stages": [_stage_json(stage) for stage in self.stages],
            "differences": self.differences, "times_s": self.times, "memory_mib": self.memory_mib,
        }  # fmt: skip


def print_report(report: Report) -> None:
    """Print it on stdout, without colour where that is no terminal."""
    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else _WIDTH, highlight=False, force_terminal=terminal)
    built = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    console.print(Text(f"llm-serving · {report.stack} · rehearsal on {built}", style="bold"))
    before: Sequence[ModelResult] = ()
    for stage in report.stages:
        changed = [model for model in stage.models if model not in before]
        _block(console, f"{stage.title}   ({stage.seconds:.0f} s)", _stage_parts(stage, changed, console))
        before = stage.models
    _block(console, "Not the real thing", [Text(f"- {note}") for note in _caveats(report)])
    times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in report.times.items())
    _block(console, "Times", [Text(f"{times}; servers used {report.memory_mib} MiB")])
    found = report.differences
    verdict = [Text(f"- {text}") for text in found] or [Text("none: the controllers did what the plan says")]
    _block(console, f"Differences from the plan   ({len(found)})", verdict)


def _block(console: Console, title: str, parts: Iterable[RenderableType]) -> None:
    console.print()
    console.print(Text(title, style="bold"))
    for part in parts:
        console.print(Padding(part, (0, 0, 0, 2), expand=False), overflow="fold")


def _caveats(report: Report) -> list[str]:
    left_out = [f"left out, nothing here serves or imitates it: {name}" for name in report.left_out]
    return [*report.notes, *left_out, "nothing boots, IAM is not enforced, list prices decide instead of EC2"]


def _stage_parts(stage: Stage, changed: Sequence[ModelResult], console: Console) -> list[RenderableType]:
    """Return the models that are not as in the stage before, what is pending, and how full the pools are."""
    parts: list[RenderableType] = [Text(note) for note in stage.notes]
    if changed:
        parts += _model_table(changed, console)
    pending = [
        Text(f"pending {pod.namespace}/{pod.name}: {'; '.join(pod.why) or 'nothing was said'}")
        for pod in stage.seen.pending
    ]
    return [*parts, *pending, *_pool_table(stage, console)]


def _model_table(models: Sequence[ModelResult], console: Console) -> list[RenderableType]:
    grid = Grid([
        ("model", "left"), ("pods", "right"), ("planned", "left"), ("got", "left"), ("zone", "left"),
        ("capacity", "left"), ("bound after", "right"), ("CPU asks/has", "right"), ("memory asks/has", "right"),
        ("$/h got", "right"), ("$/h planned", "right"),
    ])  # fmt: skip
    for model in models:
        running = sum(server.pod.ready for server in model.servers)
        cells = [_server_cells(server) for server in model.servers] or [["–"] * 6]
        for number, server in enumerate(cells):
            lead = [model.name, f"{running}/{model.wanted}", model.decision["instance_type"]]
            money = [usd(model.usd_per_hour), usd(model.planned_usd_per_hour)]
            grid.rows.append([*(lead if number == 0 else [""] * 3), *server, *(money if number == 0 else [""] * 2)])
    return grid.tables(console)


def _server_cells(server: Server) -> list[str]:
    pod, node = server.pod, server.node
    if node is None:
        return ["pending", "–", "–", "–", f"{pod.cpu_millicores:,}m/–", f"{pod.memory_mib:,}/– Mi"]
    return [
        node.instance_type, node.zone, node.capacity or "managed",
        "–" if pod.scheduled_after_s is None else f"{pod.scheduled_after_s:.0f} s",
        f"{pod.cpu_millicores:,}m/{node.cpu_millicores:,}m", f"{pod.memory_mib:,}/{node.memory_mib:,} Mi",
    ]  # fmt: skip


def _pool_table(stage: Stage, console: Console) -> list[RenderableType]:
    grid = Grid([("node pool", "left"), ("used of limit", "left")])
    for pool in stage.seen.pools:
        used = ", ".join(f"{used:g}/{limit:g} {resource}" for resource, used, limit in use_of(pool))
        grid.rows.append([pool.name, used or "no limit"])
    return grid.tables(console) if grid.rows else []


def _stage_json(stage: Stage) -> dict[str, Any]:
    return {
        "title": stage.title, "seconds": round(stage.seconds, 1), "notes": stage.notes,
        "models": [_model_json(model) for model in stage.models],
        "pending": [{"namespace": p.namespace, "pod": p.name, "why": list(p.why)} for p in stage.seen.pending],
        "node_pools": [
            {"name": pool.name, "use": [{"resource": r, "used": u, "limit": m} for r, u, m in use_of(pool)]}
            for pool in stage.seen.pools],
        "differences": stage.differences,
    }  # fmt: skip


def _model_json(model: ModelResult) -> dict[str, Any]:
    return {
        "name": model.name, "planned_instance_type": model.decision["instance_type"], "pods_wanted": model.wanted,
        "usd_per_hour": round(model.usd_per_hour, 4), "planned_usd_per_hour": round(model.planned_usd_per_hour, 4),
        "pods": [_pod_json(server) for server in model.servers],
    }  # fmt: skip


def _pod_json(server: Server) -> dict[str, Any]:
    pod, node = server.pod, server.node
    asks = {"cpu_millicores": pod.cpu_millicores, "memory_mib": pod.memory_mib, "gpus": pod.gpus}
    return {
        "name": pod.name, "ready": pod.ready, "bound_after_s": pod.scheduled_after_s, "asks": asks,
        "node": node and {
            "name": node.name, "instance_type": node.instance_type, "zone": node.zone, "capacity": node.capacity,
            "usd_per_hour": node.usd_per_hour,
            "allocatable": {"cpu_millicores": node.cpu_millicores, "memory_mib": node.memory_mib, "gpus": node.gpus},
        },
    }  # fmt: skip
