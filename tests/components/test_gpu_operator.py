"""GPU Operator: what it must not do twice, where it runs, and where its images come from."""

import json
from typing import Any

import pytest
import yaml

from components.chart_images import started_images
from components.gpu_operator import GpuOperator, GpuOperatorArgs
from components.gpu_operator.values import AMI_CONTENTS, UnknownAmiFamilyError, operator_values
from components.scheduling import GPU_TAINT, SYSTEM_TAINT
from offline.harness import deploy
from offline.teardown import requirements


@pytest.mark.parametrize("family", list(AMI_CONTENTS))
def test_nothing_is_installed_that_the_ami_already_has(family: str) -> None:
    """Prevents a second driver or container toolkit on the node, which breaks both (NVIDIA/gpu-operator#528)."""
    values = operator_values(family)
    assert values["driver"]["enabled"] is False
    assert values["toolkit"]["enabled"] is False
    assert values["cdi"] == {"enabled": True, "nriPluginEnabled": False}
    assert values["devicePlugin"]["enabled"] is True
    assert values["nfd"]["enabled"] is values["gfd"]["enabled"] is True
    assert values["migManager"]["enabled"] is False


def test_an_unknown_ami_is_refused() -> None:
    """Prevents a guess about what an AMI contains: wrong either way, the GPUs are missing or the node is broken."""
    with pytest.raises(UnknownAmiFamilyError, match="al2023, bottlerocket"):
        operator_values("al2")


def test_one_host_engine_owns_the_port() -> None:
    """Prevents the replacement of healthy nodes: a second engine takes port 5555 from the node monitoring agent."""
    values = operator_values("al2023")
    assert values["dcgm"]["enabled"] is False
    assert values["dcgmExporter"]["enabled"] is True
    assert values["dcgmExporter"]["serviceMonitor"]["enabled"] is False


def tolerates(tolerations: list[dict[str, Any]], taint: dict[str, str]) -> bool:
    """Tell whether some toleration covers the taint."""
    return any(each["key"] == taint["key"] and each.get("effect") in (None, taint["effect"]) for each in tolerations)


def test_every_part_reaches_its_nodes() -> None:
    """Prevents operands that never start on tainted nodes (the device plugin above all), and controllers on GPUs."""
    values = operator_values("al2023")
    nfd = values["node-feature-discovery"]
    assert tolerates(values["daemonsets"]["tolerations"], GPU_TAINT)
    assert tolerates(nfd["worker"]["tolerations"], GPU_TAINT)
    for controller in (values["operator"], nfd["master"], nfd["gc"]):
        assert tolerates(controller["tolerations"], SYSTEM_TAINT)
        assert controller["nodeSelector"] == {"llm-serving/pool": "system"}


def test_sharing_profiles_are_what_the_device_plugin_reads() -> None:
    """Prevents a node label that names a configuration which does not exist."""
    config = operator_values("al2023", time_slices=(4, 2, 4))["devicePlugin"]["config"]
    assert list(config["data"]) == ["default", "time-sliced-2", "time-sliced-4"]
    sliced = yaml.safe_load(config["data"]["time-sliced-4"])["sharing"]["timeSlicing"]
    assert sliced["resources"] == [{"name": "nvidia.com/gpu", "replicas": 4}]
    assert sliced["renameByDefault"] is True
    assert "config" not in operator_values("al2023")["devicePlugin"]


def test_mig_is_managed_by_whoever_owns_it() -> None:
    """Prevents two MIG managers on Bottlerocket and none on Amazon Linux."""
    assert operator_values("al2023", mig=True)["migManager"]["enabled"] is True
    assert operator_values("bottlerocket", mig=True)["migManager"]["enabled"] is False
    assert operator_values("al2023", mig=True)["mig"]["strategy"] == "mixed"


def test_mirrored_operands_pull_from_nowhere_else() -> None:
    """Prevents an air-gapped cluster whose operator starts but whose device plugin cannot be pulled."""
    args: GpuOperatorArgs = {"ami_family": "al2023", "mig": True, "registries": {"images": "mirror.corp/p"}}
    release = deploy(lambda: GpuOperator("gpu-operator", args)).one("kubernetes:helm.sh/v3:Release")
    text = json.dumps(release.inputs["values"])
    assert text.count("mirror.corp/p") == len(started_images("gpu-operator", operator_values("al2023", mig=True)))
    assert "nvcr.io" not in text
    assert "registry.k8s.io" not in text
    assert "mirror.corp/p/nvidia/k8s" in text
    assert "mirror.corp/p/nfd/node-feature-discovery" in text


def test_the_namespace_is_ours_and_outlives_the_release() -> None:
    """Prevents a namespace that Helm makes and destroy leaves behind, and operands that admission refuses."""
    args: GpuOperatorArgs = {"ami_family": "al2023"}
    made = deploy(lambda: GpuOperator("gpu-operator", args))
    namespace = made.one("kubernetes:core/v1:Namespace")
    release = made.one("kubernetes:helm.sh/v3:Release")
    assert namespace.inputs["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "privileged"}
    assert namespace.urn in requirements(made, release.urn)
    assert release.inputs["version"] == "v26.7.0"
    assert not release.inputs.get("createNamespace")
