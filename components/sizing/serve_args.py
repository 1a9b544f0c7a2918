"""Read the argument list of ``vllm serve`` the way its own parser does, through the flag registry.

The registry (``data/vllm_flags.json``) is a dump of vLLM 0.33.0's argparse. Nothing that a user wrote is dropped:
an unknown flag is an error, a removed one names its replacement, an abbreviation is resolved as argparse resolves
it and reported.
"""

import difflib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

_REGISTRY = Path(__file__).parent / "data" / "vllm_flags.json"
_INTEGER = re.compile(r"([+-]?\d+(?:\.\d+)?)([kKmMgGtT]?)")
_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_NEGATIVE_NUMBER = re.compile(r"-\d+$|-\d*\.\d+$")


class BadArgumentError(ValueError):
    """An option that is not accepted; the message names the option, the value and what is accepted."""


@dataclass(frozen=True)
class ServeCommand:
    """What a ``vllm serve`` argument list says."""

    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """Values by the flag's registered name (``--tensor-parallel-size``)."""
    notes: tuple[str, ...] = ()
    """What a reader should know, e.g. how an abbreviation was understood."""


@cache
def registry() -> Mapping[str, Any]:
    """Return the registry document: ``flags``, ``removed``, ``known_values`` and where they come from."""
    return json.loads(_REGISTRY.read_text(encoding="utf-8"))


@cache
def _option_strings() -> Mapping[str, str]:
    """Every accepted option string -> the registered name of its flag."""
    return {option: name for name, entry in registry()["flags"].items() for option in (name, *entry.get("also", ()))}


def human_readable_int(text: str) -> int:
    """``32k`` is 32000, ``32K`` is 32768, ``25.6k`` is 25600 (vllm/utils/argparse_utils.py:31).

    Raises ValueError where the text is no such number.
    """
    match = _INTEGER.fullmatch(text.strip())
    if match is None:
        msg = f"{text!r} is not a whole number such as 8192, 32k (32000) or 32K (32768)"
        raise ValueError(msg)
    number, unit = match.groups()
    if unit in _BINARY:
        if "." in number:
            msg = f"{text!r}: a binary unit ({unit}) takes a whole number"
            raise ValueError(msg)
        return int(number) * _BINARY[unit]
    value = float(number) * _DECIMAL.get(unit, 1) if "." in number else int(number) * _DECIMAL.get(unit, 1)
    if not float(value).is_integer():
        msg = f"{text!r} is not a whole number"
        raise ValueError(msg)
    return int(value)


def read(arguments: Sequence[str]) -> ServeCommand:
    """Parse everything that follows ``vllm serve`` (a leading ``vllm serve`` itself is allowed).

    Raises BadArgumentError at the first argument that vLLM's parser would refuse.
    """
    tokens = list(arguments)
    if tokens[:2] == ["vllm", "serve"]:
        tokens = tokens[2:]
    return _Reader(tokens).command()


class _Reader:
    """One pass over the tokens."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._options: dict[str, Any] = {}
        self._notes: list[str] = []
        self._model: str | None = None

    def command(self) -> ServeCommand:
        """Consume every token."""
        while self._tokens:
            token = self._tokens.pop(0)
            if _is_flag(token):
                self._flag(token)
            elif self._model is None:
                self._model = token
            else:
                msg = f"{token!r}: a second model after {self._model!r}; vllm serve takes one"
                raise BadArgumentError(msg)
        return ServeCommand(self._model, self._options, tuple(self._notes))

    def _flag(self, token: str) -> None:
        written, _, inline = token.partition("=")
        option = written.replace("_", "-") if written.startswith("--") else written
        option, dot, _ = option.partition(".")
        level = re.fullmatch(r"-O=?(\w*)", token)
        if level is not None:
            option, inline = "--optimization-level", level[1]
        name, positive = self._resolve(option, written)
        entry = registry()["flags"][name]
        if entry.get("switch"):
            if "=" in token:
                msg = f"{written}: a switch takes no value, got {inline!r}"
                raise BadArgumentError(msg)
            self._store(name, value=positive)
        elif dot:
            self._store(f"{name}{written[len(option) :]}", value=inline or self._value(name))
        elif "values" in entry:
            first = [inline] if inline else []
            self._store(name, value=[_typed(name, entry, text) for text in first + self._values(name, entry, first)])
        else:
            self._store(name, value=_typed(name, entry, inline if "=" in token or inline else self._value(name)))

    def _resolve(self, option: str, written: str) -> tuple[str, bool]:
        strings = _option_strings()
        if option in registry()["removed"]:
            msg = f"{written}: removed from vLLM; replacement: {registry()['removed'][option]}"
            raise BadArgumentError(msg)
        if option not in strings:
            option = self._abbreviation(option, written)
        name = strings[option]
        return name, _polarity(option) == _polarity(name) if option.startswith("--") else True

    def _abbreviation(self, option: str, written: str) -> str:
        """Argparse accepts a unique prefix of a long option."""
        strings = _option_strings()
        matches = [known for known in strings if option.startswith("--") and known.startswith(option)]
        if len(matches) == 1:
            self._notes.append(f"{written} read as {matches[0]} (argparse resolves unique abbreviations)")
            return matches[0]
        if matches:
            msg = f"{written}: ambiguous, could be {', '.join(sorted(matches))}"
            raise BadArgumentError(msg)
        near = difflib.get_close_matches(option, strings, n=3, cutoff=0.6)
        hint = f"close: {', '.join(near)}" if near else "no flag has a similar name"
        msg = f"{written}: vllm serve {registry()['vllm_version']} has no such flag ({hint})"
        raise BadArgumentError(msg)

    def _value(self, name: str) -> str:
        if not self._tokens or _is_flag(self._tokens[0]):
            msg = f"{name}: expects a value"
            raise BadArgumentError(msg)
        return self._tokens.pop(0)

    def _values(self, name: str, entry: Mapping[str, Any], first: list[str]) -> list[str]:
        most = 1 if entry["values"] == "?" else len(self._tokens)
        found: list[str] = []
        while not first and self._tokens and not _is_flag(self._tokens[0]) and len(found) < most:
            found.append(self._tokens.pop(0))
        if not found and not first and entry["values"] == "+":
            msg = f"{name}: expects at least one value"
            raise BadArgumentError(msg)
        return found

    def _store(self, name: str, *, value: Any) -> None:
        if name in self._options and self._options[name] != value:
            self._notes.append(f"{name} given twice; the last one counts")
        self._options[name] = value


def _is_flag(token: str) -> bool:
    return len(token) > 1 and token.startswith("-") and _NEGATIVE_NUMBER.fullmatch(token) is None


def _polarity(option: str) -> bool:
    """Tell whether the option switches something on: an odd number of ``no-`` and ``disable-`` in front does not."""
    negated = option.startswith("--no-")
    return negated == option.removeprefix("--no-" if negated else "--").startswith("disable-")


def _typed(name: str, entry: Mapping[str, Any], text: str) -> Any:
    """Convert, then check the choices, as argparse does."""
    value = _converted(name, entry, text)
    accepted = entry.get("choices")
    if accepted and value not in accepted:
        msg = f"{name}: {text!r} is not one of {', '.join(map(str, accepted))}"
        raise BadArgumentError(msg)
    return value


def _converted(name: str, entry: Mapping[str, Any], text: str) -> Any:
    try:
        match entry.get("type"):
            case "int":
                return int(text)
            case "float":
                return _finite(text)
            case "json":
                return _json(text)
            case "human_readable_int":
                return human_readable_int(text)
            case "human_readable_int_or_auto":
                return -1 if text.strip().lower() in {"auto", "-1"} else human_readable_int(text)
            case _:
                return text
    except ValueError as error:
        kinds = {"int": "a whole number", "float": "a number", "json": "JSON"}
        reason = f"{text!r} is not {kinds[entry['type']]}" if entry["type"] in kinds else str(error)
        msg = f"{name}: {reason}"
        raise BadArgumentError(msg) from error


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        msg = "nested too deeply"
        raise ValueError(msg) from error


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value
