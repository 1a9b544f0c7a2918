"""The blocks about models: what runs where, why, and how long a start takes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from offline.plan.tables import LEFT, PROSE, RIGHT, Grid
from offline.plan.units import bar, duration, span, tokens, usd

Model = Mapping[str, Any]

_BAR_WIDTHS = 18, 36
"""Least and most characters of a whole bar."""
_BESIDE_BARS = 82
"""Columns for a line's name, its size and a readable note."""
_MEMORY_ORDER = ("weights", "activation", "cuda_graphs", "non_torch", "kv_cache", "safety", "left_free")
_START_ORDER = ("node", "image", "engine", "weights", "compile", "profile", "graphs")
_COLUMNS = [
    ("model", LEFT),
    ("precision", LEFT),
    ("instance", LEFT),
    ("GPUs", LEFT),
    ("TP×PP", RIGHT),
    ("replicas", RIGHT),
    ("context", RIGHT),
    ("sequences", RIGHT),
    ("KV tokens", RIGHT),
    ("at once", RIGHT),
    ("TTFT", RIGHT),
    ("TPOT", RIGHT),
    ("tokens/s", RIGHT),
    ("$/h", RIGHT),
    ("$/1M out", RIGHT),
]


def model_table(models: Sequence[Model], console: Console) -> list[RenderableType]:
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


def why(model: Model, console: Console, refused: int) -> Iterator[RenderableType]:
    """Yield the memory budget, the closest refusals and what would be cheaper elsewhere."""
    yield from _memory(model, console)
    yield from _refusals(model, console, refused)
    if model["cheaper_outside"]:
        yield Text(_outside(model, model["cheaper_outside"]))


def _memory(model: Model, console: Console) -> list[RenderableType]:
    """Return one bar per line of one GPU's budget, to the scale of what CUDA shows."""
    memory: Mapping[str, float] = model["memory"]
    visible = sum(memory.values())
    narrowest, widest = _BAR_WIDTHS
    width = max(narrowest, min(widest, console.width - _BESIDE_BARS))
    grid = Grid([("GiB per GPU", LEFT), (_axis(visible, width), LEFT), ("", RIGHT), ("", PROSE)])
    for line in sorted(memory, key=_position(_MEMORY_ORDER)):
        gib = memory[line]
        grid.rows.append([line.replace("_", " "), bar(gib, visible, width), f"{gib:.2f}", _memory_note(model, line)])
    return grid.tables(console)


def _position(order: Sequence[str]) -> Any:
    """Return a sort key that puts the known names in their order and others last."""
    return lambda name: (order.index(name) if name in order else len(order), name)


def _memory_note(model: Model, line: str) -> str:
    """Return what a line is made of: its terms with their sizes, or where it comes from."""
    if line == "kv_cache":
        return f"= {tokens(model['kv_tokens_safe'])} tokens = {model['max_concurrency']:.1f} full-length requests"
    if line == "left_free":
        return f"1 − gpu-memory-utilization {model['gpu_memory_utilization']}"
    notes = {note["name"]: note for note in model["assumptions"]}
    if line in notes:
        return notes[line]["source"]
    prefix = line.rstrip("s")
    terms = {name.partition(": ")[2]: note["value"] for name, note in notes.items() if name.startswith(prefix)}
    sizes = {term: value["safe_gib"] for term, value in terms.items() if isinstance(value, Mapping)}
    if len(sizes) < 2:
        return "".join(term for term in sizes if term.replace(" ", "_") != line)
    return " + ".join(f"{term} {gib:.2f}" for term, gib in sizes.items())


def _axis(visible: float, width: int) -> str:
    """Return a ruler over the bars: a figure at round numbers, the total at the end."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100) if visible / step <= width / 6)
    ruler = [" "] * width
    for tick in range(0, int(visible) + 1, step):
        place = round(tick / visible * width)
        figure = str(tick)
        if place + len(figure) <= width - 1:
            ruler[place : place + len(figure)] = figure
    return "".join(ruler) + f"{visible:.2f} visible"


def _refusals(model: Model, console: Console, refused: int) -> Iterator[RenderableType]:
    """Yield the closest refusals. What is only outside the pools comes last: the best of it has a line of its own."""
    ordered = sorted(model["rejected"], key=lambda candidate: candidate["gate"] == "policy")[:refused]
    if not ordered:
        return
    yield Text("Refused, the closest first")
    grid = Grid([("", LEFT), ("", LEFT), ("", PROSE)], headings=False)
    for candidate in ordered:
        parallel = f"TP {candidate['tp']}" + (f" PP {candidate['pp']}" if candidate["pp"] > 1 else "")
        grid.rows.append([f"  {candidate['instance_type']}", parallel, candidate["text"]])
    yield from grid.tables(console)


def _outside(model: Model, cheaper: Model) -> str:
    ours, theirs = model["usd_per_hour"], cheaper["usd_per_hour"]
    family = cheaper["instance_type"].partition(".")[0]
    where = f"{cheaper['instance_type']} TP {cheaper['tp']}"
    saving = f"{usd(theirs)}/h (−{(1 - theirs / ours) * 100:.0f} %)"
    return f"Outside your pools: {where} would cost {saving}. Add {family} to gpuPools to allow it."


def cold_start(model: Model) -> str:
    """Return the stages of a model's cold start on one line."""
    times = model["cold_start"]
    stages = (stage for stage in _START_ORDER if f"{stage}_s" in times)
    parts = " · ".join(f"{stage} {duration(times[f'{stage}_s'] * 1000)}" for stage in stages)
    expected, pessimistic = duration(times["expected_s"] * 1000), duration(times["pessimistic_s"] * 1000)
    return f"{model['name']}: {parts} = {expected} (pessimistic {pessimistic})"
