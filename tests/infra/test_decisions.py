"""What follows from a stack's settings: sizes, pools, limits, cost, advice, and refusals that explain themselves."""

import copy
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from components.sizing.catalog import instance_type
from infra.config import plain_values
from infra.decisions import Decisions, decide
from infra.planning.models import GATE_FIXES
from infra.planning.pools import may_surge
from infra.settings.problems import Problem
from infra.settings.stack import parse_stack
from offline.stack_files import read_stack
from tests.infra.stacks import REGION, VALID, changed, parsed

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "tests/data/oracle_configs"


def decided(values: dict[str, Any] | None = None, *, token: bool = False, api_key: bool = False) -> Decisions:
    """Return the decisions of a stack whose settings are valid."""
    return decide(parsed(values or dict(VALID)), CONFIGS, token=token, api_key=api_key)


def refused(place: str, value: Any) -> Problem:
    """Return the single problem of a stack that is changed in one place."""
    config, problems = parse_stack(changed(place, value), REGION)
    assert not problems
    (problem,) = decide(config, CONFIGS).problems
    return problem


@pytest.fixture(scope="module")
def prod() -> Decisions:
    """Return the decisions of the shipped production stack."""
    files = read_stack(ROOT, ROOT / "Pulumi.prod.yaml")
    config, problems = parse_stack(plain_values(files.config, files.project)[0], files.config["aws:region"])
    assert not problems
    return decide(config, ROOT)


def test_pool_limits_hold_every_replica_and_one_node_more(prod: Decisions) -> None:
    """Prevents a model that waits for ever because another one's nodes used up the limit (Karpenter counts nodes)."""
    for planned in prod.pools:
        members = [plan for plan in prod.models if planned.pool in plan.pools]
        nodes = [plan.model.replicas.max * plan.node_gpus for plan in members]
        assert planned.gpu_limit == sum(nodes) + max(plan.node_gpus for plan in members)


def test_pools_launch_only_what_was_planned(prod: Decisions) -> None:
    """Prevents a family's arm64 or fractional types from being launched: pools name instance types."""
    for planned in prod.pools:
        assert {instance_type(name).family for name in planned.instance_types} <= set(planned.pool.families)
        planned_types = {name for plan in prod.models for name in plan.instance_types}
        assert set(planned.instance_types) <= planned_types


def test_every_model_has_a_pool_for_each_of_its_types(prod: Decisions) -> None:
    """Prevents an alternate in a pod's node affinity that no pool can launch."""
    launched = {name for planned in prod.pools for name in planned.instance_types}
    assert {name for plan in prod.models for name in plan.instance_types} <= launched


def test_cost_is_the_sum_of_its_lines(prod: Decisions) -> None:
    """Prevents a total that nobody can check, and a floor above the ceiling."""
    cost = prod.cost.to_json()
    for bound in ("floor", "ceiling"):
        lines = [line[f"{bound}_usd_per_hour"] for line in cost["lines"]]
        assert cost[f"{bound}_usd_per_hour"] == pytest.approx(sum(lines), abs=1e-3)
    gpus = sum(plan.decision.price_of_replica * plan.decision.replicas for plan in prod.models)
    assert gpus < cost["floor_usd_per_hour"] < cost["ceiling_usd_per_hour"]


def test_infrastructure_is_in_the_cost() -> None:
    """Prevents a price that forgets NAT gateways, endpoints and the control plane."""
    values = changed("network", {**VALID["network"], "natGateways": "single", "interfaceEndpoints": ["ecr.api", "sts"]})
    lines = {line.item: line for line in decided(values).cost.lines}
    assert lines["NAT gateways: 1"].floor == pytest.approx(0.045)
    assert lines["Interface endpoints: 2 in 2 zones"].floor == pytest.approx(0.04)
    assert lines["EKS control plane"].floor == pytest.approx(0.10)


def test_what_costs_by_use_is_told() -> None:
    """Prevents $12 for each start of a large model that no plan mentioned, and a sum that nobody bills."""
    download, start = decided().cost.usage
    gigabytes = 16.06
    assert download.usd == pytest.approx(gigabytes * (0.06 + 0.045), rel=1e-2)
    assert start.usd == pytest.approx(gigabytes * 0.03, rel=1e-2)
    provisioned = {**VALID, "cache": {"throughput": "provisioned", "provisionedMibps": 100}}
    (download,) = decided(provisioned).cost.usage
    lines = {line.item: line.floor for line in decided(provisioned).cost.lines}
    assert lines["EFS: 100 MiB/s provisioned"] == pytest.approx(100 * 6 / 730)
    assert download.usd == pytest.approx(gigabytes * 0.045, rel=1e-2)


def test_extended_support_has_its_own_price() -> None:
    """Prevents a control plane at a sixth of what EKS bills for an old version."""
    old = {**VALID, "kubernetesVersion": "1.34", "kubernetesSupportOverride": "the gateway's operator lacks 1.35"}
    lines = decide(parsed(old), CONFIGS, today=dt.date(2027, 1, 1)).cost.lines
    assert [line.floor for line in lines if "control plane" in line.item] == [pytest.approx(0.60)]


def test_a_broken_rule_is_not_told_a_second_time_by_the_planner() -> None:
    """Prevents two problems for one mistake, the second without a place."""
    config, problems = parse_stack(changed("models.0.maxModelLen", 1000), REGION)
    assert problems
    assert not decide(config, CONFIGS, sound=False).problems


def test_a_type_without_a_price_is_not_free() -> None:
    """Prevents an unknown price from being counted as zero without a word."""
    values = changed("systemNodes", {"instanceTypes": ["m5dn.large"]})
    (line,) = [line for line in decided(values).cost.lines if line.item.startswith("System nodes")]
    assert (line.floor, line.ceiling) == (None, None)
    assert "m5dn.large" in line.basis
    assert warnings(values)["price"].value == "m5dn.large"
    assert "price" not in warnings()


def test_decisions_are_plain_data(prod: Decisions) -> None:
    """Prevents exports that the engine cannot store."""
    assert json.loads(json.dumps(prod.to_json()))["models"][0]["cold_start"]["startup_budget_s"] > 0


def test_a_context_above_the_models_own_is_refused() -> None:
    """Prevents a server that vLLM refuses to start, on a GPU that is already paid for."""
    problem = refused("models.0.maxModelLen", 200_000)
    assert (problem.path, problem.value) == ("models[0].maxModelLen", 200_000)
    assert "131,072" in problem.message
    assert "131072" in problem.fix


def test_an_unknown_model_names_its_neighbours_and_the_way_out() -> None:
    """Prevents a dead end for a typing error and for a model outside the catalogue."""
    problem = refused("models.0.source", "meta-llama/Llama-3.1-8B-Instrct")
    assert (problem.path, problem.rule) == ("models[0].source", "unknown-model")
    assert "meta-llama/Llama-3.1-8B-Instruct" in problem.message
    assert "architecture" in problem.fix


def test_a_precision_that_the_checkpoint_does_not_have_is_refused() -> None:
    """Prevents a plan for 5 GiB of weights and a server that loads 15: vLLM serves a checkpoint as it is stored."""
    problem = refused("models.0.precision", "awq-int4")
    assert problem.path == "models[0].precision"
    assert "bf16" in problem.message


def test_what_fits_nowhere_is_refused_with_its_arithmetic() -> None:
    """Prevents `no instance found` without the numbers, and without what would help."""
    values = copy.deepcopy(dict(VALID))
    values["models"][0] |= {"source": "meta-llama/Llama-3.1-70B-Instruct", "slo": {"tpotMs": 5}}
    (problem,) = decided(values).problems
    assert problem.path == "models[0]"
    assert problem.rule in GATE_FIXES
    assert any(character.isdigit() for character in problem.message)
    assert "g5" in problem.message
    assert "gpuPools" in problem.fix or "slo" in problem.fix


def test_models_are_refused_independently_of_each_other() -> None:
    """Prevents the second impossible model from showing only once the first is mended."""
    values = copy.deepcopy(dict(VALID))
    values["models"] = [{**VALID["models"][0], "name": name, "maxModelLen": 10**6} for name in ("one", "two")]
    assert [problem.path for problem in decided(values).problems] == ["models[0].maxModelLen", "models[1].maxModelLen"]


def test_a_model_outside_the_catalogue_is_sized_from_its_file() -> None:
    """Prevents the catalogue from being the limit of what can be served."""
    values = copy.deepcopy(dict(VALID))
    values["models"][0] |= {"source": "acme/private-8b", "architecture": "llama3.1-8b.json"}
    plan = decided(values).models[0]
    reference = decided().models[0]
    assert plan.instance_types == reference.instance_types


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("missing.json", None, "cannot be read"),
        ("broken.json", "{", "no config.json"),
        ("list.json", "[]", "no JSON object"),
        ("odd.json", '{"architectures": ["Nothing"]}', ""),
        ("a\0b.json", None, "null byte"),
    ],
)
def test_a_bad_architecture_file_is_named(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    """Prevents a traceback for a file that is missing, broken, or no model."""
    if text is not None:
        (tmp_path / name).write_text(text)
    (problem,) = decide(parsed(changed("models.0.architecture", name)), tmp_path).problems
    assert (problem.path, problem.value) == ("models[0].architecture", name)
    assert message in problem.message


RESERVATION = {"id": "cr-0123456789abcdef0"}
WINDOW = {"days": ["sat"], "startUtc": "2:00", "hours": 4}


@pytest.mark.parametrize(
    ("changes", "path", "rule"),
    [
        ({"capacity": ["reserved"]}, "capacity", "reservation-missing"),
        ({"reservations": [RESERVATION]}, "reservations", "reservation-unused"),
        ({"capacity": ["reserved"], "reservations": [{}]}, "reservations[0]", "reservation-selector"),
        (
            {"capacity": ["reserved"], "reservations": [{**RESERVATION, "zone": "us-east-1f"}]},
            "reservations[0].zone",
            "reservation-zone",
        ),
        (
            {"capacity": ["reserved", "spot"], "reservations": [RESERVATION], "capacityBlock": True},
            "capacity",
            "capacity-block",
        ),
        ({"maintenanceWindows": [WINDOW]}, "maintenanceWindows", "maintenance-window"),
    ],
)
def test_pools_that_cannot_work_are_refused(changes: dict[str, Any], path: str, rule: str) -> None:
    """Prevents paid capacity that is never used, and a constructor that fails after half the stack is registered."""
    values = changed("gpuPools.0", {**VALID["gpuPools"][0], **changes})
    found = decided(values).problems
    assert [(problem.path, problem.rule) for problem in found] == [(f"gpuPools[0].{path}", rule)]
    assert all(problem.message and problem.fix for problem in found)


def test_pools_that_no_model_uses_are_checked_too() -> None:
    """Prevents a mistake that shows only once the first model moves there."""
    values = changed("gpuPools.1", {"name": "later", "families": ["p5"], "capacity": ["reserved"]})
    values["models"][0]["pools"] = ["g5"]
    assert [problem.path for problem in decided(values).problems] == ["gpuPools[1].capacity"]


@pytest.mark.parametrize(("limit", "text"), [(3, "could never launch"), (4, "")])
def test_a_limit_below_one_node_is_refused(limit: int, text: str) -> None:
    """Prevents a pool that can launch nothing: its only type has four GPUs."""
    values = copy.deepcopy(dict(VALID))
    values["gpuPools"][0]["gpuLimit"] = limit
    values["models"][0] |= {"source": "hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4", "revision": "1" * 40}
    problems = decided(values).problems
    assert bool(problems) is bool(text)
    assert all(problem.path == "gpuPools[0].gpuLimit" and text in problem.message for problem in problems)


def test_a_limit_below_what_runs_is_refused() -> None:
    """Prevents replicas that are pending from the first minute."""
    values = copy.deepcopy(dict(VALID))
    values["gpuPools"][0]["gpuLimit"] = 2
    values["models"][0]["replicas"] = {"min": 3, "max": 3}
    (problem,) = decided(values).problems
    assert "3 GPUs" in problem.message
    assert "at least 3" in problem.fix


def test_a_limit_caps_the_computed_one() -> None:
    """Prevents a cap that is accepted and ignored."""
    values = changed("gpuPools.0", {**VALID["gpuPools"][0], "gpuLimit": 1})
    assert decided(values).pools[0].gpu_limit == 1


def test_reserved_pools_roll_out_without_a_spare_gpu() -> None:
    """Prevents a rollout that waits for capacity which does not exist beyond the reservation."""
    values = changed("gpuPools.0", {**VALID["gpuPools"][0], "capacity": ["reserved"]})
    values["gpuPools"][0]["reservations"] = [{"id": "cr-0123456789abcdef0"}]
    assert not surges(values)
    assert surges(dict(VALID))


def surges(values: dict[str, Any]) -> bool:
    """Tell whether a rollout of the stack's model may run one replica more."""
    decisions = decided(values)
    return may_surge(decisions.models[0], decisions.pools)


@pytest.mark.parametrize(("limit", "surge"), [(1, False), (2, True)])
def test_a_cap_without_a_spare_gpu_stops_the_old_server_first(limit: int, surge: bool) -> None:
    """Prevents a rollout whose new server waits for ever for the GPU that the old one keeps."""
    values = changed("gpuPools.0", {**VALID["gpuPools"][0], "gpuLimit": limit})
    assert surges(values) is surge
    assert ("rollout" in warnings(values)) is not surge


def warnings(values: dict[str, Any] | None = None, **secrets: bool) -> dict[str, Problem]:
    """Return a stack's warnings by rule."""
    return {warning.rule: warning for warning in decided(values, **secrets).warnings}


def test_a_directory_of_charts_that_is_not_there_is_announced(tmp_path: Path) -> None:
    """Prevents an `up` that makes a cluster and then finds no chart to put into it."""
    for directory, missing in ((tmp_path, False), (tmp_path / "charts", True), ("./charts", True)):
        values = {**VALID, "registries": {"charts": str(directory)}}
        assert ("file" in warnings(values)) is missing


def test_a_gated_model_without_a_token_is_announced() -> None:
    """Prevents a preloader that fails with 401 after the cluster was built."""
    assert warnings()["gated"].fix.startswith("pulumi config set --secret hfToken")
    assert "gated" not in warnings(token=True)


def test_a_revision_that_moves_is_announced_with_the_command_that_pins_it() -> None:
    """Prevents replicas that serve different weights under one name."""
    warning = warnings(changed("models.0.revision", None))["unpinned"]
    assert (warning.path, warning.value) == ("models[0].revision", "main")
    assert "llm-serving:models[0].revision" in warning.fix
    assert "git ls-remote https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct main" in warning.fix
    assert "unpinned" not in warnings()


def test_a_missing_key_is_announced() -> None:
    """Prevents models that anybody in the client namespaces uses without anyone having decided so."""
    assert "apiKey" in warnings()["authentication"].fix
    assert "authentication" not in warnings(api_key=True)


@pytest.mark.parametrize(
    ("cidrs", "rule"), [(["203.0.113.0/24"], "placeholder"), (["0.0.0.0/0"], "open"), ([], "private")]
)
def test_an_endpoint_that_nobody_or_everybody_reaches_is_announced(cidrs: list[str], rule: str) -> None:
    """Prevents a first `up` that hangs on an unreachable cluster, and one that is open to the world."""
    assert rule in warnings(changed("access.publicCidrs", cidrs))
    assert not {"placeholder", "open", "private"} & set(warnings())


def test_a_pool_without_models_is_announced_and_not_built() -> None:
    """Prevents a pool that is configured and silently missing."""
    values = changed("gpuPools.1", {"name": "idle", "families": ["p5"]})
    values["models"][0]["pools"] = ["g5"]
    assert warnings(values)["unused"].value == "idle"
    assert [planned.pool.name for planned in decided(values).pools] == ["g5"]


def test_what_the_planner_says_of_every_model_is_said_once() -> None:
    """Prevents the same warning about prices under each model."""
    values = copy.deepcopy(dict(VALID))
    values["network"] = {"availabilityZones": ["eu-west-1a", "eu-west-1b"]}
    values["models"] = [{**VALID["models"][0], "name": name} for name in ("one", "two")]
    config, problems = parse_stack(values, "eu-west-1")
    assert not problems
    said = [warning for warning in decide(config, CONFIGS).warnings if warning.rule == "sizing"]
    assert [warning.path for warning in said if "price" in warning.message] == ["aws:region"]


@pytest.mark.parametrize(
    ("day", "problems", "warnings_"),
    [("2026-11-26", [], []), ("2027-03-01", [], ["support-ends"]), ("2027-03-28", ["support-ended"], [])],
)
def test_a_kubernetes_version_near_its_end_is_announced_and_past_it_refused(
    day: str, problems: list[str], warnings_: list[str]
) -> None:
    """Prevents a cluster that EKS upgrades by itself, or bills six times over."""
    made = decide(parsed(changed("kubernetesVersion", "1.35")), CONFIGS, today=dt.date.fromisoformat(day))
    assert [problem.rule for problem in made.problems] == problems
    assert [warning.rule for warning in made.warnings if warning.path == "kubernetesVersion"] == warnings_


def test_more_sequences_than_a_step_has_tokens_are_never_planned() -> None:
    """Prevents a crash of the plan, or of the server, for a bound above vLLM's smallest batch of 2,048 tokens."""
    values = copy.deepcopy(dict(VALID))
    values["models"][0] |= {"source": "Qwen/Qwen2.5-0.5B-Instruct", "maxSequences": 4096, "concurrency": 4096}
    values["models"][0] |= {
        "inputTokens": 16,
        "outputTokens": 16,
        "maxModelLen": 32,
        "profile": "burst",
        "replicas": {"max": 50},
    }
    decision = decided(values).models[0].decision
    assert decision.max_num_seqs <= decision.max_num_batched_tokens
