"""Serves the components to Pulumi programs in other languages (`pulumi package add ./components`)."""

import sys
from pathlib import Path

# Run as `python components`, the package's parent is not on the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pulumi.provider.experimental import component_provider_host

from components.cluster import Cluster, ExistingCluster
from components.efa_device_plugin import EfaDevicePlugin
from components.gpu_operator import GpuOperator
from components.karpenter import CpuNodePool, GpuNodePool, Karpenter
from components.model_cache import ModelCache, ModelPreload
from components.model_sizing import ModelSizing
from components.network import Network
from components.pod_identity import PodIdentity
from components.vllm import ServingNamespace, VllmModel

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
    component_provider_host(name="llm-serving", components=COMPONENTS)
