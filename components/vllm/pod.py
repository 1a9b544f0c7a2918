"""The pod of a model server: command, environment, resources, probes, volumes, placement. Pure."""

import math
from typing import Any

from components.pods import MODELS_PATH, container_security, from_secret, pod_security
from components.scheduling import EFA_RESOURCE, GPU_RESOURCE, GPU_TAINT, POOL_LABEL, toleration
from components.vllm.arguments import PORT, is_streamed, serve_arguments
from components.vllm.nccl import efa_interfaces, nccl_environment
from components.vllm.workload import Workload

HOME = "/home/vllm"
CACHE = f"{HOME}/.cache"
PROBE_PERIOD_S = 10
LIVENESS_FAILURES = 6
ENGINE_TIMEOUT_LEAD_S = 60
"""vLLM gives up this long before the startup probe, so that its own reason is the last line of the log."""
KEEP_ALIVE_S = 75
"""Longer than a load balancer's idle timeout of 60 s; vLLM's 5 s turns into random 502s behind one."""


def pod_template(workload: Workload) -> dict[str, Any]:
    """Return the template with its metadata."""
    return {
        "metadata": {
            "labels": workload.labels,
            # Karpenter then neither consolidates nor drifts the node under a serving pod (seen with 1.14).
            "annotations": {"karpenter.sh/do-not-disrupt": "true"},
        },
        "spec": {
            "serviceAccountName": workload.name,
            "automountServiceAccountToken": False,
            # A Service called vllm would otherwise inject VLLM_PORT=tcp://..., which vLLM refuses (envs.py:518).
            "enableServiceLinks": False,
            "securityContext": pod_security(),
            "terminationGracePeriodSeconds": workload.drain.grace_period_s,
            "tolerations": [toleration(GPU_TAINT)],
            "affinity": {"nodeAffinity": _node_affinity(workload)},
            **({"topologySpreadConstraints": [_spread(workload)]} if workload.spread_zones else {}),
            "containers": [_server(workload)],
            "volumes": _volumes(workload),
        },
    }


def _server(workload: Workload) -> dict[str, Any]:
    decision, drain = workload.decision, workload.drain
    memory = f"{math.ceil(decision['host_memory_mib'])}Mi"
    devices = _devices(workload)
    return {
        "name": "vllm",
        "image": workload.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["vllm", "serve"],
        "args": serve_arguments(decision, workload.model_path, drain.shutdown_timeout_s),
        "env": _environment(workload),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": {
            # No CPU limit: throttling the engine core stalls every GPU of the replica.
            "requests": {
                "cpu": f"{math.ceil(decision['host_cpu_millicores'])}m",
                "memory": memory,
                **devices,
            },
            "limits": {"memory": memory, **devices},
        },
        "startupProbe": _probe(math.ceil(workload.start.startup_budget_s / PROBE_PERIOD_S)),
        "readinessProbe": _probe(3),
        "livenessProbe": _probe(LIVENESS_FAILURES),
        "lifecycle": {"preStop": {"sleep": {"seconds": drain.pre_stop_s}}},
        # The root stays writable: NVIDIA's CDI hook writes to it (kserve/kserve config of LLMInferenceService).
        "securityContext": container_security(read_only_root=False),
        "volumeMounts": _mounts(workload),
    }


def _devices(workload: Workload) -> dict[str, str]:
    """Return the devices that the pod takes, which are all of its node's."""
    devices = {GPU_RESOURCE: str(workload.decision["gpus"] // workload.decision["nodes"])}
    if interfaces := efa_interfaces(workload.instance_types, efa=workload.efa):
        devices[EFA_RESOURCE] = str(interfaces)
    return devices


def _probe(failures: int) -> dict[str, Any]:
    """Return a probe of /health, which answers once the engine is up and fails when it has died."""
    return {
        "httpGet": {"path": "/health", "port": "http"},
        "periodSeconds": PROBE_PERIOD_S,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _environment(workload: Workload) -> list[dict[str, Any]]:
    ready_timeout = workload.start.startup_budget_s - ENGINE_TIMEOUT_LEAD_S
    values = {
        "HOME": HOME,
        "XDG_CACHE_HOME": CACHE,
        "VLLM_CACHE_ROOT": f"{CACHE}/vllm",
        "TORCHINDUCTOR_CACHE_DIR": f"{CACHE}/inductor",
        "TRITON_CACHE_DIR": f"{CACHE}/triton",
        "HF_HOME": f"{CACHE}/huggingface",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_ENGINE_READY_TIMEOUT_S": str(ready_timeout),
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(KEEP_ALIVE_S),
        "VLLM_MAX_N_SEQUENCES": "64",
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        **nccl_environment(workload.decision, efa=workload.efa),
    }
    listed: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in values.items()]
    if workload.api_key_secret:
        listed.append(from_secret("VLLM_API_KEY", workload.api_key_secret))
    return listed


def _mounts(workload: Workload) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {"name": "cache", "mountPath": CACHE},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  file store and sockets of the workers
    ]
    if workload.decision["shm_gib"]:
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108
    if not is_streamed(workload.model_path):
        mounts.append({"name": "models", "mountPath": MODELS_PATH, "readOnly": True})
    return mounts


def _volumes(workload: Workload) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "cache", "emptyDir": {}},
        {"name": "tmp", "emptyDir": {}},
    ]
    if workload.decision["shm_gib"]:
        # Workers talk over it; its pages count against the container's memory, which the decision includes.
        size = f"{math.ceil(workload.decision['shm_gib'])}Gi"
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}})
    if not is_streamed(workload.model_path):
        claim = {"claimName": workload.claim_name, "readOnly": True}
        volumes.append({"name": "models", "persistentVolumeClaim": claim})
    return volumes


def _node_affinity(workload: Workload) -> dict[str, Any]:
    """Pin the pod to what the plan chose for it.

    The scheduler ignores which pod Karpenter launched a node for: an unpinned one-GPU pod takes the four-GPU node of
    another model, which then waits for ever once the pool's limit is reached (seen with Karpenter 1.14).
    """
    expressions = [
        {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": workload.instance_types},
        {"key": POOL_LABEL, "operator": "In", "values": list(workload.pools)},
    ]
    return {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    }


def _spread(workload: Workload) -> dict[str, Any]:
    """Spread over zones where capacity allows; a model that runs in one zone beats one that does not run.

    Karpenter treats the preference as a rule until it cannot: with a reservation in one zone it bought on-demand in
    another while paid capacity stood idle (1.14.0 with two replicas, 2026-11-26). Such pools go without.
    """
    return {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": workload.selector},
    }
