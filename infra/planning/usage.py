"""What a stack costs by use, beside the hours: the first download of the weights, and every start of a server."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.sizing import prices
from infra.planning.models import ModelPlan
from infra.settings.rules import is_bucket, is_hub
from infra.settings.sections import StackConfig

GB = 1e9


@dataclass(frozen=True)
class UsageLine:
    """One thing that costs each time it happens."""

    item: str
    usd: float
    basis: str
    """How it is computed and where the prices are from."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"item": self.item, "usd": self.usd, "basis": self.basis}


def usage(config: StackConfig, plans: Iterable[ModelPlan]) -> Iterator[UsageLine]:
    """Yield what costs by the gigabyte.

    Elastic EFS bills what is read; only a node's page cache spares the next start.
    """
    plans = tuple(plans)
    elastic = config.cache.throughput == "elastic"
    downloaded = sum(plan.decision.checkpoint_bytes for plan in plans if is_hub(plan.model.source)) / GB
    per_gb = {"EFS write": "efs_elastic_write"} if elastic else {}
    if config.network.vpc_id is None and config.network.nat_gateways != "none":
        per_gb["NAT gateway"] = "nat_gateway_data"
    if downloaded and per_gb:
        yield _line(f"First download of all weights: {downloaded:,.0f} GB", downloaded, per_gb)
    if elastic:
        for plan in plans:
            if not is_bucket(plan.model.source):
                read = plan.decision.checkpoint_bytes / GB
                item = f"Each start of {plan.model.name} on a new node: {read:,.0f} GB"
                yield _line(item, read, {"EFS read": "efs_elastic_read"})


def _line(item: str, gigabytes: float, per_gb: Mapping[str, str]) -> UsageLine:
    found = {label: prices.other(name) for label, name in per_gb.items()}
    terms = (f"{label} ${price.usd}/{price.unit}" for label, price in found.items())
    sources = dict.fromkeys(price.source for price in found.values())
    usd = gigabytes * sum(price.usd for price in found.values())
    return UsageLine(item, usd, f"{' + '.join(terms)}, {'; '.join(sources)}")
