"""The GPU Operator as a Helm release in a namespace of its own."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components import versions
from components.gpu_operator.values import operator_values
from components.registries import RegistriesArgs, chart, mirrored

NAMESPACE = "gpu-operator"


class GpuOperatorArgs(TypedDict):
    """Inputs of GpuOperator."""

    ami_family: str
    """``al2023`` or ``bottlerocket``: decides which operands the AMI already has."""
    time_slices: NotRequired[list[int]]
    """Numbers of replicas that some pool cuts its GPUs into. Default none."""
    mig: NotRequired[bool]
    """Whether some pool partitions GPUs. Default false."""
    registries: NotRequired[RegistriesArgs | None]
    """Mirror of charts and images."""


class GpuOperator(pulumi.ComponentResource):
    """Makes ``nvidia.com/gpu`` appear on nodes. Model servers depend on it."""

    namespace: pulumi.Output[str]

    def __init__(self, name: str, args: GpuOperatorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("llm-serving:index:GpuOperator", name, {**args}, opts)
        registries = args.get("registries")
        values = operator_values(
            args["ami_family"],
            time_slices=tuple(int(each) for each in args.get("time_slices", [])),
            mig=args.get("mig", False),
        )
        # Declared, not made by Helm: Helm would leave it behind on destroy.
        namespace = kubernetes.core.v1.Namespace(
            name,
            metadata={
                "name": NAMESPACE,
                # Device plugins mount the host's device directories.
                "labels": {"pod-security.kubernetes.io/enforce": "privileged"},
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        kubernetes.helm.v3.Release(
            name,
            name="gpu-operator",
            namespace=namespace.metadata["name"],
            **chart(versions.GPU_OPERATOR, registries),
            timeout=900,
            values=mirrored(versions.GPU_OPERATOR, values, registries),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.namespace = pulumi.Output.from_input(NAMESPACE)
        self.register_outputs({"namespace": self.namespace})
