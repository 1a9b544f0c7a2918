"""Which stack a command is about, and what it says where that stack is refused."""

import argparse
from pathlib import Path

from infra.config import InvalidStack
from infra.settings.problems import Problem
from offline.program import ROOT, deploy_file, stack_file
from offline.recording import Deployment
from offline.stack_files import UnreadableStackError, stack_names


class Refused(Exception):  # noqa: N818  (an answer, not a fault)
    """The stack cannot be deployed as it is written."""

    def __init__(self, file: str, problems: tuple[Problem, ...]) -> None:
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'} in {file}"
        super().__init__("\n\n".join([count, *map(str, problems)]))
        self.problems = problems


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a stack."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--stack", default="prod", help="stack with a file beside Pulumi.yaml (default: prod)")
    which.add_argument("--config", type=Path, metavar="FILE", help="any stack file instead")


def target_file(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Path:
    """Return the stack file that was named; ends the program with code 2 where there is none."""
    path = options.config or stack_file(options.stack)
    if not path.is_file():
        there = ", ".join(stack_names(ROOT))
        parser.error(f"--config {path}: no such file" if options.config else f"--stack {options.stack}: use {there}")
    return path


def deploy_target(path: Path) -> Deployment:
    """Run the program with a stack file. Raises Refused."""
    try:
        return deploy_file(path)
    except UnreadableStackError as unreadable:
        raise Refused(unreadable.path.name, unreadable.problems) from None
    except InvalidStack as invalid:
        raise Refused(path.name, invalid.problems) from None
