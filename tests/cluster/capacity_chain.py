"""A stack that buys GPUs in all three ways, which no shipped stack does: prod's small model on one pool."""

from pathlib import Path
from typing import Any

import yaml

from offline.program import stack_file

TAGS = {"purpose": "llm"}
CHAIN = ["reserved", "on-demand", "spot"]


def capacity_chain_stack(folder: Path) -> Path:
    """Writes the stack file into ``folder`` and returns its path."""
    document: dict[str, Any] = yaml.safe_load(stack_file("prod").read_text())
    config = document["config"]
    pools = [pool for pool in config["llm-serving:gpuPools"] if pool["name"] == "g5"]
    models = [model for model in config["llm-serving:models"] if model["name"] == "llama-8b"]
    config["llm-serving:gpuPools"] = [{**pool, "capacity": CHAIN, "reservations": [{"tags": TAGS}]} for pool in pools]
    config["llm-serving:models"] = models
    path = folder / "Pulumi.capacity-chain.yaml"
    path.write_text(yaml.safe_dump(document))
    return path
