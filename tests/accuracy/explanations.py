"""Why the worst cases are what they are, by a row's id or a latency row's label."""

from collections.abc import Mapping

MEMORY: Mapping[str, str] = {}
LATENCY: Mapping[str, str] = {}

UNEXPLAINED = "no explanation was found"
