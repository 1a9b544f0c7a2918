"""What the command answers before it starts anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components import versions
from offline.program import ROOT
from offline.rehearsal.build import MODULES, SERVERS, built_versions, differences


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "offline.rehearsal", *arguments], cwd=ROOT, env={**os.environ, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stack", "nowhere"], "prod"),
        (["--stack", "prod", "--scale", "llama-70b"], "MODEL=N"),
        (["--stack", "prod", "--no-capacity", "g5.12xlarge"], "TYPE/ZONE/CAPACITY"),
        (["--stack", "prod", "--reservation", "p5.48xlarge"], "TYPE/ZONE/COUNT"),
    ],
)
def test_wrong_usage_is_code_2_and_says_what_is_right(arguments: list[str], said: str) -> None:
    """Prevents a typing mistake from costing a quarter of an hour of building, or from being silently ignored."""
    done = _run(*arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


@pytest.mark.usefixtures("servers")
def test_a_model_that_the_stack_lacks_is_wrong_usage() -> None:
    """Prevents a step for a misspelt model from being reported as a difference from the plan."""
    done = _run("--stack", "dev", "--scale", "llama-7b=2")
    assert done.returncode == 2, done.stderr
    assert "no model llama-7b, only llama-8b" in done.stderr


def test_without_go_it_says_what_to_install(tmp_path: Path) -> None:
    """Prevents a bare "go: not found" on a machine that has none."""
    done = _run("--stack", "prod", PATH="/nonexistent", HOME=str(tmp_path), XDG_CACHE_HOME="", REHEARSAL_BIN="")
    assert done.returncode == 1
    assert "Install Go 1." in done.stderr
    assert "REHEARSAL_BIN" in done.stderr
    assert all(server in done.stderr for server in SERVERS)


def test_what_is_built_is_what_is_deployed_or_the_nearest_below() -> None:
    """Prevents a rehearsal on other versions than those of the program from passing as one on the same."""
    built = built_versions()
    assert built["kube"].startswith(f"{versions.KUBERNETES}.")
    ours, deployed = (tuple(map(int, v.split("."))) for v in (built["karpenter"], versions.KARPENTER.version))
    assert ours[:2] == deployed[:2]
    assert ours <= deployed
    assert bool(differences(built)) == (ours != deployed)


def test_every_module_is_fixed_by_checksum() -> None:
    """Prevents a build that takes whatever the registry serves on that day."""
    for folder in built_versions():
        assert (MODULES / folder / "go.sum").read_text().count("\n") > 100
