"""Versions that do not fit, and support that ends, with the clock standing still."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from components import versions
from components.compatibility import Installed, findings, kubernetes_versions, supported_until

TODAY = date(2026, 11, 20)


def rules(installed: Installed, today: date = TODAY) -> set[tuple[str, bool]]:
    """Return the rules that were broken, each with whether it is fatal."""
    return {(finding.rule, finding.fatal) for finding in findings(installed, today)}


def test_what_is_shipped_fits() -> None:
    """Prevents a release whose own pins do not go together."""
    assert findings(Installed(), TODAY) == []
    assert findings(replace(Installed(), efa=True), TODAY) == []
    assert findings(replace(Installed(), ami_alias=versions.BOTTLEROCKET_AMI), TODAY) == []


@pytest.mark.parametrize("version", kubernetes_versions())
def test_the_end_of_support_is_announced_then_enforced(version: str) -> None:
    """Prevents a cluster that slides into extended support, at six times the price, without anybody noticing."""
    installed = replace(Installed(), kubernetes=version)
    end = supported_until(version)
    assert rules(installed, end - timedelta(days=61)) == set()
    assert rules(installed, end - timedelta(days=60)) == {("support-ends", False)}
    assert rules(installed, end) == {("support-ends", False)}
    assert rules(installed, end + timedelta(days=1)) == {("support-ended", True)}
    # A year of extended support follows; afterwards no reason helps, because EKS makes no such cluster.
    assert rules(installed, end + timedelta(days=365)) == {("support-ended", True)}
    assert rules(installed, end + timedelta(days=367)) == {("support-over", True)}


def test_on_the_day_of_the_data_only_two_minors_are_quiet() -> None:
    """Prevents a table with a wrong date: on 2026-11-20 1.34 has 12 days left, 1.33 and older have none."""
    found = {version: rules(replace(Installed(), kubernetes=version)) for version in kubernetes_versions()}
    assert [version for version, broken in found.items() if not broken] == ["1.35", "1.36"]
    assert found["1.34"] == {("support-ends", False)}
    assert found["1.33"] == {("support-ended", True)}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"kubernetes": "1.36", "karpenter": "1.12.3"}, ("version-pair", True)),
        ({"kubernetes": "1.99"}, ("version-unknown", True)),
        ({"gpu_operator": "v26.3.1", "efa": True}, ("mofed-clash", True)),
        ({"ami_alias": "al2023@v20250301"}, ("driver", False)),
    ],
)
def test_pairs_that_do_not_fit_are_named(changes: dict[str, object], rule: tuple[str, bool]) -> None:
    """Prevents a controller that crash-loops, EFA devices that vanish, and an engine without its driver."""
    assert rules(replace(Installed(), **changes)) == {rule}


def test_the_clash_needs_efa() -> None:
    """Prevents refusing a GPU Operator that works for everybody without EFA."""
    assert rules(replace(Installed(), gpu_operator="v26.3.1")) == set()
