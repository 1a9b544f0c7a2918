"""``python -m offline.rehearsal --stack prod``: rehearse a stack and print what became of it.

Exit code 0: as planned. 1: any difference, a stack that is refused, or servers that cannot be built. 2: wrong usage.
"""

import argparse
import json
import signal
import sys
import time

from offline.rehearsal import stages
from offline.rehearsal.build import Toolchain, ToolchainMissingError, ensure_available, toolchain
from offline.rehearsal.bundle import Bundle, from_deployment
from offline.rehearsal.control_plane import ControlPlane
from offline.rehearsal.ec2 import Reservation
from offline.rehearsal.instances import assumed_reservations
from offline.rehearsal.report import Report, print_report
from offline.rehearsal.simulation import Simulation
from offline.target import Refused, add_target, deploy_target, target_file


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _leave)
    path = target_file(parser, options)
    try:
        ensure_available()
        bundle = from_deployment(deploy_target(path))
        stages.check(options.steps, {model["name"] for model in bundle.models})
        servers = toolchain()
    except (Refused, ToolchainMissingError) as refused:
        print(refused, file=sys.stderr)
        return 1
    except stages.UnknownModelError as wrong:
        parser.error(str(wrong))
    given = tuple(options.reservation)
    report = rehearse(bundle, servers, options.steps, given)
    if options.format == "json":
        print(json.dumps(report.to_json(), indent=1))
    else:
        print_report(report)
    return 1 if report.differences else 0


def rehearse(
    bundle: Bundle, servers: Toolchain, steps: list[stages.Step], reservations: tuple[Reservation, ...] = ()
) -> Report:
    """Start a control plane, rehearse a stack on it with these steps, and end it."""
    began = time.monotonic()
    assumed = () if reservations else assumed_reservations(bundle)
    notes = tuple(f"assumed: {r.count} × {r.instance_type} reserved in {r.zone}" for r in assumed)
    with ControlPlane(servers.servers) as plane, Simulation(plane, servers, bundle, *reservations, *assumed) as run:
        started = time.monotonic() - began
        done = [stages.first(run), *(stages.perform(run, step) for step in steps)]
        return Report(
            stack=bundle.stack, versions=dict(servers.built), notes=servers.notes + notes,
            left_out=tuple(run.left_out), stages=tuple(done),
            times={"control plane": plane.started_in_s, "ready": started, "total": time.monotonic() - began},
            memory_mib=plane.group.memory_mib(),
        )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m offline.rehearsal",
        description="Apply a stack to a real API server and Karpenter; exit 1 on any difference from the plan.",
    )
    add_target(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    parser.add_argument(
        "--reservation", type=_reservation, action="append", default=[], metavar="TYPE/ZONE/COUNT[/block][/KEY=VALUE]",
        help="a capacity reservation (or Capacity Block) of the account, with its tags; without any, one is assumed "
        "for every reservation that the stack selects",
    )  # fmt: skip
    parser.set_defaults(steps=[])
    stages.add_options(parser)
    return parser


def _reservation(text: str) -> Reservation:
    parts = text.split("/")
    if len(parts) < 3 or not parts[2].isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: write TYPE/ZONE/COUNT, for example p5.48xlarge/us-east-1b/1")
    tags = dict(part.split("=", 1) for part in parts[3:] if "=" in part)
    return Reservation(parts[0], parts[1], int(parts[2]), tags, block="block" in parts[3:])


def _leave(number: int, _frame: object) -> None:
    """End through the context managers, which end the servers."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
