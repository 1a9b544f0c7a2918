"""Every example works as its README says, and keeps the rules of the shipped stacks."""

import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.settings.schema import camel
from offline.plan.document import planned
from offline.plan.report import print_report
from offline.program import ROOT
from offline.recording import Deployment
from offline.render import objects, write_objects
from tests.operations.everywhere import EXAMPLES, recorded
from tests.platform import test_contracts
from tests.program import test_invariants, test_manifests, test_teardown

PARTS = ("What.", "Needs.", "Plan.", "Deploy.", "Validate.", "Destroy.")
VALIDATOR = test_manifests.VALIDATOR
Rule = Callable[[Deployment], None]


def rules() -> Iterator[tuple[str, Rule]]:
    """Yield every rule of the batteries that looks at one recording."""
    for module in (test_invariants, test_manifests, test_teardown, test_contracts):
        for name, check in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("test_") and list(inspect.signature(check).parameters) == ["up"]:
                yield name, check


NOT_OURS = {
    "test_karpenter_finds_subnets_and_security_groups",
    "test_routes_outlive_the_nodes",
    "test_the_stack_is_taken_apart_from_the_top",
}
EXCEPTIONS = {
    # A Capacity Block is in one zone.
    "capacity-block": {"test_gpu_pools_span_zones"},
    # EFA stays in one zone; a pool of fixed size is limited by its nodes; the other pools do not need its security
    # group (test_teardown_edges.py holds each pool against what is its own).
    "efa-fleet": {
        "test_gpu_pools_span_zones",
        "test_limits_have_room_for_every_replica_and_one_node_more",
        "test_whatever_karpenter_made_goes_before_what_it_stands_on",
        "test_the_stack_is_taken_apart_from_the_top",
    },
    # The network is somebody else's: no subnet, no route and no VPC of ours.
    "existing-vpc": NOT_OURS,
    # The cluster too.
    "existing-cluster": {
        *NOT_OURS,
        "test_every_resource_names_its_provider",
        "test_the_exports_say_how_to_reach_what_was_built",
    },
    # There is no NAT gateway, and the weights need no token.
    "mirrored": {"test_every_secret_reaches_the_cluster"},
}


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize(("name", "check"), rules(), ids=[name for name, _ in rules()])
def test_examples_keep_every_rule(name: str, check: Rule, example: str) -> None:
    """Prevents an example that works only because nobody holds it to what prod is held to."""
    if name in EXCEPTIONS.get(example, ()):
        pytest.skip("does not apply: see EXCEPTIONS")
    check(recorded(example))


def test_there_are_rules_and_examples() -> None:
    """Prevents the test above from passing because it looks at nothing."""
    names = {name for name, _ in rules()}
    assert len(names) > 20
    assert {name for skipped in EXCEPTIONS.values() for name in skipped} <= names
    assert len(EXAMPLES) >= 8


@pytest.mark.skipif(not VALIDATOR.exists(), reason="the validator with all definitions is not beside this checkout")
@pytest.mark.parametrize("example", EXAMPLES)
def test_rendered_examples_pass_every_definition_and_rule(tmp_path: Path, example: str) -> None:
    """Prevents custom resources that their controllers reject."""
    write_objects(objects(recorded(example)), tmp_path)
    run = subprocess.run([sys.executable, VALIDATOR, tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def _text(example: str) -> str:
    return (EXAMPLES[example].parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_readme_says_what_a_reader_needs(example: str) -> None:
    """Prevents an example that nobody can deploy, check or remove."""
    text = _text(example)
    positions = [text.find(f"**{part}**") for part in PARTS]
    assert positions == sorted(positions)
    assert -1 not in positions
    path = EXAMPLES[example].relative_to(ROOT)
    assert f"make plan CONFIG={path}" in text
    assert f"--stack {example} --config-file {path}" in text
    assert f"]({example}/README.md)" in (ROOT / "examples" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", EXAMPLES)
def test_readmes_show_what_the_plan_prints(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents expected output of a program that has changed since."""
    print_report(planned(recorded(example)), refused=3)
    printed = re.sub(r"\s+", " ", capsys.readouterr().out)
    block = re.search(r"```text\n(.*?)```", _text(example), re.DOTALL)
    assert block
    for line in block.group(1).splitlines():
        assert re.sub(r"\s+", " ", line) in printed, line


def test_a_chain_buys_in_its_order() -> None:
    """Prevents an example of a capacity chain whose reservation is the last to be used."""
    weights = {
        pool.inputs["metadata"]["name"]: pool.inputs["spec"].get("weight")
        for pool in recorded("capacity-chain").of_kind("NodePool")
    }
    assert weights["g5-reserved"] > weights["g5-on-demand"] > weights["g5-spot"]
    cheap = {pool.name: pool.inputs["spec"].get("weight") for pool in recorded("cheap-pool").of_kind("NodePool")}
    assert cheap["single-gpu-spot"] > cheap["single-gpu-on-demand"]
    terms = recorded("capacity-chain").one("kubernetes:karpenter.k8s.aws/v1:EC2NodeClass", "g5").inputs["spec"]
    assert terms["capacityReservationSelectorTerms"] == [
        {"id": "cr-0123456789abcdef0"},
        {"tags": {"purpose": "llm-serving"}},
    ]


def test_a_block_has_no_way_around_its_end() -> None:
    """Prevents on-demand p5 nodes that nobody planned for when the block is over, and nodes that expire inside it."""
    pool = next(r for r in recorded("capacity-block").of_kind("NodePool") if r.name == "p5").inputs["spec"]
    required = {each["key"]: each["values"] for each in pool["template"]["spec"]["requirements"]}
    assert required["karpenter.sh/capacity-type"] == ["reserved"]
    assert required["topology.kubernetes.io/zone"] == ["us-east-1b"]
    assert pool["template"]["spec"]["expireAfter"] == "Never"


def test_a_mirrored_example_needs_nothing_else() -> None:
    """Prevents an example of an isolated cluster that waits for a public registry."""
    own = "123456789012.dkr.ecr.us-east-1.amazonaws.com/"
    assert not [text for text in test_contracts.unmirrored(recorded("mirrored")) if own not in text]
    assert not recorded("mirrored").of_type("aws:ec2/natGateway:NatGateway")


def test_examples_use_settings_that_stack_files_have() -> None:
    """Prevents a README that names a setting which the reader would look for in vain."""
    known = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    for example in EXAMPLES:
        for name in re.findall(r"`(?:cache|network|registries)\.(\w+)`", _text(example)):
            assert f"`{camel(name)}`" in known, name
