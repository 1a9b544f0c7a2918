"""Everything that follows from a stack's settings, before any resource exists."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.planning.advice import advice
from infra.planning.costs import Cost, cost
from infra.planning.models import ModelPlan, UnplannableError, plan_model
from infra.planning.pool_problems import planned_pool_problems
from infra.planning.pools import PoolPlan, plan_pools
from infra.planning.support import version_findings
from infra.settings.problems import Problem
from infra.settings.sections import StackConfig, local_charts


@dataclass(frozen=True)
class Decisions:
    """What will be deployed, what it costs, and what its owner should know."""

    models: tuple[ModelPlan, ...]
    pools: tuple[PoolPlan, ...]
    cost: Cost
    warnings: tuple[Problem, ...]
    problems: tuple[Problem, ...]
    """Not empty: nothing may be deployed."""
    cache_throughput: str

    def to_json(self) -> dict[str, Any]:
        """Return what the stack exports and the plan prints, as plain data."""
        return {
            "models": [plan.to_json(self.cache_throughput) for plan in self.models],
            "nodePools": [pool.to_json() for pool in self.pools],
            "cost": self.cost.to_json(),
            "warnings": [warning.to_json() for warning in self.warnings],
        }


def decide(
    config: StackConfig,
    root: Path,
    *,
    token: bool = False,
    api_key: bool = False,
    ignored: tuple[Problem, ...] = (),
    sound: bool = True,
    today: dt.date | None = None,
) -> Decisions:
    """Size every model and derive pools, cost and warnings.

    Args:
        config: the settings; what had a problem of its own is left out of them.
        root: folder of Pulumi.yaml, which architecture files are relative to.
        token: whether the stack has a Hugging Face token.
        api_key: whether the stack has a key for the models' callers.
        ignored: settings that have no effect, to be said with the other warnings.
        sound: whether the settings break no rule; else they are only searched for further problems.
        today: the day that ends of support and of Capacity Blocks are judged by; None: today.

    """
    plans: list[ModelPlan] = []
    problems: list[Problem] = []
    for model in config.models:
        try:
            plans.append(plan_model(model, config, root))
        except UnplannableError as error:
            # What the planner finds wrong in a requirement, a rule of the settings has found already.
            problems.extend(each for each in error.problems if sound or each.rule != "requirement")
    pools = plan_pools(config, plans)
    today = today or dt.datetime.now(dt.UTC).date()
    refused, told = version_findings(config, today)
    extended = any(each.rule == "support-ended" for each in told)
    known = (*advice(config, plans, pools, token=token, api_key=api_key), *_charts(config, root)) if sound else ()
    return Decisions(
        models=tuple(plans),
        pools=pools,
        cost=cost(config, plans, pools, extended=extended) if sound else Cost(),
        warnings=(*ignored, *known, *told),
        problems=(*problems, *planned_pool_problems(config, pools, today), *refused),
        cache_throughput=config.cache.throughput,
    )


def _charts(config: StackConfig, root: Path) -> Iterator[Problem]:
    """Tell of a directory of charts that Helm will not find."""
    charts = config.registries.charts
    if charts and "://" not in charts and not local_charts(charts, root).is_dir():
        message = "is no directory on this machine: no chart can be installed from it"
        yield Problem("registries.charts", charts, "file", message, "fill it; offline.mirror lists the charts")
