"""Options that ``estimate`` and ``recommend`` share: the model, its format, and how values are read.

Every refusal names the option, the value and what is accepted; bad input ends with exit code 2.
"""

import argparse
import difflib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from components.sizing.architecture import Architecture, UnknownModel, UnsupportedArchitecture, from_config, named
from components.sizing.serve_args import human_readable_int

BAD_INPUT = 2
MOST_GPUS, MOST_TOKENS, MOST_GIB = 1024, 10**9, 10**4
"""Above these an option is a typing error; they also bound the work that it causes."""
_LARGEST_FILE_BYTES = 256 * 2**20
_LIMITS = {"layers": 4096, "hidden": 10**6, "heads": 10**5, "kv_heads": 10**5, "head_dim": 10**5, "vocab": 10**8}
"""Above these a configuration is a typing error; they also bound the work that it causes."""


WRONG_VALUES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What values of a wrong kind or size in a user's config.json end in, wherever they are first used."""


class InputError(ValueError):
    """Bad input; the message names the option, the value and what is accepted."""


class Parser(argparse.ArgumentParser):
    """Full option names only, and one line per refusal."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """End with exit code 2; an unknown option comes with the options that look like it."""
        prefix = "unrecognized arguments: "
        if message.startswith(prefix):
            unknown = message.removeprefix(prefix).split()[0].partition("=")[0]
            close = difflib.get_close_matches(unknown, self._option_string_actions, n=3, cutoff=0.5)
            message += f"; accepted: {', '.join(close)}" if close else "; --help lists what is accepted"
        self.exit(BAD_INPUT, f"{self.prog}: error: {message}\n")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``, ``--config`` and ``--weights-index``."""
    group = parser.add_argument_group("model")
    group.add_argument("--model", metavar="ID", help="Hugging Face id of a catalogued model")
    group.add_argument("--config", metavar="FILE", type=Path, help="a Hugging Face config.json instead of --model")
    group.add_argument(
        "--weights-index", metavar="FILE", type=Path, help="model.safetensors.index.json: exact weight totals"
    )


def read_architecture(model: str | None, config: Path | None) -> Architecture:
    """Return the model's facts from exactly one of the two options; InputError otherwise."""
    if model is not None and config is not None:
        msg = f"--model {model} and --config {config}: give one of them"
        raise InputError(msg)
    if config is not None:
        return _from_file(config)
    if model is None:
        msg = "--model or --config is required: a Hugging Face id such as meta-llama/Llama-3.1-8B-Instruct, or a file"
        raise InputError(msg)
    try:
        return named(model)
    except (UnknownModel, UnsupportedArchitecture) as error:
        msg = f"--model {model}: {error.args[0]}"
        raise InputError(msg) from error


def read_index(path: Path | None) -> Mapping[str, Any] | None:
    """Return the parsed safetensors index, None where no file is given; InputError for anything else."""
    if path is None:
        return None
    index = read_object("--weights-index", path)
    total = index.get("metadata", {}).get("total_size") if isinstance(index.get("metadata"), Mapping) else None
    if isinstance(total, bool) or not isinstance(total, int | float) or not 0 < total < math.inf:
        msg = f"--weights-index {path}: metadata.total_size is {total!r}; a positive number of bytes is accepted"
        raise InputError(msg)
    return index


def read_object(option: str, path: Path) -> Mapping[str, Any]:
    """Read a JSON file whose top level is an object; InputError says what else was found."""
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            msg = f"{option} {path}: larger than {_LARGEST_FILE_BYTES} bytes, so not such a file"
            raise InputError(msg)
        parsed = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{option} {path}: cannot be read ({error.strerror})"
        raise InputError(msg) from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        msg = f"{option} {path}: not JSON ({error}); a Hugging Face JSON file is accepted"
        raise InputError(msg) from error
    if not isinstance(parsed, Mapping):
        msg = f"{option} {path}: holds a JSON {type(parsed).__name__}; an object is accepted"
        raise InputError(msg)
    return parsed


def whole_number(least: int = 1) -> Callable[[str], int]:
    """Return a reader of whole numbers from ``least`` on, also written ``32k`` (32000) or ``32K`` (32768)."""

    def read(text: str) -> int:
        try:
            value = human_readable_int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        if value < least:
            msg = f"{text!r} is below {least}; a whole number from {least} on is accepted"
            raise argparse.ArgumentTypeError(msg)
        return value

    return read


def number(
    least: float = 0.0, most: float = math.inf, *, above: bool = False, meaning: str = "a number"
) -> Callable[[str], float]:
    """Return a reader of finite numbers in a range; ``above`` excludes ``least`` itself."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < least or value > most or (above and value == least):
            lower = f"above {least:g}" if above else f"from {least:g}"
            upper = f" up to {most:g}" if most < math.inf else ""
            msg = f"{text!r} is not {meaning} {lower}{upper}"
            raise argparse.ArgumentTypeError(msg)
        return value

    return read


def one_of(accepted: Sequence[str]) -> Callable[[str], str]:
    """Return a reader of one of the accepted words."""

    def read(text: str) -> str:
        if text not in accepted:
            msg = f"{text!r} is not one of {', '.join(accepted)}"
            raise argparse.ArgumentTypeError(msg)
        return text

    return read


def _from_file(path: Path) -> Architecture:
    config = read_object("--config", path)
    _check_layer_count(path, config)
    try:
        arch = from_config(config, path.stem)
    except WRONG_VALUES as error:
        raise unusable(path, error) from error
    if arch.moe is not None and not 0 < arch.moe.per_token <= arch.moe.experts:
        msg = f"--config {path}: {arch.moe.per_token} experts per token; 1 to {arch.moe.experts} is accepted"
        raise InputError(msg)
    for name, most in _LIMITS.items():
        value = getattr(arch, name)
        if not 0 < value <= most:
            msg = f"--config {path}: {name} is {value}; 1 to {most} is accepted"
            raise InputError(msg)
    return arch


def _check_layer_count(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse an absurd number of layers before anything is done per layer."""
    nested = [value for value in config.values() if isinstance(value, Mapping)]
    for part in (config, *nested):
        for key in ("num_hidden_layers", "n_layer", "n_layers", "num_layers"):
            value = part.get(key)
            if isinstance(value, int | float) and value > _LIMITS["layers"]:
                msg = f"--config {path}: {key} is {value}; 1 to {_LIMITS['layers']} is accepted"
                raise InputError(msg)


def unusable(path: Path, error: Exception) -> InputError:
    """Return the refusal of a configuration whose values cannot be sized with."""
    reason = str(error) if isinstance(error, UnsupportedArchitecture) else f"{type(error).__name__}: {error}"
    return InputError(f"--config {path}: not a configuration that can be sized ({reason})")
