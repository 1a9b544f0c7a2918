"""Model servers: the namespace they run in, and one workload per model."""

from components.vllm.model import VllmModel, VllmModelArgs
from components.vllm.namespace import ServingNamespace, ServingNamespaceArgs

__all__ = ["ServingNamespace", "ServingNamespaceArgs", "VllmModel", "VllmModelArgs"]
