"""Small workloads in place of what charts and add-ons would run.

A chart's templates are not rendered here. What matters for scheduling is imitated: which pods there are, what they
ask for, and where their tolerations, selectors and affinities let them go. Those come from the values that the
program gives the chart; the defaults are the charts' own (versions of components/versions.py):

* karpenter: charts/karpenter/values.yaml of aws/karpenter-provider-aws
* gpu-operator: deployments/gpu-operator/values.yaml of NVIDIA/gpu-operator
* EBS and EFS CSI drivers: charts/*/values.yaml of their kubernetes-sigs repositories
* other add-ons: the manifests that EKS installs; all their DaemonSets tolerate everything
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from components import versions
from components.scheduling import EFA_RESOURCE, GPU_RESOURCE
from offline.rehearsal.bundle import Addon, Release
from offline.rehearsal.kube import Obj

ROLE = "rehearsal/role"
"""Label of a stand-in pod: what its running on a node brings about (see ``kubelet``)."""
SOURCE = "rehearsal/source"
"""Label: the chart or add-on that it stands for."""
FINDS_GPUS = "finds-gpus"
ADVERTISES = "advertises"
CLEARS_TAINT = "clears-taint"
DETAIL = "rehearsal/detail"
"""Annotation: the resource advertised or the key of the startup taint removed."""

_ANY = ({"operator": "Exists"},)
_GPU = ({"key": GPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"},)
_CRITICAL = ({"key": "CriticalAddonsOnly", "operator": "Exists"},)
_GPU_OPERATOR = versions.GPU_OPERATOR.name
_EFA_PLUGIN = versions.EFA_DEVICE_PLUGIN.name
_ON_GPU_INSTANCES = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchExpressions": [{"key": "karpenter.k8s.aws/instance-gpu-manufacturer", "operator": "Exists"}]}
            ]
        }
    }
}


@dataclass(frozen=True)
class Agent:
    """One workload of a chart or add-on, and where the source's values say where it may run."""

    source: str
    name: str
    cpu: str = "10m"
    memory: str = "20Mi"
    replicas: int | None = None
    """None: a DaemonSet."""
    at: str = ""
    """Dotted path of the values that hold ``tolerations``, ``nodeSelector`` and ``affinity``; "" is the top."""
    resources: str = ""
    """Dotted path of the values that hold ``requests``, where it is not ``<at>.resources``."""
    tolerations: tuple[Obj, ...] = ()
    """The chart's default."""
    selector: tuple[tuple[str, str], ...] = ()
    """Set by the controller that makes the workload, not by values."""
    affinity: Mapping[str, Any] | None = None
    switch: str = ""
    """Dotted path of the value that turns it off."""
    apart: bool = False
    """Replicas must be on different nodes (the chart's own anti-affinity)."""
    role: str = ""
    detail: str = ""


def _operand(name: str, label: str, switch: str, role: str = "", detail: str = "") -> Agent:
    """Return a DaemonSet of the GPU Operator: it goes where the operator has labelled a node."""
    return Agent(
        _GPU_OPERATOR, name, at="daemonsets", tolerations=_GPU, selector=((f"nvidia.com/gpu.deploy.{label}", "true"),),
        switch=switch, role=role, detail=detail,
    )  # fmt: skip


AGENTS = (
    Agent(
        versions.KARPENTER.name, "karpenter", "1", "1Gi", replicas=2, resources="controller.resources",
        tolerations=_CRITICAL, apart=True,
    ),
    Agent(_GPU_OPERATOR, "gpu-operator", "200m", "100Mi", replicas=1, at="operator"),
    Agent(_GPU_OPERATOR, "nfd-master", "100m", "128Mi", replicas=1, at="node-feature-discovery.master"),
    Agent(_GPU_OPERATOR, "nfd-gc", "10m", "128Mi", replicas=1, at="node-feature-discovery.gc"),
    Agent(
        _GPU_OPERATOR, "nfd-worker", "5m", "64Mi", at="node-feature-discovery.worker", tolerations=_GPU,
        switch="nfd.enabled", role=FINDS_GPUS,
    ),
    _operand("nvidia-device-plugin", "device-plugin", "devicePlugin.enabled", ADVERTISES, GPU_RESOURCE),
    _operand("gpu-feature-discovery", "gpu-feature-discovery", "gfd.enabled"),
    _operand("nvidia-dcgm-exporter", "dcgm-exporter", "dcgmExporter.enabled"),
    _operand("nvidia-operator-validator", "operator-validator", ""),
    Agent(_EFA_PLUGIN, "efa-device-plugin", role=ADVERTISES, detail=EFA_RESOURCE, affinity=_ON_GPU_INSTANCES),
    Agent(versions.VPC_CNI, "aws-node", "50m", tolerations=_ANY),
    Agent(versions.KUBE_PROXY, "kube-proxy", "100m", tolerations=_ANY),
    Agent(versions.POD_IDENTITY_AGENT, "eks-pod-identity-agent", tolerations=_ANY),
    Agent(versions.COREDNS, "coredns", "100m", "70Mi", replicas=2, tolerations=_CRITICAL),
    Agent(versions.METRICS_SERVER, "metrics-server", "100m", "200Mi", replicas=2),
    Agent(versions.EBS_CSI, "ebs-csi-controller", "60m", "240Mi", replicas=2, at="controller", tolerations=_CRITICAL),
    Agent(
        versions.EBS_CSI, "ebs-csi-node", "30m", "120Mi", at="node", tolerations=_ANY,
        role=CLEARS_TAINT, detail="ebs.csi.aws.com/agent-not-ready",
    ),
    Agent(versions.EFS_CSI, "efs-csi-controller", replicas=2, at="controller", tolerations=_CRITICAL),
    Agent(
        versions.EFS_CSI, "efs-csi-node", at="node", tolerations=_ANY,
        role=CLEARS_TAINT, detail="efs.csi.aws.com/agent-not-ready",
    ),
    Agent(versions.NODE_MONITORING_AGENT, "eks-node-monitoring-agent", "10m", "30Mi", tolerations=_ANY),
    Agent(versions.NODE_MONITORING_AGENT, "dcgm-server", at="dcgmAgent", affinity=_ON_GPU_INSTANCES),
)  # fmt: skip


def of(source: Release | Addon) -> list[Obj]:
    """Return the workloads that stand for a release or an add-on; none for one that only brings CRDs."""
    name, namespace = (source.chart, source.namespace) if isinstance(source, Release) else (source.name, "kube-system")
    agents = (a for a in AGENTS if a.source == name)
    return [_workload(a, namespace, source.values) for a in agents if value_at(source.values, a.switch) is not False]


def unknown(sources: Iterable[Release | Addon]) -> list[str]:
    """Names of charts and add-ons that have no stand-in."""
    known = {agent.source for agent in AGENTS} | {versions.KARPENTER_CRD.name}
    names = (s.chart if isinstance(s, Release) else s.name for s in sources)
    return sorted({name for name in names if name not in known})


def value_at(values: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted path; the whole for "", None where it is not set."""
    found: Any = values
    for key in filter(None, path.split(".")):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _workload(agent: Agent, namespace: str, values: Mapping[str, Any]) -> Obj:
    place = value_at(values, agent.at) or {}
    asked = value_at(values, agent.resources or f"{agent.at}.resources".lstrip(".")) or {}
    requests = {"cpu": agent.cpu, "memory": agent.memory} | (asked.get("requests") or {})
    labels = {"app.kubernetes.io/name": agent.name, SOURCE: agent.source} | ({ROLE: agent.role} if agent.role else {})
    spec: Obj = {
        "tolerations": list(place.get("tolerations") or agent.tolerations),
        "nodeSelector": {**(place.get("nodeSelector") or {}), **dict(agent.selector)},
        "affinity": _affinity(agent, place, labels),
        "priorityClassName": "system-cluster-critical" if agent.replicas else "system-node-critical",
        "containers": [
            {"name": agent.name, "image": "rehearsal.invalid/stand-in", "resources": {"requests": requests}}
        ],
    }
    template = {"metadata": {"labels": labels, "annotations": {DETAIL: agent.detail}}, "spec": spec}
    selector = {"matchLabels": {"app.kubernetes.io/name": agent.name}}
    replicas = {"replicas": int(place.get("replicas") or place.get("replicaCount") or agent.replicas or 1)}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment" if agent.replicas else "DaemonSet",
        "metadata": {"name": agent.name, "namespace": namespace, "labels": labels},
        "spec": {"selector": selector, "template": template} | (replicas if agent.replicas else {}),
    }  # fmt: skip


def _affinity(agent: Agent, place: Mapping[str, Any], labels: Obj) -> Obj:
    affinity = dict(place.get("affinity") or agent.affinity or {})
    if agent.apart:
        term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {SOURCE: labels[SOURCE]}}}
        affinity |= {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return affinity
