"""Measure what a plan costs: `python -m offline.bench --stack prod` (or `make bench`).

The yardstick is the bare import of the SDK classes that the program uses, in the same run on the same machine: no
Python program with these resources can be faster. Medians of alternating runs; nothing is asserted, machines differ.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

from offline.program import ROOT, deploy_file, stack_file
from offline.recording import Deployment

TARGET: Final = 1.5
"""A plan should take at most this many times the bare import."""


def sdk_classes(deployment: Deployment) -> list[str]:
    """Return `module:Class` of every SDK class that the program declared resources of."""
    types = {r.type for r in deployment.resources if r.custom or r.remote}
    return sorted({_sdk_class(type_) for type_ in types})


def _sdk_class(type_: str) -> str:
    package, module, name = type_.split(":")
    if package == "pulumi":
        return f"pulumi_{name}:Provider"
    if package == "aws":
        return f"pulumi_aws.{module.partition('/')[0]}:{name}"
    if package == "kubernetes":
        group, _, version = module.rpartition("/")
        group = group.partition(".")[0] or "core"
        typed = group in {"apps", "batch", "core", "helm", "networking", "policy", "rbac", "scheduling", "storage"}
        return (
            f"pulumi_kubernetes.{group}.{version}:{name}"
            if typed
            else ("pulumi_kubernetes.apiextensions:CustomResource")
        )
    return f"pulumi_{package}:{name}"


def _seconds(command: Sequence[str]) -> float:
    """Return how long a command runs."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the medians."""
    parser = argparse.ArgumentParser(prog="python -m offline.bench", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--stack", default="prod")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(arguments)
    classes = sdk_classes(deploy_file(stack_file(options.stack)))
    imports = "\n".join("from {} import {}".format(*name.split(":")) for name in classes)
    commands = {
        "bare import": ["-c", imports],
        "plan": ["-m", "offline.plan", "--stack", options.stack, "--format", "json"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(options.runs):
        print(f"run {number + 1} of {options.runs}", file=sys.stderr)
        for name, command in commands.items():
            times[name].append(_seconds(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"bare import of {len(classes)} SDK classes   {medians['bare import']:.2f} s")
    print(f"plan of {options.stack}                {medians['plan']:.2f} s", end="")
    print(f"   {medians['plan'] / medians['bare import']:.2f} × the bare import (target {TARGET})")
    print(f"peak memory of a plan       {_peak_mib(commands['plan']):.0f} MiB")
    return 0


def _peak_mib(command: Sequence[str]) -> float:
    """Return the largest resident size of any child so far, in MiB; a plan is the largest child that ran here."""
    _seconds(command)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
