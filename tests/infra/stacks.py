"""A small valid stack that tests change in one place."""

import copy
from collections.abc import Mapping
from typing import Any

from infra.settings.problems import Problem
from infra.settings.sections import StackConfig
from infra.settings.stack import parse_stack

REGION = "us-east-1"
VALID: Mapping[str, Any] = {
    "network": {"availabilityZones": ["us-east-1a", "us-east-1b"]},
    "access": {"publicCidrs": ["198.18.0.0/24"]},
    "gpuPools": [{"name": "g5", "families": ["g5"]}],
    "models": [
        {
            "name": "llama",
            "source": "meta-llama/Llama-3.1-8B-Instruct",
            "revision": "0e9e39f249a16976918f6564b8830bc894c89659",
            "maxModelLen": 8192,
            "concurrency": 8,
        }
    ],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the valid stack with one place changed: ``models.0.concurrency``. None removes the key."""
    values = copy.deepcopy(dict(VALID))
    steps: list[Any] = [int(part) if part.isdigit() else part for part in path.split(".")]
    *parents, last = steps
    holder: Any = values
    for part in parents:
        holder = holder.setdefault(part, {}) if isinstance(holder, dict) else holder[part]
    if value is None:
        del holder[last]
    elif isinstance(holder, list) and last == len(holder):
        holder.append(value)
    else:
        holder[last] = value
    return values


def parsed(values: Mapping[str, Any] = VALID) -> StackConfig:
    """Return the settings of a stack that has no problem."""
    config, problems = parse_stack(values, REGION)
    assert not problems
    return config


def problems_of(values: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Return what is wrong with a stack's settings."""
    return parse_stack(values, REGION)[1]
