"""``python -m components.sizing recommend``: the cheapest deployment that meets a requirement.

Exit 0: something was chosen; 1: nothing satisfies (the document is still printed); 2: bad input.
"""

import json
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from typing import get_args

from components.sizing import catalog, profiles
from components.sizing.cli.options import (
    BAD_INPUT,
    InputError,
    Parser,
    add_model_options,
    number,
    one_of,
    read_architecture,
    read_index,
    whole_number,
)
from components.sizing.cli.recommendation_text import render
from components.sizing.kv import KV_DTYPES
from components.sizing.quantization import PRECISIONS
from components.sizing.recommend import recommend
from components.sizing.requirement import DEFAULT_VLLM, KV_CACHE_DTYPES, InvalidRequirementError, Requirement
from components.sizing.types import CapacityType, Load, Objective, Profile

PROG = "python -m components.sizing recommend"
NOTHING_SATISFIES = 1


def main(arguments: Sequence[str]) -> int:
    """Answer one requirement; the return value is the exit code."""
    given = _parser().parse_args(list(arguments))
    try:
        asked = _requirement(given)
        answer = recommend(asked)
    except (InputError, InvalidRequirementError) as error:
        for line in str(error).splitlines():
            print(f"{PROG}: error: {line}", file=sys.stderr)
        return BAD_INPUT
    shapes = profiles.of_decision(asked, answer.chosen) if answer.chosen else ()
    if given.json:
        print(json.dumps({**answer.to_json(), "profiles": [each.to_json() for each in shapes]}, indent=2))
    else:
        print(render(answer, shapes))
    return 0 if answer.chosen else NOTHING_SATISFIES


def _parser() -> Parser:
    parser = Parser(PROG, "The cheapest deployment that meets a requirement, and why not the others.")
    add_model_options(parser)
    parser.add_argument(
        "--precision",
        action="append",
        metavar="FORMAT",
        type=one_of(PRECISIONS),
        help=f"a checkpoint that may be served; repeatable; default: what config.json says; {', '.join(PRECISIONS)}",
    )
    _add_load(parser)
    _add_place(parser)
    _add_engine(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _add_load(parser: Parser) -> None:
    group = parser.add_argument_group("load of the whole model at its busiest moment, and service levels")
    group.add_argument("--concurrency", type=whole_number(), default=1, metavar="N", help="requests in flight")
    group.add_argument("--input-tokens", type=whole_number(), default=1024, metavar="N", help="prompt tokens")
    group.add_argument("--output-tokens", type=whole_number(), default=256, metavar="N", help="answer tokens")
    group.add_argument(
        "--prefix-hit-rate",
        type=number(0, 1, meaning="a share"),
        default=0.0,
        metavar="SHARE",
        help="share of prompt tokens found in the prefix cache",
    )
    milliseconds = number(above=True, meaning="a number of milliseconds")
    group.add_argument("--ttft-ms", type=milliseconds, metavar="MS", help="most time to the first token")
    group.add_argument("--tpot-ms", type=milliseconds, metavar="MS", help="most time per output token after the first")
    group.add_argument(
        "--max-model-len",
        type=whole_number(),
        metavar="N",
        help="tokens of the longest request; without it the profile chooses from the memory budget",
    )
    group.add_argument(
        "--profile", type=one_of(get_args(Profile)), default="balanced", help=", ".join(get_args(Profile))
    )
    group.add_argument(
        "--objective", type=one_of(get_args(Objective)), default="hourly", help=", ".join(get_args(Objective))
    )


def _add_place(parser: Parser) -> None:
    group = parser.add_argument_group("where it may run")
    group.add_argument(
        "--families",
        type=_list_of(catalog.families()),
        default=(),
        metavar="A,B",
        help=f"EC2 families: {', '.join(catalog.families())}; all where not given",
    )
    group.add_argument(
        "--capacity",
        type=_list_of(get_args(CapacityType)),
        default=("on-demand",),
        metavar="A,B",
        help=f"ways to buy, in order of preference: {', '.join(get_args(CapacityType))}",
    )
    group.add_argument("--region", default="us-east-1", metavar="REGION", help="AWS region")
    group.add_argument("--zones", type=_words, default=(), metavar="A,B", help="zones of the VPC; any where not given")
    group.add_argument("--max-nodes", type=whole_number(), default=1, metavar="N", help="nodes of one replica")
    group.add_argument("--replicas-min", type=whole_number(), default=1, metavar="N", help="fewest replicas")
    group.add_argument("--replicas-max", type=whole_number(), metavar="N", help="most replicas; any where not given")


def _add_engine(parser: Parser) -> None:
    group = parser.add_argument_group("engine")
    group.add_argument("--max-sequences", type=whole_number(), metavar="N", help="upper bound of --max-num-seqs")
    group.add_argument("--max-num-batched-tokens", type=whole_number(), metavar="N", help="default: vLLM's for the GPU")
    group.add_argument(
        "--gpu-memory-utilization", type=number(0, 1, above=True), metavar="SHARE", help="default: vLLM's"
    )
    group.add_argument(
        "--kv-cache-dtype",
        type=one_of(tuple(KV_DTYPES)),
        metavar="DTYPE",
        help="default: auto, and fp8 where the GPU supports it and it costs less",
    )
    group.add_argument("--enforce-eager", action="store_true", help="no CUDA graphs")
    group.add_argument("--vllm-version", default=DEFAULT_VLLM, metavar="VERSION", help="vLLM release")


def _requirement(given: Namespace) -> Requirement:
    return Requirement(
        arch=read_architecture(given.model, given.config),
        load=Load(given.concurrency, given.input_tokens, given.output_tokens, given.prefix_hit_rate),
        precisions=tuple(given.precision or ()),
        max_model_len=given.max_model_len,
        ttft_ms=given.ttft_ms,
        tpot_ms=given.tpot_ms,
        objective=given.objective,
        profile=given.profile,
        families=given.families,
        capacity=given.capacity,
        region=given.region,
        zones=given.zones,
        max_nodes=given.max_nodes,
        replicas_min=given.replicas_min,
        replicas_max=given.replicas_max,
        max_sequences=given.max_sequences,
        vllm_version=given.vllm_version,
        gpu_memory_utilization=given.gpu_memory_utilization,
        max_num_batched_tokens=given.max_num_batched_tokens,
        enforce_eager=given.enforce_eager,
        weights_index=read_index(given.weights_index),
        kv_cache_dtypes=(given.kv_cache_dtype,) if given.kv_cache_dtype else KV_CACHE_DTYPES,
    )


def _words(text: str) -> tuple[str, ...]:
    """Read a comma list; an empty one is not the same as none given."""
    words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not words:
        msg = f"{text!r} is an empty list"
        raise ArgumentTypeError(msg)
    return words


def _list_of(accepted: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Return a reader of comma lists of accepted words."""
    check = one_of(accepted)
    return lambda text: tuple(check(word) for word in _words(text))
