"""What the manifests of one model's servers are made from. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.cold_start import ColdStart, cold_start
from components.sizing import catalog
from components.vllm.arguments import is_streamed
from components.vllm.drain import Drain, drain


@dataclass(frozen=True)
class Workload:
    """One model's servers."""

    namespace: str
    image: str
    decision: Mapping[str, Any]
    """The plan's decision; its keys are those of a model in the plan's JSON."""
    model_path: str
    """Directory below /models, or an s3:// prefix."""
    claim_name: Any
    """PersistentVolumeClaim of the model cache (may be a Pulumi output); unused for s3:// models."""
    pools: tuple[str, ...]
    """Node pools that may run it."""
    replicas: int
    output_tokens: int
    """Typical answer length, for the drain time."""
    surge: bool = True
    """Whether a rollout may start a new replica before an old one stops, which needs GPUs for one more."""
    efa: bool = False
    """Whether all of its pools have EFA: a pod that asks for EFA runs nowhere else."""
    interruptible: bool = False
    """Whether one of its pools buys spot: its servers then leave within EC2's notice."""
    spread_zones: bool = True
    """Whether replicas prefer different zones. Not where reserved capacity comes first: see ``pod``."""
    api_key_secret: str | None = None
    """Secret whose key ``token`` callers must present; None: no authentication."""
    client_namespaces: tuple[str, ...] = ()
    metrics_namespaces: tuple[str, ...] = ()
    cache_throughput: str = "elastic"

    @property
    def name(self) -> str:
        """The model's name, which is also its Service's."""
        return self.decision["name"]

    @property
    def labels(self) -> dict[str, str]:
        """Labels of every object, among them the selector's."""
        return {
            **self.selector,
            "app.kubernetes.io/component": "model-server",
            "app.kubernetes.io/part-of": "llm-serving",
        }

    @property
    def selector(self) -> dict[str, str]:
        """Labels that only this model's pods carry. Selectors are immutable: nothing here may change."""
        return {"app.kubernetes.io/name": "vllm", "app.kubernetes.io/instance": self.name}

    @property
    def instance_types(self) -> list[str]:
        """The chosen type and its alternates: the pods' node affinity."""
        return [self.decision["instance_type"], *self.decision["alternates"]]

    @property
    def start(self) -> ColdStart:
        """The cold start on the slowest network among the instance types."""
        gbps = min(catalog.instance_type(name).network_baseline_gbps for name in self.instance_types)
        source = "s3" if is_streamed(self.model_path) else self.cache_throughput
        return cold_start(self.decision["checkpoint_bytes"], gbps, source)

    @property
    def drain(self) -> Drain:
        """The steps of a shutdown."""
        return drain(self.decision, self.output_tokens, interruptible=self.interruptible)
