"""The command behind `make plan`.

Exit codes: 0 planned, 1 refused or invalid (with every error), 2 wrong usage.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from offline.plan.document import planned, refused
from offline.stack_files import stack_name
from offline.target import Refused, add_target, deploy_target, target_file

_SHOWN = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Plan one stack, print it, and return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    path = target_file(parser, options)
    try:
        document = planned(deploy_target(path))
    except Refused as refusal:
        if options.format == "json":
            _print_json(refused(stack_name(path), refusal.problems))
        else:
            print(refusal, file=sys.stderr)
        return 1
    if options.format == "json":
        _print_json(document)
    else:
        # Imported here: JSON needs no tables, and a tenth of a second is a tenth of the plan.
        from offline.plan.report import print_report  # noqa: PLC0415

        print_report(document, refused=options.refused)
    return 0


def run() -> int:
    """Run `main` as a program: a reader that has seen enough (`| head`) is no failure."""
    try:
        return main()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _print_json(document: object) -> None:
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
    print()


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: write a whole number, 0 or more")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m offline.plan",
        description="Print what a stack would run, why, and what it costs. Nothing is contacted.",
        epilog="Exit codes: 0 planned, 1 refused or invalid (every error is listed), 2 wrong usage.",
    )
    add_target(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument(
        "--refused", type=_count, default=_SHOWN, metavar="N", help=f"refused candidates per model (default: {_SHOWN})"
    )
    return parser
