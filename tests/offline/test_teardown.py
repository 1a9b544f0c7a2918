"""The destroy order that the engine would follow on what a program registered."""

from dataclasses import replace

import pytest

from offline.harness import deploy
from offline.recording import Deployment
from offline.teardown import destroy_batches, destroy_position, requirements
from tests.offline import toy

CONFIG = {"replicas": 2}
SECRETS = {"token": "hunter2"}


def _positions(deployment: Deployment) -> dict[str, int]:
    position = destroy_position(deployment)
    return {
        resource.type.rpartition(":")[2] + "/" + resource.name: position[resource.urn]
        for resource in deployment.resources
    }


def test_edges_are_followed_through_components_providers_and_parents() -> None:
    """Prevents an order test that passes although the engine would delete a controller before its finalizers ran."""
    at = _positions(deploy(toy.ordered, config=CONFIG, secrets=SECRETS))
    chain = [
        "Secret/token",
        "NodePool/pool",
        "EC2NodeClass/class",
        "Release/controller",
        "Release/crds",
        "kubernetes/kubernetes",
        "ManagedNodeGroup/system",
        "Cluster/eks",
        "ToyCluster/cluster",
    ]
    assert [at[name] for name in chain] == sorted({at[name] for name in chain})


def test_a_missing_edge_shows() -> None:
    """Prevents an order test that cannot fail: without the edge the controller dies with the objects it finalizes."""
    at = _positions(deploy(toy.unordered, config=CONFIG, secrets=SECRETS))
    assert at["Release/controller"] <= at["EC2NodeClass/class"]


def test_requirements_are_transitive() -> None:
    """Prevents a custom resource from passing as ordered because only its component is."""
    deployment = deploy(toy.ordered, config=CONFIG, secrets=SECRETS)
    needed = requirements(deployment, deployment.of_kind("NodePool")[0].urn)
    assert deployment.one("kubernetes:helm.sh/v3:Release", "crds").urn in needed


def test_a_cycle_is_reported() -> None:
    """Prevents an endless loop on a graph that no engine would accept."""
    deployment = deploy(toy.ordered, config=CONFIG, secrets=SECRETS)
    role = deployment.one("aws:iam/role:Role")
    secret = deployment.one("kubernetes:core/v1:Secret")
    looped = replace(role, dependencies=frozenset({secret.urn}))
    deployment.resources = [looped if r is role else r for r in deployment.resources]
    with pytest.raises(ValueError, match="need each other"):
        destroy_batches(deployment)
