"""``estimate``: does one given deployment start, what KV cache does it leave, and how fast is it."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from components.sizing import catalog
from components.sizing.architecture import Architecture
from components.sizing.catalog import Gpu
from components.sizing.cli import table
from components.sizing.cli.merge import merge, online_precision, split
from components.sizing.cli.options import (
    BAD_INPUT,
    MOST_GIB,
    MOST_GPUS,
    MOST_TOKENS,
    WRONG_VALUES,
    InputError,
    Parser,
    add_model_options,
    number,
    one_of,
    read_architecture,
    read_index,
    unusable,
    whole_number,
)
from components.sizing.engine import AUTO_MAX_MODEL_LEN, UnknownVersionError, release
from components.sizing.estimate import Deployment, Estimate, estimate
from components.sizing.kv import KV_DTYPES
from components.sizing.quantization import PRECISIONS, Quantization, from_precision
from components.sizing.serve_args import BadArgumentError, read, registry
from components.sizing.types import EngineOptions, Load, Parallelism

DEFAULT_VERSION = EngineOptions().vllm_version
_DTYPES = {"auto": "auto", "half": "float16", "float16": "float16", "bfloat16": "bfloat16"}


def main(arguments: Sequence[str]) -> int:
    """Run the command; 0 whenever the question was answered, 2 for bad input."""
    before, after = split(arguments)
    given = _parser().parse_args(before)
    try:
        command = read(after)
        left = merge(given, command)
        answer, document = _answer(_deployment(given, left), given.config)
    except (InputError, BadArgumentError) as error:
        print(f"components.sizing estimate: error: {error.args[0]}", file=sys.stderr)
        return BAD_INPUT
    document["assumptions"] += [{"name": "vllm serve", "value": note, "source": "given", "version": DEFAULT_VERSION}
                                for note in command.notes]  # fmt: skip
    print(json.dumps(document, indent=2, ensure_ascii=False) if given.json else table.render(answer, document))
    return 0


def _answer(deployment: Deployment, config: Path | None) -> tuple[Estimate, dict[str, Any]]:
    try:
        answer = estimate(deployment)
        return answer, answer.to_json()
    except WRONG_VALUES as error:
        if config is None:
            raise
        raise unusable(config, error) from error


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "components.sizing estimate",
        "Judge one deployment. Everything after a lone -- is read as the arguments of vllm serve.",
    )
    add_model_options(parser)
    parser.add_argument("--precision", type=one_of(PRECISIONS), help=f"{', '.join(PRECISIONS)}; else config.json's")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    hardware = parser.add_argument_group("hardware")
    hardware.add_argument("--gpu", metavar="KEY", help=", ".join(each.key for each in catalog.gpus()))
    hardware.add_argument(
        "--gpu-memory-gib", type=number(above=True, most=MOST_GIB, meaning="a size in GiB"), help="what CUDA shows"
    )
    hardware.add_argument("--gpus", type=_gpus, help="GPUs of the host; tp x pp x dp where it is not given")
    for name, meaning in (("tp", "tensor"), ("pp", "pipeline"), ("dp", "data")):
        hardware.add_argument(f"--{name}", type=_gpus, help=f"{meaning} parallel size")
    hardware.add_argument("--ep", action="store_true", default=None, help="expert parallel")
    hardware.add_argument("--pp-rank", type=whole_number(0), help="pipeline stage to report; else the fullest")
    _add_engine_options(parser)
    load = parser.add_argument_group("load: all three, to predict latency")
    for name in ("--concurrency", "--input-tokens", "--output-tokens"):
        load.add_argument(name, type=_tokens)
    load.add_argument("--prefix-hit-rate", type=number(0, 1, meaning="a share"))
    return parser


def _add_engine_options(parser: argparse.ArgumentParser) -> None:
    engine = parser.add_argument_group("vLLM; options that are not given take that release's default on that GPU")
    engine.add_argument("--max-model-len", type=_length, help="tokens, or auto")
    engine.add_argument("--max-num-seqs", type=_tokens)
    engine.add_argument("--max-num-batched-tokens", type=_tokens)
    engine.add_argument("--gpu-memory-utilization", type=number(0, 1, above=True, meaning="a share"))
    engine.add_argument("--kv-cache-dtype", type=_kv_cache_dtype, help=", ".join(KV_DTYPES))
    engine.add_argument("--enforce-eager", action="store_true", default=None)
    engine.add_argument("--vllm-version", default=DEFAULT_VERSION, type=_version)
    engine.add_argument(
        "--kv-memory-gib", type=number(0, MOST_GIB, meaning="a size in GiB"), help="a given KV budget per GPU"
    )


def _gpus(text: str) -> int:
    return _at_most(text, MOST_GPUS)


def _tokens(text: str) -> int:
    return _at_most(text, MOST_TOKENS)


def _at_most(text: str, most: int) -> int:
    value = whole_number()(text)
    if value > most:
        msg = f"{text!r} is above {most}; 1 to {most} is accepted"
        raise argparse.ArgumentTypeError(msg)
    return value


def _length(text: str) -> int:
    return AUTO_MAX_MODEL_LEN if text.lower() in {"auto", "-1"} else _tokens(text)


def _version(text: str) -> str:
    try:
        release(text)
    except UnknownVersionError as error:
        raise argparse.ArgumentTypeError(error.args[0]) from error
    return text


def _kv_cache_dtype(text: str) -> str:
    if text in KV_DTYPES:
        return text
    accepted = ", ".join(KV_DTYPES)
    if text in registry()["known_values"]["--kv-cache-dtype"]:
        msg = f"{text!r}: vLLM has it, but how many bytes a token takes is not known here; accepted: {accepted}"
        raise argparse.ArgumentTypeError(msg)
    msg = f"{text!r} is not one of {accepted}"
    raise argparse.ArgumentTypeError(msg)


def _deployment(given: argparse.Namespace, left: Mapping[str, Any]) -> Deployment:
    arch = read_architecture(given.model, given.config)
    quantized = arch.checkpoint_precision.is_quantized
    method = left.get("--quantization")
    precision = online_precision(method, checkpoint_is_quantized=quantized, precision=given.precision)
    return Deployment(
        arch=arch,
        quant=_quantization(arch, precision, online=precision != given.precision),
        gpu=_gpu(given),
        parallelism=_parallelism(given),
        options=_options(given, left),
        memory_gib=given.gpu_memory_gib,
        load=_load(given),
        weights_index=read_index(given.weights_index),
        pp_rank=_pp_rank(given),
    )


def _quantization(arch: Architecture, precision: str | None, *, online: bool) -> Quantization:
    if precision is None:
        return arch.checkpoint_precision
    return replace(from_precision(precision, arch), online=online)


def _gpu(given: argparse.Namespace) -> Gpu:
    accepted = ", ".join(each.key for each in catalog.gpus())
    if given.gpu is not None:
        try:
            gpu = catalog.gpu(given.gpu)
        except (catalog.UnknownCatalogKeyError, catalog.RefusedGpuError) as error:
            msg = f"--gpu {given.gpu}: {error.args[0]}"
            raise InputError(msg) from error
        if gpu.memory_expected_gib is None and given.gpu_memory_gib is None:
            msg = f"--gpu {given.gpu}: what CUDA shows of it is not known; --gpu-memory-gib must say it"
            raise InputError(msg)
        return gpu
    if given.gpu_memory_gib is None:
        msg = f"--gpu or --gpu-memory-gib is required; --gpu accepts {accepted}"
        raise InputError(msg)
    return _unnamed_gpu(given.gpu_memory_gib)


@lru_cache(maxsize=64)
def _unnamed_gpu(memory_gib: float) -> Gpu:
    """Stand in for a GPU of which only the memory is known: Hopper from 70 GiB on, else Ampere without NVLink."""
    model = catalog.gpu("h100" if memory_gib >= 70 else "rtx-3090")
    return replace(model, key="unnamed", name=f"a GPU with {memory_gib:g} GiB")


def _parallelism(given: argparse.Namespace) -> Parallelism:
    parallelism = Parallelism(given.tp or 1, given.pp or 1, given.dp or 1, bool(given.ep))
    if given.gpus is not None and given.gpus < parallelism.gpus:
        msg = (
            f"--gpus {given.gpus}: --tp {parallelism.tp} x --pp {parallelism.pp} x --dp {parallelism.dp} needs "
            f"{parallelism.gpus} GPUs"
        )
        raise InputError(msg)
    return parallelism


def _options(given: argparse.Namespace, left: Mapping[str, Any]) -> EngineOptions:
    extra = dict(left)
    dtype = extra.pop("--dtype", "auto")
    if dtype not in _DTYPES:
        msg = f"--dtype {dtype}: 32-bit weights are not sized; accepted: {', '.join(_DTYPES)}"
        raise InputError(msg)
    try:
        kv_cache_dtype = _kv_cache_dtype(given.kv_cache_dtype or "auto")
    except argparse.ArgumentTypeError as error:
        msg = f"--kv-cache-dtype: {error.args[0]}"
        raise InputError(msg) from error
    block_size = extra.pop("--block-size", None)
    if block_size is not None and not 1 <= block_size <= 2**16:
        msg = f"--block-size {block_size}: 1 to {2**16} is accepted"
        raise InputError(msg)
    return EngineOptions(
        vllm_version=given.vllm_version,
        max_model_len=given.max_model_len,
        max_num_seqs=given.max_num_seqs,
        max_num_batched_tokens=given.max_num_batched_tokens,
        gpu_memory_utilization=given.gpu_memory_utilization,
        kv_cache_dtype=kv_cache_dtype,
        enforce_eager=bool(given.enforce_eager),
        kv_memory_gib=given.kv_memory_gib,
        block_size=block_size,
        hybrid_kv_cache=not extra.pop("--disable-hybrid-kv-cache-manager", False),
        dtype=_DTYPES[dtype],
        extra=extra,
    )


def _load(given: argparse.Namespace) -> Load | None:
    names = ("concurrency", "input_tokens", "output_tokens")
    missing = [f"--{name.replace('_', '-')}" for name in names if getattr(given, name) is None]
    if len(missing) == len(names) and given.prefix_hit_rate is None:
        return None
    if missing:
        msg = f"{', '.join(missing)}: missing; latency needs --concurrency, --input-tokens and --output-tokens"
        raise InputError(msg)
    if given.gpu is None:
        msg = "--gpu is required to predict latency: memory alone says nothing about speed"
        raise InputError(msg)
    return Load(given.concurrency, given.input_tokens, given.output_tokens, given.prefix_hit_rate or 0.0)


def _pp_rank(given: argparse.Namespace) -> int | None:
    stages = given.pp or 1
    if given.pp_rank is not None and given.pp_rank >= stages:
        msg = f"--pp-rank {given.pp_rank}: --pp {stages} has the stages 0 to {stages - 1}"
        raise InputError(msg)
    return given.pp_rank
