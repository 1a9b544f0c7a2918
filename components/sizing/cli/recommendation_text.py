"""A recommendation as text for a terminal: the choice, its memory, what else would do, and the closest refusals."""

from collections.abc import Iterator, Sequence

from components.sizing import catalog
from components.sizing.decision import Decision, Recommendation
from components.sizing.profiles import Shape
from components.sizing.ranking import closest
from components.sizing.types import Band

BAR_WIDTH = 40
SHOWN_REJECTIONS = 12


def render(answer: Recommendation, profiles: Sequence[Shape]) -> str:
    """Return the whole text, without a final newline."""
    return "\n".join(_lines(answer, profiles))


def _lines(answer: Recommendation, profiles: Sequence[Shape]) -> Iterator[str]:
    chosen = answer.chosen
    if chosen is None:
        yield "Nothing satisfies the requirement."
    else:
        yield from _decisions((chosen, *answer.alternatives))
        yield from _choice(chosen)
        yield from _profiles(profiles)
    if answer.cheaper_outside is not None:
        yield from _outside(answer.cheaper_outside, chosen)
    if answer.quantized is not None:
        yield from _quantized(answer.quantized)
    yield from _rejections(answer)
    for warning in answer.warnings:
        yield f"Warning: {warning}"


def _decisions(decisions: Sequence[Decision]) -> Iterator[str]:
    header = (
        "",
        "instance",
        "GPUs",
        "TP×PP",
        "precision",
        "KV",
        "replicas",
        "TTFT",
        "TPOT",
        "tokens/s",
        "$/h",
        "$/1M out",
    )
    rows = [
        (
            "chosen" if position == 0 else f"next {position}",
            (f"{each.nodes} × " if each.nodes > 1 else "") + each.instance_type,
            f"{each.gpus}×{catalog.gpu(each.gpu).key}",
            f"{each.tp}×{each.pp}",
            each.precision,
            each.kv_cache_dtype,
            str(each.replicas),
            duration(each.ttft_ms),
            duration(each.tpot_ms),
            f"{each.output_tokens_per_s:,.0f}",
            f"{each.usd_per_hour:,.2f}",
            f"{each.usd_per_million_output_tokens:,.2f}",
        )
        for position, each in enumerate(decisions)
    ]
    yield from table(header, rows, left=6)
    yield ""


def _choice(chosen: Decision) -> Iterator[str]:
    yield f"{chosen.model} on {chosen.instance_type}, {chosen.capacity[0]}, zones {', '.join(chosen.zones)}"
    if chosen.alternates:
        yield f"  when out of capacity  {', '.join(chosen.alternates)}"
    yield f"  context               {chosen.max_model_len:,} tokens, {chosen.max_concurrency:.1f} such requests at once"
    yield f"  max-num-seqs          {chosen.max_num_seqs:,}, for {chosen.concurrency:,} at once at the busiest moment"
    yield f"  KV cache, safe        {chosen.kv_tokens_safe:,} tokens per replica"
    yield f"  TTFT                  {_band(chosen.bands['ttft_ms'])}, {chosen.engine}"
    yield f"  TPOT                  {_band(chosen.bands['tpot_ms'])}"
    yield f"  pod                   {chosen.host_cpu_millicores}m CPU, {chosen.host_memory_mib:,} MiB"
    if chosen.quality:
        yield f"  quality               {chosen.quality}"
    yield ""
    total = sum(chosen.memory.values())
    yield f"  GiB per GPU, safe     of {total:.2f} that CUDA shows at least"
    for name, gib in chosen.memory.items():
        yield f"    {name:<18}  {'█' * round(BAR_WIDTH * max(0.0, gib) / total):<{BAR_WIDTH}} {gib:7.2f}"
    yield ""


def _profiles(profiles: Sequence[Shape]) -> Iterator[str]:
    if not profiles:
        return
    yield "Profiles on this choice"
    header = ("", "profile", "KV", "context", "max-num-seqs", "KV tokens", "full requests at once")
    rows = [
        (
            "",
            each.profile,
            each.kv_cache_dtype,
            f"{each.max_model_len:,}",
            f"{each.max_num_seqs:,}",
            f"{each.kv_tokens_safe:,}",
            f"{each.full_requests:.1f}",
        )
        for each in profiles
    ]
    yield from table(header, rows, left=3)
    yield ""


def _outside(outside: Decision, chosen: Decision | None) -> Iterator[str]:
    family = catalog.instance_type(outside.instance_type).family
    saved = "" if chosen is None else f" ({outside.usd_per_hour / chosen.usd_per_hour - 1:+.0%})"
    yield (
        f"Outside the allowed families: {outside.instance_type} TP {outside.tp} would cost "
        f"${outside.usd_per_hour:.2f}/h{saved}; allow {family} to use it."
    )
    yield ""


def _quantized(fewer: Decision) -> Iterator[str]:
    yield (
        f"With a checkpoint in {fewer.precision}: {fewer.replicas} × {fewer.instance_type} TP {fewer.tp} for "
        f"${fewer.usd_per_hour:.2f}/h. {fewer.quality}"
    )
    yield ""


def _rejections(answer: Recommendation) -> Iterator[str]:
    shown = closest(answer.rejected, SHOWN_REJECTIONS)
    if not shown:
        return
    yield f"Refused (the closest of {len(answer.rejected)})"
    rows = [("", each.instance_type, f"{each.tp}×{each.pp}", each.precision, each.gate, each.text) for each in shown]
    yield from table(("", "instance", "TP×PP", "precision", "gate", "why"), rows, left=6)


def _band(band: Band) -> str:
    return f"{duration(band.expected)} ({duration(band.low)} to {duration(band.high)})"


def duration(milliseconds: float) -> str:
    """Milliseconds below a second, seconds above."""
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds:.0f} ms"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> Iterator[str]:
    """Yield aligned lines; the first ``left`` columns are words, the others numbers."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, *rows):
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
