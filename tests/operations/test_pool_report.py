"""What the plan says of each pool to a person."""

import pytest

from components import versions
from offline.plan.document import planned
from offline.plan.report import print_report
from tests.operations.everywhere import recorded


@pytest.mark.parametrize(
    ("stack", "lines"),
    [
        ("efa-fleet", ["p5: always 2 nodes, EFA, placement group llm-serving-p5", f"AMI: {versions.AL2023_AMI}"]),
        ("shared-gpus", ["notebooks: 4 pods take turns on each GPU", "partitions: 1g.5gb partitions of each GPU"]),
        ("bottlerocket", [f"AMI: {versions.AL2023_AMI} (g5)", f"AMI: {versions.BOTTLEROCKET_AMI} (l40s)"]),
    ],
)
def test_what_sets_a_pool_apart_is_shown(stack: str, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents that nodes which always run, shared GPUs or another system are seen by programs only."""
    print_report(planned(recorded(stack)), refused=0)
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert not [line for line in lines if line not in shown]
    assert any(line.startswith("Zones: offers of ") for line in shown)
