"""What the program registered: as plain data, as node pools, and as a tree by component."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.text import Text
from rich.tree import Tree

from offline.recording import Deployment, Registration
from offline.values import masked


def as_json(deployment: Deployment) -> list[dict[str, Any]]:
    """Return every registration as plain data, secrets masked, parents before children."""
    return [_resource(resource) for resource in sorted(deployment.resources, key=lambda r: r.urn)]


def _resource(resource: Registration) -> dict[str, Any]:
    return {
        "urn": resource.urn,
        "type": resource.type,
        "name": resource.name,
        "inputs": masked(resource.inputs),
        "parent": resource.parent,
        "provider": resource.provider,
        "dependencies": sorted(resource.dependencies),
        "protect": resource.protect,
        "retain_on_delete": resource.retain_on_delete,
        "timeouts": dict(resource.timeouts),
        "custom": resource.custom,
        "remote": resource.remote,
    }


def tree(resources: Iterable[Mapping[str, Any]]) -> Tree:
    """Return the components with the count of each type of resource directly in them."""
    by_parent: dict[str, list[Mapping[str, Any]]] = {}
    for resource in resources:
        by_parent.setdefault(resource["parent"], []).append(resource)
    root = Tree("stack", hide_root=True)
    stack = next((urn for urn in by_parent if "::pulumi:pulumi:Stack::" in urn), "")
    for loose in (child for child in by_parent.get(stack, ()) if child["custom"]):
        root.add(Text(short_type(loose["type"])))
    _grow(root, stack, by_parent)
    return root


def _grow(branch: Tree, parent: str, by_parent: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Add what is directly below a parent: components as branches, other resources as one line of counts."""
    components = [child for child in by_parent.get(parent, ()) if not child["custom"]]
    for child in sorted(components, key=lambda child: (child["type"], child["name"])):
        below = by_parent.get(child["urn"], ())
        counts = Counter(short_type(each["type"]) for each in below if each["custom"])
        types = ", ".join(f"{count}×{type_}" if count > 1 else type_ for type_, count in sorted(counts.items()))
        total = _count(child["urn"], by_parent)
        label = f"{short_type(child['type'])} {child['name']}" + (f"  {total}: {types}" if total else "")
        _grow(branch.add(Text(label)), child["urn"], by_parent)


def _count(urn: str, by_parent: Mapping[str, Sequence[Mapping[str, Any]]]) -> int:
    return sum(bool(child["custom"]) + _count(child["urn"], by_parent) for child in by_parent.get(urn, ()))


def short_type(type_: str) -> str:
    """Return `Subnet` for `aws:ec2/subnet:Subnet`, `Network` for a component of ours, `aws Provider` for a provider."""
    package, _, name = type_.split(":")
    return f"{name} Provider" if package == "pulumi" else f"{package} {name}" if package == "eks" else name
