"""The project's Python sources, parsed once: what the architecture tests look at."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("components", "infra", "offline", "tests")


@dataclass(frozen=True)
class Source:
    """One module."""

    path: Path
    module: str
    """Dotted name; a package's `__init__` has the package's."""
    tree: ast.Module

    @property
    def package(self) -> str:
        """Return the top-level package."""
        return self.module.partition(".")[0]

    def imports(self) -> Iterator[str]:
        """Yield the dotted name of everything imported, at any depth; `from a import b` yields `a.b`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{self.path}: imports are absolute"
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    def classes(self) -> Iterator[ast.ClassDef]:
        """Yield every class of the module."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))


@cache
def sources(*packages: str) -> tuple[Source, ...]:
    """Return the parsed modules of some top-level packages; of all where none is named."""
    return tuple(_source(path) for package in packages or PACKAGES for path in sorted((ROOT / package).rglob("*.py")))


def _source(path: Path) -> Source:
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return Source(path, ".".join(parts), ast.parse(path.read_text(encoding="utf-8"), str(path)))


def component_classes() -> Iterator[tuple[Source, ast.ClassDef]]:
    """Yield every class that derives from ComponentResource."""
    for source in sources("components"):
        for node in source.classes():
            if any(ast.unparse(base) in {"pulumi.ComponentResource", "ComponentResource"} for base in node.bases):
                yield source, node
