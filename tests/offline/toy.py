"""A small program with a cluster, a controller and custom resources: enough to try the harness on."""

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks
import pulumi_kubernetes as kubernetes


class ToyCluster(pulumi.ComponentResource):
    """A cluster, its nodes and the provider that reaches it through them."""

    name: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("llm-serving:index:ToyCluster", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role("node", assume_role_policy="{}", opts=child)
        cluster = eks.Cluster("eks", name="toy", skip_default_node_group=True, opts=child)
        nodes = eks.ManagedNodeGroup("system", cluster=cluster, node_role_arn=role.arn, opts=child)
        self.provider = kubernetes.Provider(
            "kubernetes",
            kubeconfig=cluster.kubeconfig_json,
            cluster_identifier=cluster.oidc_provider_url,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[nodes]),
        )
        self.name = cluster.eks_cluster.name
        self.security_group = cluster.eks_cluster.vpc_config.cluster_security_group_id
        self.register_outputs({"name": self.name})


class ToyController(pulumi.ComponentResource):
    """Custom resource definitions, then the controller."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("llm-serving:index:ToyController", name, {}, opts)
        crds = kubernetes.helm.v3.Release("crds", chart="crds", opts=pulumi.ResourceOptions(parent=self))
        after = pulumi.ResourceOptions(parent=self, depends_on=[crds])
        kubernetes.helm.v3.Release("controller", chart="controller", opts=after)
        self.register_outputs({})


class ToyPool(pulumi.ComponentResource):
    """Two custom resources, one of which needs the other."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("llm-serving:index:ToyPool", name, {}, opts)
        custom = kubernetes.apiextensions.CustomResource
        group = {"api_version": "karpenter.sh/v1", "metadata": {"name": "toy"}}
        node_class = custom("class", kind="EC2NodeClass", opts=pulumi.ResourceOptions(parent=self), **group)
        after = pulumi.ResourceOptions(parent=self, depends_on=[node_class])
        custom("pool", kind="NodePool", spec={"limits": {"cpu": 8.0}}, opts=after, **group)
        self.register_outputs({})


def ordered() -> None:
    """Declare the toy with the edges that a clean teardown needs."""
    _declare(edges=True)


def unordered() -> None:
    """Declare the toy without them: the mistake that leaves nodes behind."""
    _declare(edges=False)


def _declare(*, edges: bool) -> None:
    config = pulumi.Config()
    cluster = ToyCluster("cluster")
    inside = pulumi.ResourceOptions(providers=[cluster.provider])
    controller = ToyController("toy", inside)
    needs = pulumi.ResourceOptions(depends_on=[controller] if edges else [])
    pool = ToyPool("pool", pulumi.ResourceOptions.merge(inside, needs))
    kubernetes.core.v1.Secret(
        "token",
        metadata={"namespace": "toy", "name": "token"},
        string_data={"token": config.require_secret("token")},
        opts=pulumi.ResourceOptions(
            provider=cluster.provider,
            depends_on=[pool],
            protect=True,
            custom_timeouts=pulumi.CustomTimeouts(create="5m"),
            ignore_changes=["metadata.labels"],
            aliases=[pulumi.Alias(name="old-token")],
        ),
    )
    pulumi.log.warn("a warning")
    pulumi.export("cluster", cluster.name)
    pulumi.export("group", cluster.security_group)
    pulumi.export("replicas", config.require_int("replicas"))
