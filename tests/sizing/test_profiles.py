"""Profiles: what each makes of the same budget."""

import pytest

from components.sizing import profiles
from components.sizing.profiles import Shape
from components.sizing.recommend import recommend
from components.sizing.requirement import Requirement
from tests.sizing.questions import prod_8b, prod_70b, requirement


def _shapes(asked: Requirement) -> dict[tuple[str, str], Shape]:
    chosen = recommend(asked).chosen
    assert chosen is not None
    return {(each.profile, each.kv_cache_dtype): each for each in profiles.of_decision(asked, chosen)}


def test_long_context_is_the_longest_that_fits() -> None:
    """Prevents a context that the engine refuses at start, and one that leaves most of the memory unused."""
    shapes = _shapes(prod_8b(max_model_len=None))
    longest = shapes["long-context", "auto"]
    assert longest.max_model_len % profiles.CONTEXT_STEP == 0
    assert longest.max_model_len <= longest.kv_tokens_safe < longest.max_model_len + 2 * profiles.CONTEXT_STEP


def test_profiles_lean_the_way_they_say() -> None:
    """Prevents profiles that do not differ: long contexts, full requests at once, or many sequences."""
    shapes = _shapes(prod_70b(max_model_len=None))
    longest, balanced, burst = (shapes[name, "auto"] for name in ("long-context", "balanced", "burst"))
    assert longest.max_model_len > balanced.max_model_len > burst.max_model_len >= 1280
    assert balanced.full_requests >= 8 > longest.full_requests >= 1
    assert burst.max_num_seqs > balanced.max_num_seqs == longest.max_num_seqs


@pytest.mark.parametrize("profile", ["long-context", "balanced", "burst"])
def test_a_fixed_context_stays(profile: str) -> None:
    """Prevents a profile from overruling what the user asked for."""
    shapes = _shapes(prod_70b())
    assert shapes[profile, "auto"].max_model_len == 8192


def test_fp8_doubles_what_fits_where_the_gpu_has_it() -> None:
    """Prevents leaving half of the context on the table where 8-bit caches work, and offering them on a T4."""
    shapes = _shapes(prod_8b(max_model_len=None))
    assert shapes["long-context", "fp8"].max_model_len > 1.9 * shapes["long-context", "auto"].max_model_len
    turing = _shapes(requirement("qwen3-0.6b", 4, families=("g4dn",), max_model_len=4096))
    assert {dtype for _, dtype in turing} == {"auto"}


def test_burst_sequences_fit_and_are_capped() -> None:
    """Prevents more sequences than the cache holds requests of the load, or than the config allows."""
    burst = _shapes(prod_70b())["burst", "auto"]
    assert burst.max_num_seqs * 1280 <= burst.kv_tokens_safe
    capped = _shapes(prod_70b(max_sequences=16))["burst", "auto"]
    assert capped.max_num_seqs == 16


def test_no_context_above_the_models_positions() -> None:
    """Prevents a long-context profile that vLLM refuses because the model was not trained for it."""
    asked = requirement("qwen3-0.6b", 4, families=("p5",), max_model_len=None)
    shapes = _shapes(asked)
    assert shapes["long-context", "auto"].max_model_len <= asked.arch.max_positions
