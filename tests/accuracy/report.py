"""The accuracy report as Markdown."""

from collections.abc import Iterable, Sequence

from components.sizing.latency import constants
from tests.accuracy import explanations, memory, oracle, timing
from tests.accuracy.memory import Called, Case
from tests.accuracy.peers import PEERS
from tests.accuracy.speeds import REPLAYED_HIT_RATE, speeds
from tests.accuracy.startups import startups
from tests.accuracy.timing import Timed

WORST = 5
_INTRODUCTION = """# Accuracy

How far the planner is from published measurements: `make accuracy` writes this file. The measurements are facts that
others published (`tests/data/*.csv`, a URL in every row), the vectors are what vLLM 0.33.0 itself computes without a
GPU. Nothing was measured for this project. The planner's constants were fitted to these rows (each says to which), so
the figures say how well it describes them; for rows that it has not seen expect the leave-one-source-out figures
of the section on latency.
"""


def build() -> str:
    """Write the whole report."""
    parts = [_INTRODUCTION, _summary(), _weights(), _kv(), _verdicts(), _vectors(), _latency()]
    return "\n".join(part.rstrip() + "\n" for part in parts)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _summary() -> str:
    ours = _column(
        memory.weights_cases(),
        memory.kv_cases(),
        memory.kv_cases(safe=True),
        memory.verdicts(),
        (timing.tpot(), timing.ttft()),
    )
    columns = [("planner", ours)]
    for peer in PEERS:
        kv = memory.peer_kv_cases(peer)
        times = (timing.naive_tpot(), timing.naive_ttft()) if peer.name == "naive" else None
        columns.append((peer.name, _column(memory.peer_weights_cases(peer), kv, kv, memory.peer_verdicts(peer), times)))
    names = (
        ("weights, median error", "<= 0.3 %"),
        ("weights, 90th percentile", "<= 2 %"),
        ("expected KV, vLLM >= 0.17, mean absolute GiB/GPU", "<= 0.30"),
        ("safe KV over-promises by > 0.10 GiB/GPU, vLLM >= 0.17", "0"),
        ("worst of them, GiB/GPU", "<= 0.10"),
        ("infeasible start-ups called infeasible", "100 %"),
        ("feasible start-ups called feasible", ">= 97 %"),
        ("TPOT, mean absolute error", "<= 10 %"),
        ("TTFT, mean absolute error", "<= 25 %"),
    )
    rows = [(name, target, *(column[i] for _, column in columns)) for i, (name, target) in enumerate(names)]
    counts = (
        f"{len(startups())} start-ups: {len(memory.weights_cases())} compare weights, {len(memory.kv_cases())} KV "
        f"({len(memory.strict(memory.kv_cases()))} of vLLM >= 0.17), {len(memory.verdicts())} verdicts; "
        f"{len(timing.tpot())} latency rows. A peer's KV value counts as expected and as promised: it has only one.\n"
    )
    return "## Summary\n\n" + table(("", "target", *(name for name, _ in columns)), rows) + "\n" + counts


def _column(
    weights: Sequence[Case],
    kv: Sequence[Case],
    safe: Sequence[Case],
    verdicts: Sequence[Called],
    times: tuple[Sequence[Timed], Sequence[Timed]] | None,
) -> tuple[str, ...]:
    errors = [abs(case.relative) for case in weights]
    promised = memory.strict(safe)
    excess = memory.over_promises(promised)
    return (
        _percent(memory.quantile(errors, 0.5), 2),
        _percent(memory.quantile(errors, 0.9), 2),
        _gib(memory.mean_absolute(memory.strict(kv))),
        f"{len(excess)} of {len(promised)}",
        f"{max((case.error for case in promised), default=0.0):+.2f}",
        _share([each for each in verdicts if not each.started]),
        _share([each for each in verdicts if each.started]),
        _percent(timing.mape(times[0]), 1) if times else "none",
        _percent(timing.mape(times[1]), 1) if times else "none",
    )


def _weights() -> str:
    cases = memory.weights_cases()
    worst = sorted(cases, key=lambda case: -abs(case.relative))[:WORST]
    rows = (_case_row(case, _signed(case.relative), explanations.weights(case)) for case in worst)
    return "## Weights\n\nWorst cases, GiB per GPU.\n\n" + table(
        ("start-up", "logged", "planned", "error", "why"), rows
    )


def _kv() -> str:
    expected, safe = memory.kv_cases(), memory.kv_cases(safe=True)
    eras = (_kv_row(name, cases, memory.by_era(safe)[name]) for name, cases in memory.by_era(expected).items())
    gpus = sorted({_gpu(case) for case in expected})
    by_gpu = (_kv_row(gpu, _of_gpu(expected, gpu), _of_gpu(safe, gpu)) for gpu in gpus)
    head = ("start-ups", "expected, mean absolute", "bias", "worst", "safe > logged + 0.10", "safe, worst")
    worst = sorted(memory.strict(expected), key=lambda case: -abs(case.error))[:WORST]
    rows = (_case_row(case, f"{case.error:+.2f}", explanations.kv(case)) for case in worst)
    return (
        "## KV cache\n\nGiB per GPU, by vLLM release:\n\n"
        + table(("vLLM", *head), eras)
        + "\nBy GPU:\n\n"
        + table(("GPU", *head), by_gpu)
        + "\nWorst cases of vLLM >= 0.17:\n\n"
        + table(("start-up", "logged", "expected", "error", "why"), rows)
        + _excess(safe)
    )


def _excess(safe: Sequence[Case]) -> str:
    found = memory.over_promises(safe)
    if not found:
        return "\nThe safe value over-promises nowhere.\n"
    rows = (_case_row(case, f"{case.error:+.2f}", explanations.kv(case)) for case in found)
    return "\nSafe value above what was logged by more than 0.10:\n\n" + table(
        ("start-up", "logged", "safe", "error", "why"), rows
    )


def _case_row(case: Case, error: str, why: str) -> tuple[str, ...]:
    return case.startup.label, f"{case.measured:.2f}", f"{case.predicted:.2f}", error, why


def _kv_row(name: str, expected: Sequence[Case], safe: Sequence[Case]) -> tuple[str, ...]:
    if not expected:
        return (name, "0", "", "", "", "", "")
    return (
        name,
        str(len(expected)),
        _gib(memory.mean_absolute(expected)),
        f"{sum(case.error for case in expected) / len(expected):+.2f}",
        f"{max((case.error for case in expected), key=abs):+.2f}",
        str(len(memory.over_promises(safe))),
        f"{max(case.error for case in safe):+.2f}",
    )


def _verdicts() -> str:
    called = memory.verdicts()
    wrong = [
        (each.startup.label, each.startup.row["outcome"], each.said, explanations.verdict(each))
        for each in called
        if not each.right
    ]
    listed = (
        (each.label, each.row["outcome_detail"] or each.row["outcome"], why) for each, why in memory.undecidable()
    )
    return (
        "## Verdicts\n\n"
        + (table(("wrong verdict", "happened", "said", "why"), wrong) if wrong else "No verdict is wrong.\n")
        + "\nUndecidable: memory does not explain the outcome, or an option that decides it is not known.\n\n"
        + table(("start-up", "outcome", "why it is not checked"), listed)
    )


def _vectors() -> str:
    kv, weights = oracle.kv_answers(), oracle.weights_answers()
    unequal = [each for each in kv if not oracle.equal(each)]
    off = [each for each in weights if abs(each.error) > 0.0015]
    exact = sum(abs(each.error) * each.expected * 2**30 < 2**30 * 1e-4 for each in weights)
    text = (
        f"## Vectors of vLLM's own planner\n\nKV cache: {len(kv) - len(unequal)} of {len(kv)} equal. Weights: "
        f"{len(weights) - len(off)} of {len(weights)} within 0.15 %, {exact} equal to 0.0001 GiB.\n"
    )
    rows = [(each.label, f"{each.expected:g}", f"{each.got:g}", each.note) for each in (*unequal, *off)]
    return text + ("\n" + table(("vector", "vLLM", "planner", "verdict"), rows) if rows else "")


def _latency() -> str:
    as_given, with_hits, first = timing.tpot(), timing.tpot(replayed=True), timing.ttft()
    rows = []
    for name, key in (("GPU", _gpu_of), ("source", lambda case: case.speed.source), ("load", _load_of)):
        for group, cases in timing.grouped(as_given, key).items():
            hits = timing.grouped(with_hits, key)[group]
            starts = timing.grouped(first, key).get(group, ())
            rows.append(
                (
                    f"{name}: {group}",
                    str(len(cases)),
                    *(_percent(timing.mape(cases), 1), _signed(timing.bias(cases))),
                    _percent(timing.mape(hits), 1),
                    _percent(timing.mape(starts), 1) if starts else "",
                )
            )
    inside, total = timing.in_band()
    left = ((each.label, each.reason) for each in speeds()[1])
    return (
        "## Latency\n\n"
        + _reading(with_hits)
        + table(("", "rows", "TPOT", "bias", "TPOT with prefix hits", "TTFT"), rows)
        + f"\n{inside} of {total} published times per token lie in the predicted band.\n"
        + "\nConstants fitted without a group, errors on that group (`python -m tests.accuracy.refit`):\n\n"
        + table(("left out", "TPOT", "TPOT with prefix hits", "TTFT"), _validation())
        + "\nWorst times per token:\n\n"
        + _slowest(as_given)
        + "\nWorst times to the first token:\n\n"
        + _slowest(first)
        + "\nNot compared:\n\n"
        + table(("row", "why"), left)
    )


def _validation() -> Iterable[Sequence[str]]:
    names = ("tpot", "tpot_with_hits", "ttft")
    for group, found in constants.document()["validation"]["left_out"].items():
        yield (f"one {group} at a time", *(_percent(found[name], 1) for name in names))


def _reading(with_hits: Sequence[Timed]) -> str:
    return (
        "TPOT is compared as published (with the first token's share where the row includes it). The client of the "
        "aws-samples rows repeats three prompts, so that its prompts were in the prefix cache; the rows do not say so. "
        "The first column takes every row as it is given (no prefix hits), the other one gives those rows a hit rate "
        f"of {REPLAYED_HIT_RATE:.0%}: then the error is {_percent(timing.mape(with_hits), 1)}.\n\n"
    )


def _slowest(cases: Sequence[Timed]) -> str:
    worst = sorted(cases, key=lambda case: -abs(case.relative))[:WORST]
    return table(
        ("row", "published ms", "predicted ms", "error", "why"),
        (
            (
                each.speed.label,
                f"{each.measured:.1f}",
                f"{each.predicted:.1f}",
                _signed(each.relative),
                explanations.latency(each.speed),
            )
            for each in worst
        ),
    )


def _gpu(case: Case) -> str:
    return case.startup.row["gpu_class_derived"]


def _of_gpu(cases: Sequence[Case], gpu: str) -> tuple[Case, ...]:
    return tuple(case for case in cases if _gpu(case) == gpu)


def _gpu_of(case: Timed) -> str:
    return case.speed.row["gpu"]


def _load_of(case: Timed) -> str:
    count = case.speed.load.concurrency
    return "1 at once" if count == 1 else "2 to 8 at once" if count <= 8 else "more than 8 at once"


def _percent(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value * 100:.{digits}f} %"


def _signed(value: float) -> str:
    return f"{value * 100:+.1f} %"


def _gib(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _share(called: Sequence[Called]) -> str:
    right = sum(each.right for each in called)
    return f"{right} of {len(called)} ({right / len(called):.0%})" if called else "none"
