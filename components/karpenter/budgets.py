"""When Karpenter may take a node away. Pure.

A node of a serving pool holds loaded weights, so nothing takes it voluntarily except being empty. Drift (a new AMI, a
changed volume) replaces nodes one at a time and only inside maintenance windows; without a window, never.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MINUTES_A_DAY = 24 * 60
_MINUTES_A_WEEK = 7 * _MINUTES_A_DAY
_START = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")

EMPTY_BUDGET = {"nodes": "100%", "reasons": ["Empty"]}
HELD_BACK = ["Drifted", "Underutilized"]


def window_problems(windows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is wrong with maintenance windows, one sentence each."""
    problems: list[str] = []
    for index, window in enumerate(windows):
        unknown = [day for day in window["days"] if day not in DAYS]
        if unknown or not window["days"]:
            problems.append(f"window {index}: days {unknown or 'missing'}, use some of {', '.join(DAYS)}")
        if not _START.fullmatch(window["start_utc"]):
            problems.append(f"window {index}: start {window['start_utc']!r} is not HH:MM (UTC)")
        if not 1 <= window["hours"] <= 24:
            problems.append(f"window {index}: {window['hours']} hours, between 1 and 24 are allowed")
    return problems


def disruption_budgets(windows: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """Return the budgets of a serving pool.

    Karpenter applies the smallest active budget and can only describe when a budget is active, so the windows are
    expressed by what is outside of them: each stretch between two windows is one budget of zero nodes.
    """
    open_minutes = _open_minutes(windows)
    if not open_minutes:
        return [EMPTY_BUDGET, {"nodes": "0", "reasons": HELD_BACK}]
    closed = [
        {"nodes": "0", "reasons": HELD_BACK, "schedule": _cron(start), "duration": f"{minutes // 60}h{minutes % 60}m"}
        for start, minutes in _gaps(open_minutes)
    ]
    return [EMPTY_BUDGET, {"nodes": "1", "reasons": ["Drifted"]}, {"nodes": "0", "reasons": ["Underutilized"]}, *closed]


def _open_minutes(windows: Sequence[Mapping[str, Any]]) -> set[int]:
    """Minutes of the week (from Sunday 00:00 UTC) that lie in some window."""
    minutes: set[int] = set()
    for window in windows:
        hour, minute = (int(part) for part in window["start_utc"].split(":"))
        for day in window["days"]:
            start = DAYS.index(day) * _MINUTES_A_DAY + hour * 60 + minute
            minutes.update((start + offset) % _MINUTES_A_WEEK for offset in range(int(window["hours"]) * 60))
    return minutes


def _gaps(open_minutes: set[int]) -> list[tuple[int, int]]:
    """Start and length, in minutes of the week, of every stretch outside the windows."""
    starts = [minute for minute in sorted(open_minutes) if (minute + 1) % _MINUTES_A_WEEK not in open_minutes]
    gaps: list[tuple[int, int]] = []
    for last_open in starts:
        start = (last_open + 1) % _MINUTES_A_WEEK
        week = range(1, _MINUTES_A_WEEK + 1)
        length = next(step for step in week if (start + step) % _MINUTES_A_WEEK in open_minutes)
        gaps.append((start, length))
    return gaps


def _cron(minute_of_week: int) -> str:
    day, minute = divmod(minute_of_week, _MINUTES_A_DAY)
    return f"{minute % 60} {minute // 60} * * {DAYS[day]}"
