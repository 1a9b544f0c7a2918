"""The EKS cluster."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks
import pulumi_kubernetes as kubernetes

from components import versions
from components.cluster.access import create_access
from components.cluster.addons import IDENTITIES, configuration_values
from components.cluster.system_nodes import create_system_nodes
from components.iam import ROLE_NAME_LIMIT, fit, managed_policy, service_trust
from components.pod_identity import PodIdentity
from components.scheduling import DISCOVERY_TAG

LOG_RETENTION_DAYS = 90


class SystemNodesArgs(TypedDict):
    """The managed node group for controllers."""

    instance_types: list[str]
    """amd64 types; each node needs 1 CPU and 1 GiB free for a Karpenter replica."""
    min: int
    """Nodes; at least 2, because the two Karpenter replicas refuse to share one."""
    max: int
    """Nodes; room for a rolling update."""
    disk_gib: int
    """Root volume, gp3, encrypted."""


class ClusterArgs(TypedDict):
    """Inputs of Cluster."""

    cluster_name: str
    """Physical name: IAM conditions and discovery tags carry it. Changing it replaces the cluster."""
    region: str
    """Region of the cluster; decides the partition of policy ARNs."""
    kubernetes_version: str
    """Minor version, e.g. ``1.35``."""
    vpc_id: pulumi.Input[str]
    """VPC of the subnets."""
    private_subnet_ids: pulumi.Input[Sequence[pulumi.Input[str]]]
    """Nodes and control-plane interfaces; in at least two zones."""
    public_subnet_ids: NotRequired[pulumi.Input[Sequence[pulumi.Input[str]]]]
    """For internet-facing load balancers. Default none."""
    endpoint_public_cidrs: NotRequired[list[str]]
    """Blocks that may reach the public endpoint. Default none: the API is private, run pulumi inside the VPC."""
    admins: NotRequired[list[str]]
    """IAM role or user ARNs (people, CI) with full access. Not the creator: EKS makes its entry, a second one fails."""
    readers: NotRequired[list[str]]
    """IAM ARNs that may read everything but secrets."""
    log_types: NotRequired[list[str]]
    """Control-plane logs to CloudWatch: api, audit, authenticator, controllerManager, scheduler. Default none."""
    system_nodes: SystemNodesArgs
    """Nodes for controllers; model servers never run there."""
    addon_versions: NotRequired[dict[str, str]]
    """Exact add-on versions by add-on name. Default: EKS's default for the Kubernetes version."""
    protect: NotRequired[bool]
    """Refuse to delete the cluster and its key, in Pulumi and (cluster) in EKS. Default false."""
    extended_support: NotRequired[bool]
    """Let the cluster run past the end of standard support, billed, instead of being upgraded by EKS. Default false."""
    permissions_boundary: NotRequired[str | None]
    """ARN of the policy that bounds every role made here."""
    kubeconfig_profile: NotRequired[str | None]
    """AWS profile that the Kubernetes provider signs in with. Default: the ambient credentials."""
    kubeconfig_role_arn: NotRequired[str | None]
    """Role that the Kubernetes provider takes. Conflicts with nothing; give it when the AWS provider assumes one."""


class Cluster(pulumi.ComponentResource):
    """EKS control plane with add-ons and system nodes; ``kubernetes`` is the provider for everything inside."""

    cluster_name: pulumi.Output[str]
    """Known once the control plane exists: what needs the cluster depends on it through this name."""
    cluster_arn: pulumi.Output[str]
    endpoint: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    """The group that EKS made; every node carries it, Karpenter's too."""
    oidc_provider_url: pulumi.Output[str]
    """The issuer; unique to this instance of the cluster."""
    addon_versions: pulumi.Output[dict[str, str]]
    """What was installed, by add-on name."""

    def __init__(self, name: str, args: ClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("llm-serving:index:Cluster", name, {**args}, opts)
        child = pulumi.ResourceOptions(parent=self)
        self._args = args
        self._versions = self._resolve_addon_versions()

        cluster = self._control_plane(name)
        self.cluster_name = cluster.eks_cluster.name
        self.cluster_arn = cluster.eks_cluster.arn
        self.endpoint = cluster.eks_cluster.endpoint
        self.security_group_id = cluster.cluster_security_group_id
        self.oidc_provider_url = cluster.oidc_provider_url
        self.addon_versions = pulumi.Output.all(**self._versions)

        aws.ec2.Tag(
            f"{name}-discovery",
            resource_id=self.security_group_id,
            key=DISCOVERY_TAG,
            value=args["cluster_name"],
            opts=child,
        )
        access = create_access(
            name,
            cluster=self.cluster_name,
            region=args["region"],
            admins=args.get("admins", []),
            readers=args.get("readers", []),
            opts=child,
        )
        # kube-proxy comes with eks.Cluster, which makes it before any node.
        before = [self._addon(name, addon, []) for addon in (versions.VPC_CNI, versions.POD_IDENTITY_AGENT)]
        nodes = create_system_nodes(
            name,
            cluster_name=args["cluster_name"],
            region=args["region"],
            cluster=self.cluster_name,
            kubernetes_version=args["kubernetes_version"],
            subnet_ids=args["private_subnet_ids"],
            nodes={**args["system_nodes"]},
            permissions_boundary=args.get("permissions_boundary"),
            parent=self,
            depends_on=[cluster, *before],
        )
        after = [self._addon(name, addon, [nodes]) for addon in versions.ADDONS_AFTER_NODES]
        # The last thing to be created and the first to go: what runs in the cluster always finds nodes, DNS, storage
        # drivers and its own access, also while it is being destroyed.
        self.kubernetes = kubernetes.Provider(
            name,
            kubeconfig=cluster.kubeconfig_json,
            cluster_identifier=self.oidc_provider_url,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[nodes, *after, *access]),
        )
        self.register_outputs(
            {
                "clusterName": self.cluster_name,
                "clusterArn": self.cluster_arn,
                "endpoint": self.endpoint,
                "securityGroupId": self.security_group_id,
                "oidcProviderUrl": self.oidc_provider_url,
                "addonVersions": self.addon_versions,
            },
        )

    def _resolve_addon_versions(self) -> dict[str, pulumi.Input[str]]:
        """Return each add-on's version: the configured one, else EKS's default (not newest) for this Kubernetes."""
        configured: Mapping[str, str] = self._args.get("addon_versions", {})
        return {
            addon: configured.get(addon)
            or aws.eks.get_addon_version_output(
                addon_name=addon,
                kubernetes_version=self._args["kubernetes_version"],
                opts=pulumi.InvokeOutputOptions(parent=self),
            ).version
            for addon in (*versions.ADDONS_BEFORE_NODES, *versions.ADDONS_AFTER_NODES)
        }

    def _control_plane(self, name: str) -> eks.Cluster:
        args = self._args
        child = pulumi.ResourceOptions(parent=self)
        protect = args.get("protect", False)
        # Made here, or EKS makes it without retention and destroy leaves it behind.
        logs = aws.cloudwatch.LogGroup(
            f"{name}-logs",
            name=f"/aws/eks/{args['cluster_name']}/cluster",
            retention_in_days=LOG_RETENTION_DAYS,
            opts=child,
        )
        key = aws.kms.Key(
            f"{name}-secrets",
            description=f"Envelope encryption of the Kubernetes secrets of {args['cluster_name']}",
            enable_key_rotation=True,
            opts=pulumi.ResourceOptions(parent=self, protect=protect),
        )
        aws.kms.Alias(f"{name}-secrets", name=f"alias/eks/{args['cluster_name']}", target_key_id=key.key_id, opts=child)
        role = aws.iam.Role(
            f"{name}-control-plane",
            name=fit(f"{args['cluster_name']}-control-plane", ROLE_NAME_LIMIT),
            assume_role_policy=service_trust("eks.amazonaws.com", tag_session=True),
            permissions_boundary=args.get("permissions_boundary"),
            opts=child,
        )
        attachment = aws.iam.RolePolicyAttachment(
            f"{name}-control-plane",
            role=role.name,
            policy_arn=managed_policy(args["region"], "AmazonEKSClusterPolicy"),
            opts=child,
        )
        public_cidrs = args.get("endpoint_public_cidrs", [])
        return eks.Cluster(
            name,
            name=args["cluster_name"],
            version=args["kubernetes_version"],
            vpc_id=args["vpc_id"],
            private_subnet_ids=args["private_subnet_ids"],
            public_subnet_ids=args.get("public_subnet_ids"),
            authentication_mode=eks.AuthenticationMode.API,
            endpoint_private_access=True,
            endpoint_public_access=bool(public_cidrs),
            public_access_cidrs=public_cidrs or None,
            service_role=role,
            encryption_config_key_arn=key.arn,
            enabled_cluster_log_types=args.get("log_types", []),
            upgrade_policy={"support_type": "EXTENDED" if args.get("extended_support") else "STANDARD"},
            deletion_protection=protect,
            skip_default_node_group=True,
            # Else pulumi-eks makes groups of its own, and Karpenter's nodes would carry the wrong one.
            skip_default_security_groups=True,
            create_oidc_provider=False,
            # This component declares the add-ons itself; coredns would wait 20 minutes for nodes that do not exist yet
            # (github.com/pulumi/pulumi-eks/issues/1819).
            bootstrap_self_managed_addons=False,
            use_default_vpc_cni=True,
            coredns_addon_options={"enabled": False},
            kube_proxy_addon_options={"version": self._versions[versions.KUBE_PROXY]},
            provider_credential_opts=self._credentials(),
            opts=pulumi.ResourceOptions(parent=self, protect=protect, depends_on=[logs, attachment]),
        )

    def _credentials(self) -> eks.KubeconfigOptionsArgs | None:
        profile, role_arn = self._args.get("kubeconfig_profile"), self._args.get("kubeconfig_role_arn")
        return eks.KubeconfigOptionsArgs(profile_name=profile, role_arn=role_arn) if profile or role_arn else None

    def _addon(self, name: str, addon: str, depends_on: Sequence[pulumi.Resource]) -> aws.eks.Addon:
        """Install an add-on, after the role of its service account where it has one."""
        prerequisites = list(depends_on)
        if identity := IDENTITIES.get(addon):
            prerequisites.append(self._identity(addon, identity.service_account, identity.policy))
        return aws.eks.Addon(
            f"{name}-{addon}",
            cluster_name=self.cluster_name,
            addon_name=addon,
            addon_version=self._versions[addon],
            configuration_values=configuration_values(addon),
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="PRESERVE",
            opts=pulumi.ResourceOptions(parent=self, depends_on=prerequisites),
        )

    def _identity(self, addon: str, service_account: str, policy: str) -> PodIdentity:
        return PodIdentity(
            addon,
            {
                "cluster_name": self.cluster_name,
                "namespace": "kube-system",
                "service_account": service_account,
                "policy_arns": [managed_policy(self._args["region"], policy)],
                "permissions_boundary": self._args.get("permissions_boundary"),
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
