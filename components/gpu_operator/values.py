"""Helm values of the GPU Operator by AMI family. Pure.

Which operands to switch off is decided by what the AMI already contains: an operand that is there twice breaks the
node (NVIDIA/gpu-operator#528), one that is missing leaves it without ``nvidia.com/gpu``.
"""

from typing import Any, NamedTuple

from components.scheduling import GPU_TAINT, system_placement, toleration


class AmiContents(NamedTuple):
    """What a family's NVIDIA AMI brings along."""

    driver: bool
    toolkit: bool
    mig_manager: bool


AMI_CONTENTS = {
    # awslabs/amazon-eks-ami@81fec2e (v20260714): driver 580.159.03, toolkit 1.19.1 with CDI, no device plugin.
    "al2023": AmiContents(driver=True, toolkit=True, mig_manager=False),
    # awsdocs/amazon-eks-user-guide latest/ug/ml/ml-eks-optimized-ami.adoc: plugin and MIG are settings of the system.
    "bottlerocket": AmiContents(driver=True, toolkit=True, mig_manager=True),
}

TIME_SLICE_CONFIG = "time-sliced-{replicas}"
"""Name of a device plugin configuration; a node chooses it by the label nvidia.com/device-plugin.config."""


class UnknownAmiFamilyError(LookupError):
    """A family for which nobody wrote down what its AMI contains."""


def operator_values(
    ami_family: str,
    *,
    time_slices: tuple[int, ...] = (),
    mig: bool = False,
) -> dict[str, Any]:
    """Return the chart's values.

    ``time_slices`` are the numbers of replicas that some pool cuts its GPUs into; ``mig`` whether one partitions GPUs.

    Raises:
        UnknownAmiFamilyError: a family that ``AMI_CONTENTS`` does not have.

    """
    if ami_family not in AMI_CONTENTS:
        raise UnknownAmiFamilyError(f"unknown AMI family {ami_family!r}; accepted: {', '.join(AMI_CONTENTS)}")
    contents = AMI_CONTENTS[ami_family]
    gpu_tolerations = [toleration(GPU_TAINT)]
    return {
        "driver": {"enabled": not contents.driver},
        "toolkit": {"enabled": not contents.toolkit},
        # The NRI plugin ships in the toolkit container, which is off.
        "cdi": {"enabled": True, "nriPluginEnabled": False},
        # Bottlerocket nodes are opted out one by one, by a label of their pool.
        "devicePlugin": {"enabled": True, **_device_plugin_config(time_slices, "mixed" if mig else "none")},
        "gfd": {"enabled": True},
        # Must stay: without its label the operator takes the operands off the node.
        "nfd": {"enabled": True},
        "mig": {"strategy": "mixed" if mig else "single"},
        "migManager": {"enabled": mig and not contents.mig_manager},
        # A host engine of its own would hold port 5555, where the node monitoring agent looks for its own; the agent
        # then reports healthy GPUs as broken and the nodes are replaced (aws/containers-roadmap#2555).
        "dcgm": {"enabled": False},
        # A ServiceMonitor needs the Prometheus CRDs, which this program does not install.
        "dcgmExporter": {"enabled": True, "serviceMonitor": {"enabled": False}},
        **{
            operand: {"enabled": False}
            for operand in (
                "vfioManager",
                "vgpuDeviceManager",
                "sandboxDevicePlugin",
                "kataSandboxDevicePlugin",
                "ccManager",
            )
        },
        "daemonsets": {"tolerations": gpu_tolerations},
        "operator": {**system_placement()},
        "node-feature-discovery": {
            "master": system_placement(),
            "gc": system_placement(),
            "worker": {"tolerations": gpu_tolerations, "affinity": _only_gpu_nodes()},
        },
    }


def _device_plugin_config(time_slices: tuple[int, ...], mig_strategy: str) -> dict[str, Any]:
    if not time_slices:
        return {}
    head = f"version: v1\nflags: {{migStrategy: {mig_strategy}}}\n"
    data = {"default": head}
    for replicas in sorted(set(time_slices)):
        data[TIME_SLICE_CONFIG.format(replicas=replicas)] = (
            f"{head}"
            "sharing:\n"
            "  timeSlicing:\n"
            "    renameByDefault: true\n"
            "    failRequestsGreaterThanOne: true\n"
            "    resources:\n"
            f"    - {{name: nvidia.com/gpu, replicas: {replicas}}}\n"
        )
    return {"config": {"create": True, "name": "device-plugin-config", "default": "default", "data": data}}


def _only_gpu_nodes() -> dict[str, Any]:
    """Affinity that keeps feature discovery off nodes that have nothing to discover."""
    expression = {"key": "karpenter.k8s.aws/instance-gpu-manufacturer", "operator": "In", "values": ["nvidia"]}
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [expression]}],
            },
        },
    }
