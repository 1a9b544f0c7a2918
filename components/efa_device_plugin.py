"""EfaDevicePlugin: makes ``vpc.amazonaws.com/efa`` appear on nodes with EFA interfaces."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as kubernetes

from components import versions
from components.registries import RegistriesArgs, chart, mirrored
from components.scheduling import GPU_TAINT, toleration

NAMESPACE = "kube-system"


class EfaDevicePluginArgs(TypedDict):
    """Inputs of EfaDevicePlugin."""

    instance_types: list[str]
    """Types of the pools with EFA; the plugin runs on no other node."""
    registries: NotRequired[RegistriesArgs | None]
    """Mirror of charts and images."""


class EfaDevicePlugin(pulumi.ComponentResource):
    """The EFA device plugin, which no AMI contains. Pods of several nodes depend on it."""

    namespace: pulumi.Output[str]

    def __init__(self, name: str, args: EfaDevicePluginArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("llm-serving:index:EfaDevicePlugin", name, {**args}, opts)
        registries = args.get("registries")
        values = {
            # The chart tolerates nothing: on tainted GPU nodes the resource would never appear, and Karpenter would
            # keep the node as uninitialized.
            "tolerations": [toleration(GPU_TAINT)],
            "supportedInstanceLabels": {
                "keys": ["node.kubernetes.io/instance-type"],
                "values": list(args["instance_types"]),
            },
        }
        kubernetes.helm.v3.Release(
            name,
            name="aws-efa-k8s-device-plugin",
            namespace=NAMESPACE,
            **chart(versions.EFA_DEVICE_PLUGIN, registries),
            values=mirrored(versions.EFA_DEVICE_PLUGIN, values, registries),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.namespace = pulumi.Output.from_input(NAMESPACE)
        self.register_outputs({"namespace": self.namespace})
