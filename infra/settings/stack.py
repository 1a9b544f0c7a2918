"""A whole stack's settings from the plain values of its configuration."""

from collections.abc import Mapping
from typing import Any

from infra.settings.parse import BAD, section, typed
from infra.settings.pool_sections import GpuPool
from infra.settings.problems import Problem, nearest
from infra.settings.rules import rule_problems
from infra.settings.schema import settings_of
from infra.settings.sections import UNREAD_NETWORK, Model, StackConfig


def parse_stack(values: Mapping[str, Any], region: str) -> tuple[StackConfig, tuple[Problem, ...]]:
    """Return the settings and everything that is wrong with them.

    Where there are problems the settings hold what could be read (a section with a problem is its default, a model
    or pool with a problem is left out), so that the rules and the planner can report the rest in the same run.
    """
    problems: list[Problem] = []
    known = {declared.key: declared for declared in settings_of(StackConfig)}
    problems.extend(
        Problem(key, None, "unknown-key", "is no setting", nearest(key, known)) for key in values if key not in known
    )
    fields: dict[str, Any] = {"models": (), "gpu_pools": (), "network": UNREAD_NETWORK}
    for key, declared in known.items():
        value = values.get(key)
        if value is None:
            if declared.required:
                problems.append(Problem(key, None, "required", "is missing", f"add it: {declared.limits.doc}"))
            continue
        read: Any
        if declared.name in {"models", "gpu_pools"}:
            read = _entries(Model if declared.name == "models" else GpuPool, value, key, problems)
        else:
            read = typed(declared.kind, declared.limits, value, key, problems)
        if read is not BAD:
            fields[declared.name] = read
    read_pools = {pool.name for pool in fields["gpu_pools"]}
    unread = tuple(name for name in _names(values.get("gpuPools")) if name not in read_pools)
    config = StackConfig(**fields, region=region, unread_pools=unread)
    problems.extend(rule_problems(config))
    return config, tuple(problems)


def _entries(cls: type, value: Any, key: str, problems: list[Problem]) -> Any:
    """Return the entries that could be read; each knows its own path."""
    if not isinstance(value, list | tuple):
        problems.append(Problem(key, None, "type", "must be a list", "write one - entry per line"))
        return BAD
    if not value:
        problems.append(Problem(key, [], "required", "is empty", "add at least one entry"))
    paths = [f"{key}[{index}]" for index in range(len(value))]
    read = [section(cls, entry, path, problems, path=path) for entry, path in zip(value, paths, strict=True)]
    return tuple(entry for entry in read if entry is not BAD)


def _names(entries: Any) -> list[str]:
    """Return the names of all entries, readable or not; an unnamed one counts as an empty name."""
    if not isinstance(entries, list | tuple):
        return []
    return [str(entry.get("name", "")) if isinstance(entry, Mapping) else "" for entry in entries]
