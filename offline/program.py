"""Run the real program in `infra/` the way the Pulumi language host does, against a simulated cloud."""

import contextlib
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from offline.cloud import Cloud
from offline.eks_cloud import EksCloud
from offline.harness import deploy
from offline.recording import Deployment
from offline.stack_files import StackFiles, read_stack

ROOT: Final = Path(__file__).resolve().parents[1]
"""The folder of Pulumi.yaml."""


def stack_file(stack: str) -> Path:
    """Return the path of a shipped stack's file."""
    return ROOT / f"Pulumi.{stack}.yaml"


def deploy_stack(stack: StackFiles, *, cloud: Cloud | None = None, preview: bool = False) -> Deployment:
    """Run the program with a stack's configuration and return what it registered.

    Raises infra.config.InvalidStack where the program refuses the stack, before anything was registered.
    """
    return deploy(
        _run,
        cloud=cloud or EksCloud(stack.config.get("aws:region", "us-east-1")),
        config=stack.config,
        secrets=stack.secrets,
        preview=preview,
        project=stack.project,
        stack=stack.stack,
    )


def deploy_file(path: Path, *, cloud: Cloud | None = None, preview: bool = False) -> Deployment:
    """Read a stack file and run the program with it."""
    return deploy_stack(read_stack(ROOT, path), cloud=cloud, preview=preview)


def _run() -> None:
    """Run `main: infra/` with that folder as working directory and first on the import path."""
    with contextlib.chdir(ROOT / "infra"), _import_path_restored():
        runpy.run_path(".", run_name="__main__")


@contextlib.contextmanager
def _import_path_restored() -> Iterator[None]:
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = before
