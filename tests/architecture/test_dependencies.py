"""Which part may know which: infra composes, components declare, pure modules decide."""

import ast
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.architecture.sources import ROOT, Source, component_classes, sources

PURE_PACKAGES = ("components.sizing", "infra.settings")
"""Decide without Pulumi, so that they can be tested, timed and used alone."""
PURE_MODULES = ("components.versions", "components.naming", "components.registries", "components.scheduling")
OUTSIDE_WORLD = {"boto3", "botocore", "requests", "urllib", "http", "socket", "subprocess", "httpx", "kubernetes"}
PROVIDER_PACKAGES = ("aws.", "kubernetes.", "k8s.", "eks.", "pulumi_aws.", "pulumi_kubernetes.", "pulumi_eks.")


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _part(module: str) -> str:
    """Return the component package that a module belongs to, or the module itself directly below components."""
    return ".".join(module.split(".")[:2])


def _is_internal(name: str) -> bool:
    """Tell whether an import reaches behind a component package's `__init__`; the planner's modules are its face."""
    is_package = (ROOT / _part(name).replace(".", "/")).is_dir()
    return is_package and name.count(".") > 2 and not _within(name, "components.sizing")


def _offending(where: Iterable[Source], wrong: Callable[[Source], Iterable[str]]) -> dict[str, list[str]]:
    found = {source.module: list(wrong(source)) for source in where}
    return {module: names for module, names in found.items() if names}


def test_pure_modules_know_no_pulumi() -> None:
    """Prevents a decision that can only be tested, or explained, by running a deployment."""
    pure = [
        source
        for source in sources("components", "infra")
        if any(_within(source.module, package) for package in PURE_PACKAGES) or source.module in PURE_MODULES
    ]
    assert not _offending(pure, lambda s: (name for name in s.imports() if name.startswith("pulumi")))


def test_components_know_neither_infra_nor_each_others_internals() -> None:
    """Prevents components that cannot be reused because they reach into the program or into a neighbour."""

    def wrong(source: Source) -> Iterable[str]:
        for name in source.imports():
            neighbour = _within(name, "components") and _part(name) != _part(source.module)
            if name.split(".")[0] in {"infra", "offline", "tests"} or (neighbour and _is_internal(name)):
                yield name

    assert not _offending(sources("components"), wrong)


def test_infra_uses_components_through_their_packages() -> None:
    """Prevents the program from depending on how a component is split into files."""

    def wrong(source: Source) -> Iterable[str]:
        return (name for name in source.imports() if _within(name, "components") and _is_internal(name))

    assert not _offending(sources("infra"), wrong)


def test_the_program_never_asks_the_outside_world() -> None:
    """Prevents a preview that calls AWS, a registry or a command on its own: it must work in an empty account."""
    program = sources("components", "infra")
    assert not _offending(program, lambda s: (name for name in s.imports() if name.split(".")[0] in OUTSIDE_WORLD))


def test_only_one_module_reads_configuration() -> None:
    """Prevents settings that are read where nobody validates them."""

    def wrong(source: Source) -> Iterable[str]:
        names = {ast.unparse(node) for node in ast.walk(source.tree) if isinstance(node, ast.Attribute)}
        return {"pulumi.Config"} & (names | set(source.imports()))

    assert set(_offending(sources("components", "infra"), wrong)) == {"infra.config"}


def test_infra_declares_only_providers_and_components() -> None:
    """Prevents loose resources in the program: each belongs to a component that can be tested alone."""

    def wrong(source: Source) -> Iterable[str]:
        calls = (ast.unparse(node.func) for node in ast.walk(source.tree) if isinstance(node, ast.Call))
        made = (call for call in calls if call.startswith(PROVIDER_PACKAGES) and call.rpartition(".")[2][:1].isupper())
        return (call for call in made if call.rpartition(".")[2] not in {"Provider", "ProviderDefaultTagsArgs"})

    assert not _offending(sources("infra"), wrong)


def test_the_rules_see_the_components() -> None:
    """Prevents rules that pass because nothing is looked at."""
    names = {node.name for _, node in component_classes()}
    assert {"Network", "Cluster", "Karpenter", "GpuNodePool", "ModelCache", "VllmModel"} <= names
    assert Path(__file__) in {source.path for source in sources("tests")}
