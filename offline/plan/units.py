"""Numbers as a reader expects them: thousands separated, units by size, dollars with two decimals."""


def usd(amount: float | None) -> str:
    """Return dollars, or a dash where nothing has a price."""
    return "–" if amount is None else f"${amount:,.2f}"


def tokens(count: float | None) -> str:
    """Return a count of tokens or requests."""
    return "–" if count is None else f"{count:,.0f}"


def duration(milliseconds: float | None) -> str:
    """Return a time in milliseconds below one second, in seconds below two minutes, else in minutes."""
    if milliseconds is None:
        return "–"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 120_000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds / 60_000:.1f} min"


def plural(count: int, noun: str) -> str:
    """Return `1 file`, `2 files`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def span(low: int, high: int) -> str:
    """Return `1-4`, or `2` where both ends are one."""
    return str(low) if low == high else f"{low}–{high}"


def bar(part: float, whole: float, width: int) -> str:
    """Return a bar of block characters, `width` characters for the whole, exact to an eighth of one."""
    eighths = round(max(part, 0) / whole * width * 8) if whole else 0
    full, rest = divmod(eighths, 8)
    return "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")
