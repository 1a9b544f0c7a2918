"""Rules about literals: versions live in one file, and nothing names the machine it was written on."""

import ast
import re
import subprocess
from collections.abc import Iterator

from tests.architecture.sources import ROOT, Source, sources

VERSION = re.compile(r"v?\d+\.\d+\.\d+(?:[-+][\w.]+)?|al2023@\S+|bottlerocket@\S+")
IMAGE = re.compile(r"[\w.-]+(?:/[\w.-]+)+:v?\d[\w.-]*|[\w./-]+@sha256:[0-9a-f]{64}")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|home/\w+|root|Users/\w+|tmp/(?!\w*\$))/")


def _docstrings(tree: ast.Module) -> set[int]:
    """Return the ids of constants that are statements of their own: documentation."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def _literals(source: Source) -> Iterator[str]:
    documentation = _docstrings(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def test_versions_are_pinned_in_one_module() -> None:
    """Prevents an upgrade that misses one of two places. The planner's eras of vLLM are knowledge, not pins."""
    found = {
        source.module: [text for text in _literals(source) if VERSION.fullmatch(text) or IMAGE.fullmatch(text)]
        for source in sources("components", "infra")
        if source.module != "components.versions" and not source.module.startswith("components.sizing")
    }
    assert not {module: texts for module, texts in found.items() if texts}


def _tracked_texts() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and path.stat().st_size < 1_000_000:
            yield name, path.read_text(encoding="utf-8", errors="replace")


def test_no_file_names_the_machine_it_was_written_on() -> None:
    """Prevents a clone that only works in one place."""
    found = {name: MACHINE_PATH.findall(text) for name, text in _tracked_texts()}
    assert not {name: paths for name, paths in found.items() if paths and not name.endswith("test_texts.py")}
