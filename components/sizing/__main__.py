"""``python -m components.sizing estimate|recommend``: the planner's commands."""

import importlib
import os
import sys

_COMMANDS = {
    "estimate": "does one given deployment start, and what KV cache does it leave",
    "recommend": "the cheapest deployment that meets a requirement, and why not the others",
}
_USAGE = "\n".join(
    (
        "usage: python -m components.sizing COMMAND [options]   (COMMAND --help shows them)",
        *(f"  {name:<10} {meaning}" for name, meaning in _COMMANDS.items()),
    )
)


def main(arguments: list[str]) -> int:
    """Run a command; its exit code is ours: 0 answered, 1 nothing satisfies, 2 bad input."""
    if arguments and arguments[0] in _COMMANDS:
        command = importlib.import_module(f"components.sizing.cli.{arguments[0]}")
        try:
            code = command.main(arguments[1:])
            sys.stdout.flush()
        except BrokenPipeError:  # the reader (head, less) has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush goes nowhere
            return 0
        return code
    if arguments and arguments[0] in {"-h", "--help"}:
        print(_USAGE)
        return 0
    given = f"unknown command {arguments[0]!r}; accepted: {', '.join(_COMMANDS)}" if arguments else "no command given"
    print(f"components.sizing: error: {given}\n{_USAGE}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
