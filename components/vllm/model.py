"""VllmModel: one model's servers as Kubernetes objects."""

from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from components.vllm import manifests
from components.vllm.arguments import PORT
from components.vllm.workload import Workload

DELETE_MARGIN_S = 120


class VllmModelArgs(TypedDict):
    """Inputs of VllmModel."""

    decision: dict[str, Any]
    """The plan's decision for the model: the keys of a model in the plan's JSON."""
    namespace: str
    """Namespace of every object; must enforce nothing stricter than the restricted Pod Security Standard."""
    image: str
    """vLLM image by tag or digest."""
    model_path: str
    """Directory below /models on the cache, or an s3:// prefix that is streamed without the cache."""
    claim_name: pulumi.Input[str]
    """PersistentVolumeClaim of the model cache."""
    pools: list[str]
    """Names of the node pools that may run it."""
    replicas: int
    """Servers to run."""
    output_tokens: int
    """Typical answer length in tokens: how long a drain may take follows from it."""
    surge: NotRequired[bool]
    """Whether a rollout may use GPUs for one more replica. Default true."""
    efa: NotRequired[bool]
    """Whether the pods take the EFA interfaces of their nodes: all of the pools must have them. Default false."""
    interruptible: NotRequired[bool]
    """Whether one of the pools buys spot, which EC2 takes back on two minutes' notice. Default false."""
    spread_zones: NotRequired[bool]
    """Whether replicas prefer different zones. Default true; false where reserved capacity comes first."""
    api_key_secret: NotRequired[str | None]
    """Secret whose key ``token`` callers must present. Default: none asked for."""
    client_namespaces: NotRequired[list[str]]
    """Namespaces whose pods may call the model. Default none."""
    metrics_namespaces: NotRequired[list[str]]
    """Namespaces whose pods may read its metrics. Default none."""
    cache_throughput: NotRequired[str]
    """Throughput mode of the model cache, ``elastic`` (default) or ``provisioned``: start-up budgets depend on it."""


class VllmModel(pulumi.ComponentResource):
    """Deployment, Service, disruption budget, network policy and account of one model."""

    endpoint: pulumi.Output[str]
    """Base URL inside the cluster."""
    service_name: pulumi.Output[str]

    def __init__(self, name: str, args: VllmModelArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("llm-serving:index:VllmModel", name, {**args}, opts)
        child = pulumi.ResourceOptions(parent=self)
        workload = _workload(args)
        account = k8s.core.v1.ServiceAccount(
            f"{name}-account", **_inputs(manifests.service_account(workload)), opts=child
        )
        policy = k8s.networking.v1.NetworkPolicy(
            f"{name}-network", **_inputs(manifests.network_policy(workload)), opts=child
        )
        k8s.policy.v1.PodDisruptionBudget(
            f"{name}-budget", **_inputs(manifests.disruption_budget(workload)), opts=child
        )
        servers = k8s.apps.v1.Deployment(
            f"{name}-servers",
            **_inputs(manifests.deployment(workload)),
            # The guard stands before the first server and until the last one is gone.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[account, policy], custom_timeouts=_timeouts(workload)),
        )
        service = k8s.core.v1.Service(
            f"{name}-service",
            **_inputs(manifests.service(workload)),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[servers]),
        )
        host = f"{workload.name}.{workload.namespace}.svc.cluster.local"
        self.service_name = service.metadata.name
        self.endpoint = pulumi.Output.from_input(f"http://{host}:{PORT}/v1")
        self.register_outputs({"endpoint": self.endpoint, "serviceName": self.service_name})


def _workload(args: VllmModelArgs) -> Workload:
    return Workload(
        namespace=args["namespace"],
        image=args["image"],
        decision=args["decision"],
        model_path=args["model_path"],
        claim_name=args["claim_name"],
        pools=tuple(args["pools"]),
        replicas=int(args["replicas"]),
        output_tokens=int(args["output_tokens"]),
        surge=args.get("surge", True),
        efa=args.get("efa", False),
        interruptible=args.get("interruptible", False),
        spread_zones=args.get("spread_zones", True),
        api_key_secret=args.get("api_key_secret"),
        client_namespaces=tuple(args.get("client_namespaces", [])),
        metrics_namespaces=tuple(args.get("metrics_namespaces", [])),
        cache_throughput=args.get("cache_throughput", "elastic"),
    )


def _inputs(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest as a resource's inputs: its type already says kind and version."""
    renamed = {"automountServiceAccountToken": "automount_service_account_token"}
    return {renamed.get(key, key): value for key, value in manifest.items() if key not in {"apiVersion", "kind"}}


def _timeouts(workload: Workload) -> pulumi.CustomTimeouts:
    """Return waits that outlast the slowest good rollout.

    Replicas of a new Deployment start together; an update brings up one after the other. A Deployment that timed out
    while it was created stays in the state, and the next run waits under the *update* timeout.
    """
    deadline = manifests.progress_deadline_s(workload)
    create, update = deadline, deadline * max(1, workload.replicas)
    delete = workload.drain.grace_period_s + DELETE_MARGIN_S
    return pulumi.CustomTimeouts(create=f"{create}s", update=f"{update}s", delete=f"{delete}s")
