"""The ``vllm serve`` argument list of a decision. Pure; every flag is one of vLLM 0.33.0's registry (a test)."""

import json
from collections.abc import Mapping
from typing import Any

from components.sizing import catalog, host

PORT = 8000
STREAMER_THREADS = 16
"""Concurrent reads of one streamer, its default for files; eight for object stores leave the network idle."""
QUIET_ENDPOINTS = "/health,/metrics,/ping"


def serve_arguments(decision: Mapping[str, Any], model_path: str, shutdown_timeout_s: int) -> list[str]:
    """Return what follows ``vllm serve``: the model's path first, then flags with explicit values.

    Nothing that the plan decided is left to a default of the engine: defaults differ between GPUs and releases, and
    two replicas on unlike GPUs would serve different limits. ``--quantization`` is absent for quantized checkpoints:
    it is read from their config.json, and a mismatch is fatal.
    """
    flags: dict[str, Any] = {
        "--served-model-name": decision["name"],
        "--port": PORT,
        "--tensor-parallel-size": decision["tp"],
        "--max-model-len": decision["max_model_len"],
        "--max-num-seqs": decision["max_num_seqs"],
        "--max-num-batched-tokens": decision["max_num_batched_tokens"],
        "--kv-cache-dtype": decision["kv_cache_dtype"],
        "--gpu-memory-utilization": decision["gpu_memory_utilization"],
        "--shutdown-timeout": shutdown_timeout_s,
        "--disable-access-log-for-endpoints": QUIET_ENDPOINTS,
    }
    if decision["pp"] > 1:
        flags["--pipeline-parallel-size"] = decision["pp"]
    if is_streamed(model_path):
        streamer = {"concurrency": STREAMER_THREADS, "memory_limit": int(host.STREAM_GIB * 2**30)}
        flags["--load-format"] = "runai_streamer"
        flags["--model-loader-extra-config"] = json.dumps(streamer)
    else:
        flags["--safetensors-load-strategy"] = decision["load_strategy"]
    listed = [text for flag, value in flags.items() for text in (flag, str(value))]
    return [model_path, *listed, *_switches(decision)]


def is_streamed(model_path: str) -> bool:
    """Whether weights come straight from S3: vLLM then streams them by itself (vLLM 0.33.0 config/vllm.py:2775)."""
    return model_path.startswith("s3://")


def _switches(decision: Mapping[str, Any]) -> list[str]:
    """Return the flags without a value."""
    switches = ["--disable-fastapi-docs"]  # /docs and /openapi.json answer without the API key
    # vLLM turns its own all-reduce off by itself on more than two PCIe GPUs (vLLM 0.33.0 custom_all_reduce.py:266).
    if decision["tp"] == 2 and lacks_peer_access(decision):
        switches.append("--disable-custom-all-reduce")
    return switches


def lacks_peer_access(decision: Mapping[str, Any]) -> bool:
    """Whether a replica's GPUs cannot read each other's memory.

    On PCIe boxes such as g5.12xlarge peer access is reported but broken: 49 ms of latency (ray-project/ray#39471),
    hangs (vllm-project/vllm#14025).
    """
    return decision["gpus"] > 1 and not catalog.gpu(decision["gpu"]).p2p
