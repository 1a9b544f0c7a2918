"""Published latencies as questions to the latency model, and why some rows are no question for it."""

import csv
import re
from dataclasses import dataclass
from functools import cache

from components.sizing import catalog, latency
from components.sizing.architecture import Architecture, UnknownModel, UnsupportedArchitecture, named
from components.sizing.catalog import Gpu
from components.sizing.quantization import Quantization, from_precision
from components.sizing.types import EngineOptions, Load, Parallelism
from tests.accuracy.startups import DATA

GPU_KEYS = {
    "A10G": "a10g",
    "L4": "l4",
    "L40S": "l40s",
    "A100-40GB": "a100-40gb",
    "A100": "a100-80gb",
    "H100": "h100",
    "H200": "h200",
    "B200": "b200",
    "RTX PRO 6000": "rtx-pro-6000-server",
}
NOT_PHYSICAL = {
    ("Qwen/Qwen3-235B-A22B-FP8", "H200", 1): "235 GB of weights do not fit one 141 GB GPU: its GPU count is wrong",
}
"""Rows left out by name."""
PROMPTS_REPLAYED = "aws-samples/sagemaker-genai-hosting-examples"
"""Its client warms up with, and then repeats, three prompts per use case (scripts/prompts.py and
scripts/benchmarker.py of 07-benchmark/sagemaker-inference-benchmark-suite at 3de810a): nearly every prompt is found in
the prefix cache."""
REPLAYED_HIT_RATE = 0.97
_FP8_CACHE = "nvidia/Llama-3.1-8B-Instruct-FP8"
"""Its hf_quant_config.json asks for an FP8 KV cache, which vLLM honours by itself since 0.14 only; with a 16-bit one
two of its rows exceed the card's bandwidth."""
_SIMPLE = re.compile(r"(?:ShareGPT)?~?([\d.]+)")
_VERSION = re.compile(r"vLLM (?:DLC )?~?(\d+\.\d+(?:\.\d+)?)")
_FULL_CARD = 0.95
"""Share of what the data sheet allows above which a row needs more than any engine reaches."""


@dataclass(frozen=True)
class Speed:
    """One row that the model can be asked about."""

    row: dict[str, str]
    arch: Architecture
    quant: Quantization
    gpu: Gpu
    parallelism: Parallelism
    options: EngineOptions
    load: Load

    @property
    def includes_ttft(self) -> bool:
        """Its time per token is the whole answer's time over the tokens."""
        return "includes TTFT" in self.row["notes"]

    @property
    def measured_tpot_ms(self) -> float:
        """As published."""
        return float(self.row["tpot_ms"])

    @property
    def measured_ttft_ms(self) -> float | None:
        """As published; None where it was not."""
        return float(self.row["ttft_ms"]) if self.row["ttft_ms"] else None

    @property
    def replayed(self) -> bool:
        """Its client repeats the same few prompts."""
        return PROMPTS_REPLAYED in self.row["url"]

    @property
    def source(self) -> str:
        """Who published it."""
        if self.replayed:
            return "aws-samples"
        return {"P": "aiconfigurator-core", "b": "jinwoong blog"}.get(self.row["url"][0], "vllm-project/recipes")

    @property
    def label(self) -> str:
        """Model, GPUs and load in a few words."""
        model, shape = self.arch.model.split("/")[-1], self.load
        spread = f"TP {self.parallelism.tp}" + (f" PP {self.parallelism.pp}" if self.parallelism.pp > 1 else "")
        tokens = f"{shape.input_tokens:g}/{shape.output_tokens:g}"
        return f"{model} {self.row['precision']}, {self.row['gpu']} {spread}, {tokens}, {shape.concurrency} at once"

    def predict(self, hit_rate: float = 0.0) -> latency.Latency:
        """Ask the model, with that share of the prompts in the prefix cache."""
        load = Load(self.load.concurrency, self.load.input_tokens, self.load.output_tokens, hit_rate)
        return latency.predict(self.arch, self.quant, self.gpu, self.parallelism, self.options, load)

    def tpot_ms(self, hit_rate: float = 0.0) -> float:
        """Predict in the row's own terms: with the first token's share where the row includes it."""
        answer = self.predict(hit_rate)
        first = answer.ttft_ms.expected / self.load.output_tokens if self.includes_ttft else 0.0
        return answer.tpot_ms.expected + first


@dataclass(frozen=True)
class LeftOut:
    """A row that is not compared, and why."""

    row: dict[str, str]
    reason: str

    @property
    def label(self) -> str:
        """Model, GPUs and load in a few words."""
        row = self.row
        shape = f"{row['input_len']}/{row['output_len']}, {row['concurrency/req rate']}"
        return f"{row['model']} {row['precision']}, {row['count']} x {row['gpu']}, {shape}"


@cache
def speeds() -> tuple[tuple[Speed, ...], tuple[LeftOut, ...]]:
    """Rows that are compared, and rows that are not."""
    with (DATA / "throughput_measurements.csv").open(encoding="utf-8", newline="") as file:
        found = [_read(row) for row in csv.DictReader(file)]
    return tuple(f for f in found if isinstance(f, Speed)), tuple(f for f in found if isinstance(f, LeftOut))


def _read(row: dict[str, str]) -> Speed | LeftOut:
    model = row["model"].split(" (")[0]
    concurrency = re.fullmatch(r"(?:c|num-prompts)=(\d+)", row["concurrency/req rate"])
    if concurrency is None:
        return LeftOut(row, "no fixed concurrency: all prompts were sent at once")
    tp = re.match(r"\d+", row["tp"])
    pp = re.search(r"PP=(\d+)", row["tp"])
    parallelism = Parallelism(int(tp[0]) if tp else 1, int(pp[1]) if pp else 1)
    reason = NOT_PHYSICAL.get((model, row["gpu"], parallelism.gpus))
    if reason is not None:
        return LeftOut(row, reason)
    if row["gpu"] not in GPU_KEYS:
        return LeftOut(row, f"GPU {row['gpu']} is not in the catalogue")
    try:
        arch = named(model)
    except (UnknownModel, UnsupportedArchitecture) as error:
        return LeftOut(row, f"the model's configuration is not known: {error}")
    load = Load(int(concurrency[1]), round(_tokens(row["input_len"])), round(_tokens(row["output_len"])))
    gpu = catalog.gpu(GPU_KEYS[row["gpu"]])
    speed = Speed(row, arch, _precision(arch, row["precision"]), gpu, parallelism, _options(row, model), load)
    used = card_share(speed)
    if used > _FULL_CARD:
        return LeftOut(row, f"needs {used:.0%} of the data sheet's speed with cold prompts: they cannot have been cold")
    return speed


def card_share(speed: Speed) -> float:
    """Share of the time per token that the card needs at its data sheet's speed, without any loss or waiting."""
    gpus = speed.parallelism.tp * speed.parallelism.pp
    load, arch = speed.load, speed.arch
    ceiling = latency.single_stream_ceiling(speed.arch, speed.quant, speed.gpu, speed.parallelism, speed.options)
    cache = 1 if speed.options.kv_cache_dtype == "fp8" else 2
    context = load.input_tokens + load.output_tokens / 2
    kinds = [kind for kind in arch.layer_kinds if kind == "full"]
    cached = 2 * len(kinds) * arch.kv_heads * arch.head_dim * cache * context * load.concurrency
    dense = 0 if arch.is_moe else _dense_parameters(arch)
    peak = speed.gpu.tflops.get("fp8" if speed.quant.activation_bits == 8 else "bf16") or speed.gpu.tflops["bf16"]
    prompt_s = 0.0
    if not speed.replayed:
        prompt_s = 2 * dense * load.concurrency * load.input_tokens / load.output_tokens / (peak * 1e12 * gpus)
    seconds = 1 / ceiling + cached / (speed.gpu.bandwidth_gbs * 1e9 * gpus) + prompt_s
    return seconds * 1e3 / speed.measured_tpot_ms


def _dense_parameters(arch: Architecture) -> float:
    attention = arch.hidden * arch.head_dim * (2 * arch.heads + 2 * arch.kv_heads)
    return arch.layers * (attention + 3 * arch.hidden * arch.intermediate)


def _precision(arch: Architecture, stated: str) -> Quantization:
    own = arch.checkpoint_precision
    if own.is_quantized and own.precision.startswith(stated):
        return own
    return from_precision(stated, arch)


def _options(row: dict[str, str], model: str) -> EngineOptions:
    version = _VERSION.search(row["notes"])
    sequences = re.search(r"max_num_seqs (\d+)", row["notes"])
    return EngineOptions(
        vllm_version=version[1] if version else "0.33.0",
        max_num_seqs=int(sequences[1]) if sequences else None,
        kv_cache_dtype="fp8" if model == _FP8_CACHE else "auto",
    )


def _tokens(text: str) -> float:
    match = _SIMPLE.fullmatch(text)
    if match is None:
        msg = f"{text!r} is no number of tokens"
        raise ValueError(msg)
    return float(match[1])
