"""The steps that a rehearsal can be asked for, and the stage of the report that each leaves behind."""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from offline.rehearsal.judgement import ModelResult, differences, results
from offline.rehearsal.observation import Observation
from offline.rehearsal.simulation import Simulation


class UnknownModelError(LookupError):
    """A step that names no model of the stack."""


@dataclass(frozen=True)
class Step:
    """One thing to do once everything before it has settled."""

    verb: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.value}".strip()


@dataclass
class Stage:
    """What was seen after a step."""

    title: str
    models: list[ModelResult]
    seen: Observation
    differences: list[str]
    seconds: float
    notes: list[str] = field(default_factory=list)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the steps; they are collected in ``steps`` in the order in which they are written."""
    group = parser.add_argument_group("steps, done in the order given, each when everything before has settled")
    options: Mapping[str, tuple[str | None, str]] = {
        "scale": ("MODEL=N", "ask for N servers of a model"),
        "no-capacity": ("TYPE/ZONE/CAPACITY", "EC2 has nothing of these any more; each part may hold *"),
        "interrupt": ("MODEL", "EC2 takes back the nodes of a model, announced as a spot interruption"),
        "delete-pods": ("MODEL", "delete a model's pods, then wait until empty nodes are gone"),
        "roll-out": ("MODEL", "roll a new revision of a model out"),
        "tear-down": (None, "delete everything in the order of pulumi destroy"),
    }
    for verb, (metavar, text) in options.items():
        group.add_argument(
            f"--{verb}", action=_Collect, dest="steps", metavar=metavar, help=text, nargs=0 if metavar is None else None
        )


class _Collect(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        step = Step((option_string or "").lstrip("-"), values or "")
        count = step.value.partition("=")[2]
        if step.verb == "no-capacity" and step.value.count("/") != 2:
            parser.error(f"--no-capacity {step.value}: write TYPE/ZONE/CAPACITY, for example 'g5.12xlarge/*/spot'")
        if step.verb == "scale" and not count.isdigit():
            parser.error(f"--scale {step.value}: write MODEL=N")
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or []), step])


def check(steps: list[Step], models: set[str]) -> None:
    """Raise UnknownModelError with every step whose model the stack does not have."""
    named = [(step, step.value.partition("=")[0]) for step in steps if step.verb not in {"no-capacity", "tear-down"}]
    known = ", ".join(sorted(models))
    if wrong := [f"--{step}: no model {name}, only {known}" for step, name in named if name not in models]:
        raise UnknownModelError("\n".join(wrong))


def first(simulation: Simulation) -> Stage:
    """Return the stage of the stack as it is deployed."""
    return _stage(simulation, "as deployed", list)


def perform(simulation: Simulation, step: Step) -> Stage:
    """Do one step and wait until everything has settled."""
    name, _, count = step.value.partition("=")

    def scale() -> list[str]:
        simulation.scale(name, int(count))
        return []

    def exhaust() -> list[str]:
        simulation.exhaust(step.value)
        return ["takes effect with the next instance that Karpenter asks for"]

    def interrupt() -> list[str]:
        return [f"lost with their nodes: {', '.join(simulation.interrupt(name)) or 'no pod'}"]

    def delete_pods() -> list[str]:
        simulation.delete_pods(name)
        simulation.settle()
        simulation.consolidate()
        return ["pools consolidate after 5 s here, not after their own patience"]

    def roll_out() -> list[str]:
        return [f"held at most {simulation.roll_out(name)[name]} GPUs during the rollout"]

    verbs: Mapping[str, Callable[[], list[str]]] = {
        "scale": scale, "no-capacity": exhaust, "interrupt": interrupt, "delete-pods": delete_pods,
        "roll-out": roll_out,
    }  # fmt: skip
    if step.verb == "tear-down":
        return _torn_down(simulation, step)
    return _stage(simulation, str(step), verbs[step.verb])


def _stage(simulation: Simulation, title: str, action: Callable[[], list[str]]) -> Stage:
    began = time.monotonic()
    found = [f"refused: {text}" for text in simulation.refused]
    notes: list[str] = []
    try:
        notes = action()
    except TimeoutError as late:
        found.append(str(late))
    seen = simulation.settle()
    rows = model_results(simulation, seen)
    found += model_differences(simulation, seen)
    return Stage(title, rows, seen, found, time.monotonic() - began, notes)


def _torn_down(simulation: Simulation, step: Step) -> Stage:
    began = time.monotonic()
    left = [f"{name} does not go" for name in simulation.tear_down()]
    left += [f"instance {identity} still runs" for identity in simulation.market.instances()]
    seen = simulation.observe()
    left += [f"NodeClaim {name} is left" for name in seen.claims]
    return Stage(str(step), [], seen, left, time.monotonic() - began)


def model_differences(simulation: Simulation, seen: Observation) -> list[str]:
    """Return what is not as planned now."""
    market = simulation.market
    left = any(reservation.available for reservation in market.reservations)
    return differences(model_results(simulation, seen), seen, market.exhausted, reserved=left)


def model_results(simulation: Simulation, seen: Observation) -> list[ModelResult]:
    """Return the rows of all models."""
    pods = {name: [p["metadata"]["uid"] for p in simulation.pods_of(name)] for name in simulation.replicas}
    return results(simulation.bundle.models, pods, simulation.replicas, seen)
