"""The rendered Kubernetes objects of every stack against schemas, definitions and rules."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from components import versions
from offline.program import ROOT
from offline.recording import Deployment
from offline.render import HEADER, file_name, objects, write_objects
from offline.values import MASK
from tests.program.conftest import SECRETS, STACKS, recorded

VALIDATOR = ROOT.parent / "shared" / "validate" / "validate.py"


def test_built_in_objects_match_kubernetes_schemas(up: Deployment) -> None:
    """Prevents a field that the API server would reject or, worse, drop."""
    core = [manifest for manifest in objects(up) if "." not in str(manifest["apiVersion"]).partition("/")[0]]
    assert core
    for manifest in core:
        kubernetes_validate.validate(manifest, versions.KUBERNETES, strict=True)


@pytest.mark.skipif(not VALIDATOR.exists(), reason="the validator with all definitions is not beside this checkout")
@pytest.mark.skipif(importlib.util.find_spec("cel") is None, reason="needs requirements-dev.txt")
@pytest.mark.parametrize("stack", STACKS)
def test_rendered_bundles_pass_every_definition_and_rule(tmp_path: Path, stack: str) -> None:
    """Prevents custom resources that their controllers reject, and bundles whose parts do not fit each other."""
    write_objects(objects(recorded(stack)), tmp_path)
    run = subprocess.run([sys.executable, VALIDATOR, tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_object_gets_a_file_of_its_own(tmp_path: Path, prod: Deployment) -> None:
    """Prevents one object from overwriting another, and a rendering that is not what was declared."""
    manifests = objects(prod)
    write_objects(manifests, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {file_name(manifest) for manifest in manifests}
    assert len(list(tmp_path.iterdir())) == len(manifests)
    assert [yaml.safe_load((tmp_path / file_name(manifest)).read_text()) for manifest in manifests] == manifests


def test_rendering_shows_no_secret(tmp_path: Path, prod: Deployment) -> None:
    """Prevents tokens in files that somebody commits."""
    write_objects(objects(prod), tmp_path)
    text = "".join(path.read_text() for path in tmp_path.iterdir())
    assert MASK in text
    assert not [secret for secret in SECRETS.values() if secret in text]


def test_a_second_rendering_replaces_the_first_and_nothing_else(tmp_path: Path, prod: Deployment) -> None:
    """Prevents files of removed objects from staying, and files of others from being deleted."""
    (tmp_path / "gone.yaml").write_text(HEADER + "kind: Gone\n")
    (tmp_path / "mine.yaml").write_text("kind: Mine\n")
    write_objects(objects(prod), tmp_path)
    assert not (tmp_path / "gone.yaml").exists()
    assert (tmp_path / "mine.yaml").read_text() == "kind: Mine\n"
