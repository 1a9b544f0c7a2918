"""Any stack file is either deployed or refused with its problems: no traceback, nothing silently ignored."""

import copy
import json
from collections.abc import Iterator
from typing import Any, cast

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from infra.config import InvalidStack
from infra.settings.stack import parse_stack
from offline.program import deploy_stack
from offline.stack_files import StackFiles
from tests.program.conftest import STACKS, shipped

Path = tuple[str | int, ...]
REGION = "us-east-1"

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.sampled_from(["g5", "p5", "t4g", "us-east-1a", "10.0.0.0/8", "auto", "bf16", "spot", "s3://b/p", "-", "../x"]),
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _values(stack: str) -> dict[str, Any]:
    project = "llm-serving:"
    texts = {key.removeprefix(project): text for key, text in shipped(stack).config.items() if key.startswith(project)}
    return {key: json.loads(text) if text[:1] in "[{" and text else text for key, text in texts.items()}


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, key))


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a shipped stack's settings with up to three places replaced by anything, or removed."""
    values = copy.deepcopy(_values(draw(st.sampled_from(STACKS))))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([path for path in _paths(values) if path]))
        holder, last = _at(values, path[:-1]), cast("Any", path[-1])
        if draw(st.booleans()) or isinstance(holder, list):
            holder[last] = draw(anything)
        else:
            del holder[last]
    return values


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_settings_are_read_or_refused(values: dict[str, Any]) -> None:
    """Prevents a traceback for settings of the wrong shape; every problem says where, what, why and how to fix it."""
    _, problems = parse_stack(values, REGION)
    for problem in problems:
        assert problem.path
        assert problem.rule
        assert problem.message
        assert problem.fix


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(STACKS), st.data(), st.from_regex(r"[a-z][a-zA-Z]{9,14}", fullmatch=True))
def test_unknown_keys_are_refused_everywhere(stack: str, data: st.DataObject, key: str) -> None:
    """Prevents a misspelt setting from being ignored. Tags and version maps take any key."""
    values = copy.deepcopy(_values(stack))
    free = {"tags", "addonVersions"}
    maps = [path for path in _paths(values) if not free & set(path) and isinstance(_at(values, path), dict)]
    path = data.draw(st.sampled_from(maps))
    _at(values, path)[key] = 1
    _, problems = parse_stack(values, REGION)
    assert [p for p in problems if p.path.endswith(key) and p.rule == "unknown-key"]


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
@example({**_values("dev"), "access": {"publicCidrs": ["office", ""]}})
@example({**_values("dev"), "systemNodes": {"instanceTypes": []}})
def test_the_program_deploys_or_refuses(values: dict[str, Any]) -> None:
    """Prevents settings that pass the reader and then break the program halfway."""
    files = shipped("dev")
    config = {f"{files.project}:{key}": _text(value) for key, value in values.items() if value is not None}
    stack = StackFiles(files.project, files.stack, {"aws:region": REGION, **config}, {})
    try:
        deployment = deploy_stack(stack)
    except InvalidStack as refused:
        assert refused.problems  # noqa: PT017  (either outcome is right)
    else:
        assert deployment.resources


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
