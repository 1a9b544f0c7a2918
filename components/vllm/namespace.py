"""ServingNamespace: where models run, closed by default."""

from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from components.pods import SECRET_KEY

HUGGING_FACE_SECRET = "hugging-face"  # noqa: S105  the name of an object
API_KEY_SECRET = "model-api-key"  # noqa: S105  the name of an object


class ServingNamespaceArgs(TypedDict):
    """Inputs of ServingNamespace."""

    namespace: str
    """Name of the namespace."""
    hugging_face_token: NotRequired[pulumi.Input[str] | None]
    """Token for gated models. Default: no Secret, public models only."""
    api_key: NotRequired[pulumi.Input[str] | None]
    """Key that callers of the models must present. Default: no Secret, none asked for."""


class ServingNamespace(pulumi.ComponentResource):
    """Namespace that enforces the restricted Pod Security Standard and denies all traffic that no policy allows."""

    namespace_name: pulumi.Output[str]

    def __init__(self, name: str, args: ServingNamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        # The credentials are left out: the only place that holds them is the Secret.
        super().__init__("llm-serving:index:ServingNamespace", name, {"namespace": args["namespace"]}, opts)
        child = pulumi.ResourceOptions(parent=self)
        namespace = k8s.core.v1.Namespace(f"{name}-namespace", **namespace_manifest(args["namespace"]), opts=child)
        inside = pulumi.ResourceOptions(parent=self, depends_on=[namespace])
        k8s.networking.v1.NetworkPolicy(f"{name}-default-deny", **default_deny(args["namespace"]), opts=inside)
        for role, secret, value in (
            ("hugging-face", HUGGING_FACE_SECRET, args.get("hugging_face_token")),
            ("api-key", API_KEY_SECRET, args.get("api_key")),
        ):
            if value is not None:
                k8s.core.v1.Secret(
                    f"{name}-{role}",
                    metadata={"name": secret, "namespace": args["namespace"]},
                    type="Opaque",
                    string_data={SECRET_KEY: pulumi.Output.secret(value)},
                    opts=inside,
                )
        self.namespace_name = namespace.metadata.name
        self.register_outputs({"namespaceName": self.namespace_name})


def namespace_manifest(namespace: str) -> dict[str, Any]:
    """Return metadata of the namespace."""
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    return {"metadata": {"name": namespace, "labels": {**levels, "app.kubernetes.io/part-of": "llm-serving"}}}


def default_deny(namespace: str) -> dict[str, Any]:
    """Return metadata and spec of the policy that selects every pod and allows nothing."""
    return {
        "metadata": {"name": "default-deny", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }
