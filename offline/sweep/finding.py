"""What a look at one kind of resource returns."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from offline.sweep.owner import Owner


@dataclass(frozen=True)
class Finding:
    """One resource that is still there."""

    kind: str
    id: str
    detail: str
    remove: str
    """Arguments of `aws` that remove it. Nothing here ever runs them."""
    kept: bool = False
    """Left on purpose: the stack file says so."""


Client = Callable[[str], Any]
Look = Callable[[Client, Owner], Iterator[Finding]]
