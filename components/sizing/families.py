"""What a model class does that its ``config.json`` does not say: biases, norms, gates, ties.

Read from the model files of vLLM 0.33.0 (``vllm/model_executor/models/<name>.py``, each class's ``__init__``).
A switch that is a string names the config key that decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Family:
    """One family's conventions; the defaults are Llama's."""

    mixer: Literal["attention", "linear", "mamba"] = "attention"
    qkv_bias: bool | str = False
    o_bias: bool | str = False
    mlp_bias: bool | str = False
    gated: bool = True
    """Gate and up projection; False: one up projection."""
    qk_norm: Literal["none", "head", "full", "full-sharded", "per-head"] = "none"
    """head: one weight per head width; full: over all heads, on every rank; full-sharded: over this rank's heads."""
    layer_norms: int = 2
    norm_bias: bool = False
    norm_weights: bool = True
    """False: norms without parameters (OLMo 1)."""
    final_norm: bool = True
    tied: bool = False
    """Default where config.json says nothing."""
    lm_head_bias: bool = False
    rope: bool = True
    """vLLM makes a rotary table; False also for classes that 0.33.0 takes from transformers, which make none."""
    mrope_positions: int = 4
    """Times that a multimodal rotary table is longer than the context; 1 from Qwen3-VL on (qwen3_vl.py)."""
    local_rope: bool = False
    partial_rotary: float = 1.0
    learned_positions: int | None = None
    """Rows of the position table beyond max_position_embeddings; None: no table."""
    windowed: bool = False
    """``sliding_window`` of the config applies to every layer (Mistral 7B v0.1)."""
    window_period: int = 0
    """Every n-th layer is a full one."""
    chunked: bool = False
    sinks: bool = False
    output_gate: bool = False
    """The query projection also makes a gate of its own width (Qwen3-Next)."""
    router_bias: bool = False
    router_quantized: bool = False
    """The router goes through the quantization method unless the checkpoint excludes it."""
    router_float32: bool = False
    correction_bias: bool = False
    """A float32 bias per expert (DeepSeek-V3's e_score_correction_bias)."""
    correction_float32: bool = True
    expert_bias: bool = False
    shared_experts: int = 0
    shared_gate: bool = False
    """A one-wide gate for the shared expert (Qwen2-MoE)."""
    default_expansion: int = 0
    """Width of the MLP in hidden sizes where the config has no key."""
    dense_beside_experts: bool = False
    """Layers with routed experts keep their dense MLP, and three more norms (Gemma 4)."""
    normalizer: bool = False
    """Keeps the embedding's scale as a tensor (Gemma)."""
    every_stage: tuple[str, ...] = ()
    """What the class makes on every pipeline stage, needed there or not: embedding, lm_head, norm."""
    second_norm: str = ""
    """Config key that adds a norm per layer (Falcon's new decoder)."""
    supports_pp: bool = True


_ENDS = ("embedding", "lm_head", "norm")
_LLAMA = Family(qkv_bias="attention_bias", o_bias="attention_bias", mlp_bias="mlp_bias")
_PLAIN = Family()
_QWEN2 = Family(qkv_bias=True)
_QWEN3 = Family(qkv_bias="attention_bias", o_bias=False, qk_norm="head")
_QWEN3_MOE = replace(_QWEN3, router_quantized=True, every_stage=_ENDS)
_QWEN2_MOE = replace(_QWEN2, shared_gate=True, every_stage=_ENDS)
_QWEN3_NEXT = replace(
    _QWEN3,
    mixer="linear",
    output_gate=True,
    shared_gate=True,
    partial_rotary=0.25,
    every_stage=("embedding", "lm_head"),
)
_QWEN3_5 = replace(_QWEN3_NEXT, every_stage=("embedding",), mrope_positions=1)
_GEMMA = Family(tied=True, normalizer=True, every_stage=_ENDS)
_GEMMA2 = replace(_GEMMA, layer_norms=4, window_period=2)
_GEMMA3 = replace(_GEMMA, layer_norms=4, qk_norm="head", window_period=6, local_rope=True)
_GEMMA4 = replace(_GEMMA3, dense_beside_experts=True)
_MISTRAL = replace(_LLAMA, windowed=True)
_DEEPSEEK_V2 = _PLAIN
_DEEPSEEK_V3 = replace(_PLAIN, correction_bias=True)
_GLM4_MOE = Family(qkv_bias="attention_bias", correction_bias=True, partial_rotary=0.5, router_float32=True)
_COHERE = Family(layer_norms=1, tied=True, every_stage=_ENDS)
_OLMO2 = Family(qk_norm="full", rope=False)
_GPT_OSS = Family(
    qkv_bias=True, o_bias=True, sinks=True, window_period=2, router_bias=True, expert_bias=True, every_stage=_ENDS
)
_OPT = Family(
    qkv_bias=True,
    o_bias=True,
    mlp_bias=True,
    gated=False,
    norm_bias=True,
    tied=True,
    rope=False,
    learned_positions=2,
    every_stage=_ENDS,
)
_FALCON = Family(
    gated=False,
    layer_norms=1,
    norm_bias=True,
    tied=True,
    default_expansion=4,
    every_stage=_ENDS,
    second_norm="new_decoder_architecture",
)
_GPT2 = replace(_OPT, learned_positions=0, default_expansion=4)
_NEOX = Family(qkv_bias=True, o_bias=True, mlp_bias=True, gated=False, norm_bias=True, rope=False, default_expansion=4)
_PHI = Family(
    qkv_bias=True,
    o_bias=True,
    mlp_bias=True,
    gated=False,
    layer_norms=1,
    norm_bias=True,
    lm_head_bias=True,
    rope=False,
    default_expansion=4,
)
_STARCODER2 = Family(
    qkv_bias=True, o_bias=True, mlp_bias=True, gated=False, norm_bias=True, tied=True, windowed=True, rope=False
)
_NEMOTRON_H = Family(gated=False, layer_norms=1, rope=False, correction_bias=True, every_stage=_ENDS)
_MAMBA = Family(mixer="mamba", layer_norms=1, rope=False, tied=True, every_stage=_ENDS)

FAMILIES: Mapping[str, Family] = {
    "LlamaForCausalLM": _LLAMA,
    "LLaMAForCausalLM": _LLAMA,
    "InternLM2ForCausalLM": Family(qkv_bias="bias", o_bias="bias", every_stage=_ENDS),
    "InternLM3ForCausalLM": _LLAMA,
    "SolarForCausalLM": _LLAMA,
    "ArceeForCausalLM": replace(_LLAMA, gated=False, rope=False),
    "SmolLM3ForCausalLM": replace(_LLAMA, tied=True, rope=False),
    "MiniCPMForCausalLM": replace(_LLAMA, every_stage=_ENDS),
    "TeleChat3ForCausalLM": _LLAMA,
    "SeedOssForCausalLM": Family(qkv_bias="attention_bias", o_bias="attention_out_bias", rope=False),
    "ExaoneForCausalLM": _LLAMA,
    "DeciLMForCausalLM": _LLAMA,
    "MistralForCausalLM": _MISTRAL,
    "Ministral3ForCausalLM": _LLAMA,
    "Mistral3ForConditionalGeneration": _LLAMA,
    "LlavaForConditionalGeneration": _LLAMA,
    "PixtralForConditionalGeneration": _LLAMA,
    "MixtralForCausalLM": replace(_PLAIN, every_stage=_ENDS),
    "PhiMoEForCausalLM": Family(qkv_bias=True, o_bias=True, norm_bias=True, lm_head_bias=True, every_stage=_ENDS),
    "Llama4ForCausalLM": replace(_LLAMA, chunked=True, shared_experts=1),
    "Llama4ForConditionalGeneration": replace(_LLAMA, chunked=True, shared_experts=1),
    "MllamaForConditionalGeneration": _LLAMA,
    "Qwen2ForCausalLM": _QWEN2,
    "Qwen2VLForConditionalGeneration": _QWEN2,
    "Qwen2_5_VLForConditionalGeneration": _QWEN2,
    "Qwen2MoeForCausalLM": _QWEN2_MOE,
    "Qwen3ForCausalLM": _QWEN3,
    "Qwen3MoeForCausalLM": _QWEN3_MOE,
    "Qwen3VLForConditionalGeneration": replace(_QWEN3, mrope_positions=1),
    "Qwen3VLMoeForConditionalGeneration": replace(_QWEN3_MOE, mrope_positions=1),
    "Qwen3OmniMoeForConditionalGeneration": _QWEN3_MOE,
    "Qwen3NextForCausalLM": _QWEN3_NEXT,
    "Qwen3_5ForCausalLM": _QWEN3_5,
    "Qwen3_5MoeForCausalLM": _QWEN3_5,
    "Qwen3_5ForConditionalGeneration": _QWEN3_5,
    "Qwen3_5MoeForConditionalGeneration": _QWEN3_5,
    "MiMoForCausalLM": _QWEN2,
    "MiMoV2FlashForCausalLM": Family(qkv_bias="attention_bias", correction_bias=True, window_period=6),
    "GemmaForCausalLM": _GEMMA,
    "Gemma2ForCausalLM": _GEMMA2,
    "Gemma3ForCausalLM": _GEMMA3,
    "Gemma3ForConditionalGeneration": _GEMMA3,
    "Gemma4ForCausalLM": _GEMMA4,
    "Gemma4ForConditionalGeneration": _GEMMA4,
    "Gemma4UnifiedForConditionalGeneration": _GEMMA4,
    "Phi3ForCausalLM": _PLAIN,
    "PhiForCausalLM": _PHI,
    "GraniteForCausalLM": _LLAMA,
    "GraniteMoeForCausalLM": replace(_LLAMA, every_stage=_ENDS),
    "CohereForCausalLM": _COHERE,
    "Cohere2ForCausalLM": replace(_COHERE, window_period=4),
    "OlmoForCausalLM": Family(norm_weights=False, rope=False),
    "Olmo2ForCausalLM": _OLMO2,
    "Olmo3ForCausalLM": replace(_OLMO2, window_period=4),
    "OlmoeForCausalLM": replace(_OLMO2, rope=True, every_stage=_ENDS),
    "StableLmForCausalLM": Family(qkv_bias="use_qkv_bias", norm_bias=True, partial_rotary=0.25, every_stage=_ENDS),
    "DeepseekForCausalLM": _DEEPSEEK_V2,
    "DeepseekV2ForCausalLM": _DEEPSEEK_V2,
    "DeepseekV3ForCausalLM": _DEEPSEEK_V3,
    "DeepseekV32ForCausalLM": _DEEPSEEK_V3,
    "KimiK2ForCausalLM": _DEEPSEEK_V3,
    "KimiVLForConditionalGeneration": _DEEPSEEK_V3,
    "KimiK25ForConditionalGeneration": _DEEPSEEK_V3,
    "MistralLarge3ForCausalLM": _DEEPSEEK_V2,
    "GlmMoeDsaForCausalLM": _DEEPSEEK_V3,
    "Glm4MoeLiteForCausalLM": replace(_DEEPSEEK_V3, router_float32=True),
    "GlmForCausalLM": Family(qkv_bias="attention_bias", rope=False),
    "Glm4ForCausalLM": Family(qkv_bias="attention_bias", partial_rotary=0.5, layer_norms=4),
    "Glm4MoeForCausalLM": _GLM4_MOE,
    "GptOssForCausalLM": _GPT_OSS,
    "MiniMaxM2ForCausalLM": Family(qk_norm="full-sharded", correction_bias=True, router_float32=True),
    "Step3p5ForCausalLM": Family(qk_norm="head", window_period=4, correction_bias=True),
    "JambaForCausalLM": Family(rope=False, every_stage=_ENDS),
    "NemotronHForCausalLM": _NEMOTRON_H,
    "NemotronForCausalLM": Family(gated=False, norm_bias=True, partial_rotary=0.5),
    "MambaForCausalLM": _MAMBA,
    "FalconMambaForCausalLM": _MAMBA,
    "OPTForCausalLM": _OPT,
    "GPT2LMHeadModel": _GPT2,
    "GPTBigCodeForCausalLM": _GPT2,
    "GPTNeoXForCausalLM": _NEOX,
    "FalconForCausalLM": _FALCON,
    "Starcoder2ForCausalLM": _STARCODER2,
}

MODEL_TYPES: Mapping[str, str] = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "qwen3_next": "Qwen3NextForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3": "Gemma3ForConditionalGeneration",
    "gemma3_text": "Gemma3ForCausalLM",
    "phi3": "Phi3ForCausalLM",
    "phi": "PhiForCausalLM",
    "granite": "GraniteForCausalLM",
    "cohere": "CohereForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
    "deepseek_v2": "DeepseekV2ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
    "glm4_moe": "Glm4MoeForCausalLM",
    "opt": "OPTForCausalLM",
    "falcon": "FalconForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
    "gpt_neox": "GPTNeoXForCausalLM",
}
"""For configurations without ``architectures``."""
