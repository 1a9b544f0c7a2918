"""Whether the versions of a stack fit each other and are still supported. Pure; the facts are data."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from components import versions

_DATA = Path(__file__).parent / "compatibility.json"
WARNING_DAYS = 60
"""How long before the end of standard support a stack is warned: an upgrade needs a window and a rehearsal."""
EXTENDED_SUPPORT_USD_PER_HOUR = 0.50
"""What extended support adds to the control plane's $0.10 per hour (us-east-1)."""


@dataclass(frozen=True)
class Installed:
    """The versions that a stack installs; by default those of ``versions.py``."""

    kubernetes: str = versions.KUBERNETES
    karpenter: str = versions.KARPENTER_VERSION
    gpu_operator: str = versions.GPU_OPERATOR.version
    ami_alias: str = versions.AL2023_AMI
    vllm: str = versions.VLLM_VERSION
    efa: bool = False
    """Whether some pool uses EFA."""


@dataclass(frozen=True)
class Finding:
    """One pair of versions that does not fit, or one version that ends."""

    fatal: bool
    """True: refuse. False: say so."""
    subject: str
    """``kubernetesVersion``, ``karpenter``, ``gpuOperator``, ``amiAlias``."""
    value: str
    rule: str
    message: str
    fix: str


@cache
def _facts() -> dict[str, Any]:
    return json.loads(_DATA.read_text(encoding="utf-8"))


def kubernetes_versions() -> tuple[str, ...]:
    """Minor versions whose support dates are known, oldest first."""
    return tuple(_facts()["kubernetes"])


def supported_until(kubernetes: str) -> date:
    """Last day of standard support. Raises KeyError for a version that ``kubernetes_versions`` does not have."""
    return date.fromisoformat(_facts()["kubernetes"][kubernetes]["standard_until"])


def findings(installed: Installed, today: date) -> list[Finding]:
    """Return everything about these versions that must or should change, as of that day."""
    if installed.kubernetes not in _facts()["kubernetes"]:
        known = ", ".join(kubernetes_versions())
        text = f"is no version with known support dates; known: {known}"
        return [Finding(True, "kubernetesVersion", installed.kubernetes, "version-unknown", text, "use a known one")]
    checks = (_support(installed, today), _karpenter(installed), _efa(installed), _driver(installed))
    return [finding for check in checks for finding in check]


def _support(installed: Installed, today: date) -> Iterator[Finding]:
    version = installed.kubernetes
    end = supported_until(version)
    left = (end - today).days
    newest = kubernetes_versions()[-1]
    supported = [each for each in kubernetes_versions() if supported_until(each) >= today]
    extended = date.fromisoformat(_facts()["kubernetes"][version]["extended_until"])
    fix = f"use {' or '.join(supported) or newest}"
    if extended < today:
        text = f"extended support, too, ended on {extended}: EKS makes no such cluster"
        yield Finding(True, "kubernetesVersion", version, "support-over", text, fix)
    elif left < 0:
        text = (
            f"standard support ended on {end}: EKS upgrades such a cluster by itself, or bills extended support at "
            f"${EXTENDED_SUPPORT_USD_PER_HOUR:.2f} more per hour until {extended}"
        )
        yield Finding(True, "kubernetesVersion", version, "support-ended", text, fix)
    elif left <= WARNING_DAYS:
        text = f"standard support ends on {end}, in {left} days"
        yield Finding(False, "kubernetesVersion", version, "support-ends", text, f"plan the upgrade, up to {newest}")


def _karpenter(installed: Installed) -> Iterator[Finding]:
    least = _facts()["kubernetes"][installed.kubernetes]["karpenter"]
    if _number(installed.karpenter) < _number(least):
        text = f"Kubernetes {installed.kubernetes} needs Karpenter {least} or newer"
        yield Finding(True, "karpenter", installed.karpenter, "version-pair", text, f"Karpenter {least}")


def _efa(installed: Installed) -> Iterator[Finding]:
    plugin = _facts()["gpu_operator_device_plugin"].get(installed.gpu_operator)
    if installed.efa and plugin in _facts()["device_plugins_that_seize_efa"]:
        text = f"its device plugin {plugin} takes every EFA device away from the EFA plugin"
        yield Finding(True, "gpuOperator", installed.gpu_operator, "mofed-clash", text, "GPU Operator v26.3.3 or newer")


def _driver(installed: Installed) -> Iterator[Finding]:
    family, _, release = installed.ami_alias.partition("@")
    ami = _facts()["ami"].get(family)
    needed = _facts()["vllm_driver"].get(installed.vllm)
    if ami is None or needed is None or release == "latest":
        return
    if _number(release) < _number(ami["since"]) or ami["driver"] < needed:
        text = f"vLLM {installed.vllm} needs NVIDIA driver {needed}, which this AMI is not known to have"
        yield Finding(False, "amiAlias", installed.ami_alias, "driver", text, f"{family}@{ami['since']} or newer")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
