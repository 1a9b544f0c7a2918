"""Reading a stack file: every kind of mistake is named with its place and a fix, all of them in one run."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from infra.decisions import decide
from infra.settings.checks import is_graviton
from infra.settings.pool_sections import CAPACITY_TYPES, GpuPool
from infra.settings.problems import Problem, listed
from infra.settings.schema import Setting, camel, kind_of, settings_of
from infra.settings.sections import Model, Replicas, Slo, StackConfig
from infra.settings.stack import parse_stack
from tests.infra.stacks import REGION, VALID, changed, parsed, problems_of

TWIN = {**VALID["models"][0]}
VPC = {
    "availabilityZones": ["us-east-1a", "us-east-1b"],
    "vpcId": "vpc-0123456789abcdef0",
    "privateSubnetIds": ["subnet-0a1b2c3d4e5f60718", "subnet-1a1b2c3d4e5f60718"],
}
SUBNET = ("network.privateSubnetIds[0]", "format", "subnet-0")

MISTAKES: list[tuple[str, Any, str, str, str]] = [
    # place changed, new value, place reported, rule, part of the fix
    ("modles", [], "modles", "unknown-key", "models"),
    ("models.0.concurency", 3, "models[0].concurency", "unknown-key", "concurrency"),
    ("models.0.slo.ttft", 3, "models[0].slo.ttft", "unknown-key", "ttftMs"),
    ("models.0.concurrency", None, "models[0].concurrency", "required", "add it"),
    ("models.0.source", None, "models[0].source", "required", "meta-llama"),
    ("network", None, "network", "required", "add it"),
    ("models", [], "models", "required", "at least one"),
    ("models", "llama", "models", "type", "one - entry per line"),
    ("models.0", "llama", "models[0]", "type", "key: value"),
    ("models.0.concurrency", "many", "models[0].concurrency", "type", "integer"),
    ("models.0.concurrency", 1.5, "models[0].concurrency", "type", "integer"),
    ("models.0.concurrency", True, "models[0].concurrency", "type", "integer"),
    ("models.0.prefixHitRate", float("nan"), "models[0].prefixHitRate", "type", "number"),
    ("protect", "perhaps", "protect", "type", "boolean"),
    ("tags", {"cost": 3}, "tags.cost", "type", "quotes"),
    ("tags", ["a"], "tags", "type", "key: value"),
    ("models.0.concurrency", 0, "models[0].concurrency", "range", "from 1"),
    ("models.0.prefixHitRate", 1.5, "models[0].prefixHitRate", "range", "to 1"),
    ("models.0.maxSequences", 10**6, "models[0].maxSequences", "range", "4,096"),
    ("models.0.precision", "awq", "models[0].precision", "choice", "awq-int4"),
    ("models.0.objective", "cheapest", "models[0].objective", "choice", "hourly"),
    ("network.natGateways", "perzone", "network.natGateways", "choice", "perZone"),
    ("models.0.name", "Llama_8B", "models[0].name", "format", "lower-case"),
    ("models.0.source", "llama", "models[0].source", "format", "Hugging Face id"),
    ("models.0.source", "/etc/passwd", "models[0].source", "format", "/models"),
    ("network.cidr", "10.40.0.1/16", "network.cidr", "format", "CIDR"),
    ("network.cidr", "8.8.0.0/16", "network.cidr", "format", "CIDR"),
    ("network.cidr", "10.0.0.0/24", "network.cidr", "format", "CIDR"),
    ("network.cidr", "169.254.0.0/16", "network.cidr", "format", "CIDR"),
    ("kubernetesVersion", "1.3", "kubernetesVersion", "format", "quotes"),
    ("permissionsBoundary", "boundary", "permissionsBoundary", "format", "policy/"),
    ("registries.images", "https://mirror", "registries.images", "format", "without a scheme"),
    ("registries.charts", "mirror", "registries.charts", "format", "https://"),
    ("access.publicCidrs", ["anywhere"], "access.publicCidrs[0]", "format", "CIDR"),
    ("access.admins", ["me"], "access.admins[0]", "format", "ARN"),
    ("access.clientNamespaces", ["Gate_Way"], "access.clientNamespaces[0]", "format", "lower-case"),
    ("access.metricsNamespaces", ["m" * 64], "access.metricsNamespaces[0]", "format", "63"),
    ("access.readers", ["me"], "access.readers[0]", "format", "ARN"),
    ("gpuPools.0.reservations", [{"ownerId": "me"}], "gpuPools[0].reservations[0].ownerId", "format", "twelve digits"),
    ("gpuPools.0.maintenanceWindows", [{}], "gpuPools[0].maintenanceWindows[0].days", "required", "sat"),
    ("access.admins", [3], "access.admins[0]", "type", "string"),
    ("network.interfaceEndpoints", ["ecr.dk"], "network.interfaceEndpoints[0]", "choice", "ecr.dkr"),
    ("network.availabilityZones", ["us-east-1a"], "network.availabilityZones", "range", "two or three"),
    ("network.availabilityZones", [], "network.availabilityZones", "range", "two or three"),
    ("network.availabilityZones", ["us-east-1a", "us-west-2a"], "network.availabilityZones[1]", "zone", "us-east-1a"),
    ("network.availabilityZones", ["us-east-1a", "us-east-1a"], "network.availabilityZones[1]", "duplicate", "remove"),
    ("network.natGateways", "none", "network.natGateways", "reachability", "registries.images"),
    ("network.privateSubnetIds", ["subnet-1"], "network.privateSubnetIds", "conflict", "vpcId"),
    ("network", {**VPC, "privateSubnetIds": []}, "network.privateSubnetIds", "order", "one private subnet"),
    ("systemNodes", {"min": 5, "max": 3}, "systemNodes.min", "order", "at most 3"),
    ("systemNodes", {"min": 1}, "systemNodes.min", "range", "from 2"),
    ("cache", {"throughput": "provisioned"}, "cache.provisionedMibps", "required", "MiB/s"),
    ("cache", {"provisionedMibps": 100}, "cache.provisionedMibps", "conflict", "provisioned"),
    ("gpuPools.0.families", ["g55"], "gpuPools[0].families[0]", "choice", "g5"),
    ("gpuPools.0.families", ["g5g"], "gpuPools[0].families[0]", "capability", "another family"),
    ("gpuPools.0.families", [], "gpuPools[0].families", "required", "g5"),
    ("gpuPools.0.capacity", ["spt"], "gpuPools[0].capacity[0]", "choice", "spot"),
    ("gpuPools.0.capacity", [], "gpuPools[0].capacity", "required", "spot"),
    ("gpuPools.0.reservations", [{"id": "mine"}], "gpuPools[0].reservations[0].id", "format", "cr-"),
    ("gpuPools.0.zones", ["us-east-1c"], "gpuPools[0].zones[0]", "zone", "us-east-1a"),
    ("gpuPools.0.gpuLimit", 0, "gpuPools[0].gpuLimit", "range", "from 1"),
    ("gpuPools.1", {"name": "g5", "families": ["g6"]}, "gpuPools[1].name", "duplicate", "another name"),
    ("models.1", TWIN, "models[1].name", "duplicate", "another name"),
    ("models.0.pools", ["g6"], "models[0].pools[0]", "reference", "g5"),
    ("models.0.replicas", {"min": 3, "max": 2}, "models[0].replicas.min", "order", "at most 2"),
    ("models.0.maxModelLen", 1000, "models[0].maxModelLen", "order", "at least 1280"),
    ("models.0.source", "s3://weights/llama", "models[0].revision", "conflict", "remove it"),
    ("systemNodes", {"instanceTypes": ["m7g.large"]}, "systemNodes.instanceTypes[0]", "capability", "amd64"),
    ("systemNodes", {"instanceTypes": ["m7i"]}, "systemNodes.instanceTypes[0]", "format", "m7i.large"),
    ("systemNodes", {"instanceTypes": []}, "systemNodes.instanceTypes", "required", "m7i.large"),
    ("addonVersions", {"coredsn": "v1.12.1-eksbuild.2"}, "addonVersions.coredsn", "unknown-key", "coredns"),
    ("addonVersions", {"coredns": "latest"}, "addonVersions.coredns", "format", "eksbuild"),
    ("network", {**VPC, "privateSubnetIds": ["subnet-a", VPC["privateSubnetIds"][0]]}, *SUBNET),
    ("network", {**VPC, "publicSubnetIds": ["public"]}, "network.publicSubnetIds[0]", "format", "subnet-0"),
    ("cluster", {"name": "c" * 81}, "cluster.name", "format", "80 characters"),
    ("tags", {"a<b": "x"}, "tags.a<b", "format", "letters"),
    ("tags", {"a": "x" * 257}, "tags.a", "format", "up to 256"),
    ("tags", {f"tag-{index}": "x" for index in range(41)}, "tags", "range", "at most 40"),
    ("tags", {"aws:team": "llm"}, "tags.aws:team", "reserved", "another key"),
    ("access.publicCidrs", ["10.0.0.0/8"], "access.publicCidrs[0]", "format", "CIDR"),
    ("gpuPools.0.name", "cpu", "gpuPools[0].name", "reserved", "another name"),
    ("gpuPools.0.name", "g5-spot", "gpuPools[0].name", "reserved", "another name"),
    ("models.0.name", "default", "models[0].name", "reserved", "another name"),
    ("network", {**VPC, "cidr": "10.9.0.0/16"}, "network.cidr", "conflict", "vpcId"),
    ("network", {**VPC, "natGateways": "single"}, "network.natGateways", "conflict", "vpcId"),
    ("network", {**VPC, "natGateways": "none"}, "network.natGateways", "reachability", "registries.images"),
    ("network", {**VPC, "interfaceEndpoints": ["sts"]}, "network.interfaceEndpoints", "conflict", "vpcId"),
    ("network.natGateways", "none", "models[0].source", "reachability", "s3://"),
    ("models.0.source", "/models/llama", "models[0].architecture", "required", "config.json"),
]


@pytest.mark.parametrize(("place", "value", "path", "rule", "fix"), MISTAKES, ids=[f"{m[2]}-{m[3]}" for m in MISTAKES])
def test_each_mistake_is_named(place: str, value: Any, path: str, rule: str, fix: str) -> None:
    """Prevents a mistake that is accepted, ignored, or reported without saying where it is and how to mend it."""
    found = [each for each in problems_of(changed(place, value)) if (each.path, each.rule) == (path, rule)]
    assert len(found) == 1, problems_of(changed(place, value))
    assert fix in found[0].fix
    assert found[0].message


def test_what_is_no_catalogue_entry_is_one_problem() -> None:
    """Prevents a second problem, about the catalogue, where the file of a model outside of it is missing."""
    values = changed("models.0.source", "s3://weights/llama")
    del values["models"][0]["revision"]
    config, problems = parse_stack(values, REGION)
    assert [each.path for each in problems] == ["models[0].architecture"]
    assert not decide(config, Path(), sound=False).problems


def test_all_mistakes_are_reported_at_once() -> None:
    """Prevents the slow way to a valid file: one error per run."""
    values = changed("models.0.concurrency", "many")
    values |= {"modles": [], "tags": {"a": 1}, "cache": {"provisionedMibps": 3}}
    values["gpuPools"] = [{"name": "g5", "families": ["g55"], "capacity": ["spt"]}]
    assert {each.path for each in problems_of(values)} == {
        "modles",
        "models[0].concurrency",
        "tags.a",
        "cache.provisionedMibps",
        "gpuPools[0].families[0]",
        "gpuPools[0].capacity[0]",
    }


def test_a_mistake_in_one_entry_does_not_hide_or_shift_those_of_others() -> None:
    """Prevents paths that point at the wrong entry once an earlier one could not be read."""
    values = changed("models.1", {**TWIN, "name": "second", "replicas": {"min": 3, "max": 2}})
    values["models"][0]["concurrency"] = "many"
    assert [each.path for each in problems_of(values)] == ["models[0].concurrency", "models[1].replicas.min"]


def test_names_of_broken_pools_are_not_taken_for_missing_ones() -> None:
    """Prevents a second, wrong error about a reference when the pool itself is what has to be mended."""
    values = changed("gpuPools.0.families", "g5")
    values["models"][0]["pools"] = ["g5"]
    values["gpuPools"].append({"name": "g6", "families": ["g6"]})
    assert [each.path for each in problems_of(values)] == ["gpuPools[0].families"]


def test_values_arrive_typed_and_defaults_fill_the_rest() -> None:
    """Prevents floats and text where the program counts."""
    values = changed("models.0.concurrency", 8.0)
    values["models"][0] |= {"slo": {"tpotMs": 120}, "prefixHitRate": 0}
    values["protect"] = "true"
    model = parsed(values).models[0]
    assert (model.concurrency, type(model.concurrency)) == (8, int)
    assert (model.prefix_hit_rate, type(model.prefix_hit_rate)) == (0.0, float)
    assert model.slo == Slo(tpot_ms=120.0)
    assert (model.replicas, model.precision, model.max_nodes) == (Replicas(1, 1), "auto", 1)
    assert parsed(values).protect is True


def test_an_existing_network_is_named_by_its_ids() -> None:
    """Prevents a second VPC where one was to be used."""
    network = parsed(changed("network", VPC)).network
    assert (network.vpc_id, len(network.private_subnet_ids)) == ("vpc-0123456789abcdef0", 2)


def test_every_capacity_type_is_accepted_in_any_order() -> None:
    """Prevents a capacity chain that the schema cannot express."""
    values = changed("gpuPools.0", {**VALID["gpuPools"][0], "capacity": list(CAPACITY_TYPES)})
    values["gpuPools"][0]["reservations"] = [{"tags": {"team": "llm"}}]
    assert parsed(values).gpu_pools[0].capacity == CAPACITY_TYPES


def test_settings_cannot_be_changed_once_read() -> None:
    """Prevents code that adjusts its own input, after which nobody knows what was configured."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        parsed().protect = True  # type: ignore[misc]


def all_settings(section: type) -> list[Setting]:
    """Return the settings of a section and of those inside it."""
    found = []
    for declared in settings_of(section):
        inner = (declared.kind.item or declared.kind).section
        found += [declared, *(all_settings(inner) if inner else [])]
    return found


@pytest.mark.parametrize(
    ("kind", "arm"),
    [("m7g.large", True), ("c7gn.large", True), ("im4gn.large", True), ("g5g.xlarge", True), ("g5.xlarge", False),
     ("m7i-flex.large", False), ("r8g.metal-48xl", True), ("p4d.24xlarge", False)],
)  # fmt: skip
def test_arm_processors_are_told_by_the_types_name(kind: str, arm: bool) -> None:
    """Prevents nodes that no image of ours runs on, and amd64 types that are refused for the g of their family."""
    assert is_graviton(kind) is arm


def test_an_unknown_region_is_named_once() -> None:
    """Prevents one complaint per model about the same region."""
    values = changed("network.availabilityZones", ["us-eest-1a", "us-eest-1b"])
    _, problems = parse_stack(values, "us-eest-1")
    assert [(each.path, each.rule) for each in problems] == [("aws:region", "choice")]
    assert "did you mean us-" in problems[0].fix


def test_every_setting_says_what_it_means() -> None:
    """Prevents a key that only its author understands."""
    assert all(declared.limits.doc.endswith(".") for declared in all_settings(StackConfig))


def test_every_field_of_a_section_is_a_setting_or_bookkeeping() -> None:
    """Prevents a field without a declaration, which no stack file could ever set."""
    for section, bookkeeping in ((Model, {"path"}), (GpuPool, {"path"}), (StackConfig, {"region", "unread_pools"})):
        declared = {setting.name for setting in settings_of(section)}
        assert {field.name for field in dataclasses.fields(section)} - declared == bookkeeping


def test_a_type_that_no_stack_file_can_express_is_refused_at_once() -> None:
    """Prevents a declaration that only fails when somebody uses it."""
    with pytest.raises(TypeError, match="set"):
        kind_of(set[str])


def test_messages_read_like_sentences() -> None:
    """Prevents error texts with raw lists in them."""
    assert listed(["a", "b", "c"]) == "a, b or c"
    assert (listed(["a"]), listed([])) == ("a", "nothing")
    assert (
        str(Problem("a.b", 3, "range", "is too much", "at most 2")) == "  a.b = 3\n    is too much\n    fix: at most 2"
    )
    assert camel("max_model_len") == "maxModelLen"


def test_values_that_json_cannot_carry_are_shown_as_text() -> None:
    """Prevents a crash while an error is being printed."""
    _, problems = parse_stack({"models": float("inf"), "tags": {"x": float("nan")}, "gpuPools": object()}, REGION)
    assert all(each.to_json()["path"] for each in problems)
