"""Values as they travel between a Pulumi program and the engine, decoded to plain Python and back.

The wire format marks secrets, resource references and unknowns with magic strings; recordings show them as
`Secret`, `Reference` and `UNKNOWN` so that a test can compare and a report can mask them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import struct_pb2

SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
"""Key that marks a map as a special value (pulumi/sdk/python/lib/pulumi/runtime/rpc.py `_special_sig_key`)."""
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  (a type marker)
_REFERENCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
_UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
MASK: Final = "[secret]"
"""What a secret looks like in everything that is printed or written, as in the Pulumi CLI."""


class Unknown:
    """The type of `UNKNOWN`: a value that only exists once its resource does."""

    def __repr__(self) -> str:
        """Read like the CLI's preview."""
        return "<computed>"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that the program marked secret."""

    value: Any = field(repr=False)


@dataclass(frozen=True)
class Reference:
    """A resource passed as a value. `state` is what the SDK sees when it resolves the reference."""

    urn: str
    id: str
    state: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


def decode(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Return a wire object as a dict by sorted key; whole numbers become ints (the wire has only floats)."""
    return {key: _decode_value(struct.fields[key]) for key in sorted(struct.fields)}


def _decode_value(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return UNKNOWN if value.string_value == _UNKNOWN else value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [_decode_value(item) for item in value.list_value.values]
        case "struct_value":
            return _decode_special(decode(value.struct_value))
        case _:
            return None


def _decode_special(fields: dict[str, Any]) -> Any:
    match fields.get(SIGNATURE):
        case signature if signature == _SECRET:
            return Secret(fields.get("value"))
        case signature if signature == _REFERENCE:
            identity = fields.get("id")
            return Reference(fields["urn"], identity if isinstance(identity, str) else "")
        case _:
            return fields


def encode(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Return a dict as a wire object."""
    struct = struct_pb2.Struct()
    struct.update({key: _encode_value(value) for key, value in values.items()})
    return struct


def _encode_value(value: Any) -> Any:
    match value:
        case Secret():
            return {SIGNATURE: _SECRET, "value": _encode_value(value.value)}
        case Reference():
            return {SIGNATURE: _REFERENCE, "urn": value.urn, "id": value.id, "packageVersion": ""}
        case Unknown():
            return _UNKNOWN
        case Mapping():
            return {key: _encode_value(item) for key, item in value.items()}
        case list() | tuple():
            return [_encode_value(item) for item in value]
        case _:
            return value


def masked(value: Any) -> Any:
    """Return a JSON-able copy: secrets replaced by `MASK`, references by their URN, unknowns by a readable mark."""
    match value:
        case Secret():
            return MASK
        case Reference():
            return value.urn
        case Unknown():
            return repr(value)
        case Mapping():
            return {key: masked(item) for key, item in value.items()}
        case list() | tuple():
            return [masked(item) for item in value]
        case _:
            return value


def revealed(value: Any) -> Any:
    """Return a copy with every secret replaced by its value: what a provider gets to see."""
    match value:
        case Secret():
            return revealed(value.value)
        case Mapping():
            return {key: revealed(item) for key, item in value.items()}
        case list() | tuple():
            return [revealed(item) for item in value]
        case _:
            return value


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of every scalar, secret, reference and unknown inside a value."""
    match value:
        case Mapping():
            for key, item in value.items():
                yield from leaves(item, f"{path}.{key}" if path else str(key))
        case list() | tuple():
            for index, item in enumerate(value):
                yield from leaves(item, f"{path}[{index}]")
        case _:
            yield path, value
