"""By what a resource is recognised as a stack's own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offline.stack_files import StackFiles

_CLUSTER_NAME_TAGS = (
    "eks:eks-cluster-name",  # Karpenter, on instances, volumes, interfaces, launch templates
    "aws:eks:cluster-name",  # EKS, on the cluster's own security group
    "cluster.k8s.amazonaws.com/name",  # VPC CNI, on interfaces of pods
    "elbv2.k8s.aws/cluster",  # AWS Load Balancer Controller
)


@dataclass(frozen=True)
class Owner:
    """One stack, as AWS knows it."""

    region: str
    cluster: str
    tags: Mapping[str, str]
    """Tags that every resource of the program carries; a resource with only some of them is somebody else's."""
    keeps_cache: bool = False
    """The stack file says that the model cache stays when the stack goes."""
    cluster_is_ours: bool = True
    """False: the stack was deployed into somebody else's cluster, whose name alone says nothing."""

    def owns(self, tags: Mapping[str, str]) -> bool:
        """Tell whether tags say that the program, or a controller of its cluster, made a resource."""
        if self.tags and all(tags.get(key) == value for key, value in self.tags.items()):
            return True
        if not self.cluster_is_ours:
            return False
        named = any(tags.get(key) == self.cluster for key in _CLUSTER_NAME_TAGS)
        return named or tags.get(f"kubernetes.io/cluster/{self.cluster}") == "owned"

    def filters(self) -> list[list[dict[str, Any]]]:
        """Return EC2 filters, each of which finds a part of what the stack owns."""
        own = [{"Name": f"tag:{key}", "Values": [value]} for key, value in self.tags.items()]
        if not self.cluster_is_ours:
            return [own]
        named = [[{"Name": f"tag:{key}", "Values": [self.cluster]}] for key in _CLUSTER_NAME_TAGS]
        return [own, *named, [{"Name": f"tag:kubernetes.io/cluster/{self.cluster}", "Values": ["owned"]}]]


def owner_of(stack: StackFiles) -> Owner:
    """Return whom a stack file describes; nothing of it is checked, so that a refused stack can be swept too."""

    def section(key: str) -> Mapping[str, Any]:
        text = stack.config.get(f"{stack.project}:{key}", "")
        return json.loads(text) if text.startswith("{") else {}

    existing = section("cluster").get("name")
    return Owner(
        region=stack.config.get("aws:region", "us-east-1"),
        cluster=str(existing or f"{stack.project}-{stack.stack}"),
        cluster_is_ours=not existing,
        tags={"project": stack.project, "stack": stack.stack, **section("tags")},
        keeps_cache=bool(section("cache").get("retainOnDelete")),
    )


def tag_map(tags: Mapping[str, str] | Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    """Return tags as a dict, in whichever of AWS's four spellings they come."""
    if isinstance(tags, Mapping):
        return {str(key): value for key, value in tags.items()}
    spelled = ({key.lower(): value for key, value in each.items()} for each in tags or ())
    return {each.get("key") or each["tagkey"]: each.get("value", each.get("tagvalue", "")) for each in spelled}
