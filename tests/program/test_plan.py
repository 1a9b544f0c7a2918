"""The plan of the real stacks: the document that machines read and the report that people read."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from offline.plan.command import main
from offline.plan.document import planned
from offline.plan.report import print_report
from offline.program import ROOT
from offline.values import MASK
from tests.program.conftest import SECRETS, recorded

KEYS = {"stack", "models", "node_pools", "cost", "resources", "outputs", "warnings", "errors"}
MODEL_KEYS = {
    *("name", "model", "precision", "instance_type", "gpu", "gpus", "tp", "pp", "replicas_min", "replicas_max"),
    *("capacity", "max_model_len", "max_num_seqs", "memory", "kv_tokens_safe", "max_concurrency", "ttft_ms"),
    *("tpot_ms", "output_tokens_per_s", "usd_per_hour", "usd_per_million_output_tokens", "rejected", "assumptions"),
}
RESOURCE_KEYS = {
    *("urn", "type", "name", "inputs", "parent", "provider", "dependencies", "protect", "retain_on_delete"),
    *("timeouts", "custom", "remote"),
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """Return prod's plan as a machine reads it."""
    return json.loads(json.dumps(planned(recorded("prod"))))


@pytest.fixture
def report(document: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    """Return prod's plan as a person reads it in a pipe."""
    print_report(document, refused=3)
    return capsys.readouterr().out


def test_the_document_has_the_agreed_keys(document: dict[str, Any]) -> None:
    """Prevents a rename that breaks whoever reads the plan with a program."""
    assert set(document) == KEYS
    assert all(set(model) >= MODEL_KEYS for model in document["models"])
    assert all(set(resource) == RESOURCE_KEYS for resource in document["resources"])
    assert {"floor_usd_per_hour", "ceiling_usd_per_hour"} <= set(document["cost"])
    assert all({"path", "value", "rule", "message", "fix"} == set(warning) for warning in document["warnings"])


def test_the_shipped_models_get_the_parallelism_that_fits_them(document: dict[str, Any]) -> None:
    """Prevents a planner change that moves production's models without anybody noticing."""
    found = {m["name"]: (m["instance_type"].split(".")[0], m["tp"], m["pp"]) for m in document["models"]}
    assert found == {"llama-70b": ("g5", 4, 1), "llama-8b": ("g5", 1, 1), "llama-405b": ("p5", 8, 1)}


def test_memory_lines_add_up_to_what_the_gpu_shows(document: dict[str, Any]) -> None:
    """Prevents a budget with a line missing."""
    visible = {"a10g": 22.06, "h100": 79.1}
    for model in document["models"]:
        total = sum(model["memory"].values())
        assert total == pytest.approx(visible[model["gpu"]], abs=0.5)
        assert all(gib >= 0 for gib in model["memory"].values())


def test_cost_lines_add_up(document: dict[str, Any]) -> None:
    """Prevents a total that leaves an item out."""
    cost = document["cost"]
    for bound in ("floor_usd_per_hour", "ceiling_usd_per_hour"):
        assert sum(line[bound] or 0 for line in cost["lines"]) == pytest.approx(cost[bound], abs=0.01)
    assert cost["floor_usd_per_hour"] <= cost["ceiling_usd_per_hour"]


def test_the_document_shows_no_secret(document: dict[str, Any]) -> None:
    """Prevents a token in a plan that somebody pastes into a ticket."""
    text = json.dumps(document)
    assert MASK in text
    assert not [secret for secret in SECRETS.values() if secret in text]


def test_dependencies_name_resources_of_the_document(document: dict[str, Any]) -> None:
    """Prevents edges that lead nowhere."""
    urns = {resource["urn"] for resource in document["resources"]}
    assert len(urns) == len(document["resources"])
    assert not [u for resource in document["resources"] for u in resource["dependencies"] if u not in urns]


def test_the_report_answers_each_question_once(report: str, document: dict[str, Any]) -> None:
    """Prevents a block from being lost or printed twice."""
    titles = ["What runs where", "Cold start", "Node pools", "Cost per hour", "Cost by use", "Resources", "Warnings"]
    titles += [f"Why {model['name']} runs on {model['instance_type']}" for model in document["models"]]
    assert {title: len(re.findall(f"^{re.escape(title)}", report, re.MULTILINE)) for title in titles} == dict.fromkeys(
        titles, 1
    )


def test_the_report_is_plain_text_in_a_pipe(report: str) -> None:
    """Prevents colour codes in a log, and trailing blanks in a diff."""
    assert "\x1b" not in report


def test_numbers_are_never_wrapped(report: str, document: dict[str, Any]) -> None:
    """Prevents a price that is read as half of itself."""
    for model in document["models"]:
        row = next(line for line in report.splitlines() if re.match(rf"\s+{model['name']}\s", line))
        for shown in (model["instance_type"], f"{model['tp']}×{model['pp']}", f"${model['usd_per_hour']:,.2f}"):
            assert shown in row
    floor = document["cost"]["floor_usd_per_hour"]
    assert f"${floor:,.2f}" in report


def test_every_warning_says_what_to_do(report: str, document: dict[str, Any]) -> None:
    """Prevents warnings that only frighten."""
    for warning in document["warnings"]:
        assert warning["fix"] in report


@pytest.mark.parametrize("output_format", ["text", "json"])
def test_a_wrong_stack_is_refused_with_all_its_problems(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output_format: str
) -> None:
    """Prevents a traceback, a first-error-only report, and resources planned for a stack that is wrong."""
    text = (ROOT / "Pulumi.prod.yaml").read_text()
    wrong = text.replace("maxModelLen: 8192", "maxModelLen: 200000").replace("families: [p5]", "families: [p9]")
    path = tmp_path / "Pulumi.broken.yaml"
    path.write_text(wrong + "  llm-serving:colour: blue\n")
    assert main(["--config", str(path), "--format", output_format]) == 1
    printed = capsys.readouterr()
    paths = ("models[1].maxModelLen", "gpuPools[1].families[0]", "colour")
    if output_format == "json":
        document = json.loads(printed.out)
        assert set(document) == KEYS
        assert document["resources"] == []
        assert set(paths) <= {error["path"] for error in document["errors"]}
    else:
        assert "problems in Pulumi.broken.yaml" in printed.err
        assert all(path in printed.err for path in paths)
        assert "fix:" in printed.err
        assert "Traceback" not in printed.err
        assert not printed.out


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--stack", "nosuch"], id="unknown stack"),
        pytest.param(["--config", "no/such/Pulumi.x.yaml"], id="missing file"),
        pytest.param(["--format", "xml"], id="unknown format"),
        pytest.param(["--refused", "many"], id="not a number"),
        pytest.param(["--refused", "-1"], id="fewer than none"),
        pytest.param(["--stack", "dev", "--config", "Pulumi.prod.yaml"], id="both"),
    ],
)
def test_wrong_usage_ends_with_code_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents a script from taking a typo for a refused stack."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_an_unreadable_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents a parser's traceback from being the answer to a typing error."""
    path = tmp_path / "Pulumi.broken.yaml"
    path.write_text("config: {a: [}")
    assert main(["--config", str(path)]) == 1
    assert "Pulumi.broken.yaml:1:" in capsys.readouterr().err
