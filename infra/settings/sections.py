"""Every setting of a stack file: its meaning, unit, default and limits. docs/config.md is generated from here."""
# ruff: noqa: RUF009 - setting() is a declaration, and frozen sections are safe defaults

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components import versions
from components.sizing.quantization import PRECISIONS
from infra.settings import checks
from infra.settings.pool_sections import GpuPool
from infra.settings.schema import setting

ENDPOINTS = ("ecr.api", "ecr.dkr", "sts", "ec2", "eks", "eks-auth", "logs", "sqs", "ssm", "elasticfilesystem")


@dataclass(frozen=True)
class Network:
    """A VPC of our own, or an existing one by id."""

    availability_zones: tuple[str, ...] = setting(
        "Zones to spread over, two or three of the region. GPU pools may use fewer.",
        example="[us-east-1a, us-east-1b, us-east-1c]",
    )
    cidr: str = setting(
        "Address range of the VPC, /16 to /20.", default="10.40.0.0/16", check=checks.vpc_cidr, shape=checks.CIDR
    )
    nat_gateways: str = setting(
        "`perZone` survives the loss of a zone, `single` is cheaper, `none` needs `registries.images` and endpoints. "
        "Of an existing VPC only `none` is said: nodes in it reach its own endpoints and nothing else.",
        default="perZone",
        choices=("perZone", "single", "none"),
    )
    interface_endpoints: tuple[str, ...] = setting(
        "AWS services reached without NAT, by short name: image pulls and pod credentials then stay in the VPC. "
        f"Known: {', '.join(ENDPOINTS)}.",
        default=(),
    )
    flow_logs: bool = setting("Record the VPC's flows in CloudWatch.", default=False)
    vpc_id: str | None = setting(
        "Use this VPC instead of making one; then `privateSubnetIds` is required and `cidr` is not used.",
        default=None,
        check=checks.vpc,
        shape=checks.VPC,
    )
    private_subnet_ids: tuple[str, ...] = setting(
        "Private subnets of `vpcId`, one per zone, in the order of `availabilityZones`.", default=()
    )
    public_subnet_ids: tuple[str, ...] = setting("Public subnets of `vpcId`, for load balancers.", default=())


UNREAD_NETWORK = Network(availability_zones=())
"""Stands for a network with problems of its own; rules tell it from one without zones by identity."""


@dataclass(frozen=True)
class Cluster:
    """An existing EKS cluster instead of one of the stack's own: then only platform and models are deployed.

    It lives in the existing VPC of `network`, has API authentication, the add-ons eks-pod-identity-agent and
    aws-efs-csi-driver, and two nodes labelled `llm-serving/pool: system`.
    """

    name: str | None = setting(
        "Name of the cluster. It is read, never changed and never deleted. Unset: the stack makes its own.",
        default=None,
        check=checks.cluster_name,
        shape=checks.CLUSTER_NAME,
    )
    node_needs_cni_policy: bool = setting(
        "Its network plugin has no role of its own, so that nodes must carry AmazonEKS_CNI_Policy.", default=False
    )


@dataclass(frozen=True)
class Access:
    """Who may reach what."""

    admins: tuple[str, ...] = setting(
        "IAM roles and users that administer the cluster. Whoever creates the cluster always does.", default=()
    )
    readers: tuple[str, ...] = setting("IAM roles and users that may read everything but secrets.", default=())
    public_cidrs: tuple[str, ...] = setting(
        "Networks from which the cluster's public endpoint answers. Empty: private only, and `pulumi up` must run "
        "inside the VPC.",
        default=(),
    )
    kubeconfig_profile: str | None = setting(
        "AWS profile that the program signs in to the cluster with. Unset: the credentials of the environment.",
        default=None,
    )
    kubeconfig_role_arn: str | None = setting(
        "IAM role that the program takes to sign in to the cluster.",
        default=None,
        check=checks.iam_arn,
        shape=checks.ARN,
    )
    client_namespaces: tuple[str, ...] = setting("Namespaces whose pods may call the models.", default=("gateway",))
    metrics_namespaces: tuple[str, ...] = setting(
        "Namespaces whose pods may read the models' metrics.", default=("monitoring",)
    )


@dataclass(frozen=True)
class SystemNodes:
    """The managed node group that carries the controllers."""

    instance_types: tuple[str, ...] = setting("Instance types, all amd64.", default=("m7i.large",))
    min: int = setting("Fewest nodes; two survive the loss of one.", default=2, minimum=2, maximum=20)
    max: int = setting("Most nodes.", default=4, minimum=2, maximum=20)
    disk_gib: int = setting("Root volume in GiB.", default=50, minimum=20, maximum=1000)


@dataclass(frozen=True)
class Cache:
    """The file system that holds the weights."""

    throughput: str = setting(
        "EFS throughput mode. `elastic` needs no planning; `provisioned` has a third of its speed per client.",
        default="elastic",
        choices=("elastic", "provisioned"),
    )
    provisioned_mibps: int | None = setting(
        "Throughput in MiB/s; only with `throughput: provisioned`.", default=None, minimum=1, maximum=3414
    )
    protect: bool | None = setting("Refuse to delete the file system. Unset: as `protect`.", default=None)
    retain_on_delete: bool = setting("Leave the file system in AWS when the stack is destroyed.", default=False)


@dataclass(frozen=True)
class Slo:
    """What every request should see. Unset: not a condition."""

    ttft_ms: float | None = setting("Time to the first token in milliseconds.", default=None, minimum=1)
    tpot_ms: float | None = setting("Time per output token after the first, in milliseconds.", default=None, minimum=1)


@dataclass(frozen=True)
class Replicas:
    """How many copies may run."""

    min: int = setting("Fewest.", default=1, minimum=1, maximum=1000)
    max: int = setting("Most.", default=1, minimum=1, maximum=1000)


@dataclass(frozen=True)
class Model:
    """One model to serve. Instance type, parallelism and replicas follow from these."""

    name: str = setting(
        "Name of its Service, and of the model in requests.", check=checks.dns_label, shape=checks.DNS_LABEL
    )
    source: str = setting(
        "Where the weights are: a Hugging Face id, `s3://bucket/prefix`, or a path below `/models` on the cache.",
        check=checks.source,
        shape=checks.SOURCE,
        example="meta-llama/Llama-3.1-8B-Instruct",
    )
    concurrency: int = setting(
        "Requests in flight at the busiest moment of the whole model.", minimum=1, maximum=100_000, example="16"
    )
    revision: str | None = setting(
        "Commit of a Hugging Face source. Unset: `main`, which moves, hence a warning.",
        default=None,
        check=checks.revision,
        shape=checks.REVISION,
    )
    precision: str = setting(
        "Number format of the weights; `auto` takes what the checkpoint says.",
        default="auto",
        choices=("auto", *PRECISIONS),
    )
    profile: str = setting(
        "Which way to lean in memory: `long-context`, `balanced` or `burst`.",
        default="balanced",
        choices=("long-context", "balanced", "burst"),
    )
    max_model_len: int | None = setting(
        "Longest request in tokens, prompt and answer. Unset: the profile chooses.", default=None, minimum=1
    )
    input_tokens: int = setting("Prompt tokens of a typical request.", default=1024, minimum=1, maximum=10_000_000)
    output_tokens: int = setting("Answer tokens of a typical request.", default=256, minimum=1, maximum=10_000_000)
    prefix_hit_rate: float = setting(
        "Share of prompt tokens found in the prefix cache, 0 to 1.", default=0.0, minimum=0, maximum=1
    )
    slo: Slo = setting("Latency that a choice must keep.", default=Slo())
    replicas: Replicas = setting("Bounds for the number of copies.", default=Replicas())
    pools: tuple[str, ...] = setting("GPU pools that may be used. Empty: all of them.", default=())
    max_sequences: int | None = setting(
        "Most requests that one replica runs at once; caps --max-num-seqs.", default=None, minimum=1, maximum=4096
    )
    max_nodes: int = setting("Most nodes of one replica.", default=1, minimum=1, maximum=16)
    objective: str = setting(
        "What to minimise among the choices that satisfy.",
        default="hourly",
        choices=("hourly", "per-token", "latency"),
    )
    architecture: str | None = setting(
        "File with the model's config.json, beside Pulumi.yaml, for models outside the catalogue.", default=None
    )
    path: str = ""


@dataclass(frozen=True)
class Registries:
    """Mirrors, for clusters that reach no public registry."""

    charts: str | None = setting(
        "One chart repository instead of every chart's own: http(s)://, oci:// or a directory of packaged charts.",
        default=None,
        check=checks.charts,
        shape=checks.CHARTS,
    )
    images: str | None = setting(
        "Prefix instead of every image's registry.",
        default=None,
        check=checks.image_prefix,
        shape=checks.IMAGE_PREFIX,
    )


@dataclass(frozen=True)
class StackConfig:
    """A whole stack."""

    models: tuple[Model, ...] = setting("Models to serve.")
    gpu_pools: tuple[GpuPool, ...] = setting("GPU nodes that the models may use.")
    network: Network = setting("The VPC.")
    kubernetes_version: str = setting(
        "Minor version of the EKS control plane.", default=versions.KUBERNETES, check=checks.minor, shape=checks.MINOR
    )
    kubernetes_support_override: str | None = setting(
        "Why the cluster may run past the end of standard support: the reason is kept in the plan, and EKS bills "
        "extended support. Unset: such a version is refused.",
        default=None,
        check=checks.reason,
        shape=checks.REASON,
    )
    cluster: Cluster = setting("An existing cluster to deploy into.", default=Cluster())
    access: Access = setting("Who may reach the cluster and the models.", default=Access())
    system_nodes: SystemNodes = setting("Nodes for the controllers.", default=SystemNodes())
    cache: Cache = setting("The file system for weights.", default=Cache())
    registries: Registries = setting("Mirrors of charts and images.", default=Registries())
    addon_versions: Mapping[str, str] = setting(
        "Version of an EKS add-on by its name. Unset: EKS's default for the Kubernetes version.", default={}
    )
    permissions_boundary: str | None = setting(
        "IAM policy that bounds every role of the stack.",
        default=None,
        check=checks.policy_arn,
        shape=checks.POLICY_ARN,
    )
    tags: Mapping[str, str] = setting("Tags on every AWS resource, beside project and stack.", default={})
    protect: bool = setting(
        "Refuse to delete what holds state (cluster, keys, file system) until this is false.", default=False
    )
    allow_latest_ami: bool = setting(
        "Accept `latest` as `amiAlias`: every AMI release then replaces the nodes. For development, not with "
        "`protect`.",
        default=False,
    )
    region: str = ""
    """Comes from ``aws:region``."""
    unread_pools: tuple[str, ...] = ()
    """Names of pools that had problems and are left out of ``gpu_pools``."""


def local_charts(directory: str, root: Path) -> Path:
    """Return the directory of packaged charts that ``registries.charts`` means; relative ones lie below ``root``."""
    return (root / Path(directory).expanduser()).resolve()
