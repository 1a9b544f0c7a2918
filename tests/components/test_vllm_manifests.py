"""Objects of one model's servers."""

from collections.abc import Callable
from typing import Any

import kubernetes_validate
import pytest

from components import versions
from components.scheduling import GPU_TAINT
from components.sizing.catalog import instance_type
from components.vllm import manifests
from components.vllm.workload import Workload
from tests.components.serving import BIG, HUGE, SMALL, workload

BUILDERS = (
    manifests.service_account,
    manifests.service,
    manifests.disruption_budget,
    manifests.network_policy,
    manifests.deployment,
)


def pod(made: Workload) -> dict[str, Any]:
    """Return the pod's spec."""
    return manifests.deployment(made)["spec"]["template"]["spec"]


def server(made: Workload) -> dict[str, Any]:
    """Return the server's container."""
    return pod(made)["containers"][0]


def environment(made: Workload) -> dict[str, Any]:
    """Return the server's environment by name."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in server(made)["env"]}


def affinity(made: Workload) -> dict[str, list[str]]:
    """Return what the pod's node must have, by label."""
    required = pod(made)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = required["nodeSelectorTerms"]
    return {expression["key"]: expression["values"] for expression in term["matchExpressions"]}


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
@pytest.mark.parametrize("decision", [BIG, SMALL, HUGE], ids=lambda decision: decision["name"])
def test_objects_have_no_field_that_the_api_server_does_not_know(
    build: Callable[[Workload], dict[str, Any]], decision: dict[str, Any]
) -> None:
    """Prevents a misspelt field, which the API server drops in silence."""
    kubernetes_validate.validate(build(workload(decision)), versions.KUBERNETES, strict=True)


def test_pods_only_run_where_the_plan_put_them() -> None:
    """Prevents node stealing: an unpinned one-GPU pod takes the four-GPU node of a model that then waits for ever."""
    assert affinity(workload(BIG)) == {
        "node.kubernetes.io/instance-type": ["g5.12xlarge", "g5.24xlarge"],
        "llm-serving/pool": ["gpu"],
    }


def test_pods_tolerate_the_taint_of_gpu_nodes() -> None:
    """Prevents pods that no GPU node admits."""
    (toleration,) = pod(workload(BIG))["tolerations"]
    assert (toleration["key"], toleration["effect"]) == (GPU_TAINT["key"], GPU_TAINT["effect"])


@pytest.mark.parametrize("decision", [BIG, SMALL, HUGE], ids=lambda decision: decision["name"])
def test_requests_are_limits_for_gpus_and_memory_and_fit_every_type(decision: dict[str, Any]) -> None:
    """Prevents pods that stay pending because they ask for what a node's nominal size promises."""
    made = workload(decision)
    resources = server(made)["resources"]
    for name in ("nvidia.com/gpu", "memory"):
        assert resources["requests"][name] == resources["limits"][name]
    assert "cpu" not in resources["limits"]
    for name in made.instance_types:
        kind = instance_type(name)
        assert int(resources["requests"]["nvidia.com/gpu"]) <= kind.gpu_count
        assert int(resources["requests"]["memory"].removesuffix("Mi")) <= kind.allocatable_memory_mib
        assert int(resources["requests"]["cpu"].removesuffix("m")) <= kind.allocatable_cpu_millicores


def test_shared_memory_is_there_for_several_gpus_only() -> None:
    """Prevents the 64 MiB default, with which tensor parallelism fails at the start."""
    volumes = {volume["name"]: volume for volume in pod(workload(BIG))["volumes"]}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "3Gi"}
    assert "/dev/shm" in {mount["mountPath"] for mount in server(workload(BIG))["volumeMounts"]}  # noqa: S108
    assert "shm" not in {volume["name"] for volume in pod(workload(SMALL))["volumes"]}


@pytest.mark.parametrize("decision", [BIG, SMALL, HUGE], ids=lambda decision: decision["name"])
def test_probes_wait_for_the_cold_start_and_the_engine_gives_up_first(decision: dict[str, Any]) -> None:
    """Prevents a liveness probe that kills a loading model, and a kill that hides the engine's own reason."""
    made = workload(decision)
    container = server(made)
    probe = container["startupProbe"]
    budget = probe["periodSeconds"] * probe["failureThreshold"]
    assert budget >= made.start.startup_budget_s
    assert (
        sum(stage.pessimistic_s for stage in made.start.in_container)
        < int(environment(made)["VLLM_ENGINE_READY_TIMEOUT_S"]) + 61
    )
    assert int(environment(made)["VLLM_ENGINE_READY_TIMEOUT_S"]) < budget
    assert manifests.deployment(made)["spec"]["progressDeadlineSeconds"] > budget
    assert {"readinessProbe", "livenessProbe"} <= set(container)


def test_a_drain_fits_the_grace_period() -> None:
    """Prevents SIGKILL in the middle of an answer."""
    made = workload(BIG)
    arguments = server(made)["args"]
    timeout = int(arguments[arguments.index("--shutdown-timeout") + 1])
    sleep = server(made)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod(made)["terminationGracePeriodSeconds"] >= sleep + timeout + 30


def test_pods_are_as_confined_as_the_restricted_standard_asks() -> None:
    """Prevents pods that the namespace refuses, and servers with rights that they do not need."""
    made = workload(BIG)
    assert pod(made)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 2000,
        "runAsGroup": 0,
        "fsGroup": 0,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    security = server(made)["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostIPC", "hostPID"} & set(pod(made))
    assert pod(made)["automountServiceAccountToken"] is False


def test_service_links_are_off() -> None:
    """Prevents VLLM_PORT=tcp://... from a Service called vllm, which the engine refuses to start with."""
    assert pod(workload(BIG))["enableServiceLinks"] is False


def test_servers_download_nothing_and_report_to_nobody() -> None:
    """Prevents replicas that ask the Hub on every start, and telemetry out of a closed network."""
    values = environment(workload(BIG))
    assert {values["HF_HUB_OFFLINE"], values["VLLM_NO_USAGE_STATS"]} == {"1"}
    mounts = {mount["name"]: mount for mount in server(workload(BIG))["volumeMounts"]}
    assert mounts["models"] == {"name": "models", "mountPath": "/models", "readOnly": True}


def test_peer_access_is_off_where_it_is_broken() -> None:
    """Prevents NCCL from hanging on PCIe boxes, and from losing NVLink on the others."""
    assert environment(workload(BIG))["NCCL_P2P_DISABLE"] == "1"
    assert "NCCL_P2P_DISABLE" not in environment(workload(HUGE))
    assert "NCCL_P2P_DISABLE" not in environment(workload(SMALL))


def test_dangerous_switches_are_absent() -> None:
    """Prevents endpoints without authentication that change or read the engine, and code from a repository."""
    made = workload(BIG, api_key_secret="model-api-key")  # noqa: S106
    names = set(environment(made))
    assert not names & {"VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_INSECURE_SERIALIZATION", "CUDA_VISIBLE_DEVICES"}
    assert not {"--trust-remote-code", "--enable-log-requests"} & set(server(made)["args"])


def test_the_key_comes_from_a_secret() -> None:
    """Prevents a key in the Deployment, where everybody who may look at it reads it."""
    values = environment(workload(BIG, api_key_secret="model-api-key"))  # noqa: S106
    assert values["VLLM_API_KEY"] == {"secretKeyRef": {"name": "model-api-key", "key": "token"}}
    assert "VLLM_API_KEY" not in environment(workload(BIG))


def test_only_named_namespaces_reach_the_servers() -> None:
    """Prevents /invocations, which no API key guards, from being open to every pod of the cluster."""
    spec = manifests.network_policy(workload(BIG))["spec"]
    peers = [
        peer["namespaceSelector"]["matchExpressions"][0]["values"] for rule in spec["ingress"] for peer in rule["from"]
    ]
    assert peers == [["gateway"], ["monitoring"]]
    assert {port["port"] for rule in spec["ingress"] for port in rule["ports"]} == {8000}
    assert {port["port"] for rule in spec["egress"] for port in rule["ports"]} == {53}


def test_nobody_is_let_in_where_nobody_is_named() -> None:
    """Prevents an empty list from becoming an empty selector, which matches every namespace."""
    spec = manifests.network_policy(workload(BIG, client_namespaces=(), metrics_namespaces=()))["spec"]
    assert spec["ingress"] == []
    assert spec["policyTypes"] == ["Ingress", "Egress"]


def test_streamed_models_reach_s3_and_their_credentials_but_not_the_metadata_service() -> None:
    """Prevents a streaming server without a way out, and one that can take the node's role."""
    made = workload(SMALL, model_path="s3://weights/small")
    spec = manifests.network_policy(made)["spec"]
    blocks = [peer["ipBlock"] for rule in spec["egress"] for peer in rule["to"] if "ipBlock" in peer]
    assert {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]} in blocks
    assert {"cidr": "169.254.170.23/32"} in blocks
    assert "models" not in {volume["name"] for volume in pod(made)["volumes"]}


@pytest.mark.parametrize(("surge", "expected"), [(True, (1, 0)), (False, (0, 1))])
def test_rollouts_use_the_gpus_that_there_are(surge: bool, expected: tuple[int, int]) -> None:
    """Prevents a rollout that waits for a GPU which cannot be bought."""
    rolling = manifests.deployment(workload(BIG, surge=surge))["spec"]["strategy"]["rollingUpdate"]
    assert (rolling["maxSurge"], rolling["maxUnavailable"]) == expected


def test_serving_nodes_are_not_disrupted() -> None:
    """Prevents drift and consolidation from draining a busy server (seen with Karpenter 1.14)."""
    annotations = manifests.deployment(workload(BIG))["spec"]["template"]["metadata"]["annotations"]
    assert annotations["karpenter.sh/do-not-disrupt"] == "true"
