"""Memory beside weights and KV cache, against the lines that vLLM itself logged."""

import csv
import json
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components.sizing import architecture, catalog
from components.sizing.architecture import Architecture
from components.sizing.engine import ResolvedOptions, resolve
from components.sizing.overheads import Overheads, Weights, coefficient, overheads
from components.sizing.types import EngineOptions, Parallelism
from tests.sizing.deployments import oracle_model

ROWS = list(csv.DictReader((Path(__file__).parents[1] / "data" / "memory_measurements.csv").open(encoding="utf-8")))
TERMS = json.loads(
    (Path(__file__).parents[2] / "components" / "sizing" / "data" / "memory_terms.json").read_text(encoding="utf-8")
)["terms"]


def _resolved(arch: Architecture, gpu: str, **options: object) -> ResolvedOptions:
    facts = catalog.gpu(gpu)
    asked = EngineOptions(**options)  # type: ignore[arg-type]
    return resolve(asked, facts, facts.memory_expected_gib or 0, arch, Parallelism())


def _terms(
    model: str = "llama3.1-8b", gpu: str = "a10g", parallelism: Parallelism | None = None, **options: object
) -> Overheads:
    arch, shape = oracle_model(model), parallelism or Parallelism()
    return overheads(arch, catalog.gpu(gpu), shape, _resolved(arch, gpu, **options), Weights(15.0))


def _measured(version: str) -> Iterator[tuple[dict[str, str], Overheads]]:
    """Start-ups on one H100 model of that release whose log broke the memory down."""
    for row in ROWS:
        if not row["vllm_version"].startswith(version) or not row["peak_activation_gib"] or not row["non_torch_gib"]:
            continue
        if "H100" not in row["gpu_name"] or row["pipeline_parallel"] != "1" or row["config_basis"] != "exact":
            continue
        arch = architecture.named(row["config_key"])
        options = _resolved(arch, "h100", vllm_version=row["vllm_version"], max_num_seqs=1024)
        shape = Parallelism(tp=int(row["tensor_parallel"]))
        plain = row["checkpoint_quantization"] == "none"
        weights = Weights(float(row["weights_gib_per_gpu"]), has_16_bit_experts=arch.is_moe and plain)
        yield row, overheads(arch, catalog.gpu("h100"), shape, options, weights)


def test_activation_peak_equals_the_logs_of_019() -> None:
    """Prevents a sampler or forward peak that is off by more than the log's rounding explains."""
    errors = [terms.expected("activation") - float(row["peak_activation_gib"]) for row, terms in _measured("0.19")]
    assert len(errors) >= 15
    assert statistics.median(map(abs, errors)) <= 0.03
    assert max(map(abs, errors)) <= 0.15


def test_non_torch_memory_equals_the_logs_of_019() -> None:
    """Prevents missing the 1.8 GiB of symmetric memory that tensor parallelism takes on NVLink."""
    errors = [terms.expected("non_torch") - float(row["non_torch_gib"]) for row, terms in _measured("0.19")]
    assert max(map(abs, errors)) <= 0.15


@pytest.mark.parametrize("left_out", ["meta-llama", "Qwen", "google", "microsoft", "openai"])
def test_the_sampler_figure_does_not_hang_on_one_family(left_out: str) -> None:
    """Prevents a constant fitted to one model family: the others alone give the same bytes per entry."""
    bytes_per_entry = []
    for row, _ in _measured("0.19"):
        arch = architecture.named(row["config_key"])
        if arch.model.startswith(left_out) or arch.vision is not None or arch.vocab < 100_000:
            continue
        hidden = 8192 * arch.hidden * 2
        peak = float(row["peak_activation_gib"]) * 2**30 - hidden
        bytes_per_entry.append(peak / (1024 * arch.vocab))
    record = coefficient("sampler_bytes", 19, 1)
    assert record is not None
    assert statistics.median(bytes_per_entry) == pytest.approx(record["expected"], rel=0.02)


def test_experts_keep_a_workspace_beside_the_sampler() -> None:
    """Prevents counting the buffers of 16-bit experts as a peak that is over when the sampler runs."""
    arch = oracle_model("qwen3-30b-a3b")
    options = _resolved(arch, "h100", vllm_version="0.19.0")
    shape, gpu = Parallelism(tp=4), catalog.gpu("h100")
    with_experts, without = (
        overheads(arch, gpu, shape, options, Weights(14.25, has_16_bit_experts=plain)).expected("activation")
        for plain in (True, False)
    )
    assert with_experts - without == pytest.approx(0.5, abs=0.01)


def test_older_releases_sorted_the_whole_vocabulary() -> None:
    """Prevents sizing 0.16 with the sampler of 0.17, which takes 2.6 times less."""
    old = _terms(gpu="h100", vllm_version="0.16.0").expected("activation")
    new = _terms(gpu="h100", vllm_version="0.17.1").expected("activation")
    assert old > 2.4 * new


@pytest.mark.parametrize(("version", "charged"), [("0.20.2", False), ("0.21.0", True), ("0.33.0", True)])
def test_cuda_graphs_are_charged_since_021(version: str, *, charged: bool) -> None:
    """Prevents taking graph memory from the KV cache of releases that do not."""
    assert (_terms(vllm_version=version).expected("cuda_graph") > 0) is charged


def test_eager_mode_pays_no_graphs() -> None:
    """Prevents ``--enforce-eager`` from losing the memory that it exists to save."""
    assert _terms(enforce_eager=True).safe("cuda_graph") == 0


def test_fewer_sequences_take_less() -> None:
    """Prevents losing the cheapest way to free memory on a small GPU: an explicit max-num-seqs."""
    assert _terms(max_num_seqs=32).safe_gib < _terms(max_num_seqs=256).safe_gib


def test_stages_before_the_last_do_not_sample() -> None:
    """Prevents charging the sampler to pipeline stages that never see logits."""
    arch = oracle_model("llama3.1-8b")
    options = _resolved(arch, "h100", vllm_version="0.19.0")
    both = [
        overheads(arch, catalog.gpu("h100"), Parallelism(pp=2), options, Weights(7.5), samples=samples)
        for samples in (False, True)
    ]
    assert both[0].expected("activation") < both[1].expected("activation")


def test_safe_is_never_below_expected() -> None:
    """Prevents a promise that rests on less memory than vLLM will probably take, in any release."""
    for minor in range(2, 34):
        for model in ("llama3.1-8b", "gpt-oss-20b", "deepseek-v3", "gemma3-27b-text"):
            for gpu, tp in (("a10g", 1), ("h100", 1), ("h100", 8), ("a100-80gb", 8), ("l4", 4)):
                terms = _terms(model, gpu, Parallelism(tp=tp), vllm_version=f"0.{minor}.0").terms
                assert all(term.safe >= term.expected >= 0 for term in terms), (minor, model, gpu, tp)


def test_an_image_tower_costs_its_profiling_run() -> None:
    """Prevents treating a model that takes images like a text model."""
    arch = oracle_model("llama3.1-8b")
    seeing = replace(arch, hf_class="LlavaForConditionalGeneration")
    options = _resolved(arch, "h100", vllm_version="0.19.0")
    shape, gpu = Parallelism(), catalog.gpu("h100")
    without = overheads(arch, gpu, shape, options, Weights(15.0)).expected("activation")
    assert overheads(seeing, gpu, shape, options, Weights(15.0)).expected("activation") > without


def test_every_number_has_a_source_and_a_meaning() -> None:
    """Prevents a coefficient that nobody can check."""
    for name, term in TERMS.items():
        assert term["meaning"], name
        for value in term["values"]:
            assert value["source"], name
            assert value["safe"] >= value["expected"] >= 0, name
