"""The components can be used from other languages: their inputs and outputs are understood without running them."""

import importlib
import inspect
import json
import pkgutil

import pulumi
from pulumi.provider.experimental.component import ComponentProvider

import components
from components.__main__ import COMPONENTS


def component_classes() -> list[type[pulumi.ComponentResource]]:
    """Return every component of the package, by name."""
    found: dict[str, type[pulumi.ComponentResource]] = {}
    for module in pkgutil.iter_modules(components.__path__, "components."):
        if module.name == "components.sizing":
            continue
        for _, member in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(member, pulumi.ComponentResource) and member.__module__.startswith("components."):
                found[member.__name__] = member
    return [found[name] for name in sorted(found)]


def test_inputs_and_outputs_can_be_inferred() -> None:
    """Prevents annotations that Pulumi cannot read (Literal, unions, postponed ones), and inputs without a meaning."""
    classes = component_classes()
    assert sorted(each.__name__ for each in COMPONENTS) == [each.__name__ for each in classes]
    schema = json.loads(ComponentProvider(classes, "llm-serving").schema or "{}")
    assert set(schema["resources"]) == {f"llm-serving:index:{each.__name__}" for each in classes}
    for token, resource in schema["resources"].items():
        assert resource["inputProperties"], token
        assert resource["properties"], token
        missing = [key for key, each in resource["inputProperties"].items() if not each.get("description")]
        assert not missing, (token, missing)
