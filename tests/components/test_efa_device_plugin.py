"""The EFA device plugin as a release."""

from components.efa_device_plugin import EfaDevicePlugin, EfaDevicePluginArgs
from offline.harness import deploy

RELEASE = "kubernetes:helm.sh/v3:Release"


def test_it_runs_on_tainted_nodes_of_its_types_only() -> None:
    """Prevents nodes that never offer vpc.amazonaws.com/efa because the plugin does not tolerate their taint."""
    args: EfaDevicePluginArgs = {"instance_types": ["p5.48xlarge"], "registries": {"images": "mirror.corp"}}
    values = deploy(lambda: EfaDevicePlugin("efa", args)).one(RELEASE).inputs["values"]
    assert values["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert values["supportedInstanceLabels"]["values"] == ["p5.48xlarge"]
    assert values["image"]["repository"] == "mirror.corp/eks/aws-efa-k8s-device-plugin"
