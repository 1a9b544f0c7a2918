"""Each shipped stack is run once; every test of the battery looks at the same recordings."""

from functools import cache
from typing import Any

import pytest

from offline.program import ROOT, deploy_stack, stack_file
from offline.recording import Deployment
from offline.stack_files import StackFiles, read_stack

STACKS = ("prod", "staging", "dev")
SECRETS = {"llm-serving:hfToken": "hf-token-of-the-test", "llm-serving:apiKey": "api-key-of-the-test"}


@cache
def shipped(stack: str) -> StackFiles:
    """Return a shipped stack as its file says, with both optional secrets set."""
    files = read_stack(ROOT, stack_file(stack))
    return StackFiles(files.project, files.stack, files.config, {**files.secrets, **SECRETS})


@cache
def recorded(stack: str, *, preview: bool = False) -> Deployment:
    """Return the recording of a shipped stack."""
    return deploy_stack(shipped(stack), preview=preview)


@pytest.fixture(params=STACKS)
def up(request: Any) -> Deployment:
    """Return what `pulumi up` would register, for each stack in turn."""
    return recorded(request.param)


@pytest.fixture
def prod() -> Deployment:
    """Return what `pulumi up --stack prod` would register."""
    return recorded("prod")
