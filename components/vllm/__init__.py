"""Model servers: the namespace they run in, and one workload per model."""

from components.vllm.drain import eviction_minutes
from components.vllm.model import VllmModel, VllmModelArgs
from components.vllm.namespace import API_KEY_SECRET, HUGGING_FACE_SECRET, ServingNamespace, ServingNamespaceArgs

__all__ = [
    "API_KEY_SECRET",
    "HUGGING_FACE_SECRET",
    "ServingNamespace",
    "ServingNamespaceArgs",
    "VllmModel",
    "VllmModelArgs",
    "eviction_minutes",
]
