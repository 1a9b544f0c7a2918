"""What a wrong stack file is told: where, what, which rule, why, and how to fix it."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a stack, or (as a warning) one thing that its owner should know."""

    path: str
    """Where, as in the stack file: ``models[0].maxModelLen``."""
    value: Any
    """What stands there; None where nothing does."""
    rule: str
    """Short stable name of the rule, for machines: ``unknown-key``, ``range``, ``memory`` ..."""
    message: str
    """What is wrong, with the numbers that decide it."""
    fix: str
    """What to write instead, or the command to run."""

    def to_json(self) -> dict[str, Any]:
        """Plain data with the five keys."""
        return {
            "path": self.path,
            "value": self.value,
            "rule": self.rule,
            "message": self.message,
            "fix": self.fix,
        }

    def __str__(self) -> str:
        """Three lines: place and value, reason, fix."""
        place = self.path if self.value is None else f"{self.path} = {self.value}"
        return f"  {place}\n    {self.message}\n    fix: {self.fix}"


def listed(values: Iterable[Any]) -> str:
    """Values as prose: ``a, b or c``."""
    words = [str(value) for value in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}" if words else "nothing"


def nearest(word: Any, known: Iterable[str]) -> str:
    """``did you mean x?`` for the closest known word, or the list of all of them."""
    words = sorted(known)
    close = difflib.get_close_matches(str(word), words, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"use {listed(words)}"
