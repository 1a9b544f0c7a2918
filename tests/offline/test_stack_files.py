"""Stack files are read as the Pulumi CLI reads them, and wrong ones are refused with everything that is wrong."""

import json
from pathlib import Path

import pytest

from offline.stack_files import STAND_IN, StackFiles, UnreadableStackError, read_stack, stack_names

PROJECT = """
name: llm-serving
runtime: python
config:
  aws:region: {value: us-east-1}
  kubernetesVersion: {type: string, default: "1.35"}
  protect: {type: boolean, default: false}
  size: {type: integer, default: 3}
  models: {type: array, items: {type: object}, description: Models to serve}
  token: {type: string, secret: true, default: ""}
"""


def _read(folder: Path, stack: str) -> StackFiles:
    (folder / "Pulumi.yaml").write_text(PROJECT)
    path = folder / "Pulumi.dev.yaml"
    path.write_text(stack)
    return read_stack(folder, path)


def _rules(folder: Path, stack: str) -> dict[str, str]:
    with pytest.raises(UnreadableStackError) as refused:
        _read(folder, stack)
    return {problem.path: problem.rule for problem in refused.value.problems}


def test_defaults_apply_and_the_stack_wins(tmp_path: Path) -> None:
    """Prevents an offline plan of other settings than those that the CLI would deploy."""
    stack = _read(
        tmp_path, "config: {size: 8, 'llm-serving:models': [{name: a, n: 1.5}], 'aws:config:region': eu-west-1}"
    )
    assert (stack.project, stack.stack) == ("llm-serving", "dev")
    assert stack.config["llm-serving:kubernetesVersion"] == "1.35"
    assert stack.config["llm-serving:size"] == "8"
    assert stack.config["llm-serving:protect"] == "false"
    assert stack.config["aws:region"] == "eu-west-1"
    assert json.loads(stack.config["llm-serving:models"]) == [{"name": "a", "n": 1.5}]


def test_secrets_get_a_stand_in_and_stay_secret(tmp_path: Path) -> None:
    """Prevents ciphertext, or a secret marked as plain, from reaching the program: also inside a list."""
    stack = _read(
        tmp_path, "{encryptionsalt: v1, config: {token: {secure: v1:x}, models: [{name: a, key: {secure: v1:y}}]}}"
    )
    assert stack.secrets["llm-serving:token"] == STAND_IN
    assert json.loads(stack.secrets["llm-serving:models"]) == [{"name": "a", "key": STAND_IN}]
    assert not set(stack.config) & set(stack.secrets)


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    """Prevents fixing a stack file one error per run."""
    found = _rules(tmp_path, "{confg: {}, config: {kubernetesVersion: 1.30, size: many, token: plain}}")
    assert found == {
        "confg": "unknown-key",
        "kubernetesVersion": "type",
        "size": "type",
        "token": "secret",
        "models": "required",
    }


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        pytest.param("config: [", "yaml", id="syntax"),
        pytest.param("config: {a: 1, a: 2}", "yaml", id="duplicate key"),
        pytest.param("- a", "type", id="list"),
        pytest.param("config: [a]", "type", id="config is a list"),
        pytest.param("config: {? [a] : b}", "yaml", id="a key that is no text"),
    ],
)
def test_files_that_are_no_stack_files(tmp_path: Path, text: str, rule: str) -> None:
    """Prevents a traceback, or a silently dropped line, for a broken file."""
    assert rule in _rules(tmp_path, text).values()


def test_binary_files_are_refused(tmp_path: Path) -> None:
    """Prevents a traceback for a file that is no text."""
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnreadableStackError, match="UTF-8"):
        read_stack(tmp_path, path)


def test_a_missing_project_file_is_a_problem(tmp_path: Path) -> None:
    """Prevents a traceback where a stack file lies without its project."""
    with pytest.raises(UnreadableStackError, match=r"Pulumi.yaml\n.*cannot be read"):
        read_stack(tmp_path, tmp_path / "Pulumi.dev.yaml")


def test_words_that_go_reads_as_text_stay_text(tmp_path: Path) -> None:
    """Prevents `no` and dates from becoming false and a date object, which the CLI's YAML does not do."""
    stack = _read(tmp_path, "config: {models: [no, 2026-11-20, true]}")
    assert json.loads(stack.config["llm-serving:models"]) == ["no", "2026-11-20", True]


def test_stacks_are_those_with_a_file(tmp_path: Path) -> None:
    """Prevents an error message that offers stacks which do not exist."""
    for name in ("Pulumi.yaml", "Pulumi.b.yaml", "Pulumi.a.yaml"):
        (tmp_path / name).write_text("")
    assert stack_names(tmp_path) == ("a", "b")
