"""Every stack that the repository ships: the three at its top and the examples, each run once."""

from functools import cache

from offline.program import ROOT, deploy_stack
from offline.recording import Deployment
from offline.stack_files import StackFiles, read_stack
from tests.program import conftest

EXAMPLES = {path.parent.name: path for path in sorted((ROOT / "examples").glob("*/Pulumi.*.yaml"))}
ALL = (*conftest.STACKS, *EXAMPLES)


@cache
def recorded(stack: str) -> Deployment:
    """Return the recording of a shipped stack or an example, with both optional secrets set."""
    if stack in conftest.STACKS:
        return conftest.recorded(stack)
    files = read_stack(ROOT, EXAMPLES[stack])
    return deploy_stack(StackFiles(files.project, files.stack, files.config, {**files.secrets, **conftest.SECRETS}))
