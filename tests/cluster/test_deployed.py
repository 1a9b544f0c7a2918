"""As deployed, the real scheduler and Karpenter put every pod where the plan says, and nothing else there."""

import pytest

from components.scheduling import SYSTEM_POOL
from offline.rehearsal.kubelet import NO_DEVICE_PLUGIN
from offline.rehearsal.observation import Observation
from offline.rehearsal.simulation import Simulation
from offline.rehearsal.stages import model_differences
from tests.cluster import stacks
from tests.cluster.steps import by_model

STACKS = (*stacks.SHIPPED, *stacks.EXAMPLES)

ON_EVERY_NODE = {
    "aws-node", "kube-proxy", "eks-pod-identity-agent", "ebs-csi-node", "efs-csi-node", "eks-node-monitoring-agent",
}  # fmt: skip
ON_GPU_NODES = ON_EVERY_NODE | {
    "dcgm-server", "nfd-worker", "nvidia-device-plugin", "gpu-feature-discovery", "nvidia-dcgm-exporter",
    "nvidia-operator-validator",
}  # fmt: skip


def test_nothing_differs_from_the_plan(simulation: Simulation, seen: Observation) -> None:
    """Prevents any difference that the command would report, money included."""
    assert model_differences(simulation, seen) == []


def test_every_model_runs_on_the_planned_type_and_capacity(simulation: Simulation, seen: Observation) -> None:
    """Prevents a model from landing on another instance type, or on capacity that is not the stack's first choice."""
    for name, result in by_model(simulation, seen).items():
        chosen = [(server.node.instance_type, server.node.capacity) for server in result.servers if server.node]
        assert chosen == [(result.decision["instance_type"], result.decision["capacity"][0])] * result.wanted, name
        assert simulation.replicas[name] == result.decision["replicas"]


def test_nothing_is_pending(seen: Observation) -> None:
    """Prevents a pod, of a model or of the platform, that no node can take."""
    assert {f"{pod.namespace}/{pod.name}": pod.why for pod in seen.pending} == {}
    assert seen.missing_pods == ()


def test_only_gpu_pods_and_daemonsets_use_gpu_nodes(seen: Observation) -> None:
    """Prevents controllers and preloaders from sitting on the most expensive machines of the account."""
    strangers = [(p.name, n.instance_type) for p, n in seen.on_gpu_nodes() if not p.gpus and p.owner != "DaemonSet"]
    assert strangers == []
    assert any(pod.gpus for pod, _ in seen.on_gpu_nodes())


def test_controllers_run_on_system_nodes_and_models_do_not(seen: Observation) -> None:
    """Prevents a controller from depending on nodes that Karpenter may take away, and models from crowding them."""
    controllers = [p for p in seen.pods if p.stands_for and p.owner == "ReplicaSet"]
    assert {p.name: seen.by_node[p.node or ""].pool for p in controllers} == {p.name: SYSTEM_POOL for p in controllers}
    on_system = [p for p in seen.pods if p.node and seen.by_node[p.node].pool == SYSTEM_POOL]
    assert [p.name for p in on_system if not p.stands_for] == []


def test_daemonsets_reach_the_nodes_that_need_them(simulation: Simulation, seen: Observation) -> None:
    """Prevents a taint that an agent does not tolerate: no GPUs advertised, no mounts, no credentials, no health."""
    present = {node.name: set[str]() for node in seen.nodes}
    for pod in seen.pods:
        if pod.owner == "DaemonSet" and pod.node and pod.phase == "Running":
            present[pod.node].add(pod.labels["app.kubernetes.io/name"])
    own = {pod.labels["app.kubernetes.io/name"] for pod in seen.pods if pod.owner == "DaemonSet"}
    labels = {node["metadata"]["name"]: node["metadata"]["labels"] for node in simulation.cluster.list("Node")}
    for node in seen.nodes:
        built_in = {"nvidia-device-plugin"} if labels[node.name].get(NO_DEVICE_PLUGIN) == "false" else set()
        expected = ((ON_GPU_NODES - built_in) if node.gpus else ON_EVERY_NODE) & own
        assert expected - present[node.name] == set(), node
    assert own >= {"aws-node", "kube-proxy", "eks-pod-identity-agent", "efs-csi-node", "nfd-worker"}
    assert {node.gpus for node in seen.nodes} > {0}, "no node has GPUs"


def test_prices_are_those_of_the_plan(simulation: Simulation, seen: Observation) -> None:
    """Prevents a plan whose dollars per hour are not those of what is launched."""
    for result in by_model(simulation, seen).values():
        if result.decision["capacity"][0] != "spot":
            assert result.usd_per_hour == pytest.approx(result.planned_usd_per_hour, rel=0.01)
