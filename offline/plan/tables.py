"""Tables that never break inside a number: a table too wide for the terminal is split by columns instead."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

LEFT, RIGHT, PROSE = "left", "right", "prose"
"""How a column is set. Prose may be wrapped between words, everything else stays on one line."""


@dataclass
class Grid:
    """Rows below headings. The first column is repeated where the table is split."""

    columns: Sequence[tuple[str, str]]
    """Heading and setting."""
    rows: list[Sequence[str]] = field(default_factory=list)
    headings: bool = True

    def tables(self, console: Console) -> list[RenderableType]:
        """Return as few tables as the console's width allows."""
        whole = self._table(range(len(self.columns)))
        least = Measurement.get(console, console.options.update(max_width=10_000), whole).minimum
        if least <= console.width:
            return [whole]
        half = len(self.columns) // 2 + 1
        return [self._table(range(half)), self._table([0, *range(half, len(self.columns))])]

    def _table(self, chosen: Sequence[int]) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_header=self.headings)
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
        return max(len(self.columns[index][0]), *(len(row[index]) for row in self.rows), 0)
