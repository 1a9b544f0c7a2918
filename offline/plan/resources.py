"""What the program registered: as plain data, as node pools, and as a tree by component."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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
    _grow(root, stack, by_parent)
    return root


def _grow(branch: Tree, parent: str, by_parent: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    children = by_parent.get(parent, ())
    plain = Counter(
        short_type(child["type"]) for child in children if child["urn"] not in by_parent and child["custom"]
    )
    for type_, count in sorted(plain.items()):
        branch.add(f"{count} × {type_}")
    for child in sorted(children, key=lambda child: (child["type"], child["name"])):
        if child["custom"] and child["urn"] not in by_parent:
            continue
        below = _count(child["urn"], by_parent)
        label = f"{short_type(child['type'])} {child['name']}"
        _grow(branch.add(f"{label}  ({below})" if below else label), child["urn"], by_parent)


def _count(urn: str, by_parent: Mapping[str, Sequence[Mapping[str, Any]]]) -> int:
    return sum(bool(child["custom"]) + _count(child["urn"], by_parent) for child in by_parent.get(urn, ()))


def short_type(type_: str) -> str:
    """Return `aws ec2 Subnet` for `aws:ec2/subnet:Subnet`, `Network` for a component of ours."""
    package, module, name = type_.split(":")
    if package == "pulumi":
        return f"{name} provider"
    if module == "index":
        return name if package == "llm-serving" else f"{package} {name}"
    return f"{package} {module.rpartition('/')[0] or module} {name}" if package == "aws" else f"{package} {name}"
