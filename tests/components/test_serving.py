"""Serving components: namespace, workload and sizing, as they are registered."""

from typing import Any

import pytest

from components.model_sizing import ModelSizing
from components.vllm import ServingNamespace, VllmModel
from offline.harness import deploy
from offline.recording import Deployment
from offline.teardown import destroy_position
from offline.values import Secret
from tests.components.serving import BIG, workload

ARGS: Any = {
    "decision": BIG,
    "namespace": "serving",
    "image": "vllm/vllm-openai:v0.33.0",
    "model_path": "/models/big/0123abcd",
    "claim_name": "models-fs-0123456789abcdef0",
    "pools": ["gpu"],
    "replicas": 2.0,
    "output_tokens": 256.0,
}


@pytest.fixture(scope="module")
def model() -> Deployment:
    """Return one model's recording."""
    return deploy(lambda: VllmModel("big", ARGS))


def seconds(timeout: str) -> int:
    """Return a timeout of the wire in seconds."""
    return int(timeout.removesuffix("s"))


def test_a_model_is_five_objects_with_its_endpoint(model: Deployment) -> None:
    """Prevents a model that runs but cannot be reached, guarded or evicted."""
    kinds = {r.inputs["kind"] for r in model.resources if r.package == "kubernetes"}
    assert kinds == {"ServiceAccount", "Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy"}
    assert model.outputs_of("llm-serving:index:VllmModel") == {
        "endpoint": "http://big.serving.svc.cluster.local:8000/v1",
        "serviceName": "big",
    }


def test_pulumi_waits_for_a_gpu_on_create_and_update_alike(model: Deployment) -> None:
    """Prevents an `up` that fails after ten minutes, and a second one that fails under the update timeout."""
    timeouts = model.one("kubernetes:apps/v1:Deployment").timeouts
    start = workload(BIG).start.rollout_s
    assert seconds(timeouts["create"]) > start
    assert seconds(timeouts["update"]) >= 2 * seconds(timeouts["create"])
    assert seconds(timeouts["delete"]) > workload(BIG).drain.grace_period_s


def test_counts_that_arrive_as_floats_are_whole_numbers(model: Deployment) -> None:
    """Prevents `replicas: 2.0`, which the API server refuses: numbers from other languages arrive as floats."""
    replicas = model.one("kubernetes:apps/v1:Deployment").inputs["spec"]["replicas"]
    assert (replicas, replicas == int(replicas)) == (2, True)


def test_the_guard_outlives_the_servers(model: Deployment) -> None:
    """Prevents servers that are open to every pod for as long as they take to stop."""
    position = destroy_position(model)
    servers = model.one("kubernetes:apps/v1:Deployment").urn
    assert position[servers] < position[model.one("kubernetes:networking.k8s.io/v1:NetworkPolicy").urn]


def test_nothing_waits_for_the_service(model: Deployment) -> None:
    """Prevents the ten seconds that Pulumi sits on every Service whose pods are not ready."""
    annotations = model.one("kubernetes:core/v1:Service").inputs["metadata"]["annotations"]
    assert annotations["pulumi.com/skipAwait"] == "true"


def namespace(**secrets: str) -> Deployment:
    """Deploy a namespace alone."""
    args: Any = {"namespace": "serving", **secrets}
    return deploy(lambda: ServingNamespace("serving", args))


def test_the_namespace_refuses_unconfined_pods_and_all_traffic() -> None:
    """Prevents a privileged pod beside the models, and pods that talk without a policy that says so."""
    made = namespace()
    labels = made.one("kubernetes:core/v1:Namespace").inputs["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    spec = made.one("kubernetes:networking.k8s.io/v1:NetworkPolicy").inputs["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert not made.of_type("kubernetes:core/v1:Secret")


def test_secrets_stay_secret() -> None:
    """Prevents a token in the state file or a log."""
    made = namespace(hugging_face_token="hf_x", api_key="key")  # noqa: S106
    held = {r.inputs["metadata"]["name"]: r.inputs["stringData"] for r in made.of_type("kubernetes:core/v1:Secret")}
    assert set(held) == {"hugging-face", "model-api-key"}
    assert all(isinstance(data, Secret) or isinstance(data["token"], Secret) for data in held.values())


def test_the_state_says_why_an_instance_was_chosen() -> None:
    """Prevents a choice that nobody can explain a month later."""
    made = deploy(lambda: ModelSizing("big-sizing", {"decision": BIG}))
    outputs = made.outputs_of("llm-serving:index:ModelSizing")
    assert outputs["decision"]["max_num_seqs"] == 16
    assert (outputs["instanceType"], outputs["gpus"], outputs["replicas"]) == ("g5.12xlarge", 4, 2)
    assert outputs["usdPerHour"] == 11.344
