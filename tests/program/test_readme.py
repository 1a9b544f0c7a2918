"""The README's commands work as written, in a copy of the project with nothing but a virtual environment."""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from offline.program import ROOT
from tests.program.conftest import recorded

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]
RUN_BY_CI = {"make lint"}
"""Too slow to run twice: .ci/run runs it on every change."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the project, with a `.venv` that is this interpreter."""
    folder = tmp_path_factory.mktemp("clone") / "llm-serving"
    left_out = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "rendered")
    shutil.copytree(ROOT, folder, ignore=left_out)
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (binaries / "python").chmod(0o755)
    for name in ("pyvenv.cfg", "run.stamp", "dev.stamp"):
        (folder / ".venv" / name).touch()
    return folder


@cache
def _run(command: str, clone: Path) -> "subprocess.CompletedProcess[str]":
    # Tests are collected, not run: they would run this one again.
    environment = {**os.environ, "PYTEST_ADDOPTS": "--collect-only -q -p no:cacheprovider", "RUNS": "1"}
    return subprocess.run(
        ["bash", "-c", command], cwd=clone, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in RUN_BY_CI])
def test_the_readmes_commands_work(command: str, clone: Path) -> None:
    """Prevents a first impression that is an error message."""
    run = _run(command, clone)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout
    if "FORMAT=json" in command:
        assert json.loads(run.stdout)["errors"] == []


def test_what_is_not_run_here_is_run_by_ci() -> None:
    """Prevents a README command that nothing ever runs."""
    ci = (ROOT / ".ci" / "run").read_text()
    assert set(COMMANDS) >= RUN_BY_CI
    assert all(command in ci for command in (*RUN_BY_CI, "make test"))


def test_links_lead_somewhere() -> None:
    """Prevents a reader from being sent to a page that was never written or has moved."""
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]
    assert links
    assert not [link for link in links if not (ROOT / link).is_file()]


def test_a_failed_plan_fails_make(clone: Path) -> None:
    """Prevents a pipeline that goes on with a stack that was refused."""
    (clone / "Pulumi.wrong.yaml").write_text("config: {}\n")
    run = _run("make -s plan STACK=wrong FORMAT=json", clone)
    assert run.returncode != 0
    assert json.loads(run.stdout)["errors"]


def test_an_old_python_is_named_before_anything_is_installed(clone: Path) -> None:
    """Prevents a syntax error from being the answer to an interpreter that is too old."""
    old = clone / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    run = _run(f"make plan VENV=fresh PYTHON={old}", clone)
    assert run.returncode != 0
    assert not (clone / "fresh").exists()
    missing = _run("make plan VENV=fresh PYTHON=", clone)
    assert missing.returncode != 0
    assert "Python 3.11 or newer is needed" in missing.stderr


def test_the_readme_shows_what_the_plan_prints(clone: Path) -> None:
    """Prevents an excerpt of last year's output: what it says about models must be what the program decides."""
    excerpt = README.partition("<!-- plan -->")[2].partition("<!-- /plan -->")[0]
    models: list[dict[str, Any]] = recorded("prod").outputs["models"]
    assert models
    for model in models:
        row = next(line for line in excerpt.splitlines() if re.match(rf"\s+{model['name']}\s", line))
        assert model["instance_type"] in row
        assert f"{model['tp']}×{model['pp']}" in row
    printed = _run("make plan STACK=prod", clone).stdout
    titles = [line for line in excerpt.splitlines() if line and not line.startswith((" ", "`"))]
    assert titles
    assert all(title.partition("  ")[0] in printed for title in titles)
