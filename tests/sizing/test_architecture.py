"""The catalogue and the reader of config.json."""

from typing import Any

import pytest

from components.sizing import architecture
from components.sizing.architecture import UnknownModel, UnsupportedArchitecture, catalogue, from_config, named
from components.sizing.quantization import PRECISIONS, Quantization, from_precision
from components.sizing.quantization import from_config as read_quantization
from components.sizing.types import Parallelism
from components.sizing.weights import rank_weights

SMALL: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 8,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
}


@pytest.mark.parametrize(
    "model",
    [
        "hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4",
        "meta-llama/Llama-3.1-8B-Instruct",
        "neuralmagic/Meta-Llama-3.1-405B-Instruct-FP8",
        "RedHatAI/Meta-Llama-3.1-405B-Instruct-FP8",
    ],
)
def test_the_shipped_models_are_known(model: str) -> None:
    """The stacks name these repositories; a missing one would stop `pulumi preview`."""
    assert named(model).model == model
    assert named(model.upper()).model == model


def test_an_unknown_model_names_what_is_close() -> None:
    """A typo in a stack must be answered with the right name, not with a traceback."""
    with pytest.raises(UnknownModel, match=r"meta-llama/Llama-3\.1-8B-Instruct"):
        named("meta-llama/Llama-3.1-8B-Instrct")


def test_the_whole_catalogue_is_readable_or_says_why_not() -> None:
    """An entry that raises anything else would take the search down with it."""
    readable = 0
    for model, entry in catalogue().items():
        assert entry.get("sources") or entry["basis"], model
        try:
            arch = named(model)
        except UnsupportedArchitecture:
            continue
        readable += 1
        assert len(arch.layer_kinds) == len(arch.feed_forward) == arch.layers
        assert rank_weights(arch, arch.checkpoint_precision, Parallelism()).bytes > 0
    assert readable >= 350
    assert len(catalogue()) >= 404


def test_ids_differ_by_more_than_case() -> None:
    """Two ids that fold to one would make the answer depend on their order."""
    assert len(architecture._folded()) == len(catalogue())


def test_a_multimodal_configuration_is_read_through_its_text_part() -> None:
    """Vision models nest the language model; reading the outer keys would find nothing."""
    nested = {
        "architectures": ["Mistral3ForConditionalGeneration"],
        "text_config": {key: value for key, value in SMALL.items() if key != "architectures"},
        "vision_config": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "patch_size": 14},
        "torch_dtype": "bfloat16",
    }
    arch = from_config(nested, "nested")
    assert (arch.layers, arch.hidden, arch.kv_heads) == (8, 1024, 4)
    text = from_config(SMALL, "text")
    both = rank_weights(arch, arch.checkpoint_precision, Parallelism())
    alone = rank_weights(text, text.checkpoint_precision, Parallelism())
    assert both.bytes - alone.bytes == both.parts["vision"] > 2 * 400e6


@pytest.mark.parametrize("missing", ["hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size"])
def test_a_missing_key_is_named(missing: str) -> None:
    """A guess in place of a missing width would size the wrong model."""
    with pytest.raises(UnsupportedArchitecture, match=missing):
        from_config({key: value for key, value in SMALL.items() if key != missing}, "broken")


def test_an_unknown_class_is_refused() -> None:
    """Counting an unknown class as Llama would be a guess; the message says so."""
    with pytest.raises(UnsupportedArchitecture, match="MysteryForCausalLM"):
        from_config({**SMALL, "architectures": ["MysteryForCausalLM"]}, "mystery")


def test_layer_kinds_follow_each_familys_pattern() -> None:
    """Which layers keep a full cache decides the KV budget of hybrid models."""
    gemma = named("google/gemma-3-27b-it")
    assert gemma.layer_kinds.count("full") == 10
    assert gemma.layer_kinds[5] == "full"
    oss = named("openai/gpt-oss-20b")
    assert oss.layer_kinds[:2] == ("sliding", "full")
    assert oss.sinks
    qwen = named("Qwen/Qwen3.8-27B")
    assert (qwen.layer_kinds.count("full"), qwen.layer_kinds.count("linear")) == (16, 48)
    deepseek = named("deepseek-ai/DeepSeek-V3")
    assert set(deepseek.layer_kinds) == {"mla"}
    assert deepseek.feed_forward[:4] == ("dense", "dense", "dense", "moe")
    nemotron = named("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16")
    assert (nemotron.layer_kinds.count("mamba"), nemotron.feed_forward.count("moe")) == (23, 23)


@pytest.mark.parametrize(
    ("config", "method", "precision", "bits", "scale"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 64}, "awq", "awq-int4", 4, "group"),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, "gptq", "gptq-int8", 8, "channel"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", "fp8-block", 8, "block"),
        ({"quant_method": "fp8", "activation_scheme": "static"}, "fp8", "fp8", 8, "tensor"),
        ({"quant_method": "fbgemm_fp8"}, "fbgemm_fp8", "fp8", 8, "channel"),
        ({"quant_method": "mxfp4"}, "mxfp4", "mxfp4", 4, "group"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "modelopt_fp4", "nvfp4", 4, "group"),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "modelopt", "fp8", 8, "tensor"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes", "bitsandbytes", 4, "group"),
        ({"quant_method": "gguf"}, "gguf", "gguf", 4, "group"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "group_0": {
                        "weights": {"num_bits": 8, "type": "int", "strategy": "channel"},
                        "input_activations": {"num_bits": 8, "type": "int", "dynamic": True},
                    }
                },
            },
            "compressed-tensors",
            "int8",
            8,
            "channel",
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int", "group_size": 128}}},
            },
            "compressed-tensors",
            "gptq-int4",
            4,
            "group",
        ),
    ],
)
def test_every_checkpoint_method_is_read(
    config: dict[str, Any], method: str, precision: str, bits: int, scale: str
) -> None:
    """A method read as 16 bit would ask for four times the memory, one read as another for the wrong kernels."""
    for holder in ({**SMALL, "quantization_config": config}, {"text_config": {**SMALL, "quantization_config": config}}):
        quant = read_quantization(holder)
        assert (quant.method, quant.precision, quant.weight_bits, quant.scale) == (method, precision, bits, scale)


def test_a_separate_modelopt_file_is_read() -> None:
    """ModelOpt keeps its settings in hf_quant_config.json, under ``quantization``."""
    quant = read_quantization(
        {"quantization": {"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": ["lm_head"]}}
    )
    assert (quant.method, quant.group_size) == ("modelopt_fp4", 16)


@pytest.mark.parametrize("key", PRECISIONS)
def test_every_precision_has_a_layout(key: str) -> None:
    """The search tries all of them on any model."""
    quant = from_precision(key, from_config(SMALL, "small"))
    assert isinstance(quant, Quantization)
    assert quant.precision == key


def test_an_unknown_precision_says_what_is_accepted() -> None:
    """`int4` alone is ambiguous; the message lists the accepted names."""
    with pytest.raises(ValueError, match="awq-int4"):
        from_precision("int4", from_config(SMALL, "small"))


@pytest.mark.parametrize(
    ("patterns", "is_smaller"),
    [
        (["model.layers.0.mlp"], False),
        (["re:.*self_attn.*"], False),
        (["language_model.model.layers.3.*"], False),
        (["down_proj"], False),
        (["lm_head"], True),
    ],
)
def test_excluded_modules_stay_in_16_bits(patterns: list[str], *, is_smaller: bool) -> None:
    """Checkpoints leave layers unquantized by path, glob or regular expression; each adds gigabytes on large models."""
    config = {**SMALL, "quantization_config": {"quant_method": "fp8", "modules_to_not_convert": patterns}}
    arch = from_config(config, "mixed")
    full = from_config({**SMALL, "quantization_config": {"quant_method": "fp8"}}, "full")
    mixed = rank_weights(arch, arch.checkpoint_precision, Parallelism()).bytes
    plain = rank_weights(full, full.checkpoint_precision, Parallelism()).bytes
    assert (mixed == plain) == is_smaller
    assert mixed >= plain
