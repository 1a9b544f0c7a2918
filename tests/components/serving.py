"""A decision and programs that the tests of the serving components share."""

from typing import Any

from components.vllm.workload import Workload

BIG = {
    "name": "big",
    "instance_type": "g5.12xlarge",
    "alternates": ("g5.24xlarge",),
    "gpu": "a10g",
    "gpus": 4,
    "nodes": 1,
    "tp": 4,
    "pp": 1,
    "replicas": 2,
    "max_model_len": 8192,
    "max_num_seqs": 16,
    "max_num_batched_tokens": 2048,
    "gpu_memory_utilization": 0.92,
    "kv_cache_dtype": "auto",
    "checkpoint_bytes": 39_800_000_000,
    "host_cpu_millicores": 6000,
    "host_memory_mib": 62_000,
    "shm_gib": 3,
    "load_strategy": "prefetch",
    "ttft_ms": 800.0,
    "tpot_ms": 60.0,
    "bands": {
        "ttft_ms": {"low": 500, "expected": 800, "high": 1500},
        "tpot_ms": {"low": 40, "expected": 60, "high": 90},
    },
    "usd_per_hour": 11.344,
}
"""Two replicas of a 70-billion-parameter AWQ model, one per g5.12xlarge."""
SMALL = {
    **BIG,
    "name": "small",
    "instance_type": "g5.2xlarge",
    "alternates": (),
    "gpus": 1,
    "tp": 1,
    "replicas": 1,
    "checkpoint_bytes": 16_060_000_000,
    "host_cpu_millicores": 3000,
    "host_memory_mib": 27_000,
    "shm_gib": 0,
}
HUGE = {
    **BIG,
    "name": "huge",
    "instance_type": "p5.48xlarge",
    "alternates": (),
    "gpu": "h100",
    "gpus": 8,
    "tp": 8,
    "checkpoint_bytes": 410_000_000_000,
    "host_memory_mib": 460_000,
    "shm_gib": 4,
}


def workload(decision: dict[str, Any], **changes: Any) -> Workload:
    """Return a workload for a decision, with some fields changed."""
    fields: dict[str, Any] = {
        "namespace": "serving",
        "image": "vllm/vllm-openai:v0.33.0",
        "decision": decision,
        "model_path": f"/models/{decision['name']}/0123abcd",
        "claim_name": "models-fs-0123456789abcdef0",
        "pools": ("gpu",),
        "replicas": decision["replicas"],
        "output_tokens": 256,
        "client_namespaces": ("gateway",),
        "metrics_namespaces": ("monitoring",),
    }
    return Workload(**{**fields, **changes})
