"""Print the accuracy report and write it to docs/accuracy.md."""

import sys
from pathlib import Path

from tests.accuracy.report import build

REPORT = Path(__file__).parents[2] / "docs" / "accuracy.md"


def main() -> int:
    """Build the report once, for both readers."""
    text = build()
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(text, encoding="utf-8")
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
