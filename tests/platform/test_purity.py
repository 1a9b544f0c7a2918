"""Modules that call themselves pure are."""

import ast
import re

from tests.architecture.sources import Source, sources


def pure(source: Source) -> bool:
    """Tell whether the module's own description says that it is pure."""
    return re.search(r"\bPure\b", ast.get_docstring(source.tree) or "") is not None


def test_pure_modules_know_neither_pulumi_nor_the_outside() -> None:
    """Prevents decisions, policies and manifests that can only be tested by running a deployment."""
    modules = [source for source in sources("components") if pure(source)]
    assert {"components.iam", "components.karpenter.policy", "components.karpenter.node_pool"} <= {
        source.module for source in modules
    }
    found = {
        source.module: [name for name in source.imports() if name.startswith(("pulumi", "boto"))] for source in modules
    }
    assert not {module: names for module, names in found.items() if names}
