"""How a setting is declared: one dataclass field with its meaning, default and limits in one place.

The parser (parse.py), the reference page (docs/config.md) and the tests all read these declarations.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Check = Callable[[Any], str | None]
"""Complaint about a value of the right type, or None where it is fine."""


@dataclass(frozen=True)
class Limits:
    """What one setting means and accepts, beyond its type."""

    doc: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    check: Check | None = None
    shape: str = ""
    """What ``check`` accepts, as a fix: ``a CIDR block such as 10.40.0.0/16``."""
    example: str = ""


def setting(doc: str, *, default: Any = dataclasses.MISSING, **limits: Any) -> Any:
    """Declare one setting; without a default it is required. Mutable defaults are copied at each use."""
    metadata = {"limits": Limits(doc, **limits)}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def camel(name: str) -> str:
    """``max_model_len`` as it is written in a stack file: ``maxModelLen``."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


@dataclass(frozen=True)
class Kind:
    """The type of a setting, taken apart."""

    name: str
    """string | integer | number | boolean | list | map | section."""
    optional: bool = False
    item: "Kind | None" = None
    section: type | None = None

    def __str__(self) -> str:
        """As a reader calls it: ``list of strings``."""
        if self.name == "list" and self.item:
            return f"list of {self.item}s"
        if self.name == "map":
            return "map of strings"
        return self.name


_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def kind_of(hint: Any) -> Kind:
    """Take a field's annotation apart. TypeError for an annotation that no stack file can express."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        inner = [argument for argument in arguments if argument is not type(None)]
        if len(inner) == 1:
            return dataclasses.replace(kind_of(inner[0]), optional=True)
    if origin is tuple:
        return Kind("list", item=kind_of(arguments[0]))
    if origin is Mapping or origin is typing.get_origin(Mapping[str, str]):
        return Kind("map")
    if hint in _SCALARS:
        return Kind(_SCALARS[hint])
    if dataclasses.is_dataclass(hint):
        return Kind("section", section=typing.cast("type", hint))
    raise TypeError(f"no stack file can express {hint!r}")


@dataclass(frozen=True)
class Setting:
    """One declared setting of a section."""

    name: str
    key: str
    kind: Kind
    limits: Limits
    required: bool
    default: Any


def settings_of(section: type) -> tuple[Setting, ...]:
    """Every declared setting of a section, in order; fields without a declaration are bookkeeping and left out."""
    hints = typing.get_type_hints(section)
    found = []
    for field in dataclasses.fields(section):
        if "limits" not in field.metadata:
            continue
        factory = field.default_factory
        default = factory() if factory is not dataclasses.MISSING else field.default
        required = default is dataclasses.MISSING
        found.append(
            Setting(
                name=field.name,
                key=camel(field.name),
                kind=kind_of(hints[field.name]),
                limits=field.metadata["limits"],
                required=required,
                default=None if required else default,
            ),
        )
    return tuple(found)


def matches(pattern: str) -> Check:
    """Return a check that the whole text matches a regular expression."""
    compiled = re.compile(pattern)
    return lambda value: None if compiled.fullmatch(value) else "has the wrong form"
