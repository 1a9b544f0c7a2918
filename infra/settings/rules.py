"""Rules that several settings must keep together."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from components import versions
from components.scheduling import CPU_POOL, SYSTEM_POOL
from components.sizing import catalog
from infra.settings import checks
from infra.settings.cluster_rules import cluster_rules
from infra.settings.pool_rules import pool_rules
from infra.settings.pool_sections import CAPACITY_TYPES, GpuPool
from infra.settings.problems import Problem, listed, nearest
from infra.settings.sections import ENDPOINTS, UNREAD_NETWORK, Access, Cache, Model, Network, StackConfig, SystemNodes

RESERVED_POOLS = {
    SYSTEM_POOL: "the nodes that carry the controllers",
    CPU_POOL: "the nodes that download weights",
    f".*-({'|'.join(CAPACITY_TYPES)})": "a node pool that a capacity chain makes",
}
RESERVED_MODELS = {
    "default": "the service account that every namespace has",
    "default-deny": "the namespace's own network policy",
}
NO_WAY_OUT = "none"
"""NAT gateways of a network whose nodes reach its endpoints only; also said of an existing VPC."""
RESERVED_TAGS = ("aws:", "kubernetes.io/", "karpenter.", "eks:")


def rule_problems(config: StackConfig) -> Iterator[Problem]:
    """Yield every broken rule. Sections that could not be read are at their defaults and break none."""
    if config.region not in catalog.regions():
        message = "is no region whose GPU offers are known"
        yield Problem("aws:region", config.region, "choice", message, nearest(config.region, catalog.regions()))
    yield from _network(config.network, config.region)
    yield from _reachability(config)
    yield from _access(config.access)
    yield from _system_nodes(config.system_nodes)
    yield from _labels(config)
    yield from _cache(config.cache)
    yield from cluster_rules(config)
    yield from _unique("gpuPools", config.gpu_pools)
    for pool in config.gpu_pools:
        yield from _reserved(f"{pool.path}.name", pool.name, RESERVED_POOLS)
        yield from pool_rules(pool, config.network)
    yield from _unique("models", config.models)
    for model in config.models:
        yield from _reserved(f"{model.path}.name", model.name, RESERVED_MODELS)
        yield from _model(model, {*(pool.name for pool in config.gpu_pools), *config.unread_pools})
        yield from _whole_gpus(model, config)


def _above(path: str, value: float, other: str, limit: float) -> Problem:
    return Problem(path, value, "order", f"is more than {other} {limit:,}", f"at most {limit:,}, or raise {other}")


def _network(network: Network, region: str) -> Iterator[Problem]:
    zones = network.availability_zones
    if network is not UNREAD_NETWORK and not 2 <= len(zones) <= 3:
        yield Problem(
            "network.availabilityZones",
            list(zones),
            "range",
            f"has {len(zones)} of them; the control plane needs two, and subnets are laid out for three at most",
            f"name two or three zones of {region}",
        )
    for index, zone in enumerate(zones):
        if not zone.startswith(region) or len(zone) != len(region) + 1:
            yield Problem(
                f"network.availabilityZones[{index}]",
                zone,
                "zone",
                f"is no zone of {region} (aws:region)",
                f"write a zone such as {region}a",
            )
    for index, endpoint in enumerate(network.interface_endpoints):
        if endpoint not in ENDPOINTS:
            path = f"network.interfaceEndpoints[{index}]"
            yield Problem(path, endpoint, "choice", "is no endpoint that nodes use", nearest(endpoint, ENDPOINTS))
    subnets = network.private_subnet_ids
    if network.vpc_id and len(subnets) != len(zones):
        yield Problem(
            "network.privateSubnetIds",
            list(subnets),
            "order",
            f"has {len(subnets)} subnets for {len(zones)} zones",
            "name one private subnet of the VPC for each of availabilityZones, in the same order",
        )
    if network.vpc_id:
        yield from _existing_vpc(network)
    else:
        for key, ids in (("privateSubnetIds", subnets), ("publicSubnetIds", network.public_subnet_ids)):
            if ids:
                message = "belongs to an existing VPC, and vpcId is not set"
                yield Problem(f"network.{key}", list(ids), "conflict", message, "set network.vpcId, or remove it")


def _existing_vpc(network: Network) -> Iterator[Problem]:
    """Yield ids that are none, and settings that have no effect because the VPC is somebody else's."""
    for key, ids in (("privateSubnetIds", network.private_subnet_ids), ("publicSubnetIds", network.public_subnet_ids)):
        for index, each in enumerate(ids):
            if checks.subnet(each):
                yield Problem(f"network.{key}[{index}]", each, "format", "is no subnet id", f"write {checks.SUBNET}")
    defaults = Network(availability_zones=())
    for key, name in (("cidr", "cidr"), ("natGateways", "nat_gateways"), ("flowLogs", "flow_logs")):
        value = getattr(network, name)
        if value not in (getattr(defaults, name), NO_WAY_OUT):
            message = "has no effect on an existing VPC (vpcId)"
            yield Problem(f"network.{key}", value, "conflict", message, "remove it, or remove vpcId")
    if network.interface_endpoints:
        endpoints = list(network.interface_endpoints)
        message = "are made in a VPC of the stack's own only, and vpcId is set"
        yield Problem("network.interfaceEndpoints", endpoints, "conflict", message, "remove them, or remove vpcId")


def _reachability(config: StackConfig) -> Iterator[Problem]:
    """Yield what a network without a way out cannot reach."""
    if config.network.nat_gateways != NO_WAY_OUT:
        return
    if not config.registries.images:
        yield Problem(
            "network.natGateways",
            "none",
            "reachability",
            "nodes then reach no public registry, and registries.images names no mirror",
            "set registries.images to a registry inside the VPC, or natGateways: single",
        )
    for model in config.models:
        if is_hub(model.source):
            message = "is downloaded from huggingface.co, which no node reaches with natGateways: none"
            fix = "copy it to S3 and name it as s3://, or natGateways: single"
            yield Problem(f"{model.path}.source", model.source, "reachability", message, fix)


def _system_nodes(nodes: SystemNodes) -> Iterator[Problem]:
    if nodes.min > nodes.max:
        yield _above("systemNodes.min", nodes.min, "systemNodes.max", nodes.max)
    if not nodes.instance_types:
        yield Problem(
            "systemNodes.instanceTypes", [], "required", "is empty", "name at least one, for example m7i.large"
        )
    for index, kind in enumerate(nodes.instance_types):
        path = f"systemNodes.instanceTypes[{index}]"
        if checks.instance_type(kind):
            yield Problem(path, kind, "format", "is no instance type", "write a type such as m7i.large")
        elif checks.is_graviton(kind):
            message = "has Arm processors; the controllers' nodes and vLLM's image are amd64"
            yield Problem(path, kind, "capability", message, "use an amd64 type such as m7i.large")


def _labels(config: StackConfig) -> Iterator[Problem]:
    """Yield keys of free maps that nobody would read, or that AWS or Karpenter refuses."""
    addons = (*versions.ADDONS_BEFORE_NODES, *versions.ADDONS_AFTER_NODES)
    for addon, version in config.addon_versions.items():
        path = f"addonVersions.{addon}"
        if addon not in addons:
            yield Problem(path, version, "unknown-key", "is no add-on of this program", nearest(addon, addons))
        elif checks.addon_version(version):
            yield Problem(path, version, "format", "is no add-on version", f"write {checks.ADDON_VERSION}")
    for tag, value in config.tags.items():
        if tag.startswith(RESERVED_TAGS):
            message = f"starts like the tags that AWS, EKS and Karpenter set: {listed(RESERVED_TAGS)}"
            yield Problem(f"tags.{tag}", value, "reserved", message, "choose another key")
        elif checks.tag_key(tag) or checks.tag_value(value):
            yield Problem(f"tags.{tag}", value, "format", "is no tag that AWS accepts", f"write {checks.TAG}")
    if len(config.tags) > checks.MOST_TAGS:
        message = f"are {len(config.tags)}; AWS allows 50 on a resource, and other tags need room"
        yield Problem("tags", None, "range", message, f"at most {checks.MOST_TAGS}")


def _access(access: Access) -> Iterator[Problem]:
    for key, principals in (("admins", access.admins), ("readers", access.readers)):
        for index, arn in enumerate(principals):
            if checks.iam_arn(arn):
                yield Problem(f"access.{key}[{index}]", arn, "format", "is no IAM role or user", f"write {checks.ARN}")
    callers = (("clientNamespaces", access.client_namespaces), ("metricsNamespaces", access.metrics_namespaces))
    for key, namespaces in callers:
        for index, namespace in enumerate(namespaces):
            if checks.namespace(namespace):
                path = f"access.{key}[{index}]"
                yield Problem(path, namespace, "format", "is no name of a namespace", f"write {checks.NAMESPACE}")
    for index, network in enumerate(access.public_cidrs):
        complaint = checks.public_cidr(network)
        if complaint:
            fix = f"write {checks.CIDR}"
            yield Problem(f"access.publicCidrs[{index}]", network, "format", complaint, fix)


def _cache(cache: Cache) -> Iterator[Problem]:
    provisioned = cache.throughput == "provisioned"
    if provisioned and cache.provisioned_mibps is None:
        message = "throughput: provisioned needs the throughput to provision"
        yield Problem("cache.provisionedMibps", None, "required", message, "add it in MiB/s, or throughput: elastic")
    if not provisioned and cache.provisioned_mibps is not None:
        message = f"has no effect with throughput: {cache.throughput}"
        fix = "remove it, or set throughput: provisioned"
        yield Problem("cache.provisionedMibps", cache.provisioned_mibps, "conflict", message, fix)


def _reserved(path: str, name: str, reserved: Mapping[str, str]) -> Iterator[Problem]:
    for pattern, owner in reserved.items():
        if re.fullmatch(pattern, name):
            yield Problem(path, name, "reserved", f"is the name of {owner}", "choose another name")


def _unique(key: str, entries: Iterable[Model | GpuPool]) -> Iterator[Problem]:
    counts = Counter(entry.name for entry in entries)
    seen: set[str] = set()
    for entry in entries:
        if counts[entry.name] > 1 and entry.name in seen:
            message = f"is the name of an earlier entry of {key}"
            yield Problem(f"{entry.path}.name", entry.name, "duplicate", message, "give it another name")
        seen.add(entry.name)


def _model(model: Model, pools: set[str]) -> Iterator[Problem]:
    for index, pool in enumerate(model.pools):
        if pools and pool not in pools:
            path = f"{model.path}.pools[{index}]"
            yield Problem(path, pool, "reference", "is the name of no entry of gpuPools", nearest(pool, pools))
    if model.replicas.min > model.replicas.max:
        yield _above(f"{model.path}.replicas.min", model.replicas.min, "replicas.max", model.replicas.max)
    tokens = model.input_tokens + model.output_tokens
    if model.max_model_len is not None and tokens > model.max_model_len:
        yield Problem(
            f"{model.path}.maxModelLen",
            model.max_model_len,
            "order",
            f"is less than a typical request of {model.input_tokens:,} + {model.output_tokens:,} = {tokens:,} tokens",
            f"at least {tokens}, or shorten inputTokens or outputTokens",
        )
    hub = is_hub(model.source)
    if model.revision and not hub:
        message = f"has no effect on {model.source}: only Hugging Face sources have revisions"
        fix = "remove it; put the version into the source's own path"
        yield Problem(f"{model.path}.revision", model.revision, "conflict", message, fix)
    if not hub and not model.architecture:
        yield Problem(
            f"{model.path}.architecture",
            None,
            "required",
            f"{model.source} is in no catalogue, so nothing is known of its layers",
            "save its config.json beside Pulumi.yaml and name the file here",
        )


def _whole_gpus(model: Model, config: StackConfig) -> Iterator[Problem]:
    """Yield pools of a model whose nodes offer no whole GPU."""
    shared = {pool.name for pool in config.gpu_pools if pool.sharing}
    message = "shares its GPUs, and a model is sized for whole ones"
    for index, pool in enumerate(model.pools):
        if pool in shared:
            fix = "use a pool without sharing, or take sharing off this one"
            yield Problem(f"{model.path}.pools[{index}]", pool, "sharing", message, fix)
    if shared and not model.pools and not config.unread_pools and len(shared) == len(config.gpu_pools):
        fix = "add a pool without sharing"
        yield Problem(f"{model.path}.pools", None, "sharing", f"every pool {message}", fix)


def is_bucket(source: str) -> bool:
    """Whether a source is an S3 prefix, which servers stream from without the cache."""
    return source.startswith("s3://")


def is_hub(source: str) -> bool:
    """Whether a source is a Hugging Face id, which has revisions and needs a download."""
    return not source.startswith(("s3://", "/"))
