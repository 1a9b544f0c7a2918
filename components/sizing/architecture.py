"""What a model is, as far as memory and speed go: frozen facts read from its ``config.json``.

``from_config`` reads any Hugging Face configuration, ``named`` a model of the shipped catalogue
(``data/models.json``: facts with their sources, no text of anybody's repository).
"""

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from components.sizing.names import base_key, stored_format
from components.sizing.quantization import Quantization, from_precision

LayerKind = Literal["full", "sliding", "chunked", "mla", "mamba", "linear", "none"]
"""How one layer mixes tokens; ``none``: only a feed-forward block (Nemotron-H counts those as layers)."""
FeedForwardKind = Literal["dense", "moe", "none"]

_CATALOGUE = Path(__file__).parent / "data" / "models.json"


class UnsupportedArchitecture(ValueError):  # noqa: N818 - reads as the reason
    """A configuration whose tensors cannot be inferred; the message names the key or class."""


class UnknownModel(LookupError):  # noqa: N818 - reads as the reason
    """A model id that the catalogue lacks; the message names close matches."""


@dataclass(frozen=True)
class Mla:
    """Multi-head latent attention (DeepSeek): one latent vector per token instead of keys and values per head."""

    kv_lora_rank: int
    q_lora_rank: int | None
    qk_rope_head_dim: int
    qk_nope_head_dim: int
    v_head_dim: int
    index_heads: int = 0
    """Heads of the sparse-attention indexer (DeepSeek-V3.2, GLM-5); 0: no indexer."""
    index_head_dim: int = 0
    index_topk: int = 0


@dataclass(frozen=True)
class Moe:
    """Routed experts. ``intermediate`` is one expert's width, ``shared_intermediate`` all shared experts' together."""

    experts: int
    per_token: int
    intermediate: int
    shared_intermediate: int = 0
    layers: tuple[int, ...] = ()
    """Indices of the layers that have routed experts."""


@dataclass(frozen=True)
class Mamba:
    """State-space layers: constant state per request instead of a cache per token."""

    version: int
    inner: int
    """Width after the input projection (``d_inner``)."""
    state: int
    conv_kernel: int
    heads: int = 0
    head_dim: int = 0
    groups: int = 1
    dt_rank: int = 0
    """Mamba 1 only."""


@dataclass(frozen=True)
class LinearAttention:
    """Gated delta-net layers (Qwen3-Next, Qwen3.5): a matrix state per value head."""

    key_heads: int
    value_heads: int
    key_head_dim: int
    value_head_dim: int
    conv_kernel: int


@dataclass(frozen=True)
class Vision:
    """An image tower beside the language model."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kind: str = "siglip"
    """siglip | pixtral | qwen2_vl | qwen2_5_vl | qwen3_vl | moonvit | llama4: which projector and norms it has."""
    patch: int = 14
    image: int = 0
    channels: int = 3
    temporal_patch: int = 1
    merge: int = 1
    out_hidden: int = 0
    positions: int = 0
    """Rows of a learned position table that the configuration states itself."""
    deepstack: int = 0
    """Extra mergers that feed early language layers (Qwen3-VL)."""


@dataclass(frozen=True)
class Rope:
    """Rotary positions, as far as the cosine cache goes."""

    rotary_dim: int
    kind: str = "default"
    """default | llama3 | linear | dynamic | yarn | longrope | mrope."""
    factor: float = 1.0
    original_max_positions: int = 0


@dataclass(frozen=True, eq=False)
class Architecture:
    """A model's shape, one object per reading (it keys caches). Widths in elements, ``max_positions`` in tokens."""

    model: str
    hf_class: str
    """The class that ``architectures`` of config.json names."""
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    v_head_dim: int
    vocab: int
    intermediate: int
    """Width of a dense feed-forward layer; 0 where no layer has one."""
    max_positions: int
    tied_embeddings: bool
    dtype: str
    """``bfloat16`` or ``float16`` (``float32`` checkpoints are served as ``bfloat16``)."""
    layer_kinds: tuple[LayerKind, ...]
    feed_forward: tuple[FeedForwardKind, ...]
    checkpoint_precision: Quantization
    """What config.json says; the 16-bit dtype where it says nothing."""
    supports_pp: bool = True
    sliding_window: int | None = None
    attention_chunk: int | None = None
    rope: Rope | None = None
    local_rope: Rope | None = None
    """A second rotary cache of the sliding layers (Gemma 3)."""
    mla: Mla | None = None
    moe: Moe | None = None
    mamba: Mamba | None = None
    linear: LinearAttention | None = None
    vision: Vision | None = None
    full_kv_heads: int | None = None
    """KV heads of the full-attention layers where they differ from the sliding ones (Gemma 4)."""
    full_head_dim: int | None = None
    sinks: bool = False
    """Learned attention sinks (gpt-oss): not every attention backend has them."""
    basis: str = "config.json"
    """How sure the facts are: a config, an alias of a base model, or inferred from the name."""
    config: Mapping[str, Any] = field(default_factory=dict, compare=False, hash=False, repr=False)
    """The language model's own configuration, for family switches (biases, norms) that have no field here."""

    def attention_shape(self, kind: LayerKind) -> tuple[int, int]:
        """KV heads and head width of a layer of that kind (they differ per kind in Gemma 4)."""
        if kind == "full":
            return self.full_kv_heads or self.kv_heads, self.full_head_dim or self.head_dim
        return self.kv_heads, self.head_dim

    @property
    def is_moe(self) -> bool:
        """True where at least one layer has routed experts."""
        return self.moe is not None and bool(self.moe.layers)


def from_config(config: Mapping[str, Any], model: str) -> Architecture:
    """Read a Hugging Face ``config.json`` (nested text configurations too).

    Raises UnsupportedArchitecture with the class or key that stands in the way.
    """
    from components.sizing.config_reader import read  # noqa: PLC0415 - the reader builds these dataclasses

    return read(config, model)


@lru_cache(maxsize=1)
def catalogue() -> Mapping[str, Mapping[str, Any]]:
    """Every shipped model: id -> {"config": facts, "basis": .., "source": ..}."""
    return json.loads(_CATALOGUE.read_text(encoding="utf-8"))["models"]


@lru_cache(maxsize=1)
def _folded() -> Mapping[str, str]:
    return {key.casefold(): key for key in catalogue()}


@lru_cache(maxsize=1)
def _by_name() -> Mapping[str, tuple[str, ...]]:
    """Keys by the name behind the owner, of entries that state a shape; 16-bit checkpoints first."""
    found: dict[str, list[str]] = {}
    shaped = [key for key, entry in catalogue().items() if "num_hidden_layers" in entry["config"]]
    for key in sorted(shaped, key=lambda key: ("quantization_config" in catalogue()[key]["config"], key)):
        found.setdefault(key.rpartition("/")[2].casefold(), []).append(key)
    return {name: tuple(keys) for name, keys in found.items()}


@lru_cache(maxsize=1024)
def named(model_id: str) -> Architecture:
    """Facts of a catalogued model, found whatever the case of its letters, or of the base that its name says.

    Raises UnknownModel with close matches, UnsupportedArchitecture where the facts are not enough.
    """
    key = _folded().get(model_id.strip().casefold())
    lack: UnsupportedArchitecture | None = None
    if key is not None:
        try:
            return _in_format(_catalogued(key), key)
        except UnsupportedArchitecture as error:
            lack = error
    base = base_key(model_id, _by_name())
    if base is not None and base != key:
        basis = f"the facts of {base}, which the name {model_id} says"
        return _in_format(replace(_catalogued(base), model=model_id, basis=basis), model_id)
    if lack is not None:
        msg = f"the catalogue's facts are not enough ({lack}): give its config.json"
        raise UnsupportedArchitecture(msg)
    close = difflib.get_close_matches(model_id.casefold(), _folded(), n=4, cutoff=0.5)
    hint = f"close matches: {', '.join(_folded()[match] for match in close)}" if close else "nothing close"
    msg = f"unknown model {model_id!r}: not among the {len(_folded())} catalogued ({hint}); give its config.json"
    raise UnknownModel(msg)


def _catalogued(key: str) -> Architecture:
    entry = catalogue()[key]
    if "missing" in entry:
        msg = f"{key}: {entry['missing']}"
        raise UnsupportedArchitecture(msg)
    return from_config({**entry["config"], "_basis": entry.get("basis", "config.json")}, key)


def _in_format(arch: Architecture, model_id: str) -> Architecture:
    """Give a 16-bit configuration the format that the checkpoint's name says: the catalogue lacks some of them."""
    _, precision = stored_format(model_id)
    if precision is None or arch.checkpoint_precision.is_quantized:
        return arch
    return replace(arch, checkpoint_precision=from_precision(precision, arch))
