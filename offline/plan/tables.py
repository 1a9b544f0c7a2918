"""Tables that never break inside a number: a table too wide for the terminal is split by columns instead."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

LEFT, RIGHT, PROSE = "left", "right", "prose"
"""How a column is set. Prose may be wrapped between words, everything else stays on one line."""
_GAP = 2
_INDENT = 2
_PROSE_WIDTH = 24


@dataclass
class Grid:
    """Rows below headings. The first column is repeated where the table is split."""

    columns: Sequence[tuple[str, str]]
    """Heading and setting."""
    rows: list[Sequence[str]] = field(default_factory=list)
    headings: bool = True

    def tables(self, console: Console) -> list[RenderableType]:
        """Return as few tables as the console's width allows."""
        least = _INDENT + sum(self._width(index) + _GAP for index in range(len(self.columns)))
        if least <= console.width:
            return [self._table(range(len(self.columns)))]
        half = len(self.columns) // 2 + 1
        return [self._table(range(half)), self._table([0, *range(half, len(self.columns))])]

    def _table(self, chosen: Sequence[int]) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold", show_header=self.headings)
        for index in chosen:
            heading, setting = self.columns[index]
            prose = setting == PROSE
            table.add_column(
                heading,
                justify="right" if setting == RIGHT else "left",
                no_wrap=not prose,
                overflow="fold" if prose else "crop",
                min_width=None if prose else self._width(index),
            )
        for row in self.rows:
            table.add_row(*(Text(row[index]) for index in chosen))
        return table

    def _width(self, index: int) -> int:
        """Return the width that a column needs: all of a figure, of prose enough to be read."""
        heading, setting = self.columns[index]
        widest = max([len(heading), *(len(row[index]) for row in self.rows)])
        return min(widest, _PROSE_WIDTH) if setting == PROSE else widest
