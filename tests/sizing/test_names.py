"""Models that are not catalogued themselves but whose name plainly says which model and which format they are."""

import pytest

from components.sizing.architecture import UnknownModel, UnsupportedArchitecture, catalogue, named
from components.sizing.names import stored_format


@pytest.mark.parametrize(
    ("model_id", "base", "precision"),
    [
        ("somebody/Llama-3.1-8B-Instruct-FP8", "meta-llama/Llama-3.1-8B-Instruct", "fp8"),
        ("TheBloke/Llama-2-7B-Chat-AWQ", "meta-llama/Llama-2-7b-chat-hf", "awq-int4"),
        ("RedHatAI/Mistral-7B-Instruct-v0.3-GPTQ-4bit", "mistralai/Mistral-7B-Instruct-v0.3", "gptq-int4"),
        ("redhatai/meta-llama-3.1-70b-instruct-quantized.w8a8", "meta-llama/Meta-Llama-3.1-70B-Instruct", "int8"),
        ("casperhansen/llama-3-70b-instruct-awq", "meta-llama/Meta-Llama-3-70B-Instruct", "awq-int4"),
        ("/models/Llama-3.1-8B-Instruct/", "meta-llama/Llama-3.1-8B-Instruct", "bf16"),
        ("unsloth/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct", "bf16"),
    ],
)
def test_names_that_say_their_base(model_id: str, base: str, precision: str) -> None:
    """Prevents a refusal of quantized copies, mirrors and local folders, and a copy sized as 16 bit."""
    copy, original = named(model_id), named(base)
    assert (copy.layers, copy.hidden, copy.vocab) == (original.layers, original.hidden, original.vocab)
    assert copy.checkpoint_precision.precision == precision
    assert base in copy.basis


@pytest.mark.parametrize("model_id", ["/models/llama", "nobody/Llama-3.1-8B-Instruct-tuned", "-AWQ", "", "/"])
def test_names_that_say_nothing_are_unknown(model_id: str) -> None:
    """Prevents a guess: a fine-tune may have another vocabulary, a folder may hold anything."""
    with pytest.raises(UnknownModel):
        named(model_id)


def test_publishers_with_blocks() -> None:
    """Prevents Qwen's own FP8 from being taken for per-channel FP8, whose TP rules are laxer."""
    assert stored_format("Qwen/Qwen3-4B-FP8") == ("qwen3-4b", "fp8-block")
    assert stored_format("RedHatAI/Qwen3-4B-FP8-dynamic") == ("qwen3-4b", "fp8")


def test_catalogued_names_and_formats_agree() -> None:
    """Prevents a checkpoint called NVFP4, FP8 or AWQ from being sized at 16 bit."""
    for key in catalogue():
        _, said = stored_format(key)
        try:
            quantized = named(key).checkpoint_precision.is_quantized
        except UnsupportedArchitecture:
            continue
        assert said is None or quantized, key
