"""How long a replica takes from "pod created" to "ready", stage by stage. Pure.

Every probe, deadline and timeout of a model server is derived from here: a budget that is a guess either kills a
loading model (kserve/kserve#5062) or hides a broken one for hours.
"""

import math
from dataclasses import dataclass

MIB = 2**20
GBPS_IN_BYTES = 1e9 / 8

EFS_CLIENT_MIBPS = {"elastic": 1500, "provisioned": 500}
"""Read rate of one client by throughput mode, with efs-utils 2 or newer.

Source: docs.aws.amazon.com/efs/latest/ug/performance.html, July 2026.
"""
SLOW_LOADER_MIBPS = 355
"""What vLLM's default loader was seen to reach from elastic EFS: 894 GiB in 43 min (modelplaneai/modelplane#204)."""
S3_STREAM_MIBPS = 2900
"""Run:ai streamer from S3, 15 GB in 4.88 s at concurrency 32 (run-ai/runai-model-streamer@f73a19a, g5.12xlarge)."""
SLOW_S3_STREAM_MIBPS = 1000
"""A third of it: a bucket that has not been scaled up for the reader yet (general knowledge)."""

SHORTEST_BUDGET, LONGEST_BUDGET = 1.5, 4.0
"""A startup budget lies between these multiples of the expected time: less kills good starts, more hides bad ones."""
SAFETY = 1.2
"""On top of the pessimistic time."""


@dataclass(frozen=True)
class Stage:
    """One stage of a start, in seconds."""

    name: str
    expected_s: float
    pessimistic_s: float
    source: str


@dataclass(frozen=True)
class ColdStart:
    """A start on a new node: what comes before the container (node, image) and what its probes wait for."""

    before_container: tuple[Stage, ...]
    in_container: tuple[Stage, ...]

    @property
    def startup_budget_s(self) -> int:
        """Seconds that the startup probe allows the container."""
        expected = sum(stage.expected_s for stage in self.in_container)
        pessimistic = sum(stage.pessimistic_s for stage in self.in_container)
        return math.ceil(min(max(pessimistic * SAFETY, expected * SHORTEST_BUDGET), expected * LONGEST_BUDGET))

    @property
    def rollout_s(self) -> int:
        """Seconds after which a replica that is not ready has failed, from the moment its pod exists."""
        return math.ceil(sum(stage.pessimistic_s for stage in self.before_container)) + self.startup_budget_s

    def to_json(self) -> dict[str, float]:
        """Return the expected seconds by stage, with both totals."""
        stages = (*self.before_container, *self.in_container)
        return {
            **{f"{stage.name}_s": round(stage.expected_s, 1) for stage in stages},
            "expected_s": round(sum(stage.expected_s for stage in stages), 1),
            "pessimistic_s": round(sum(stage.pessimistic_s for stage in stages), 1),
            "startup_budget_s": self.startup_budget_s,
        }


NODE = Stage("node", 120, 300, "instance and driver 2 to 5 min: vllm-project/vllm#41893")
IMAGE = Stage("image", 138, 300, "10.76 GB in 2 m 18 s: aws-samples/karpenter-blueprints#32; 5 min: vllm#41893")
ENGINE = Stage("engine", 30, 50, "imports 10 to 20 s, workers and NCCL 5 to 30 s: vLLM 0.33.0 start-up logs")
COMPILE = Stage("compile", 100, 166, "torch.compile without cache 30 to 170 s: mitchross/talos-argocd-proxmox#1848")
PROFILE = Stage("profile", 30, 131, "memory profile: 131 s at worst in mitchross/talos-argocd-proxmox#1848")
GRAPHS = Stage("graphs", 20, 90, "CUDA graphs 17 to 90 s: mitchross/talos-argocd-proxmox#1848, vllm#20264")


def cold_start(checkpoint_bytes: float, network_gbps: float, source: str = "elastic") -> ColdStart:
    """Estimate a start.

    Args:
        checkpoint_bytes: what the node reads, once for all its GPUs.
        network_gbps: baseline of the node's network (bursts run on credits), in 1e9 bits per second.
        source: ``elastic`` or ``provisioned`` EFS, or ``s3``.

    """
    nic_mibps = network_gbps * GBPS_IN_BYTES / MIB
    fast = S3_STREAM_MIBPS if source == "s3" else EFS_CLIENT_MIBPS[source]
    slow = SLOW_S3_STREAM_MIBPS if source == "s3" else SLOW_LOADER_MIBPS
    size_mib = checkpoint_bytes / MIB
    weights = Stage(
        "weights",
        size_mib / min(fast, nic_mibps),
        size_mib / min(slow, fast, nic_mibps),
        f"{size_mib / 1024:.1f} GiB ÷ min({fast} MiB/s of {source}, {nic_mibps:.0f} MiB/s of the node's network); "
        f"pessimistic {slow} MiB/s",
    )
    return ColdStart((NODE, IMAGE), (ENGINE, weights, COMPILE, PROFILE, GRAPHS))
