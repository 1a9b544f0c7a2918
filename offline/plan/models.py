"""The blocks about models: what runs where, and why."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from offline.plan.tables import Grid
from offline.plan.units import bar, duration, span, tokens, usd

_BAR_WIDTH = 44
_COLD_START_TOTALS = {"expected_s", "pessimistic_s", "startup_budget_s"}
_COLUMNS = [
    ("model", "left"),
    ("precision", "left"),
    ("instance", "left"),
    ("GPUs", "left"),
    ("TP×PP", "right"),
    ("replicas", "right"),
    ("context", "right"),
    ("sequences", "right"),
    ("KV tokens", "right"),
    ("at once", "right"),
    ("TTFT", "right"),
    ("TPOT", "right"),
    ("tokens/s", "right"),
    ("$/h", "right"),
    ("$/1M out", "right"),
]


def model_table(models: Sequence[Mapping[str, Any]], console: Console) -> list[RenderableType]:
    """Return the table of all decisions."""
    grid = Grid(_COLUMNS)
    for model in models:
        nodes = f"{model['nodes']} × " if model["nodes"] > 1 else ""
        grid.rows.append(
            [
                model["name"],
                model["precision"],
                nodes + model["instance_type"],
                f"{model['gpus']} × {model['gpu']}",
                f"{model['tp']}×{model['pp']}",
                span(model["replicas_min"], model["replicas_max"]),
                tokens(model["max_model_len"]),
                tokens(model["max_num_seqs"]),
                tokens(model["kv_tokens_safe"]),
                f"{model['max_concurrency']:.1f}",
                duration(model["ttft_ms"]),
                duration(model["tpot_ms"]),
                tokens(model["output_tokens_per_s"]),
                usd(model["usd_per_hour"]),
                usd(model["usd_per_million_output_tokens"]),
            ]
        )
    return grid.tables(console)


def why(model: Mapping[str, Any], refused: int) -> Iterator[RenderableType]:
    """Yield the memory budget, the closest refusals and what would be cheaper elsewhere."""
    yield _memory(model)
    yield from _refusals(model, refused)
    cheaper = model.get("cheaper_outside")
    if cheaper:
        yield Text(_outside(model, cheaper))


def _memory(model: Mapping[str, Any]) -> Table:
    """Return one bar per line of one GPU's budget, to the scale of what CUDA shows."""
    memory: Mapping[str, float] = model["memory"]
    visible = sum(memory.values())
    notes = {assumption["name"]: assumption for assumption in model["assumptions"]}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("GiB per GPU", no_wrap=True)
    table.add_column(_axis(visible), no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for line, gib in memory.items():
        note = notes.get(line, {}).get("source", "")
        if line == "kv_cache":
            full = f"{model['max_concurrency']:.1f} full-length requests"
            note = f"= {tokens(model['kv_tokens_safe'])} tokens = {full}"
        table.add_row(line.replace("_", " "), bar(gib, visible, _BAR_WIDTH), f"{gib:.2f}", Text(note))
    return table


def _axis(visible: float) -> str:
    """Return a ruler over the bars: a figure at round numbers, the total at the end."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100) if visible / step <= 6)
    ruler = [" "] * _BAR_WIDTH
    for tick in range(0, int(visible) + 1, step):
        place = round(tick / visible * _BAR_WIDTH)
        figure = str(tick)
        if place + len(figure) <= _BAR_WIDTH - 1:
            ruler[place : place + len(figure)] = figure
    return "".join(ruler) + f"{visible:.2f} visible"


def _refusals(model: Mapping[str, Any], refused: int) -> Iterator[RenderableType]:
    rejected = model["rejected"][:refused]
    if not rejected:
        return
    yield Text("Refused, the closest first")
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for width in (True, True, False):
        table.add_column(no_wrap=width, overflow="fold")
    for candidate in rejected:
        parallel = f"TP {candidate['tp']}" + (f" PP {candidate['pp']}" if candidate["pp"] > 1 else "")
        table.add_row(f"  {candidate['instance_type']}", parallel, Text(candidate["text"]))
    yield table


def _outside(model: Mapping[str, Any], cheaper: Mapping[str, Any]) -> str:
    ours, theirs = model["usd_per_hour"], cheaper["usd_per_hour"]
    family = cheaper["instance_type"].partition(".")[0]
    where = f"{cheaper['instance_type']} TP {cheaper['tp']}"
    saving = f"{usd(theirs)}/h (−{(1 - theirs / ours) * 100:.0f} %)"
    return f"Outside your pools: {where} would cost {saving}. Add {family} to gpuPools to allow it."


def cold_start(model: Mapping[str, Any]) -> str:
    """Return the stages of a model's cold start on one line."""
    times = model["cold_start"]
    stages = {key.removesuffix("_s"): seconds for key, seconds in times.items() if key not in _COLD_START_TOTALS}
    parts = " · ".join(f"{name} {duration(seconds * 1000)}" for name, seconds in stages.items())
    expected, pessimistic = duration(times["expected_s"] * 1000), duration(times["pessimistic_s"] * 1000)
    return f"{model['name']}: {parts} = {expected} (pessimistic {pessimistic})"
