"""The plan as one JSON document: everything that the text report shows, and every registration."""

from collections.abc import Iterable
from typing import Any

from infra.settings.problems import Problem
from offline.plan.resources import as_json
from offline.recording import Deployment
from offline.values import masked


def planned(deployment: Deployment) -> dict[str, Any]:
    """Return the document of a stack that can be deployed; the decisions are those that the stack exports."""
    outputs = masked(deployment.outputs)
    return {
        "stack": deployment.stack,
        "models": outputs["models"],
        "node_pools": outputs["nodePools"],
        "cost": outputs["cost"],
        "resources": as_json(deployment),
        "outputs": outputs,
        "warnings": outputs["warnings"],
        "errors": [],
    }


def refused(stack: str, problems: Iterable[Problem]) -> dict[str, Any]:
    """Return the document of a stack that was refused: the same keys, with nothing but errors."""
    return {
        "stack": stack,
        "models": [],
        "node_pools": [],
        "cost": {"floor_usd_per_hour": None, "ceiling_usd_per_hour": None, "lines": [], "usage": []},
        "resources": [],
        "outputs": {},
        "warnings": [],
        "errors": [problem.to_json() for problem in problems],
    }
