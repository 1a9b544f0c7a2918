"""Pulumi.yaml and the shipped stacks against the settings that the program reads."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.config import InvalidStack, name_problems, plain_values, readable_secrets
from infra.settings.problems import Problem
from infra.settings.reference import render
from infra.settings.schema import settings_of
from infra.settings.sections import StackConfig
from infra.settings.stack import parse_stack
from offline.stack_files import read_stack
from tests.infra.stacks import parsed

ROOT = Path(__file__).resolve().parents[2]
STACKS = ("prod", "staging", "dev")
TYPES = {"list": "array", "section": "object", "map": "object", "string": "string", "boolean": "boolean"}


def project() -> dict[str, Any]:
    """Return Pulumi.yaml."""
    return yaml.safe_load((ROOT / "Pulumi.yaml").read_text())


def declared() -> dict[str, Any]:
    """Return the declared settings of the program itself."""
    return {key: value for key, value in project()["config"].items() if ":" not in key}


def test_pulumi_yaml_declares_what_the_program_reads() -> None:
    """Prevents a key that the CLI refuses or the program ignores, and defaults that differ between the two."""
    settings = {setting.key: setting for setting in settings_of(StackConfig)}
    assert set(declared()) == set(settings)
    for key, declaration in declared().items():
        setting = settings[key]
        assert declaration["type"] == TYPES[setting.kind.name]
        assert ("default" not in declaration) == setting.required
        if not setting.required and setting.kind.name in {"string", "boolean"} and declaration["default"] != "":
            assert declaration["default"] == setting.default


def test_every_key_is_described() -> None:
    """Prevents `pulumi config` from listing keys that nobody explains."""
    assert all(len(declaration["description"]) > 10 for declaration in declared().values())
    assert all(declaration.get("items", {}).get("type") == "object" for declaration in declared().values() if
               declaration["type"] == "array")  # fmt: skip


def test_secrets_are_optional() -> None:
    """Prevents every stack from needing a token: a declared secret without a default is mandatory."""
    assert not {"hfToken", "apiKey"} & set(declared())


def test_pulumi_finds_program_and_requirements() -> None:
    """Prevents an install of nothing: with main: infra/, Pulumi reads infra/requirements.txt."""
    assert project()["main"] == "infra/"
    assert project()["runtime"]["options"] == {"toolchain": "pip", "virtualenv": ".venv"}
    assert (ROOT / "infra/requirements.txt").read_text().strip() == "-r ../requirements.txt"


@pytest.mark.parametrize("stack", STACKS)
def test_shipped_stacks_are_valid_and_use_explicit_providers_only(stack: str) -> None:
    """Prevents a shipped example that does not work, and objects that land in whatever cluster the shell points at."""
    document = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    assert document["pulumi:disable-default-providers"] == ["aws", "kubernetes"]
    files = read_stack(ROOT, ROOT / f"Pulumi.{stack}.yaml")
    values, ignored = plain_values(files.config, files.project)
    _, problems = parse_stack(values, files.config["aws:region"])
    assert not (*ignored, *problems)


def test_prod_is_built_to_last() -> None:
    """Prevents production on one zone, one NAT gateway, or one command away from losing its weights."""
    files = read_stack(ROOT, ROOT / "Pulumi.prod.yaml")
    config, _ = parse_stack(plain_values(files.config, files.project)[0], "us-east-1")
    assert len(config.network.availability_zones) == 3
    assert (config.network.nat_gateways, config.protect) == ("perZone", True)
    assert all(len(model.revision or "") == 40 for model in config.models)


def test_no_credential_is_shipped() -> None:
    """Prevents a secret in a file that everybody clones."""
    for path in ROOT.glob("Pulumi*.yaml"):
        assert "hf_" not in path.read_text()
        assert "secure:" not in path.read_text()


def test_the_reference_page_is_current() -> None:
    """Prevents documentation that describes yesterday's settings."""
    assert (ROOT / "docs/config.md").read_text() == render(), "run: python -m infra.settings.reference > docs/config.md"


def test_a_readable_secret_is_refused_without_repeating_it() -> None:
    """Prevents a token in the repository of whoever forgot --secret, and one more copy of it in the error."""
    raw = {"llm-serving:hfToken": "hf_readable", "llm-serving:apiKey": "sealed"}
    (found,) = readable_secrets(raw, {"llm-serving:apiKey"}, "llm-serving")
    assert (found.path, found.rule) == ("hfToken", "secret")
    assert "hf_readable" not in str(found)


@pytest.mark.parametrize(("stack", "refused"), [("prod", False), ("feature.1", True), ("x" * 69, True)])
def test_stacks_whose_cluster_cannot_be_named_so_are_refused(stack: str, refused: bool) -> None:
    """Prevents an `up` that AWS stops halfway: Pulumi allows dots and long names, EKS and SQS do not."""
    assert bool([*name_problems(parsed(), "llm-serving", stack)]) is refused


def test_settings_of_the_aws_provider_are_not_ignored_in_silence() -> None:
    """Prevents aws:profile from doing nothing without a word: the program makes its own provider."""
    raw = {"aws:region": "us-east-1", "aws:profile": "prod", "llm-serving:protect": "true", "llm-serving:hfToken": "x"}
    values, ignored = plain_values(raw, "llm-serving")
    assert values == {"protect": True}
    assert [each.path for each in ignored] == ["aws:profile"]


def test_an_empty_text_means_unset_and_broken_json_is_shown() -> None:
    """Prevents an empty boundary from being taken for an ARN, and a traceback for text that looks like JSON."""
    values, _ = plain_values({"p:permissionsBoundary": "", "p:models": "[{", "other:x": "1"}, "p")
    assert values == {"models": "[{"}


def test_a_refusal_prints_all_problems_without_a_traceback() -> None:
    """Prevents a wall of Python where a reader needs a list."""
    problems = (
        Problem("a", 1, "range", "is too much", "at most 0"),
        Problem("b", None, "required", "is missing", "add"),
    )
    text = str(InvalidStack("prod", problems))
    assert text.startswith("2 problems in Pulumi.prod.yaml\n\n  a = 1\n    is too much\n    fix: at most 0\n\n  b\n")
    assert InvalidStack("prod", problems[:1]).problems == problems[:1]
    assert str(InvalidStack("prod", problems[:1])).startswith("1 problem in")
