"""Nothing is created where a preview cannot see it, inside a callback on a value that is not known yet."""

import ast
from collections.abc import Iterator

from tests.architecture.sources import Source, component_classes, sources

PROVIDER_ALIASES = ("aws", "eks", "kubernetes", "k8s", "pulumi_aws", "pulumi_eks", "pulumi_kubernetes")


def _functions(source: Source) -> dict[str, ast.AST]:
    return {
        node.name: node for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _callbacks(source: Source) -> Iterator[ast.AST]:
    """Yield the code of every function handed to `.apply`."""
    functions = _functions(source)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "apply":
            for argument in node.args:
                yield functions.get(argument.id, argument) if isinstance(argument, ast.Name) else argument


def _calls(code: ast.AST, functions: dict[str, ast.AST], seen: set[str]) -> Iterator[str]:
    """Yield the name of everything that code calls, following functions and methods of the same module."""
    for node in ast.walk(code):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        yield name
        local = name.removeprefix("self.")
        if local in functions and local not in seen:
            seen.add(local)
            yield from _calls(functions[local], functions, seen)


def constructed_in_apply(source: Source, components: set[str]) -> list[str]:
    """Return the resources that some `.apply` of a module would create."""
    functions = _functions(source)
    return [
        name
        for callback in _callbacks(source)
        for name in _calls(callback, functions, set())
        if name in components
        or (name.split(".")[0] in PROVIDER_ALIASES and name.rpartition(".")[2][:1].isupper() and "Args" not in name)
    ]


def test_no_resource_is_created_in_apply() -> None:
    """Prevents resources that a preview does not show and a destroy may race with (seen in two peers)."""
    components = {node.name for _, node in component_classes()}
    found = {source.module: constructed_in_apply(source, components) for source in sources("components", "infra")}
    assert not {module: names for module, names in found.items() if names}


def test_the_rule_finds_a_hidden_resource() -> None:
    """Prevents a rule that cannot fail: directly, through a helper and through a component."""
    code = """
def make(arn):
    aws.iam.Policy("p", policy=arn)
role.arn.apply(make)
role.arn.apply(lambda arn: make(arn))
role.arn.apply(lambda arn: Network("n", {}))
role.arn.apply(lambda arn: json.dumps(arn))
"""
    source = Source(sources("tests")[0].path, "seeded", ast.parse(code))
    assert constructed_in_apply(source, {"Network"}) == ["aws.iam.Policy", "aws.iam.Policy", "Network"]
