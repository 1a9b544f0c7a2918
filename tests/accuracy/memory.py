"""Errors of weights and KV cache, over-promises and verdicts, of the planner and of its peers."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from components.sizing.deployment import Deployment
from components.sizing.estimate import Estimate, estimate
from tests.accuracy.peers import MARKETING_GB, Peer
from tests.accuracy.startups import ERAS, StartUp, startups

GIB = 2**30
STRICT_SINCE = 17
"""The over-promise and KV targets hold for vLLM 0.17 and newer."""
OVER_PROMISE_GIB = 0.10
LARGEST_DEFAULT_UTILIZATION = 0.92
RELEASES_AGREE = 0.005
"""Share by which weights may differ between releases before an unknown release makes a row useless."""
LEAST_OVERHEAD_GIB = 0.1
"""What no start-up of the measurements falls below: the CUDA context alone takes more."""
RELEASE_DECIDES = {
    "gt264": "not known: vLLM version, which decides (0.33 refines FP8 block scales on Hopper, older releases refuse)",
}


@dataclass(frozen=True)
class Case:
    """One measurement and what was said about it."""

    startup: StartUp
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """Predicted minus measured, in the measurement's unit."""
        return self.predicted - self.measured

    @property
    def relative(self) -> float:
        """Error as a share of the measurement."""
        return self.error / self.measured


@dataclass(frozen=True)
class Called:
    """One start-up and the verdict on it."""

    startup: StartUp
    started: bool
    said: str

    @property
    def right(self) -> bool:
        """Whether the verdict agrees with what happened."""
        return (self.said == "ok") == self.started


@cache
def estimates() -> dict[str, Estimate]:
    """Ask the planner about every start-up that it can be asked about, by the row's id."""
    return {each.id: estimate(each.deployment) for each in startups() if each.deployment is not None}


def undecidable() -> tuple[tuple[StartUp, str], ...]:
    """Start-ups whose verdict cannot be checked, with the reason."""
    found = []
    for each in startups():
        reason = verdict_gap(each)
        if reason is not None:
            found.append((each, reason))
    return tuple(found)


@cache
def verdict_gap(startup: StartUp) -> str | None:
    """Name what is missing to check the verdict; None where nothing is."""
    row = startup.row
    if startup.started is None:
        return startup.excuse or f"outcome {row['outcome_detail'] or row['outcome']} is not a question of memory"
    if startup.deployment is None:
        return f"not known: {', '.join(startup.gaps)}"
    if not startup.known_config:
        return "the configuration is a relative's"
    if row["outcome"] == "too_long" and not row["max_model_len"]:
        return "not known: max-model-len"
    if not row["gpu_memory_utilization"] and _exceeds_default_budget(startup):
        return "not known: gpu-memory-utilization (what was logged exceeds the default's budget)"
    said = {estimate(asked).verdict == "ok" for asked in _possible(startup)}
    return (
        "not known: vLLM version or max-num-seqs, which decides" if len(said) > 1 else RELEASE_DECIDES.get(startup.id)
    )


def _exceeds_default_budget(startup: StartUp) -> bool:
    deployment = startup.deployment
    if deployment is None or startup.weights_gib is None or startup.kv_gib is None:
        return False
    taken = startup.weights_gib + startup.kv_gib + LEAST_OVERHEAD_GIB
    return taken > LARGEST_DEFAULT_UTILIZATION * deployment.memory_expected_gib


def _possible(startup: StartUp) -> tuple[Deployment, ...]:
    """Ask about the deployment under every release, and with every number of sequences, that its source leaves open.

    Models with a recurrent state need a cache block per sequence: there the default can decide.
    """
    deployment = startup.deployment
    if deployment is None:
        return ()
    options = deployment.options
    versions = ("0.6.0",) if startup.row["engine"] == "V0" else ("0.11.0", "0.16.0", "0.19.0", "0.28.0", "0.33.0")
    variants = [options] if startup.row["vllm_version"] else [replace(options, vllm_version=each) for each in versions]
    if options.max_num_seqs is None and {"mamba", "linear"} & set(deployment.arch.layer_kinds):
        variants += [replace(each, max_num_seqs=1) for each in variants]
    return tuple(replace(deployment, options=each) for each in variants)


def verdicts() -> tuple[Called, ...]:
    """Verdicts of the planner on every start-up that can be checked."""
    return tuple(
        Called(each, bool(each.started), estimate(_possible(each)[0]).verdict)
        for each in startups()
        if verdict_gap(each) is None
    )


def peer_verdicts(peer: Peer) -> tuple[Called, ...]:
    """Compare a peer the same way."""
    return tuple(
        Called(each, bool(each.started), "ok" if peer.fits(each.deployment) else "no")
        for each in startups()
        if verdict_gap(each) is None and each.deployment is not None and each.deployment.gpu.key in MARKETING_GB
    )


def weights_gap(startup: StartUp) -> str | None:
    """Why a row says nothing about weights; None where it does."""
    if startup.weights_gib is None:
        return "no weights were logged"
    if startup.deployment is None:
        return f"not known: {', '.join(startup.gaps)}"
    if not startup.known_config:
        return "the configuration is a relative's"
    sizes = [_weights_gib(answer) for answer in map(estimate, _possible(startup)) if answer.stages]
    apart = sizes and max(sizes) > (1 + RELEASES_AGREE) * min(sizes)
    return "not known: vLLM version, which decides" if apart else None


def weights_cases() -> tuple[Case, ...]:
    """Compare logged weights per GPU with the planner's."""
    return tuple(
        Case(each, measured, _weights_gib(estimates()[each.id]))
        for each, measured, _ in _comparable(weights_gap, lambda each: each.weights_gib)
        if estimates()[each.id].stages
    )


def peer_weights_cases(peer: Peer) -> tuple[Case, ...]:
    """Compare a peer the same way."""
    return tuple(
        Case(each, measured, peer.weights_gib(deployment))
        for each, measured, deployment in _comparable(weights_gap, lambda each: each.weights_gib)
    )


def kv_gap(startup: StartUp) -> str | None:
    """Why a row says nothing about the KV cache; None where it does."""
    deployment = startup.deployment
    if startup.kv_gib is None:
        return "no KV cache was logged"
    if deployment is None or startup.minor is None:
        return f"not known: {', '.join(startup.gaps) or 'vLLM version'}"
    spread = deployment.parallelism
    if startup.started is None or spread.pp > 1 or spread.dp > 1 or deployment.options.extra:
        return startup.excuse or "pipeline, data or context parallelism"
    if deployment.arch.vision is not None:
        return "multimodal profiling"
    return None if startup.known_config else "the configuration is a relative's"


def kv_cases(*, safe: bool = False) -> tuple[Case, ...]:
    """Compare the logged KV cache per GPU with the planner's expected or safe value."""
    return tuple(
        Case(each, measured, _kv_gib(estimates()[each.id], safe=safe))
        for each, measured, _ in _comparable(kv_gap, lambda each: each.kv_gib)
        if estimates()[each.id].stages
    )


def peer_kv_cases(peer: Peer) -> tuple[Case, ...]:
    """Compare a peer the same way."""
    return tuple(
        Case(each, measured, peer.kv_gib(deployment))
        for each, measured, deployment in _comparable(kv_gap, lambda each: each.kv_gib)
        if deployment.gpu.key in MARKETING_GB
    )


def strict(cases: Iterable[Case]) -> tuple[Case, ...]:
    """Those of the releases that the targets hold for."""
    return tuple(case for case in cases if (case.startup.minor or 0) >= STRICT_SINCE)


def over_promises(cases: Sequence[Case]) -> tuple[Case, ...]:
    """Cases that promise more than was there, worst first."""
    return tuple(sorted((case for case in cases if case.error > OVER_PROMISE_GIB), key=lambda case: -case.error))


def mean_absolute(cases: Sequence[Case]) -> float | None:
    """Mean absolute error; None without cases."""
    return statistics.mean(abs(case.error) for case in cases) if cases else None


def quantile(values: Sequence[float], share: float) -> float | None:
    """Find the value that ``share`` of them do not exceed; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))]


def by_era(cases: Sequence[Case]) -> dict[str, tuple[Case, ...]]:
    """Cases by the set of memory rules that applies."""
    return {name: tuple(case for case in cases if case.startup.era == name) for name, _, _ in ERAS}


def _comparable(
    gap: Callable[[StartUp], str | None], measured: Callable[[StartUp], float | None]
) -> Iterable[tuple[StartUp, float, Deployment]]:
    for each in startups():
        value = measured(each)
        if gap(each) is None and value is not None and each.deployment is not None:
            yield each, value, each.deployment


def _weights_gib(answer: Estimate) -> float:
    return max(stage.weights.gib for stage in answer.stages)


def _kv_gib(answer: Estimate, *, safe: bool) -> float:
    return min((stage.kv_safe if safe else stage.kv_expected) for stage in answer.stages) / GIB
