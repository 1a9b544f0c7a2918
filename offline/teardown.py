"""The order in which `pulumi destroy` would delete what a run registered.

The engine's own rule (pulumi pkg/resource/graph/dependency_graph.go, `DependenciesOf` and `ScheduleDeletes`) on the
recorded graph: a resource needs its provider, its parent, everything it depends on and what it is deleted with; a
component stands for all resources below it. Whatever nothing needs any more goes first.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from offline.recording import Deployment, Registration

Edges = Mapping[str, frozenset[str]]


def dependencies(deployment: Deployment) -> Edges:
    """Return, per URN, the URNs that must outlive it."""
    resources = deployment.by_urn
    below = _descendants(resources)
    return {urn: frozenset(_needs(resource, resources, below)) - {urn} for urn, resource in resources.items()}


def requirements(deployment: Deployment, urn: str) -> frozenset[str]:
    """Return everything that a resource needs, directly or not."""
    edges = dependencies(deployment)
    found: set[str] = set()
    waiting = [urn]
    while waiting:
        new = edges[waiting.pop()] - found
        found |= new
        waiting.extend(new)
    return frozenset(found)


def destroy_batches(deployment: Deployment) -> list[list[Registration]]:
    """Return the batches in which resources are deleted, first to last. Raises ValueError on a cycle."""
    resources = deployment.by_urn
    edges = dependencies(deployment)
    left = set(resources)
    created: list[list[Registration]] = []
    while left:
        ready = sorted(urn for urn in left if not edges[urn] & left)
        if not ready:
            raise ValueError(f"these resources need each other: {sorted(left)}")
        created.append([resources[urn] for urn in ready])
        left -= set(ready)
    return created[::-1]


def destroy_position(deployment: Deployment) -> dict[str, int]:
    """Return, per URN, the number of the batch that deletes it."""
    batches = enumerate(destroy_batches(deployment))
    return {resource.urn: number for number, batch in batches for resource in batch}


def _descendants(resources: Mapping[str, Registration]) -> Mapping[str, set[str]]:
    below: defaultdict[str, set[str]] = defaultdict(set)
    for urn, resource in resources.items():
        parent = resource.parent
        while parent in resources:
            below[parent].add(urn)
            parent = resources[parent].parent
    return below


def _needs(
    resource: Registration, resources: Mapping[str, Registration], below: Mapping[str, Iterable[str]]
) -> set[str]:
    needed = {resource.parent, resource.provider_urn}
    needed |= {reference.rpartition("::")[0] for reference in resource.providers.values()}
    for urn in (*resource.dependencies, resource.deleted_with):
        needed.add(urn)
        if urn in resources and not resources[urn].custom:
            needed |= set(below.get(urn, ()))
    return needed & set(resources)
