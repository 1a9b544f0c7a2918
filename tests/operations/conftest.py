"""Fixtures of the operations battery."""

from typing import Any

import pytest

from offline.recording import Deployment
from tests.operations.everywhere import ALL, recorded


@pytest.fixture(params=ALL)
def up(request: Any) -> Deployment:
    """Return what `pulumi up` would register, for every shipped stack and example in turn."""
    return recorded(request.param)
