"""Promises that pools, workloads and charts of the whole program make to each other."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from components import daemonsets
from components.scheduling import EFA_RESOURCE, GPU_RESOURCE, POOL_LABEL
from components.sizing.catalog import instance_type
from offline.program import ROOT, deploy_stack, stack_file
from offline.recording import Deployment, Registration
from offline.stack_files import StackFiles, read_stack
from offline.teardown import destroy_position
from offline.values import leaves
from tests.program.conftest import STACKS, recorded

MIRROR = {"images": "mirror.corp/llm", "charts": "oci://mirror.corp/charts"}
PUBLIC = ("docker.io", "nvcr.io", "quay.io", "ghcr.io", "registry.k8s.io", "public.ecr.aws", ".dkr.ecr.", "vllm/vllm")
CHARTS = ("https://", "http://", "oci://")


@pytest.fixture(params=STACKS)
def up(request: Any) -> Deployment:
    """Return what each shipped stack registers, in turn."""
    return recorded(request.param)


def pools(deployment: Deployment) -> dict[str, list[dict[str, Any]]]:
    """Return the specs of the NodePools by logical pool."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in deployment.of_kind("NodePool"):
        spec = each.inputs["spec"]
        found.setdefault(spec["template"]["metadata"]["labels"][POOL_LABEL], []).append(spec)
    return found


def gpu_pods(deployment: Deployment) -> Iterator[tuple[Registration, dict[str, Any]]]:
    """Yield every workload that asks for GPUs, with its pod template."""
    for each in deployment.of_kind("Deployment"):
        template = each.inputs["spec"]["template"]
        if any(GPU_RESOURCE in c["resources"].get("limits", {}) for c in template["spec"]["containers"]):
            yield each, template


def expressions(template: dict[str, Any]) -> dict[str, list[str]]:
    """Return what a pod's node affinity requires, by label."""
    affinity = template["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return {e["key"]: e["values"] for term in affinity["nodeSelectorTerms"] for e in term["matchExpressions"]}


def required(spec: dict[str, Any], key: str) -> list[str]:
    """Return the values that a NodePool requires of a label."""
    return next(r["values"] for r in spec["template"]["spec"]["requirements"] if r["key"] == key)


def tolerated(taint: dict[str, str], tolerations: list[dict[str, str]]) -> bool:
    """Tell whether some toleration covers the taint."""
    return any(
        each.get("key") == taint["key"] and each.get("effect") in (None, "", taint["effect"]) for each in tolerations
    )


def minutes(duration: str) -> int:
    """Return a duration of Karpenter's in minutes."""
    return int(duration.removesuffix("m"))


def test_draining_a_node_leaves_the_pods_their_time(up: Deployment) -> None:
    """Prevents requests cut off in the middle: a node's grace period shorter than its pods' ends them by force."""
    workloads = list(gpu_pods(up))
    assert workloads
    for each, template in workloads:
        needed = template["spec"]["terminationGracePeriodSeconds"]
        for name in expressions(template)[POOL_LABEL]:
            for spec in pools(up)[name]:
                assert minutes(spec["template"]["spec"]["terminationGracePeriod"]) * 60 >= needed, each.name


def test_serving_pods_are_not_moved_for_money(up: Deployment) -> None:
    """Prevents the eviction of a loaded model by any voluntary disruption that a budget overlooked."""
    for _, template in gpu_pods(up):
        assert template["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true"


def test_pods_can_land_on_what_their_pools_launch(up: Deployment) -> None:
    """Prevents pods that stay pending for ever: pinned to a type that no pool has, or against a taint of theirs."""
    for each, template in gpu_pods(up):
        wanted = expressions(template)
        specs = [spec for name in wanted[POOL_LABEL] for spec in pools(up)[name]]
        offered = {name for spec in specs for name in required(spec, "node.kubernetes.io/instance-type")}
        assert set(wanted["node.kubernetes.io/instance-type"]) <= offered, each.name
        for spec in specs:
            for taint in spec["template"]["spec"]["taints"]:
                assert tolerated(taint, template["spec"]["tolerations"]), (each.name, taint)


def test_no_node_can_be_taken_by_a_smaller_pod(up: Deployment) -> None:
    """Prevents node stealing, seen in 2 of 6 runs: a pod may only land on types with exactly its number of GPUs."""
    for each, template in gpu_pods(up):
        asked = sum(int(c["resources"]["limits"].get(GPU_RESOURCE, 0)) for c in template["spec"]["containers"])
        for name in expressions(template)["node.kubernetes.io/instance-type"]:
            assert instance_type(name).gpu_count == asked, (each.name, name)


def test_limits_have_room_for_every_replica_and_one_node_more(up: Deployment) -> None:
    """Prevents 'all available instance types exceed limits for nodepool' in the middle of a rollout."""
    taken: dict[str, int] = {}
    for _, template in gpu_pods(up):
        gpus = sum(int(c["resources"]["limits"].get(GPU_RESOURCE, 0)) for c in template["spec"]["containers"])
        for name in expressions(template)[POOL_LABEL]:
            taken[name] = taken.get(name, 0) + gpus
    for name, gpus in taken.items():
        for spec in pools(up)[name]:
            largest = max(instance_type(t).gpu_count for t in required(spec, "node.kubernetes.io/instance-type"))
            assert int(spec["limits"][GPU_RESOURCE]) >= gpus + largest


def test_whatever_karpenter_made_goes_before_what_it_stands_on(up: Deployment) -> None:
    """Prevents a VPC that cannot be deleted because an instance or its interface is still in it."""
    position = destroy_position(up)
    karpenters = [r for kind in ("NodePool", "EC2NodeClass") for r in up.of_kind(kind)]
    cache = {r.urn for r in up.resources if "ModelCache" in r.urn}
    stands_on = [r for r in up.resources if r.package in ("aws", "eks") and r.custom and r.urn not in cache]
    stands_on = [r for r in stands_on if "VllmModel" not in r.urn and "weights" not in r.name]
    assert karpenters
    late = [
        (r.name, below.type, below.name)
        for r in karpenters
        for below in stands_on
        if position[r.urn] >= position[below.urn]
    ]
    assert not late


def test_requests_leave_room_for_the_daemonsets(up: Deployment) -> None:
    """Prevents pods that fit no node (defect R5): what is asked stays below what Karpenter expects a node to offer."""
    for each, template in gpu_pods(up):
        requests = [container["resources"]["requests"] for container in template["spec"]["containers"]]
        millicores = sum(int(r["cpu"].removesuffix("m")) for r in requests)
        mebibytes = sum(int(r["memory"].removesuffix("Mi")) for r in requests)
        efa = any(EFA_RESOURCE in r for r in requests)
        for name in expressions(template)["node.kubernetes.io/instance-type"]:
            offered = instance_type(name)
            taken = daemonsets.millicores(efa=efa), daemonsets.mebibytes(efa=efa)
            assert millicores + taken[0] <= offered.allocatable_cpu_millicores, (each.name, name)
            assert mebibytes + taken[1] <= offered.allocatable_memory_mib, (each.name, name)


def test_gpu_pools_span_zones(up: Deployment) -> None:
    """Prevents a pool that dies with one zone, or with one zone's capacity (defect R4); EFA pools are the exception."""
    for name, specs in pools(up).items():
        for spec in specs:
            assert len(required(spec, "topology.kubernetes.io/zone")) > 1, name


def unmirrored(deployment: Deployment) -> set[str]:
    """Return every text in a Kubernetes object or chart that names a public registry or chart repository."""
    found: set[str] = set()
    for each in deployment.resources:
        if each.package != "kubernetes" or each.is_provider:
            continue
        texts = {text for _, text in leaves(each.inputs) if isinstance(text, str) and "mirror.corp" not in text}
        found |= {text for text in texts if any(host in text for host in PUBLIC)}
        if each.type.endswith(":Release"):
            found |= {text for text in texts if text.startswith(CHARTS)}
    return found


def test_a_mirrored_cluster_reaches_for_nothing_else() -> None:
    """Prevents an air-gapped cluster with one image or chart left on the internet, a chart's own images included."""
    files = read_stack(ROOT, stack_file("prod"))
    mirrored = {**files.config, "llm-serving:registries": json.dumps(MIRROR)}
    assert unmirrored(recorded("prod"))
    assert not unmirrored(deploy_stack(StackFiles(files.project, files.stack, mirrored, files.secrets)))
