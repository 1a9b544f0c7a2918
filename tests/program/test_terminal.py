"""The plan on a terminal: as wide as that is, in colour unless NO_COLOR, with every figure whole."""

import io
import os
import re

import pytest

from offline.plan.document import planned
from offline.plan.report import MINIMUM_WIDTH, print_report
from tests.program.conftest import recorded

CODES = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    """Receives text as a terminal does."""

    def isatty(self) -> bool:
        """Be one."""
        return True

    def fileno(self) -> int:
        """Have a number that a size can be asked for."""
        return 1


def shown(columns: int, monkeypatch: pytest.MonkeyPatch, *, no_color: str = "") -> str:
    """Return prod's report as a terminal with that many columns receives it."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((columns, 50)))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", no_color)
    print_report(planned(recorded("prod")), refused=3)
    return terminal.getvalue()


@pytest.mark.parametrize("columns", [80, 100, 120, 200])
def test_figures_stay_whole_at_every_width(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a price that is cut at the edge of the window, or that goes on in the next line."""
    lines = CODES.sub("", shown(columns, monkeypatch)).splitlines()
    assert max(map(len, lines)) <= max(columns, MINIMUM_WIDTH)
    text = "\n".join(lines)
    cost = recorded("prod").outputs["cost"]
    for model in recorded("prod").outputs["models"]:
        assert f"${model['usd_per_million_output_tokens']:,.2f}" in text
        assert f"{model['kv_tokens_safe']:,}" in text
    assert f"${cost['floor_usd_per_hour']:,.2f}" in text
    assert f"${cost['ceiling_usd_per_hour']:,.2f}" in text


def test_reasons_stay_indented_where_they_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents the rest of a warning from looking like the place of the next one."""
    warnings = CODES.sub("", shown(100, monkeypatch)).partition("\nWarnings\n")[2].splitlines()
    places = {line.strip().partition(" = ")[0] for line in warnings if re.match(r"  \S", line)}
    assert places == {warning["path"] for warning in recorded("prod").outputs["warnings"]}


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_no_color_is_honoured(no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents codes on the screen of whoever asked for none (https://no-color.org)."""
    assert bool(CODES.search(shown(120, monkeypatch, no_color=no_color))) is coloured
