"""What every pod of the program's own has in common: its user, its confinement, its way out. Pure."""

from typing import Any

UID, GID = 2000, 0
"""User ``vllm`` of vLLM's image, whose home is writable by group 0 (vllm-project/vllm#40275).

Servers and preloaders run as it, and the model cache's access point makes it the owner of every file.
"""
MODELS_PATH = "/models"
"""Where the model cache is mounted."""
SECRET_KEY = "token"  # noqa: S105  the name of a key, not its value
"""Key of every Secret of ours."""

_METADATA_SERVICE = "169.254.169.254/32"
_POD_IDENTITY_AGENT = "169.254.170.23/32"
"""Where pods get AWS credentials (docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html)."""


def pod_security() -> dict[str, Any]:
    """Return a pod's security context: what the restricted Pod Security Standard asks for, as the image's user."""
    return {
        "runAsNonRoot": True,
        "runAsUser": UID,
        "runAsGroup": GID,
        "fsGroup": GID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security(*, read_only_root: bool) -> dict[str, Any]:
    """Return a container's security context."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": read_only_root,
        "capabilities": {"drop": ["ALL"]},
    }


def from_secret(variable: str, secret: str) -> dict[str, Any]:
    """Return an environment variable whose value only the Secret has."""
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret, "key": SECRET_KEY}}}


def dns_egress() -> dict[str, Any]:
    """Return the network rule that lets pods resolve names."""
    return {
        "to": [
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
            }
        ],
        "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
    }


def https_egress() -> dict[str, Any]:
    """Return the network rule that lets pods reach AWS and the internet, but not the instance's metadata service."""
    return {
        "to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": [_METADATA_SERVICE]}}],
        "ports": [{"port": 443, "protocol": "TCP"}],
    }


def pod_identity_egress() -> dict[str, Any]:
    """Return the network rule that lets pods fetch their AWS credentials."""
    return {"to": [{"ipBlock": {"cidr": _POD_IDENTITY_AGENT}}], "ports": [{"port": 80, "protocol": "TCP"}]}
