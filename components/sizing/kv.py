"""The paged KV cache: how layers share blocks, and what a memory budget holds.

This is what vLLM 0.33.0 plans (``v1/core/kv_cache_planning.py``, ``v1/kv_cache_interface.py``), so that tokens and
concurrency equal what it logs: layers of one kind form groups, every group of a request claims blocks from one pool,
a block is as wide as its widest group, and pipeline stages are planned together with the smallest of them deciding.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from components.sizing.architecture import Architecture, LayerKind
from components.sizing.engine import ResolvedOptions, stage_layers
from components.sizing.types import Parallelism

GroupKind = Literal["full", "sliding", "chunked", "state"]

KV_DTYPES: Mapping[str, Fraction] = {
    "auto": Fraction(0),
    "float16": Fraction(2),
    "bfloat16": Fraction(2),
    "fp8": Fraction(1),
    "fp8_e4m3": Fraction(1),
    "fp8_e5m2": Fraction(1),
    "fp8_inc": Fraction(1),
    "fp8_ds_mla": Fraction(1),
    "fp8_per_token_head": Fraction(1),
    "int8_per_token_head": Fraction(1),
    "int4_per_token_head": Fraction(1, 2),
    "nvfp4": Fraction(9, 16),
    "nvfp4_4over6": Fraction(9, 16),
}
"""Bytes per cached element by ``--kv-cache-dtype``; ``auto`` is the model's own. NVFP4: 4 bits and a scale per 16."""

_PER_TOKEN_HEAD_SCALE_BYTES = 4
"""One float32 scale for the keys and one for the values of each token and head (kv_cache_interface.py)."""
_DS_MLA_BYTES_PER_TOKEN = 656
"""512 fp8 latent, 4 float32 scales, 64 bfloat16 rope (v1/attention/backends/mla/flashmla_sparse.py)."""
_FP8_BY_DEFAULT = frozenset({"DeepseekV32ForCausalLM"})
"""Sparse MLA models whose ``auto`` is fp8 (vllm/config/cache.py); GLM-5 stays in 16 bit: 100,152 bytes per token."""
_INDEXER_BYTES_PER_ELEMENT = Fraction(132, 128)
"""The sparse indexer caches fp8 keys with one float32 scale per 128."""
_GROUPS_OF_LARGEST_BELOW = Fraction(3, 2)
"""Kinds whose layer counts differ by less share groups of the larger count (kv_cache_planning.py:416-556)."""
_MAMBA_BLOCK_ALIGNMENT = 16
_FLOAT32_STATE_CLASSES = ("Qwen3_5", "NemotronH")
"""Their configurations ask for 32-bit recurrent states, also where the catalogued facts leave the key out: 147,108
tokens in 32.43 GiB for Qwen3.6-35B-A3B, 53,546 in 9.0 GiB for Nemotron (vLLM 0.30, github.com/mondegreens/apron)."""


@dataclass(frozen=True)
class LayerCache:
    """What one layer stores. ``page_bytes`` is one block of ``block_size`` tokens; a state layer has one state."""

    kind: GroupKind
    block_size: int
    page_bytes: int
    window: int = 0


@dataclass(frozen=True)
class KvGroup:
    """Layers that share one block table."""

    kind: GroupKind
    block_size: int
    window: int
    layers: tuple[int, ...]

    def blocks(self, length: int, options: ResolvedOptions) -> int:
        """Blocks that one request of ``length`` tokens claims at most."""
        if self.kind == "state":
            return options.mamba_blocks
        if self.kind == "full":
            return _ceil(_ceil(length, options.context_parallel), self.block_size)
        if self.kind == "sliding":
            return _ceil(min(self.window - 1 + options.in_flight_tokens, length), self.block_size) + 1
        return _ceil(min(self.window + options.in_flight_tokens, length), self.block_size)


@dataclass(frozen=True)
class KvLayout:
    """How a model's KV cache is laid out on each pipeline stage."""

    groups: tuple[KvGroup, ...]
    bytes_per_block: tuple[int, ...]
    """By stage; 0 on a stage without caching layers."""
    bytes_per_token: tuple[float, ...]
    """By stage: what one more token of context costs while every layer still keeps it."""

    def blocks_per_request(self, length: int, options: ResolvedOptions) -> int:
        """Blocks of all groups that one request of ``length`` tokens claims."""
        return sum(group.blocks(length, options) for group in self.groups)

    def blocks(self, budgets: Iterable[int]) -> int:
        """Blocks that fit when stage ``i`` has ``budgets[i]`` bytes; the smallest stage decides."""
        fitting = [budget // size for budget, size in zip(budgets, self.bytes_per_block, strict=True) if size]
        return max(0, min(fitting, default=0))


@dataclass(frozen=True)
class KvCapacity:
    """What a number of blocks holds."""

    blocks: int
    tokens: int
    """Of requests of full length: windowed layers make it depend on that length."""
    concurrency: float
    """Full-length requests at once."""
    has_room: bool
    """At least one block beside the null block that vLLM holds back."""
    fits_one: bool
    """One full-length request fits, the null block not counted."""


def capacity(layout: KvLayout, blocks: int, length: int, options: ResolvedOptions) -> KvCapacity:
    """Tokens and concurrency of ``blocks`` for requests of ``length`` tokens."""
    needed = layout.blocks_per_request(length, options)
    if not needed:
        return KvCapacity(blocks, 0, 0.0, has_room=True, fits_one=True)
    concurrency = blocks / needed
    return KvCapacity(blocks, int(concurrency * length), concurrency, blocks > 1, needed <= blocks - 1)


def longest_request(layout: KvLayout, blocks: int, limit: int, options: ResolvedOptions) -> int:
    """Find the longest single request, up to ``limit`` tokens, that ``blocks`` hold; 0 where none fits."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if layout.blocks_per_request(middle, options) <= blocks - 1:
            low = middle
        else:
            high = middle - 1
    return low


def kv_layout(arch: Architecture, parallelism: Parallelism, options: ResolvedOptions, kv_cache_dtype: str) -> KvLayout:
    """Lay out the KV cache of a model.

    Raises ValueError for a ``--kv-cache-dtype`` whose bytes are not known.
    """
    if kv_cache_dtype not in KV_DTYPES:
        msg = f"--kv-cache-dtype {kv_cache_dtype!r}: bytes per token are not known; accepted: {', '.join(KV_DTYPES)}"
        raise ValueError(msg)
    return _layout(
        arch, parallelism.tp, parallelism.pp, options.block_size, kv_cache_dtype, hybrid=options.hybrid_kv_cache
    )


@lru_cache(maxsize=4096)
def _layout(arch: Architecture, tp: int, pp: int, block_size: int, dtype: str, *, hybrid: bool) -> KvLayout:
    caches = _layer_caches(arch, tp, block_size, dtype)
    if not hybrid:
        caches = _promote_windows(caches)
    stages = stage_layers(arch.layers, pp)
    token_bytes = tuple(_bytes_per_token(caches, stage) for stage in stages)
    if len({(cache.kind, cache.window, cache.block_size) for _, cache in caches}) == 1:
        _, first = caches[0]
        groups: tuple[KvGroup, ...] = (
            KvGroup(first.kind, first.block_size, first.window, tuple(layer for layer, _ in caches)),
        )
        wide = tuple(sum(cache.page_bytes for layer, cache in caches if layer in stage) for stage in stages)
        return KvLayout(groups, wide, token_bytes)
    caches = _one_page_size(caches)
    groups = _grouped(caches)
    page = max((cache.page_bytes for _, cache in caches), default=0)
    wide = tuple(
        page * max((sum(layer in stage for layer in group.layers) for group in groups), default=0) for stage in stages
    )
    return KvLayout(groups, wide, token_bytes)


def _layer_caches(arch: Architecture, tp: int, block_size: int, dtype: str) -> list[tuple[int, LayerCache]]:
    """(layer, cache) of every layer that caches; an MLA layer with an indexer appears twice."""
    state = _state_bytes(arch, tp)
    if state:
        block_size, state = _aligned_to_attention(arch, tp, block_size, dtype, state)
    per_kind: dict[LayerKind, list[LayerCache]] = {}
    caches: list[tuple[int, LayerCache]] = []
    own_cache = arch.layers - int(arch.config.get("num_kv_shared_layers") or 0)
    for layer, kind in enumerate(arch.layer_kinds):
        if kind == "none" or (layer >= own_cache and kind in ("full", "sliding")):
            continue
        if kind not in per_kind:
            per_kind[kind] = _kind_caches(arch, kind, tp, block_size, dtype, state)
        caches += [(layer, cache) for cache in per_kind[kind]]
    return caches


def _kind_caches(  # noqa: PLR0917 - what one layer's cache depends on
    arch: Architecture, kind: LayerKind, tp: int, block_size: int, dtype: str, state: int
) -> list[LayerCache]:
    """Return what one layer of a kind stores; an MLA layer with an indexer has two caches."""
    if kind in ("mamba", "linear"):
        return [LayerCache("state", block_size, state)]
    page = int(block_size * _attention_bytes(arch, kind, tp, dtype))
    if kind == "sliding":
        return [LayerCache("sliding", block_size, page, arch.sliding_window or 0)]
    if kind == "chunked":
        return [LayerCache("chunked", block_size, page, arch.attention_chunk or 0)]
    own = LayerCache("full", block_size, page)
    if kind == "mla" and arch.mla is not None and arch.mla.index_heads:
        index = int(block_size * arch.mla.index_head_dim * _INDEXER_BYTES_PER_ELEMENT)
        return [own, LayerCache("full", block_size, index)]
    return [own]


def _attention_bytes(arch: Architecture, kind: LayerKind, tp: int, dtype: str) -> Fraction:
    """Bytes per token of one attention layer on one rank. MLA keeps its whole latent on every rank."""
    size = KV_DTYPES[dtype] or Fraction(2)
    if kind == "mla" and arch.mla is not None:
        fp8 = dtype in ("fp8", "fp8_e4m3") or (dtype == "auto" and arch.hf_class in _FP8_BY_DEFAULT)
        if dtype == "fp8_ds_mla" or (fp8 and arch.mla.index_heads):
            return Fraction(_DS_MLA_BYTES_PER_TOKEN)
        return (arch.mla.kv_lora_rank + arch.mla.qk_rope_head_dim) * size
    heads, head_dim = arch.attention_shape(kind)
    value_dim = arch.v_head_dim if head_dim == arch.head_dim else head_dim
    scales = 2 * _PER_TOKEN_HEAD_SCALE_BYTES if dtype.endswith("_per_token_head") else 0
    return max(1, heads // tp) * ((head_dim + value_dim) * size + scales)


def _state_bytes(arch: Architecture, tp: int) -> int:
    """Convolution and recurrent state of one request in one Mamba or linear-attention layer of one rank."""
    recurrent = 4 if "float32" in str(_state_dtype(arch)) else 2
    if arch.linear is not None:
        linear = arch.linear
        keys = 2 * linear.key_heads * linear.key_head_dim
        values = linear.value_heads * linear.value_head_dim
        conv = (keys + values) // tp * (linear.conv_kernel - 1) * 2
        return conv + linear.value_heads // tp * linear.value_head_dim * linear.key_head_dim * recurrent
    if arch.mamba is not None:
        mamba = arch.mamba
        if mamba.version == 1:
            return mamba.inner // tp * ((mamba.conv_kernel - 1) * 2 + mamba.state * recurrent)
        groups = _ceil(mamba.groups, tp) * tp
        conv = (mamba.inner + 2 * groups * mamba.state) // tp * (mamba.conv_kernel - 1) * 2
        return conv + mamba.heads // tp * mamba.head_dim * mamba.state * recurrent
    return 0


def _state_dtype(arch: Architecture) -> object:
    stated = arch.config.get("mamba_ssm_dtype") or arch.config.get("mamba_ssm_cache_dtype")
    return stated or ("float32" if arch.hf_class.startswith(_FLOAT32_STATE_CLASSES) else arch.dtype)


def _aligned_to_attention(arch: Architecture, tp: int, block_size: int, dtype: str, state: int) -> tuple[int, int]:
    """Blocks of hybrid models grow until an attention page holds one state, and the state is padded to that page."""
    kinds: list[LayerKind] = [kind for kind in arch.layer_kinds if kind not in ("mamba", "linear", "none")]
    if not kinds:
        return block_size, state
    per_token = _attention_bytes(arch, kinds[0], tp, dtype)
    step = _MAMBA_BLOCK_ALIGNMENT * per_token
    block_size = max(block_size, _MAMBA_BLOCK_ALIGNMENT * math.ceil(state / step))
    return block_size, int(block_size * per_token)


def _promote_windows(caches: list[tuple[int, LayerCache]]) -> list[tuple[int, LayerCache]]:
    """Without the hybrid manager windowed layers beside full ones are kept whole."""
    if not any(cache.kind == "full" for _, cache in caches):
        return caches
    return [
        (layer, replace(cache, kind="full", window=0) if cache.kind in ("sliding", "chunked") else cache)
        for layer, cache in caches
    ]


def _one_page_size(caches: list[tuple[int, LayerCache]]) -> list[tuple[int, LayerCache]]:
    """Bring every layer to the widest page: longer blocks where they divide it, padding where they do not."""
    page = max(cache.page_bytes for _, cache in caches)
    return [
        (
            layer,
            replace(cache, page_bytes=page, block_size=cache.block_size * page // cache.page_bytes)
            if cache.kind != "state" and page % cache.page_bytes == 0
            else replace(cache, page_bytes=page),
        )
        for layer, cache in caches
    ]


def _grouped(caches: list[tuple[int, LayerCache]]) -> tuple[KvGroup, ...]:
    """Split every kind of layer into groups of about the same number of layers."""
    alike: dict[LayerCache, list[int]] = {}
    for layer, cache in caches:
        alike.setdefault(cache, []).append(layer)
    fewest, most = min(map(len, alike.values())), max(map(len, alike.values()))
    size = most if most < fewest * _GROUPS_OF_LARGEST_BELOW else fewest
    groups: list[KvGroup] = []
    for cache, layers in alike.items():
        count = _ceil(len(layers), size)
        groups += [
            KvGroup(cache.kind, cache.block_size, cache.window, tuple(layers[first::count])) for first in range(count)
        ]
    return tuple(groups)


def _ceil(value: int, step: int) -> int:
    return (value + step - 1) // step


def _bytes_per_token(caches: list[tuple[int, LayerCache]], stage: range) -> float:
    return sum(
        cache.page_bytes / cache.block_size for layer, cache in caches if layer in stage and cache.kind != "state"
    )
