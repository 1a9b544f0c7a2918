"""Every kind of pool against Karpenter's own definitions and rules."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.karpenter import CpuNodePool, GpuNodePool
from components.scheduling import EFS_STARTUP_TAINT, GPU_TAINT
from offline.harness import deploy
from offline.program import ROOT
from offline.recording import Deployment
from offline.render import objects, write_objects
from offline.teardown import requirements
from tests.components.platform import AMI, G5, P5_EFA, ZONES, deployed_platform

VALIDATOR = ROOT.parent / "shared" / "validate" / "validate.py"
NODES = {"cluster_name": "demo", "node_role_name": "demo-karpenter-node", "ami_alias": AMI, "zones": ZONES}

VARIANTS: dict[str, dict[str, Any]] = {
    "chain": {**G5, "capacity": ["reserved", "on-demand", "spot"], "reservations": [{"id": "cr-0123456789abcdef0"}]},
    "window": {**G5, "maintenance_windows": [{"days": ["sat", "sun"], "start_utc": "22:30", "hours": 6}]},
    "static": {**G5, "static_nodes": 2},
    "bottlerocket": {**G5, "ami_alias": "bottlerocket@v1.57.0"},
    "efa": {**P5_EFA, "placement_group": "near"},
    "b300": {**P5_EFA, "instance_types": ["p6-b300.48xlarge"]},
    "block": {**P5_EFA, "capacity_block": True},
    "sliced": {**G5, "sharing": {"time_slices": 4}},
    "mig": {**P5_EFA, "efa": False, "sharing": {"mig_profile": "3g.40gb"}},
    "ids": {**G5, "subnet_ids": ["subnet-0a1b2c3d4e5f60718"], "tags": {"team": "search"}},
}


def variants() -> None:
    """Declare every variant of a pool in one cluster."""
    for name, args in VARIANTS.items():
        made: Any = {**args, "pool": name}
        GpuNodePool(name, made)
    cpu: Any = NODES
    CpuNodePool("cpu", cpu)


@pytest.fixture(scope="module")
def recorded() -> Deployment:
    """Return all variants, deployed."""
    return deploy(variants)


@pytest.mark.skipif(not VALIDATOR.exists(), reason="the validator with all definitions is not beside this checkout")
@pytest.mark.skipif(importlib.util.find_spec("cel") is None, reason="needs requirements-dev.txt")
def test_pools_pass_karpenters_definitions_and_rules(recorded: Deployment, tmp_path: Path) -> None:
    """Prevents node classes and pools that the API server refuses, in variants that no shipped stack uses."""
    write_objects(objects(recorded), tmp_path)
    run = subprocess.run([sys.executable, VALIDATOR, tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "WARN" not in run.stdout, run.stdout


def test_every_pool_keeps_the_disruption_contract(recorded: Deployment) -> None:
    """Prevents one variant that consolidates, expires without an end, or has no limit."""
    for each in recorded.of_kind("NodePool"):
        spec = each.inputs["spec"]
        assert spec["disruption"]["consolidationPolicy"] == "WhenEmpty", each.name
        assert spec["disruption"]["consolidateAfter"].endswith("m")
        assert spec["limits"]
        node = spec["template"]["spec"]
        assert node["expireAfter"]
        assert node["terminationGracePeriod"].endswith("m")
        held_back = [b for b in spec["disruption"]["budgets"] if b["nodes"] == "0"]
        assert {reason for budget in held_back for reason in budget["reasons"]} == {"Drifted", "Underutilized"}
        assert {"nodes": "100%", "reasons": ["Empty"]} in spec["disruption"]["budgets"]


def test_every_taint_of_a_pool_is_tolerated_or_removed(recorded: Deployment) -> None:
    """Prevents nodes that never become usable: each taint is one that DaemonSets tolerate or a driver takes away."""
    for each in recorded.of_kind("NodePool"):
        node = each.inputs["spec"]["template"]["spec"]
        assert node.get("taints", []) in ([], [GPU_TAINT]), each.name
        assert node["startupTaints"] == [EFS_STARTUP_TAINT], each.name


def test_every_custom_resource_waits_for_its_definition() -> None:
    """Prevents 'no matches for kind NodePool' on a first run, and a finalizer that nobody serves on the last."""
    made = deployed_platform()
    crds = made.one("kubernetes:helm.sh/v3:Release", "karpenter-crd").urn
    controller = made.one("kubernetes:helm.sh/v3:Release", "karpenter").urn
    for kind in ("NodePool", "EC2NodeClass"):
        for each in made.of_kind(kind):
            assert {crds, controller} <= requirements(made, each.urn)
