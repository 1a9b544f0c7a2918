"""AWS permissions for the pods of one service account."""

from components.pod_identity.pod_identity import PodIdentity, PodIdentityArgs

__all__ = ["PodIdentity", "PodIdentityArgs"]
