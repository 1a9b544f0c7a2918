"""Karpenter: permissions, node role, interruption queue, CRDs and controller."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from components import versions
from components.iam import (
    NODE_POLICIES,
    ROLE_NAME_LIMIT,
    dns_suffix,
    fit,
    managed_policy,
    partition,
    service_trust,
)
from components.karpenter.policy import controller_policy, interruption_events, policy_names, queue_policy
from components.karpenter.values import controller_values
from components.pod_identity import PodIdentity
from components.registries import RegistriesArgs, chart, mirrored

NAMESPACE = "kube-system"
MESSAGE_SECONDS = 300
"""Retention of interruption messages: a spot warning is worthless after the two minutes it announces."""


class KarpenterArgs(TypedDict):
    """Inputs of Karpenter."""

    cluster_name: pulumi.Input[str]
    """Tags and conditions of everything that Karpenter may touch carry it; also the queue's name."""
    region: str
    """Region of the cluster."""
    account_id: pulumi.Input[str]
    """Account of the cluster, for the ARNs in the policies."""
    node_needs_cni_policy: NotRequired[bool]
    """True where the cluster's network plugin has no Pod Identity role of its own. Default false."""
    isolated_vpc: NotRequired[bool]
    """True without a way to the internet: no price look-ups, and an instance profile that Karpenter need not make,
    because IAM's API has no endpoint in a VPC. Default false."""
    static_capacity: NotRequired[bool]
    """True where a node pool has a fixed number of nodes. Default false."""
    node_overlay: NotRequired[bool]
    """True where GPUs are shared (time slices, MIG): Karpenter cannot see those by itself. Default false."""
    permissions_boundary: NotRequired[str | None]
    """ARN of the policy that bounds both roles."""
    registries: NotRequired[RegistriesArgs | None]
    """Mirror of charts and images."""


class Karpenter(pulumi.ComponentResource):
    """The node autoscaler. Node pools depend on this component and go before it."""

    node_role_name: pulumi.Output[str]
    """What EC2NodeClass names as its role."""
    node_role_arn: pulumi.Output[str]
    node_instance_profile: pulumi.Output[str]
    """What EC2NodeClass names instead of a role in an isolated VPC; empty elsewhere."""
    queue_name: pulumi.Output[str]

    def __init__(self, name: str, args: KarpenterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("llm-serving:index:Karpenter", name, {**args}, opts)
        self._args = args
        cluster_name = pulumi.Output.from_input(args["cluster_name"])
        node_role, node_ready = self._node_role(name, cluster_name)
        profiles = self._instance_profiles(name, cluster_name, node_role)
        queue, queue_ready = self._interruption_queue(name, cluster_name)
        identity = PodIdentity(
            name,
            {
                "cluster_name": cluster_name,
                "namespace": NAMESPACE,
                "service_account": "karpenter",
                "policies": self._policies(cluster_name, node_role.arn, queue.arn),
                "permissions_boundary": args.get("permissions_boundary"),
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        self._releases(name, cluster_name, queue, [identity, *node_ready, *profiles, *queue_ready])
        self.node_role_name = node_role.name
        self.node_role_arn = node_role.arn
        self.node_instance_profile = profiles[0].name if profiles else pulumi.Output.from_input("")
        self.queue_name = queue.name
        self.register_outputs(
            {
                "nodeRoleName": self.node_role_name,
                "nodeRoleArn": self.node_role_arn,
                "nodeInstanceProfile": self.node_instance_profile,
                "queueName": self.queue_name,
            },
        )

    def _node_role(self, name: str, cluster_name: pulumi.Output[str]) -> tuple[aws.iam.Role, list[pulumi.Resource]]:
        """Role of the nodes that Karpenter makes, and the access entry that lets them join."""
        child = pulumi.ResourceOptions(parent=self)
        region = self._args["region"]
        role = aws.iam.Role(
            f"{name}-node",
            name=cluster_name.apply(lambda cluster: fit(f"{cluster}-karpenter-node", ROLE_NAME_LIMIT)),
            assume_role_policy=service_trust(f"ec2.{dns_suffix(region)}"),
            permissions_boundary=self._args.get("permissions_boundary"),
            opts=child,
        )
        policies = [*NODE_POLICIES]
        if self._args.get("node_needs_cni_policy", False):
            policies.append("AmazonEKS_CNI_Policy")
        ready: list[pulumi.Resource] = [
            aws.iam.RolePolicyAttachment(
                f"{name}-node-{policy}", role=role.name, policy_arn=managed_policy(region, policy), opts=child
            )
            for policy in policies
        ]
        ready.append(
            aws.eks.AccessEntry(
                f"{name}-node", cluster_name=cluster_name, principal_arn=role.arn, type="EC2_LINUX", opts=child
            )
        )
        return role, ready

    def _instance_profiles(
        self, name: str, cluster_name: pulumi.Output[str], role: aws.iam.Role
    ) -> list[aws.iam.InstanceProfile]:
        """Profile of the nodes where Karpenter cannot reach IAM to make its own; none elsewhere."""
        if not self._args.get("isolated_vpc", False):
            return []
        return [
            aws.iam.InstanceProfile(
                f"{name}-node",
                name=cluster_name.apply(lambda cluster: fit(f"{cluster}-karpenter-node", ROLE_NAME_LIMIT)),
                role=role.name,
                opts=pulumi.ResourceOptions(parent=self),
            )
        ]

    def _interruption_queue(
        self, name: str, cluster_name: pulumi.Output[str]
    ) -> tuple[aws.sqs.Queue, list[pulumi.Resource]]:
        """Queue that AWS's warnings reach: spot interruptions, health events, ends of reservations."""
        child = pulumi.ResourceOptions(parent=self)
        queue = aws.sqs.Queue(
            f"{name}-interruptions",
            name=cluster_name,
            message_retention_seconds=MESSAGE_SECONDS,
            sqs_managed_sse_enabled=True,
            opts=child,
        )
        ready: list[pulumi.Resource] = [
            aws.sqs.QueuePolicy(
                f"{name}-interruptions", queue_url=queue.url, policy=queue.arn.apply(queue_policy), opts=child
            )
        ]
        for event, pattern in interruption_events().items():
            rule = aws.cloudwatch.EventRule(
                f"{name}-{event}",
                description=f"Tells Karpenter of {event} events",
                event_pattern=pattern,
                opts=child,
            )
            ready.append(aws.cloudwatch.EventTarget(f"{name}-{event}", rule=rule.name, arn=queue.arn, opts=child))
        return queue, ready

    def _policies(
        self, cluster_name: pulumi.Output[str], node_role_arn: pulumi.Output[str], queue_arn: pulumi.Output[str]
    ) -> dict[str, pulumi.Input[str]]:
        region = self._args["region"]
        account_id = self._args["account_id"]

        def rendered(policy: str) -> pulumi.Output[str]:
            return pulumi.Output.all(cluster_name, account_id, node_role_arn, queue_arn).apply(
                lambda values: controller_policy(
                    policy,
                    partition=partition(region),
                    region=region,
                    cluster=values[0],
                    account=values[1],
                    node_role_arn=values[2],
                    queue_arn=values[3],
                )
            )

        return {policy: rendered(policy) for policy in policy_names()}

    def _releases(
        self, name: str, cluster_name: pulumi.Output[str], queue: aws.sqs.Queue, needs: list[pulumi.Resource]
    ) -> None:
        """Install the CRDs, then the controller.

        The controller outlives its permissions' users: while node pools are being deleted it still terminates
        instances, so roles, queue and access entry may only go after it.
        """
        registries = self._args.get("registries")
        values = controller_values(
            cluster_name=cluster_name,
            queue_name=queue.name,
            region=self._args["region"],
            isolated_vpc=self._args.get("isolated_vpc", False),
            static_capacity=self._args.get("static_capacity", False),
            node_overlay=self._args.get("node_overlay", False),
        )
        crds = kubernetes.helm.v3.Release(
            f"{name}-crd",
            name="karpenter-crd",
            namespace=NAMESPACE,
            **chart(versions.KARPENTER_CRD, registries),
            opts=pulumi.ResourceOptions(parent=self),
        )
        kubernetes.helm.v3.Release(
            name,
            name="karpenter",
            namespace=NAMESPACE,
            **chart(versions.KARPENTER, registries),
            skip_crds=True,
            timeout=600,
            values=mirrored(versions.KARPENTER, values, registries),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[crds, *needs]),
        )
