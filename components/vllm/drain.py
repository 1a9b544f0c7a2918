"""How a model server leaves: no request is cut off, and nothing waits longer than the slowest one needs. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.cold_start import ColdStart
from components.scheduling import SPOT_NOTICE_S

ENDPOINT_PROPAGATION_S = 15
"""kube-proxy and load balancers go on sending for 10 to 15 s after a pod's endpoint is gone (KServe's template)."""
EXIT_S = 30
"""For the processes to end after the last request."""
SHORTEST_S, LONGEST_S = 60, 600
LONG_REQUEST = 4
"""How many times the typical answer a long one is; a replica that drains runs the rest of its batch at once."""


@dataclass(frozen=True)
class Drain:
    """Seconds of each step of a shutdown."""

    pre_stop_s: int
    """Wait before SIGTERM, while the endpoint disappears."""
    shutdown_timeout_s: int
    """``--shutdown-timeout``: the default of 0 aborts what is running (vLLM 0.33.0 launchers/launcher.py:262)."""

    @property
    def grace_period_s(self) -> int:
        """``terminationGracePeriodSeconds``: covers both steps and the exit."""
        return self.pre_stop_s + self.shutdown_timeout_s + EXIT_S


def drain(decision: Mapping[str, Any], output_tokens: int, *, interruptible: bool = False) -> Drain:
    """Return the steps for a model, from its predicted pace and its typical answer length in tokens.

    Interruptible servers, those that may run on spot, leave within EC2's notice: what is longer is cut off anyway.
    """
    longest_ms = _high(decision, "ttft_ms") + LONG_REQUEST * output_tokens * _high(decision, "tpot_ms")
    longest_s = SPOT_NOTICE_S - ENDPOINT_PROPAGATION_S - EXIT_S if interruptible else LONGEST_S
    return Drain(ENDPOINT_PROPAGATION_S, math.ceil(min(max(longest_ms / 1000, SHORTEST_S), longest_s)))


def eviction_minutes(decision: Mapping[str, Any], output_tokens: int, start: ColdStart) -> int:
    """Return how long one server may hold up the drain of its node.

    The disruption budget lets one server go at a time: where two nodes are drained at once, the second server waits
    until the first one's replacement is ready, on a new node, and only then begins to leave.
    """
    return math.ceil((start.rollout_s + drain(decision, output_tokens).grace_period_s) / 60)


def _high(decision: Mapping[str, Any], metric: str) -> float:
    """Return the pessimistic end of a prediction, or the prediction where it has no band."""
    band = decision["bands"].get(metric)
    return band["high"] if band else decision[metric]
