"""What to do with the memory that a plan leaves: a few long requests, or many short ones.

* ``long-context``: the longest context of which one request always fits.
* ``balanced``: every request of the busiest moment may grow to the full context.
* ``burst``: the context that the load needs, and as many sequences as the KV cache holds.

A context that the requirement fixes stays as it is; then only the number of sequences differs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

from components.sizing import catalog
from components.sizing.decision import Decision
from components.sizing.estimate import Estimate
from components.sizing.gates import NULL_BLOCK, Fit, estimated, evaluate, most_sequences, room_for
from components.sizing.plans import Plan
from components.sizing.requirement import Requirement
from components.sizing.types import Parallelism, Profile

CONTEXT_STEP = 1024
"""Contexts are rounded down to a multiple of this, so that a small change of memory does not change them."""
LOAD_STEP = 256
"""A context made for the load alone is rounded up to a multiple of this."""


@dataclass(frozen=True)
class Shape:
    """Context and sequences that a profile makes of a plan's budget, on one replica."""

    profile: Profile
    memory: Estimate

    @property
    def kv_cache_dtype(self) -> str:
        """The KV cache's dtype, as the flag names it."""
        return self.memory.deployment.options.kv_cache_dtype

    @property
    def max_model_len(self) -> int:
        """Tokens of the longest request."""
        return self.memory.options.max_model_len

    @property
    def max_num_seqs(self) -> int:
        """Sequences that run at once."""
        return self.memory.options.max_num_seqs

    @property
    def kv_tokens_safe(self) -> int:
        """Tokens that the safe KV cache holds."""
        return self.memory.safe.tokens if self.memory.safe else 0

    @property
    def full_requests(self) -> float:
        """Full-length requests at once."""
        return self.memory.safe.concurrency if self.memory.safe else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        names = ("profile", "kv_cache_dtype", "max_model_len", "max_num_seqs", "kv_tokens_safe", "full_requests")
        return {name: getattr(self, name) for name in names}


def shape(asked: Requirement, fit: Fit, profile: Profile) -> Shape:
    """Return what a profile makes of a plan that satisfies the requirement."""
    context = _context(asked, fit, profile)
    options = replace(fit.options, max_model_len=context)
    if profile == "burst":
        options = replace(options, max_num_seqs=_most_sequences(asked, fit, context))
    return Shape(profile, estimated(fit.plan, asked, options))


def of_decision(asked: Requirement, decision: Decision) -> tuple[Shape, ...]:
    """Return every profile on the chosen plan, in every KV dtype that it may use, so that a user can compare them."""
    quant = next(each for each in asked.quantizations() if each.precision == decision.precision)
    parallelism = Parallelism(tp=decision.tp, pp=decision.pp)
    plans = [
        Plan(catalog.gpu(decision.gpu), quant, parallelism, decision.nodes, dtype) for dtype in asked.kv_cache_dtypes
    ]
    fits = [fit for fit in (evaluate(plan, asked) for plan in plans) if isinstance(fit, Fit)]
    return tuple(shape(asked, fit, profile) for fit in fits for profile in get_args(Profile))


def _context(asked: Requirement, fit: Fit, profile: Profile) -> int:
    """Tokens of the longest request: as asked, else what the profile makes of the safe KV cache."""
    if asked.max_model_len is not None:
        return asked.max_model_len
    most = asked.arch.max_positions
    if profile == "burst":
        return min(most, -(-asked.request_tokens // LOAD_STEP) * LOAD_STEP)
    at_once = 1 if profile == "long-context" else fit.concurrency
    memory = estimated(fit.plan, asked, replace(fit.options, max_model_len=most))
    layout, safe = memory.layout, memory.safe
    if layout is None or safe is None:
        return asked.request_tokens

    def holds(steps: int) -> bool:
        return at_once * layout.blocks_per_request(steps * CONTEXT_STEP, memory.options) <= safe.blocks - NULL_BLOCK

    return max(asked.request_tokens, _largest(holds, most // CONTEXT_STEP) * CONTEXT_STEP)


def _most_sequences(asked: Requirement, fit: Fit, context: int) -> int:
    """Double the sequences while the safe KV cache holds that many requests of the load."""
    sequences = fit.options.max_num_seqs or 1
    while 2 * sequences <= most_sequences(asked):
        if room_for(fit.plan, asked, 2 * sequences, context).requests < 2 * sequences:
            break
        sequences *= 2
    return sequences


def _largest(holds: Callable[[int], bool], most: int) -> int:
    """Largest number from 1 to ``most`` that holds, where only smaller ones do; 0 where none does."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
