"""A cluster that somebody else owns: only what the platform and the model servers need to know of it."""

import json
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes


class ExistingClusterArgs(TypedDict):
    """Inputs of ExistingCluster."""

    cluster_name: str
    """Name of the cluster. It needs API authentication, the add-ons eks-pod-identity-agent and aws-efs-csi-driver,
    and two nodes labelled ``llm-serving/pool: system``."""
    region: str
    """Region of the cluster."""
    kubernetes_version: NotRequired[str | None]
    """What the cluster is believed to run; another version is refused. Default: any."""
    believed_vpc_id: NotRequired[str | None]
    """The VPC that the cluster is believed to live in; another one is refused. Default: any."""
    kubeconfig_profile: NotRequired[str | None]
    """AWS profile that the Kubernetes provider signs in with. Default: the ambient credentials."""
    kubeconfig_role_arn: NotRequired[str | None]
    """Role that the Kubernetes provider takes."""


class MistakenClusterError(pulumi.RunError):
    """The cluster is not what it is believed to be; Pulumi prints the message without a traceback."""


class ExistingCluster(pulumi.ComponentResource):
    """Reads a cluster and makes the provider that reaches it; never changes or deletes it."""

    cluster_name: pulumi.Output[str]
    cluster_arn: pulumi.Output[str]
    endpoint: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    """The group that EKS made."""
    oidc_provider_url: pulumi.Output[str]
    """The issuer; unique to this instance of the cluster."""
    vpc_id: pulumi.Output[str]
    kubernetes_version: pulumi.Output[str]

    def __init__(self, name: str, args: ExistingClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("llm-serving:index:ExistingCluster", name, {**args}, opts)
        cluster = aws.eks.get_cluster_output(name=args["cluster_name"], opts=pulumi.InvokeOutputOptions(parent=self))
        self.cluster_name = cluster.name
        self.cluster_arn = cluster.arn
        self.endpoint = cluster.endpoint
        self.security_group_id = cluster.vpc_config.cluster_security_group_id
        self.oidc_provider_url = cluster.identities[0].oidcs[0].issuer
        self.vpc_id = cluster.vpc_config.vpc_id
        self.kubernetes_version = cluster.version
        believed = {"version": args.get("kubernetes_version"), "VPC": args.get("believed_vpc_id")}
        found = pulumi.Output.all(self.kubernetes_version, self.vpc_id)
        checked = found.apply(
            lambda each: check_beliefs(args["cluster_name"], believed, {"version": each[0], "VPC": each[1]})
        )
        self.kubernetes = kubernetes.Provider(
            name,
            kubeconfig=pulumi.Output.all(cluster.endpoint, cluster.certificate_authorities[0].data, checked).apply(
                lambda known: kubeconfig(
                    args["cluster_name"],
                    region=args["region"],
                    endpoint=known[0],
                    certificate_authority=known[1],
                    profile=args.get("kubeconfig_profile"),
                    role_arn=args.get("kubeconfig_role_arn"),
                )
            ),
            cluster_identifier=self.oidc_provider_url,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs(
            {
                "clusterName": self.cluster_name,
                "clusterArn": self.cluster_arn,
                "endpoint": self.endpoint,
                "securityGroupId": self.security_group_id,
                "oidcProviderUrl": self.oidc_provider_url,
                "vpcId": self.vpc_id,
                "kubernetesVersion": self.kubernetes_version,
            },
        )


def check_beliefs(name: str, believed: Mapping[str, str | None], found: Mapping[str, str]) -> bool:
    """Return True where the cluster is what it is believed to be, as far as both are known. Pure.

    Raises:
        MistakenClusterError: with every difference.

    """
    wrong = [
        f"{what} {found[what]}, not {belief}"
        for what, belief in believed.items()
        if belief and found[what] and belief != found[what]
    ]
    if wrong:
        raise MistakenClusterError(f"cluster {name} has {' and '.join(wrong)}: correct the stack file")
    return True


def kubeconfig(
    cluster_name: str,
    *,
    region: str,
    endpoint: str,
    certificate_authority: str,
    profile: str | None = None,
    role_arn: str | None = None,
) -> str:
    """Return a kubeconfig as JSON that signs in with the ``aws`` command, so that it holds no credential. Pure."""
    command = ["--region", region, "eks", "get-token", "--cluster-name", cluster_name, "--output", "json"]
    user: dict[str, Any] = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "aws",
        "args": [*command, *(["--role-arn", role_arn] if role_arn else [])],
    }
    if profile:
        user["env"] = [{"name": "AWS_PROFILE", "value": profile}]
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": cluster_name,
                    "cluster": {"server": endpoint, "certificate-authority-data": certificate_authority},
                }
            ],
            "contexts": [{"name": cluster_name, "context": {"cluster": cluster_name, "user": cluster_name}}],
            "current-context": cluster_name,
            "users": [{"name": cluster_name, "user": {"exec": user}}],
        },
    )
