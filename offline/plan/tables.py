"""Tables that never break inside a number: a table too wide for the terminal is split by columns instead."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text


@dataclass
class Grid:
    """Rows below headings. The first column is repeated where the table is split."""

    columns: Sequence[tuple[str, str]]
    """Heading, and `left` or `right`."""
    rows: list[Sequence[str]] = field(default_factory=list)

    def tables(self, console: Console) -> list[RenderableType]:
        """Return as few tables as the console's width allows."""
        whole = self._table(range(len(self.columns)))
        if Measurement.get(console, console.options, whole).maximum <= console.width or len(self.columns) < 3:
            return [whole]
        half = len(self.columns) // 2 + 1
        return [self._table(range(half)), self._table([0, *range(half, len(self.columns))])]

    def _table(self, chosen: Sequence[int]) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for index in chosen:
            heading, align = self.columns[index]
            table.add_column(heading, justify="right" if align == "right" else "left", no_wrap=True, overflow="ignore")
        for row in self.rows:
            table.add_row(*(Text(row[index]) for index in chosen))
        return table
