"""Serves the components to Pulumi programs in other languages (`pulumi package add ./components`)."""

import sys
from pathlib import Path

# Run as `python components`, the package's parent is not on the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pulumi.provider.experimental import component_provider_host  # noqa: E402

from components.cluster import Cluster, ExistingCluster  # noqa: E402
from components.efa_device_plugin import EfaDevicePlugin  # noqa: E402
from components.gpu_operator import GpuOperator  # noqa: E402
from components.karpenter import CpuNodePool, GpuNodePool, Karpenter  # noqa: E402
from components.model_cache import ModelCache, ModelPreload  # noqa: E402
from components.model_sizing import ModelSizing  # noqa: E402
from components.network import Network  # noqa: E402
from components.pod_identity import PodIdentity  # noqa: E402
from components.vllm import ServingNamespace, VllmModel  # noqa: E402

COMPONENTS = [
    Cluster,
    CpuNodePool,
    EfaDevicePlugin,
    ExistingCluster,
    GpuNodePool,
    GpuOperator,
    Karpenter,
    ModelCache,
    ModelPreload,
    ModelSizing,
    Network,
    PodIdentity,
    ServingNamespace,
    VllmModel,
]

if __name__ == "__main__":
    component_provider_host(name="llm-serving", components=COMPONENTS, version="0.1.0")
