"""From a plain mapping to a section's dataclass, collecting every problem on the way."""

import math
from collections.abc import Mapping
from typing import Any

from infra.settings.problems import Problem, listed, nearest
from infra.settings.schema import Kind, Limits, Setting, settings_of

BAD = object()
"""Stands for a value that was refused: its problem is already in the list."""


def section(cls: type, value: Any, at: str, problems: list[Problem], **bookkeeping: str) -> Any:
    """Return an instance of a section, or BAD where it has a problem anywhere.

    ``bookkeeping`` fills fields that are no settings. Every problem below ``at`` is appended to ``problems``.
    """
    if not isinstance(value, Mapping):
        problems.append(Problem(at, _shown(value), "type", "must be a map of settings", "write key: value pairs here"))
        return BAD
    known = {declared.key: declared for declared in settings_of(cls)}
    before = len(problems)
    problems.extend(
        Problem(_join(at, str(key)), _shown(value[key]), "unknown-key", "is no setting", nearest(key, known))
        for key in value
        if key not in known
    )
    fields: dict[str, Any] = {}
    for key, declared in known.items():
        if value.get(key) is not None:
            fields[declared.name] = typed(declared.kind, declared.limits, value[key], _join(at, key), problems)
        elif declared.required:
            problems.append(
                Problem(_join(at, key), None, "required", "is missing", f"add it: {_first_line(declared)}"),
            )
    return BAD if len(problems) > before else cls(**fields, **bookkeeping)


def typed(kind: Kind, limits: Limits, value: Any, path: str, problems: list[Problem]) -> Any:
    """Return a value of the declared type within its limits, or BAD."""
    if kind.name == "section" and kind.section:
        return section(kind.section, value, path, problems)
    if kind.name == "list" and kind.item:
        return _list(kind.item, limits, value, path, problems)
    if kind.name == "map":
        return _map(value, path, problems)
    converted = _scalar(kind.name, value)
    if converted is BAD:
        article = "an" if kind.name == "integer" else "a"
        problems.append(
            Problem(path, _shown(value), "type", f"must be {article} {kind.name}", _expectation(limits, kind))
        )
        return BAD
    complaint = _complaint(limits, converted)
    if complaint:
        rule, message = complaint
        fix = nearest(converted, limits.choices) if limits.choices else _expectation(limits, kind)
        problems.append(Problem(path, _shown(value), rule, message, fix))
        return BAD
    return converted


def _list(item: Kind, limits: Limits, value: Any, path: str, problems: list[Problem]) -> Any:
    if not isinstance(value, list | tuple):
        problems.append(Problem(path, _shown(value), "type", "must be a list", "write one - entry per line"))
        return BAD
    entries = [typed(item, limits, entry, f"{path}[{index}]", problems) for index, entry in enumerate(value)]
    if item.name == "string":
        for index, entry in enumerate(entries):
            if entry is not BAD and entry in entries[:index]:
                problems.append(
                    Problem(f"{path}[{index}]", entry, "duplicate", "is listed twice", "remove one of them")
                )
    return tuple(entries)


def _map(value: Any, path: str, problems: list[Problem]) -> Any:
    if not isinstance(value, Mapping):
        problems.append(Problem(path, _shown(value), "type", "must be a map", "write key: value pairs here"))
        return BAD
    for key, entry in value.items():
        if not isinstance(entry, str):
            problems.append(
                Problem(_join(path, str(key)), _shown(entry), "type", "must be a string", "put it in quotes")
            )
    return {str(key): entry for key, entry in value.items() if isinstance(entry, str)}


def _scalar(name: str, value: Any) -> Any:
    """Return the value as the type that a stack file means, or BAD. Booleans are no numbers; 3.0 is an integer."""
    if name == "boolean":
        return value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value), BAD)
    if name == "string":
        return value if isinstance(value, str) else BAD
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return BAD
    if name == "number":
        return float(value)
    return int(value) if float(value).is_integer() else BAD


def _complaint(limits: Limits, value: Any) -> tuple[str, str] | None:
    """Return the rule that a value breaks and the message, or None."""
    if limits.choices and value not in limits.choices:
        return "choice", f"must be {listed(limits.choices)}"
    if limits.minimum is not None and value < limits.minimum:
        return "range", f"must be at least {limits.minimum:,}"
    if limits.maximum is not None and value > limits.maximum:
        return "range", f"must be at most {limits.maximum:,}"
    complaint = limits.check(value) if limits.check else None
    return ("format", complaint) if complaint else None


def _expectation(limits: Limits, kind: Kind) -> str:
    if limits.choices:
        return f"use {listed(limits.choices)}"
    if limits.shape:
        return f"write {limits.shape}"
    bounds = [
        f"{word} {bound:,}" for word, bound in (("from", limits.minimum), ("to", limits.maximum)) if bound is not None
    ]
    return f"write {'an' if kind.name == 'integer' else 'a'} {kind.name} {' '.join(bounds)}".rstrip()


def _first_line(declared: Setting) -> str:
    example = f", for example {declared.limits.example}" if declared.limits.example else ""
    return f"{declared.limits.doc.split('.')[0].strip()}{example}"


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shown(value: Any) -> Any:
    """Return a value as plain data that JSON can carry."""
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _shown(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(entry) for entry in value]
    return str(value)
