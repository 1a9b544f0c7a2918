"""What the documents name exists."""

import importlib.util
import re
from pathlib import Path

import pytest

from offline.program import ROOT

DOCUMENTS = [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("**/README.md"))]
FILE = re.compile(r"`((?:components|infra|offline|tests|docs|examples)/[\w./-]+)`")
PLAIN_DOCUMENT = re.compile(r"(?<![\w/(])(docs/\w+\.md)")
COMMAND = re.compile(r"python -m ((?:components|infra|offline|tests)[\w.]*)")
TARGET = re.compile(r"`make (?:-s )?([a-z-]+)")
LINK = re.compile(r"\]\(((?!https?:|#)[^)#]+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_commands_and_links_exist(document: Path) -> None:
    """Prevents documentation that sends a reader, in trouble already, to something that was renamed."""
    text = document.read_text(encoding="utf-8")
    named = {*FILE.findall(text), *PLAIN_DOCUMENT.findall(text)}
    assert not [name for name in named if not (ROOT / name).exists()]
    assert not [link for link in LINK.findall(text) if not (document.parent / link).exists()]
    assert not [module for module in COMMAND.findall(text) if importlib.util.find_spec(module) is None]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(TARGET.findall(text)) <= targets


def test_the_operations_documents_are_there() -> None:
    """Prevents a test that looks at no document."""
    names = {path.name for path in DOCUMENTS}
    assert {"platform.md", "teardown.md", "recovery.md", "upgrades.md", "config.md", "README.md"} <= names
