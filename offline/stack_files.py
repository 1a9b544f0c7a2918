"""Read `Pulumi.yaml` and a stack's file the way the Pulumi CLI does before it starts a program.

The SDK never sees those files: the CLI applies the project's defaults, checks declared types and secrets, and hands
text to the program. Here secrets get a stand-in (nothing offline can decrypt them) and stay marked as secret.
Everything that is wrong is reported at once; the CLI's leniencies that hide mistakes (duplicate keys, an unquoted
version number) are reported too.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from infra.settings.problems import Problem

STAND_IN: Final = "offline-stand-in"
"""Value of every secret in an offline run; it never reaches an output unmasked."""

_STACK_FILE_KEYS: Final = ("config", "environment", "secretsprovider", "encryptedkey", "encryptionsalt")


class UnreadableStackError(Exception):
    """A project or stack file that the CLI would refuse; `problems` says all that is wrong with it."""

    def __init__(self, path: Path, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n\n".join(str(problem) for problem in problems))
        self.path = path
        self.problems = problems


@dataclass(frozen=True)
class StackFiles:
    """What the CLI would hand to the program."""

    project: str
    stack: str
    config: Mapping[str, str]
    """By full key, `llm-serving:models`; lists and maps as JSON."""
    secrets: Mapping[str, str]
    """The same for encrypted values, each with `STAND_IN` in place of what is encrypted."""


def stack_names(root: Path) -> tuple[str, ...]:
    """Return the stacks that have a file beside Pulumi.yaml."""
    return tuple(sorted(path.name.split(".")[1] for path in root.glob("Pulumi.*.yaml")))


def stack_name(path: Path) -> str:
    """Return the stack that a file belongs to: `Pulumi.prod.yaml` is prod's."""
    return path.stem.removeprefix("Pulumi.")


def read_stack(root: Path, path: Path) -> StackFiles:
    """Return the configuration of the stack file at `path` in the project at `root`.

    Raises UnreadableStackError where one of them cannot be read or is wrong.
    """
    project = _document(root / "Pulumi.yaml")
    document = _document(path)
    problems = [_unknown_key(key) for key in document if key not in _STACK_FILE_KEYS]
    name = str(project["name"])
    given = _qualified(document.get("config"), name, problems)
    declared = _qualified(project.get("config"), name, problems)
    values = {**_defaults(declared, given, name, problems), **given}
    problems.extend(problem for key in given for problem in _declaration_problems(key, given[key], declared.get(key)))
    if problems:
        raise UnreadableStackError(path, tuple(problems))
    secret = {key for key, value in values.items() if _is_secret(value)}
    text = {key: _text(_decrypted(value)) for key, value in values.items() if value is not None}
    return StackFiles(
        project=name,
        stack=stack_name(path),
        config={key: value for key, value in text.items() if key not in secret},
        secrets={key: value for key, value in text.items() if key in secret},
    )


def _unknown_key(key: str) -> Problem:
    message = "is no key of a stack file, so nothing reads it"
    return Problem(
        str(key), None, "unknown-key", message, f"move it below config, or use {', '.join(_STACK_FILE_KEYS)}"
    )


def _qualified(section: Any, project: str, problems: list[Problem]) -> dict[str, Any]:
    """Return a config section by full key; `aws:config:region` is the old spelling of `aws:region`."""
    if section is None:
        return {}
    if not isinstance(section, dict):
        problems.append(Problem("config", None, "type", "must be a map", "write `key: value` lines below config"))
        return {}
    keys = {key: str(key).replace(":config:", ":", 1) for key in section}
    return {full if ":" in full else f"{project}:{full}": section[key] for key, full in keys.items()}


def _defaults(
    declared: Mapping[str, Any], given: Mapping[str, Any], project: str, problems: list[Problem]
) -> dict[str, Any]:
    """Return what Pulumi.yaml sets for keys that the stack does not."""
    values: dict[str, Any] = {}
    for key, declaration in declared.items():
        fields = declaration if isinstance(declaration, dict) else {"default": declaration}
        if key in given:
            continue
        if "default" in fields or "value" in fields:
            values[key] = fields.get("default", fields.get("value"))
        elif key.startswith(f"{project}:"):
            short = key.removeprefix(f"{project}:")
            fix = f"add it below config: {fields.get('description', 'see Pulumi.yaml')}"
            problems.append(Problem(short, None, "required", "is missing: Pulumi.yaml gives it no default", fix))
    return values


def _declaration_problems(key: str, value: Any, declaration: Any) -> Iterator[Problem]:
    fields = declaration if isinstance(declaration, dict) else {}
    short = key.rpartition(":")[2]
    if fields.get("secret") and not _is_secret(value):
        fix = f"pulumi config set --secret {short}"
        yield Problem(short, None, "secret", "must be encrypted", fix)
    kind = fields.get("type")
    if kind is None or value is None or _is_secret(value) or _HAS_TYPE[kind](value):
        return
    fix = (
        f'write it in quotes: "{value}"'
        if kind == "string" and not isinstance(value, dict | list)
        else f"write {'an' if kind[0] in 'aio' else 'a'} {kind}"
    )
    yield Problem(short, masked_scalar(value), "type", f"must be of type {kind}", fix)


def masked_scalar(value: Any) -> Any:
    """Return a value for an error message: lists and maps are too long to repeat."""
    return None if isinstance(value, dict | list) else value


_HAS_TYPE: Final = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool) or value in ("true", "false"),
    "integer": lambda value: (isinstance(value, int) and not isinstance(value, bool)) or _is_digits(value),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def _is_digits(value: Any) -> bool:
    return isinstance(value, str) and value.removeprefix("-").isdigit()


def _is_secret(value: Any) -> bool:
    match value:
        case {"secure": str()} if len(value) == 1:
            return True
        case dict():
            return any(_is_secret(item) for item in value.values())
        case list():
            return any(_is_secret(item) for item in value)
    return False


def _decrypted(value: Any) -> Any:
    match value:
        case {"secure": str()} if len(value) == 1:
            return STAND_IN
        case dict():
            return {key: _decrypted(item) for key, item in value.items()}
        case list():
            return [_decrypted(item) for item in value]
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as the CLI (Go) reads it: `yes` and dates stay text, and a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.MarkedYAMLError(
                    problem=f"{key} is given twice", problem_mark=node.value[index][0].start_mark
                )
        return super().construct_mapping(node, deep)


_TEXT_IN_GO: Final = {"tag:yaml.org,2002:timestamp"}
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in _TEXT_IN_GO and not (tag == "tag:yaml.org,2002:bool" and first not in "tTfF")
    ]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def _document(path: Path) -> dict[str, Any]:
    """Return a YAML file's top-level map; an empty file is an empty map."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path.name}:{mark.line + 1}:{mark.column + 1}" if mark else path.name
        message = f"is no valid YAML: {getattr(error, 'problem', error)}"
        raise UnreadableStackError(path, (Problem(place, None, "yaml", message, "correct that line"),)) from error
    except OSError as error:
        problem = Problem(
            path.name, None, "file", f"cannot be read: {error.strerror}", "check its name and permissions"
        )
        raise UnreadableStackError(path, (problem,)) from error
    except UnicodeDecodeError as error:
        problem = Problem(path.name, None, "yaml", "is not UTF-8 text", "save it as UTF-8")
        raise UnreadableStackError(path, (problem,)) from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        problem = Problem(path.name, None, "type", "must be a map", "start it with `config:`")
        raise UnreadableStackError(path, (problem,))
    return document
