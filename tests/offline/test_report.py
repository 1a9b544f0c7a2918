"""Figures on screen: units, bars, and tables that fit a terminal without breaking a number."""

import io

import pytest
from rich.console import Console

from offline.plan.resources import short_type
from offline.plan.tables import LEFT, PROSE, RIGHT, Grid
from offline.plan.units import bar, duration, span, tokens, usd


def _shown(grid: Grid, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    with console.capture() as captured:
        for table in grid.tables(console):
            console.print(table)
    return captured.get()


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (usd(1234.5), "$1,234.50"),
        (usd(None), "–"),
        (tokens(125584), "125,584"),
        (duration(76.6), "77 ms"),
        (duration(2449), "2.4 s"),
        (duration(150_000), "2.5 min"),
        (duration(None), "–"),
        (span(1, 4), "1–4"),
        (span(2, 2), "2"),
        (bar(1, 1, 4), "████"),
        (bar(5, 16, 2), "▋"),
        (bar(-1, 16, 2), ""),
        (bar(1, 0, 2), ""),
        (short_type("aws:ec2/subnet:Subnet"), "Subnet"),
        (short_type("pulumi:providers:aws"), "aws Provider"),
        (short_type("eks:index:Cluster"), "eks Cluster"),
    ],
)
def test_figures_carry_their_unit(shown: str, expected: str) -> None:
    """Prevents a price without cents, a time in the wrong unit, a bar that is longer than its share."""
    assert shown == expected


def test_a_table_that_is_too_wide_is_split_between_columns() -> None:
    """Prevents a number that continues on the next line and reads as two."""
    columns = [("model", LEFT), *((f"figure {number}", RIGHT) for number in range(9))]
    grid = Grid(columns, [["llama", *(f"{number}{number},000.00" for number in range(9))]])
    narrow = _shown(grid, 60)
    assert narrow.count("llama") == 2
    assert all(f"{number}{number},000.00" in narrow for number in range(9))
    assert _shown(grid, 200).count("llama") == 1


def test_prose_is_wrapped_between_words_before_figures_suffer() -> None:
    """Prevents an explanation from pushing the figures beside it out of sight."""
    grid = Grid([("item", LEFT), ("cost", RIGHT), ("", PROSE)], [["gateway", "$1,234.50", "list price " * 20]])
    shown = _shown(grid, 70)
    assert "$1,234.50" in shown
    assert shown.count("list price") >= 18
    assert max(len(line) for line in shown.splitlines()) <= 70


def test_an_empty_table_has_its_headings() -> None:
    """Prevents a traceback for a stack without pools."""
    assert "item" in _shown(Grid([("item", LEFT), ("cost", RIGHT)]), 80)
