"""What works as configured, but should be known: each with the reason and the command that changes it."""

import ipaddress
import re
from collections.abc import Iterable, Iterator

from components.sizing import prices
from infra.planning.capacity import capacity_advice
from infra.planning.models import ModelPlan
from infra.planning.pools import PoolPlan
from infra.settings.problems import Problem
from infra.settings.rules import is_hub
from infra.settings.sections import Access, Model, StackConfig

GATED = ("meta-llama/", "google/gemma-", "mistralai/", "CohereLabs/", "CohereForAI/", "databricks/dbrx-")
"""Starts of repository ids that need an accepted licence and a token (huggingface.co model pages, 2026-11)."""
DOCUMENTATION = tuple(map(ipaddress.IPv4Network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")))
"""Reserved for examples by RFC 5737: no packet ever comes from them."""
_COMMIT = re.compile(r"[0-9a-f]{40}")


def advice(
    config: StackConfig, plans: Iterable[ModelPlan], pools: Iterable[PoolPlan], *, token: bool, api_key: bool
) -> Iterator[Problem]:
    """Yield every warning. ``token`` and ``api_key`` say whether the stack has those secrets."""
    for model in config.models:
        yield from _source(model, token=token)
    if config.cluster.name is None:
        yield from _access(config.access)
        yield from _unpriced(config)
    if not api_key and config.access.client_namespaces:
        callers = ", ".join(config.access.client_namespaces)
        message = f"is not set: any pod in namespace {callers} may use every model"
        yield Problem("apiKey", None, "authentication", message, "pulumi config set --secret apiKey VALUE")
    planned = tuple(pools)
    yield from capacity_advice(planned, config.region)
    used = {each.pool.name for each in planned}
    for pool in config.gpu_pools:
        if pool.name not in used:
            yield Problem(pool.path, pool.name, "unused", "is used by no model, and is not created", "remove it")
    yield from _sizing(tuple(plans), config.region)


def _sizing(plans: tuple[ModelPlan, ...], region: str) -> Iterator[Problem]:
    """Yield the planner's own warnings; what it says of every model alike is said once, of the region."""
    texts = [plan.recommendation.warnings for plan in plans]
    shared = [text for text in (texts[0] if texts else ()) if all(text in others for others in texts)]
    fix = "check the numbers before you rely on them"
    if len(plans) > 1:
        yield from (Problem("aws:region", region, "sizing", text, fix) for text in shared)
    else:
        shared = []
    for plan in plans:
        own = (text for text in plan.recommendation.warnings if text not in shared)
        yield from (Problem(plan.model.path, plan.model.name, "sizing", text, fix) for text in own)


def _source(model: Model, *, token: bool) -> Iterator[Problem]:
    if not is_hub(model.source):
        return
    if not token and model.source.startswith(GATED):
        yield Problem(
            f"{model.path}.source",
            model.source,
            "gated",
            "can only be downloaded with a token of an account that accepted its licence, and hfToken is not set",
            "pulumi config set --secret hfToken VALUE",
        )
    if not _COMMIT.fullmatch(model.revision or ""):
        place = f"llm-serving:models{model.path.removeprefix('models')}.revision"
        yield Problem(
            f"{model.path}.revision",
            model.revision or "main",
            "unpinned",
            "moves: two replicas may serve different weights, and new weights are not downloaded",
            f"pulumi config set --path '{place}' "
            f"$(git ls-remote https://huggingface.co/{model.source} {model.revision or 'main'} | cut -f1)",
        )


def _unpriced(config: StackConfig) -> Iterator[Problem]:
    """Tell of system nodes that the totals leave out: an unusual type, or one that does not exist."""
    kind = config.system_nodes.instance_types[0]
    if prices.hourly(kind, config.region) is None:
        message = "has no known list price: the cost leaves these nodes out, and EC2 may not know the type"
        fix = f"aws ec2 describe-instance-types --instance-types {kind}, or a usual type such as m7i.large"
        yield Problem("systemNodes.instanceTypes[0]", kind, "price", message, fix)


def _access(access: Access) -> Iterator[Problem]:
    for index, cidr in enumerate(access.public_cidrs):
        network = ipaddress.IPv4Network(cidr)
        path = f"access.publicCidrs[{index}]"
        if any(network.subnet_of(example) for example in DOCUMENTATION):
            yield Problem(
                path,
                cidr,
                "placeholder",
                "is reserved for documentation: EKS refuses it, and nobody could reach the cluster's endpoint from it",
                f"pulumi config set --path 'llm-serving:{path}' $(curl -s https://checkip.amazonaws.com)/32",
            )
        elif network.prefixlen < 8:
            message = "lets (nearly) the whole internet try to sign in to the cluster"
            yield Problem(path, cidr, "open", message, "name the networks of your operators and CI")
    if not access.public_cidrs:
        yield Problem(
            "access.publicCidrs",
            None,
            "private",
            "is empty: the cluster's endpoint is private, and pulumi up works inside the VPC only",
            "run it there, or name the networks of your operators and CI",
        )
