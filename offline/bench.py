"""Measure what a plan costs: `python -m offline.bench --stack prod` (or `make bench`).

The yardstick is the bare import of the SDK classes that the program uses, in the same run on the same machine: no
Python program with these resources can be faster. Medians of alternating runs; CPU time beside elapsed time, because
other processes share the machine. Nothing is asserted, machines differ.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Cost:
    """What one run of a command took, in seconds."""

    wall: float
    cpu: float


def _cost(command: Sequence[str]) -> Cost:
    """Run a command of this interpreter and return what it took."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(statistics.median(cost.wall for cost in costs), statistics.median(cost.cpu for cost in costs))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the medians."""
    parser = argparse.ArgumentParser(prog="python -m offline.bench", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--stack", default="prod")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(arguments)
    classes = sdk_classes(deploy_file(stack_file(options.stack)))
    imports = "\n".join("from {} import {}".format(*name.split(":")) for name in classes)
    commands = {
        f"bare import of {len(classes)} SDK classes": ["-c", imports],
        f"plan of {options.stack}": ["-m", "offline.plan", "--stack", options.stack],
    }
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for number in range(options.runs):
        print(f"run {number + 1} of {options.runs}", file=sys.stderr)
        for name, command in commands.items():
            costs[name].append(_cost(command))
    bare, plan = (_median(values) for values in costs.values())
    for name, cost in zip(costs, (bare, plan), strict=True):
        print(f"{name:<30} {cost.wall:6.2f} s elapsed {cost.cpu:6.2f} s CPU")
    ratios = f"{plan.wall / bare.wall:6.2f} ×         {plan.cpu / bare.cpu:6.2f} ×"
    print(f"{'plan by bare import':<30} {ratios}      (target: at most {TARGET})")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{'peak memory of a plan':<30} {peak:6.0f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
