"""Kubernetes objects around a model's pods: account, Service, disruption budget, network policy, Deployment. Pure."""

from typing import Any

from components.pods import dns_egress, https_egress, pod_identity_egress
from components.vllm.arguments import PORT, is_streamed
from components.vllm.pod import pod_template
from components.vllm.workload import Workload

AVAILABILITY_ALLOWANCE_S = 60
"""Between a replica's deadline and the Deployment's: the controllers need time to see it."""


def service_account(workload: Workload) -> dict[str, Any]:
    """Return the account of the pods. It has no token: a model server never speaks to the API server."""
    return _object("v1", "ServiceAccount", workload) | {"automountServiceAccountToken": False}


def service(workload: Workload) -> dict[str, Any]:
    """Return the Service that callers and the gateway use."""
    built = _object("v1", "Service", workload)
    # Nothing waits for it: without this, Pulumi sits on a Service without endpoints for ten seconds and more.
    built["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true"}
    built["spec"] = {
        "type": "ClusterIP",
        "selector": workload.selector,
        "ports": [{"name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}],
    }
    return built


def disruption_budget(workload: Workload) -> dict[str, Any]:
    """Return the budget: one server at a time may be evicted."""
    return _object("policy/v1", "PodDisruptionBudget", workload) | {
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": workload.selector}}
    }


def network_policy(workload: Workload) -> dict[str, Any]:
    """Return who may reach the servers and whom they may reach.

    vLLM's API key covers /v1 only: /invocations, /metrics and more answer without it (vLLM 0.33.0
    serve/middleware/authenticate.py:12), so that the network is the only guard. The model cache needs no rule: the
    node mounts it, not the pod.
    """
    callers = [_namespaces(workload.client_namespaces), _namespaces(workload.metrics_namespaces)]
    rules = [
        {"from": [{"namespaceSelector": selector}], "ports": [{"port": PORT, "protocol": "TCP"}]}
        for selector in callers
        if selector
    ]
    egress = [dns_egress()]
    if is_streamed(workload.model_path):
        egress += [https_egress(), pod_identity_egress()]
    return _object("networking.k8s.io/v1", "NetworkPolicy", workload) | {
        "spec": {
            "podSelector": {"matchLabels": workload.selector},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": rules,
            "egress": egress,
        }
    }


def deployment(workload: Workload) -> dict[str, Any]:
    """Return the servers themselves."""
    surge = {"maxSurge": 1, "maxUnavailable": 0} if workload.surge else {"maxSurge": 0, "maxUnavailable": 1}
    return _object("apps/v1", "Deployment", workload) | {
        "spec": {
            "replicas": workload.replicas,
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": progress_deadline_s(workload),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": surge},
            "selector": {"matchLabels": workload.selector},
            "template": pod_template(workload),
        }
    }


def progress_deadline_s(workload: Workload) -> int:
    """Return the seconds in which a rollout must bring up its next replica; without surge an old one goes first."""
    leaving = 0 if workload.surge else workload.drain.grace_period_s
    return workload.start.rollout_s + leaving + AVAILABILITY_ALLOWANCE_S


def _namespaces(names: tuple[str, ...]) -> dict[str, Any] | None:
    """Return a selector of namespaces by name; None selects nothing, where an empty one would select everything."""
    if not names:
        return None
    expression = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(names)}
    return {"matchExpressions": [expression]}


def _object(api_version: str, kind: str, workload: Workload) -> dict[str, Any]:
    metadata = {"name": workload.name, "namespace": workload.namespace, "labels": workload.labels}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}
