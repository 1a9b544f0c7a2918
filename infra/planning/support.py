"""Whether the stack's versions fit each other and are supported, as of a day."""

import datetime as dt
from dataclasses import replace

from components.compatibility import Finding, Installed, findings
from infra.settings.problems import Problem
from infra.settings.sections import StackConfig

OVERRIDE = "kubernetesSupportOverride"


def version_findings(config: StackConfig, today: dt.date) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Return what refuses the stack, and what its owner is told."""
    installed = Installed(kubernetes=config.kubernetes_version, efa=any(pool.efa for pool in config.gpu_pools))
    aliases = dict.fromkeys(pool.alias for pool in config.gpu_pools) or (installed.ami_alias,)
    found = dict.fromkeys(
        finding for alias in aliases for finding in findings(replace(installed, ami_alias=alias), today)
    )
    reason = config.kubernetes_support_override
    refused = tuple(_problem(each) for each in found if each.fatal and not (reason and each.rule == "support-ended"))
    told = [_problem(each) for each in found if not each.fatal]
    ended = [each for each in found if each.rule == "support-ended"]
    if reason and ended:
        told += [_overridden(each, reason) for each in ended]
    elif reason and not refused:
        message = f"has no effect: Kubernetes {config.kubernetes_version} is in standard support"
        told.append(Problem(OVERRIDE, reason, "unused", message, "remove it, before it hides the next end of support"))
    return refused, tuple(told)


def _overridden(finding: Finding, reason: str) -> Problem:
    message = f"{finding.message}; accepted, because: {reason}"
    return Problem(finding.subject, finding.value, finding.rule, message, f"{finding.fix}; then remove {OVERRIDE}")


def _problem(finding: Finding) -> Problem:
    return Problem(finding.subject, finding.value, finding.rule, finding.message, finding.fix)
