"""Weights per GPU against what vLLM's own model classes allocate, and against published start-ups."""

import csv
import json
import shlex
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.sizing.architecture import Architecture, from_config, named
from components.sizing.catalog import gpu
from components.sizing.legality import illegal_reasons, legal_tps
from components.sizing.quantization import BF16, from_precision
from components.sizing.types import EngineOptions, Parallelism
from components.sizing.weights import rank_weights, stage_layers, traffic

DATA = Path(__file__).parents[1] / "data"
ORACLE = json.loads((DATA / "vllm_weights_oracle.json").read_text())["rows"]
VECTORS = json.loads((DATA / "weight_vectors.json").read_text())["rows"]
LLAMA_70B = "meta-llama/Llama-3.1-70B-Instruct"


def model_of(row: dict[str, Any]) -> Architecture:
    """Read the configuration that a vector was made from."""
    config = json.loads((DATA / "oracle_configs" / f"{row['model']}.json").read_text())
    return from_config(config, row["model"])


def parallelism_of(row: dict[str, Any]) -> Parallelism:
    """Read the split from a vector's arguments."""
    words = shlex.split(row["args"])
    size = {flag: int(words[words.index(flag) + 1]) for flag in ("-tp", "-pp", "-dp") if flag in words}
    return Parallelism(
        size.get("-tp", 1), size.get("-pp", 1), size.get("-dp", 1), ep="--enable-expert-parallel" in words
    )


@pytest.mark.parametrize(
    "row",
    [row for row in ORACLE if "error" not in row],
    ids=lambda row: f"{row['model']} {row['args'][:8]} {row['gpu']}",
)
def test_every_byte_that_vllm_allocates_is_counted(row: dict[str, Any]) -> None:
    """A forgotten tensor, a wrong split or a wrong padding: any of them moves the total by at least one byte."""
    arch = model_of(row)
    capability = gpu(row["gpu"]).compute_capability
    weights = rank_weights(
        arch, arch.checkpoint_precision, parallelism_of(row), pp_rank=row["pp_rank"], compute_capability=capability
    )
    assert weights.bytes == row["param_bytes"]
    assert sum(weights.parts.values()) == weights.bytes


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: f"{row['model']} {row['args']} {row['gpu']}")
def test_every_family_is_counted_to_the_byte(row: dict[str, Any]) -> None:
    """Families differ in biases, norms, towers and what they keep on each stage; one wrong switch moves the total."""
    arch = from_config(row["config"], row["model"])
    weights = rank_weights(
        arch,
        arch.checkpoint_precision,
        parallelism_of(row),
        pp_rank=row["pp_rank"],
        compute_capability=gpu(row["gpu"]).compute_capability,
    )
    assert weights.bytes == row["bytes"]


@pytest.mark.parametrize("row", [row for row in ORACLE if "error" in row], ids=lambda row: row["model"])
def test_what_vllm_cannot_build_is_illegal(row: dict[str, Any]) -> None:
    """A plan for experts whose FP8 blocks no kernel of that GPU can cut would die at start."""
    arch = model_of(row)
    reasons = illegal_reasons(
        arch, arch.checkpoint_precision, parallelism_of(row), EngineOptions(max_model_len=4096), gpu(row["gpu"])
    )
    assert any("192 columns per rank are not whole FP8 blocks of 128" in reason.text for reason in reasons)


@pytest.mark.parametrize(
    ("layers", "stages", "expected"),
    [(126, 4, (31, 32, 32, 31)), (80, 3, (27, 27, 26)), (61, 2, (31, 30))],
)
def test_left_over_layers_go_to_the_later_stages_but_the_last(
    layers: int, stages: int, expected: tuple[int, ...]
) -> None:
    """The wrong stage would be called the fullest, and its KV cache over-promised."""
    assert stage_layers(layers, stages) == expected


def test_published_totals_of_the_shipped_models() -> None:
    """The shipped stacks' TP sizes rest on these totals (GiB per GPU)."""
    awq = named("hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4")
    fp8 = named("RedHatAI/Meta-Llama-3.1-405B-Instruct-FP8")
    meta = named("meta-llama/Meta-Llama-3.1-405B-Instruct-FP8")
    eight = named("meta-llama/Llama-3.1-8B-Instruct")
    assert rank_weights(awq, awq.checkpoint_precision, Parallelism(4)).gib == pytest.approx(9.292, abs=0.001)
    assert rank_weights(eight, eight.checkpoint_precision, Parallelism()).gib == pytest.approx(14.989, abs=0.001)
    assert rank_weights(fp8, fp8.checkpoint_precision, Parallelism(8)).gib == pytest.approx(47.7, abs=0.1)
    assert rank_weights(meta, meta.checkpoint_precision, Parallelism(8)).gib == pytest.approx(56.7, abs=0.3)


def test_wrong_claims_about_weights_are_not_repeated() -> None:
    """Widely read articles say 17 GB, 35 GB, one 24 GB card and 176 GB; plans on those figures run out of memory."""
    big = named(LLAMA_70B)
    awq = rank_weights(big, from_precision("awq-int4", big), Parallelism())
    assert awq.gib == pytest.approx(37.07, abs=0.05)
    assert awq.bytes / 2 > 17e9
    assert awq.gib > 22.06 * 0.92
    int8 = rank_weights(big, from_precision("int8", big), Parallelism())
    assert int8.gib == pytest.approx(67.7, abs=0.1)
    mixtral = named("mistralai/Mixtral-8x22B-v0.1")
    assert rank_weights(mixtral, BF16, Parallelism()).gib == pytest.approx(261.9, abs=0.5)


def test_an_index_gives_the_exact_total() -> None:
    """With the checkpoint's own size at hand, the inventory must only decide the shares."""
    arch = named(LLAMA_70B)
    index = {"metadata": {"total_size": 141_107_412_992}}
    whole = rank_weights(arch, BF16, Parallelism(), index=index)
    stored = whole.bytes - whole.parts["rotary_cache"] - whole.parts["kv_scales"]
    assert stored == pytest.approx(141_107_412_992, abs=8)
    quarter = rank_weights(arch, BF16, Parallelism(4), index=index)
    assert quarter.bytes == pytest.approx(whole.bytes / 4, rel=0.002)
    with pytest.raises(ValueError, match="total_size"):
        rank_weights(arch, BF16, Parallelism(), index={"weight_map": {}})


def test_some_classes_make_both_ends_on_every_stage() -> None:
    """Mixtral, Qwen3-MoE and gpt-oss keep the embedding and lm_head on all stages; Llama and DeepSeek do not."""
    for model, is_everywhere in (("mistralai/Mixtral-8x7B-v0.1", True), (LLAMA_70B, False)):
        arch = named(model)
        middle = rank_weights(arch, BF16, Parallelism(pp=4), pp_rank=1)
        assert (middle.parts["embedding"] > 0) == is_everywhere
        assert (middle.parts["lm_head"] > 0) == is_everywhere


def test_a_stage_that_does_not_exist_is_refused() -> None:
    """Asking for stage 2 of 2 must not quietly answer for another."""
    with pytest.raises(ValueError, match="pp-rank 2"):
        rank_weights(named(LLAMA_70B), BF16, Parallelism(8, 2), pp_rank=2)


def test_one_decoding_step_of_a_70b_reads_what_physics_needs() -> None:
    """The roofline's ceiling (54 tok/s on one A100-80) rests on 37.7 GB per token, without the embedding table."""
    arch = named(LLAMA_70B)
    step = traffic(arch, from_precision("awq-int4", arch), Parallelism())
    assert step.dense_bytes == pytest.approx(37.7e9, rel=0.01)
    assert step.dense_flops_per_token == pytest.approx(2 * 69.5e9, rel=0.01)
    experts = named("Qwen/Qwen3-30B-A3B")
    sparse = traffic(experts, BF16, Parallelism(4))
    assert (sparse.experts, sparse.experts_per_token, sparse.moe_layers) == (128, 8, 48)
    assert sparse.expert_bytes == 3 * 2048 * 768 * 2 // 4


def test_published_start_ups_load_what_is_predicted() -> None:
    """The targets over logs of real GPUs whose model is known exactly: 0.3 % median, 2 % at the 90th percentile."""
    errors = []
    with (DATA / "memory_measurements.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if (
                not row["weights_gib_per_gpu"]
                or row["config_basis"] != "exact"
                or row["checkpoint_quantization"] != "none"
            ):
                continue
            if row["dtype"] == "float32":
                continue
            arch = named(row["config_key"])
            parallelism = Parallelism(int(row["tensor_parallel"] or 1), int(row["pipeline_parallel"] or 1))
            weights = rank_weights(arch, BF16, parallelism, pp_rank=0, vllm_version=row["vllm_version"] or "0.33.0")
            errors.append(abs(weights.gib / float(row["weights_gib_per_gpu"]) - 1))
    errors.sort()
    assert len(errors) > 60
    assert median(errors) <= 0.003
    assert errors[int(0.9 * len(errors))] <= 0.02


MODELS = (LLAMA_70B, "Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen3-30B-A3B", "deepseek-ai/DeepSeek-V3", "openai/gpt-oss-20b")


@given(model=st.sampled_from(MODELS), small=st.sampled_from((1, 2, 4)), factor=st.sampled_from((2, 4)))
def test_more_ranks_never_hold_more_each(model: str, small: int, factor: int) -> None:
    """A rank that grows with TP would mean that a tensor is split the wrong way round."""
    arch = named(model)
    legal = legal_tps(arch, arch.checkpoint_precision, gpu("h100"), 16)
    if small in legal and small * factor in legal:
        few = rank_weights(arch, arch.checkpoint_precision, Parallelism(small))
        many = rank_weights(arch, arch.checkpoint_precision, Parallelism(small * factor))
        assert many.bytes < few.bytes
        assert many.bytes * factor >= few.bytes


@given(model=st.sampled_from(MODELS[:3]), tp=st.sampled_from((1, 2, 4)))
def test_fewer_bits_never_need_more_bytes(model: str, tp: int) -> None:
    """Quantizing must never make a plan larger, or the search would prefer the wrong format."""
    arch = named(model)
    sizes = [
        rank_weights(arch, from_precision(key, arch), Parallelism(tp)).bytes
        for key in ("bf16", "fp8", "fp8-block", "gptq-int8", "nvfp4", "awq-int4")
    ]
    assert sizes[0] == max(sizes)
    assert max(sizes[4:]) < min(sizes[1:4])


@given(model=st.sampled_from(MODELS), stages=st.integers(min_value=1, max_value=8))
def test_stages_together_hold_the_whole_model(model: str, stages: int) -> None:
    """A layer counted twice or not at all would hide in the fullest stage."""
    arch = named(model)
    whole = rank_weights(arch, arch.checkpoint_precision, Parallelism())
    ranks = [
        rank_weights(arch, arch.checkpoint_precision, Parallelism(pp=stages), pp_rank=rank) for rank in range(stages)
    ]
    layers = ("attention_and_dense", "experts", "kv_scales")
    for part in layers:
        assert sum(rank.parts[part] for rank in ranks) == whole.parts[part]
    assert ranks[0].parts["embedding"] == whole.parts["embedding"]
    assert ranks[-1].parts["lm_head"] == whole.parts["lm_head"]
