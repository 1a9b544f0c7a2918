"""Settings of GPU pools: each mistake ends in an error with its place and its fix, and each setting arrives."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from components import daemonsets, versions
from components.sizing.catalog import instance_type
from infra.decisions import decide
from infra.settings.problems import Problem
from infra.settings.stack import parse_stack
from offline.recording import Deployment
from offline.values import revealed
from tests.infra.stacks import REGION, VALID, changed
from tests.infra.test_stack import deployed

ROOT = Path(__file__).resolve().parents[2]
POOL = {"name": "g5", "families": ["g5"]}
SHARED = {"name": "shared", "families": ["g6"], "gpuLimit": 4}
SLICES = {"timeSlices": 4, "instanceTypes": ["g6.2xlarge"]}
ZONE = {"zones": ["us-east-1a"]}
P5 = {"name": "p5", "families": ["p5"], **ZONE}
RESERVED = {"capacity": ["reserved"], "reservations": [{"id": "cr-0123456789abcdef0", "zone": "us-east-1a"}]}


def stack(*pools: Mapping[str, Any], **settings: Any) -> dict[str, Any]:
    """Return a valid stack with other pools, and other settings at its top level."""
    return {**copy.deepcopy(dict(VALID)), "gpuPools": list(pools), **settings}


def problems(values: Mapping[str, Any]) -> list[Problem]:
    """Return everything that is wrong with a stack: its settings, and what follows from them."""
    config, found = parse_stack(values, REGION)
    return [*found, *decide(config, ROOT, sound=not found).problems]


BAD: list[tuple[str, dict[str, Any], str, str]] = [
    # what is wrong, stack, place reported, rule
    ("unknown family", stack({**POOL, "families": ["g55"]}), "gpuPools[0].families[0]", "choice"),
    ("arm64 GPU type", stack({**POOL, "families": ["g5g"]}), "gpuPools[0].families[0]", "capability"),
    ("type without EFA", stack({**POOL, **ZONE, "efa": True}), "gpuPools[0].efa", "efa-missing"),
    ("EFA in two zones", stack({"name": "p5", "families": ["p5"], "efa": True}), "gpuPools[0].efa", "efa-zone"),
    (
        "placement group for a block",
        stack({**P5, **RESERVED, "capacityBlock": True, "placementGroup": "near"}),
        "gpuPools[0].placementGroup",
        "placement-group",
    ),
    (
        "reservation in another zone than the subnets",
        stack({**POOL, **RESERVED, "zones": ["us-east-1b"]}),
        "gpuPools[0].reservations[0].zone",
        "reservation-zone",
    ),
    ("a block that is not reserved", stack({**POOL, "capacityBlock": True}), "gpuPools[0].capacityBlock",
     "capacity-block"),
    ("a block that is over", stack({**P5, **RESERVED, "capacityBlock": True, "reservations": [
        {"id": "cr-0123456789abcdef0", "zone": "us-east-1a", "endsOn": "2026-01-31"}]}),
     "gpuPools[0].reservations[0].endsOn", "reservation-ended"),
    ("an end of what is no block", stack({**P5, **RESERVED, "reservations": [
        {"id": "cr-0123456789abcdef0", "zone": "us-east-1a", "endsOn": "2099-01-31"}]}),
     "gpuPools[0].reservations[0].endsOn", "conflict"),
    ("a day that does not exist", stack({**P5, **RESERVED, "capacityBlock": True, "reservations": [
        {"id": "cr-0123456789abcdef0", "zone": "us-east-1a", "endsOn": "2099-02-31"}]}),
     "gpuPools[0].reservations[0].endsOn", "format"),
    ("an owner beside an id", stack({**POOL, "capacity": ["reserved"], "reservations": [
        {"id": "cr-0123456789abcdef0", "zone": "us-east-1a", "ownerId": "123456789012"}]}),
     "gpuPools[0].reservations[0].ownerId", "reservation-selector"),
    ("limit below a node", stack({**SHARED, "gpuLimit": 1, "families": ["p4d"], "sharing": {
        "migProfile": "1g.5gb", "instanceTypes": ["p4d.24xlarge"]}}, POOL), "gpuPools[0].gpuLimit", "limit-below-node"),
    ("unknown AMI family", stack({**POOL, "amiFamily": "al2"}), "gpuPools[0].amiFamily", "choice"),
    ("AMI that is no alias", stack({**POOL, "amiAlias": "ami-0123"}), "gpuPools[0].amiAlias", "format"),
    ("AMI without a date", stack({**POOL, "amiAlias": "al2023@latest"}), "gpuPools[0].amiAlias", "ami-latest"),
    (
        "AMI of the other family",
        stack({**POOL, "amiAlias": "bottlerocket@v1.57.0"}),
        "gpuPools[0].amiAlias",
        "conflict",
    ),
    ("latest in production", stack(POOL, allowLatestAmi=True, protect=True), "allowLatestAmi", "conflict"),
    (
        "fixed size, two ways to buy",
        stack({**POOL, "staticNodes": 1, "capacity": ["on-demand", "spot"]}),
        "gpuPools[0].staticNodes",
        "static-capacity",
    ),
    ("fixed size and a limit", stack({**POOL, "staticNodes": 1, "gpuLimit": 4}), "gpuPools[0].gpuLimit", "conflict"),
    ("neither slices nor partitions", stack(POOL, {**SHARED, "sharing": {"instanceTypes": ["g6.2xlarge"]}}),
     "gpuPools[1].sharing", "sharing"),
    ("slices and partitions", stack(POOL, {**SHARED, "sharing": {**SLICES, "migProfile": "1g.5gb"}}),
     "gpuPools[1].sharing", "sharing"),
    ("partitions of a GPU without MIG", stack(POOL, {**SHARED, "sharing": {
        "migProfile": "1g.5gb", "instanceTypes": ["g6.2xlarge"]}}), "gpuPools[1].sharing.migProfile", "mig-profile"),
    ("shares without types", stack(POOL, {**SHARED, "sharing": {"timeSlices": 4, "instanceTypes": []}}),
     "gpuPools[1].sharing.instanceTypes", "required"),
    ("unknown type", stack(POOL, {**SHARED, "sharing": {"timeSlices": 4, "instanceTypes": ["g6.3xlarge"]}}),
     "gpuPools[1].sharing.instanceTypes", "unknown-type"),
    ("type of another family", stack(POOL, {**SHARED, "sharing": {"timeSlices": 4, "instanceTypes": ["g5.xlarge"]}}),
     "gpuPools[1].sharing.instanceTypes[0]", "reference"),
    ("shares without a limit", stack(POOL, {"name": "shared", "families": ["g6"], "sharing": SLICES}),
     "gpuPools[1].gpuLimit", "required"),
    ("shares on Bottlerocket", stack(POOL, {**SHARED, "amiFamily": "bottlerocket", "sharing": SLICES}),
     "gpuPools[1].amiFamily", "sharing"),
    ("only shares for a model", stack({**SHARED, "sharing": SLICES}), "models[0].pools", "sharing"),
    (
        "a type that models use, too",
        stack(POOL, {**SHARED, "families": ["g5"], "sharing": {"timeSlices": 4, "instanceTypes": ["g5.2xlarge"]}}),
        "gpuPools[1].sharing.instanceTypes[0]",
        "sharing",
    ),
    ("unsupported version", stack(POOL, kubernetesVersion="1.37"), "kubernetesVersion", "version-unknown"),
    ("empty reason", stack(POOL, kubernetesSupportOverride="later"), "kubernetesSupportOverride", "format"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "path", "rule"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_pools_that_cannot_work_are_refused(values: dict[str, Any], path: str, rule: str) -> None:
    """Prevents capacity that is billed and useless, and messages of AWS or Karpenter about something else."""
    found = problems(values)
    assert (path, rule) in {(problem.path, problem.rule) for problem in found}, found
    assert all(problem.message and problem.fix for problem in found)


def test_a_model_cannot_ask_for_shared_gpus() -> None:
    """Prevents a server that waits for ever for a whole GPU of a node that only has shares."""
    values = stack(POOL, {**SHARED, "sharing": SLICES})
    values["models"][0]["pools"] = ["shared"]
    assert ("models[0].pools[0]", "sharing") in {(problem.path, problem.rule) for problem in problems(values)}
    values["models"][0]["pools"] = []
    assert not problems(values)


def test_a_fixed_fleet_holds_every_replica() -> None:
    """Prevents replicas that wait for nodes which a pool of fixed size never makes."""
    values = stack({**POOL, "staticNodes": 1})
    values["models"][0]["replicas"] = {"min": 1, "max": 2}
    (problem,) = problems(values)
    assert (problem.path, problem.rule) == ("gpuPools[0].staticNodes", "limit")
    assert "2 nodes" in problem.message


# --- what arrives ---------------------------------------------------------------------------------------------------


def spec(made: Deployment, kind: str, name: str) -> Any:
    """Return the spec of a Kubernetes object."""
    return next(r.inputs["spec"] for r in made.of_kind(kind) if r.inputs["metadata"]["name"] == name)


def karpenter_values(made: Deployment) -> Any:
    """Return the settings of Karpenter's chart."""
    releases = made.of_type("kubernetes:helm.sh/v3:Release")
    return revealed(next(r for r in releases if r.name == "karpenter").inputs["values"])["settings"]


@pytest.fixture(scope="module")
def fleet() -> Deployment:
    """Return a stack with a reserved EFA fleet of fixed size and a pool that shares its GPUs."""
    values = stack(
        {**P5, **RESERVED, "efa": True, "placementGroup": "near", "staticNodes": 2},
        {**SHARED, "capacity": ["spot"], "sharing": SLICES},
    )
    values["models"][0]["pools"] = ["p5"]
    return deployed(values)


@pytest.fixture(scope="module")
def plain() -> Deployment:
    """Return a stack that uses none of it."""
    return deployed(VALID)


def test_a_fixed_fleet_has_its_number_of_nodes(fleet: Deployment) -> None:
    """Prevents a paid fleet that grows from zero, and a Karpenter that does not know what replicas of a pool are."""
    pool = spec(fleet, "NodePool", "p5")
    assert (pool["replicas"], pool["limits"]) == (2, {"nodes": "2"})
    assert karpenter_values(fleet)["featureGates"]["staticCapacity"] is True
    servers = spec(fleet, "Deployment", "llama")
    assert servers["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_a_fixed_fleet_is_paid_for_whether_it_serves_or_not(fleet: Deployment) -> None:
    """Prevents a cost that forgets the second of two nodes because only one serves."""
    lines = {line["item"]: line for line in fleet.outputs["cost"]["lines"]}
    price = instance_type("p5.4xlarge").usd_per_hour
    assert lines["Pool p5: rest of its 2 fixed × p5.4xlarge"]["floor_usd_per_hour"] == pytest.approx(price)


def test_efa_reaches_nodes_plugin_and_pods(fleet: Deployment) -> None:
    """Prevents interfaces that no pod sees: node class, group, device plugin and the pod's request belong together."""
    node_class = spec(fleet, "EC2NodeClass", "p5")
    group = fleet.one("aws:ec2/securityGroup:SecurityGroup", "p5-efa")
    for way in ("ingress", "egress"):
        assert group.inputs[way] == [{"protocol": "-1", "fromPort": 0, "toPort": 0, "self": True}]
    assert {"id": group.id} in node_class["securityGroupSelectorTerms"]
    assert node_class["networkInterfaces"][1]["interfaceType"] == "efa-only"
    assert node_class["placementGroupSelector"] == {"name": "near"}
    plugin = fleet.one("kubernetes:helm.sh/v3:Release", "efa-device-plugin").inputs["values"]
    assert plugin["supportedInstanceLabels"]["values"] == ["p5.4xlarge"]
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in plugin["tolerations"]
    container = spec(fleet, "Deployment", "llama")["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["vpc.amazonaws.com/efa"] == "1"
    assert container["resources"]["requests"]["vpc.amazonaws.com/efa"] == "1"


def test_servers_outlast_the_efa_plugin(fleet: Deployment) -> None:
    """Prevents pods that ask for EFA before, or after, anything offers it."""
    servers = next(r for r in fleet.of_kind("Deployment"))
    component = fleet.by_urn[servers.parent]
    plugin = fleet.one("kubernetes:helm.sh/v3:Release", "efa-device-plugin")
    assert plugin.urn in {*servers.dependencies, *component.dependencies}


def test_shared_gpus_are_told_to_karpenter_and_to_the_operator(fleet: Deployment) -> None:
    """Prevents shares that Karpenter cannot count, and a node configuration that the operator does not have."""
    (overlay,) = fleet.of_kind("NodeOverlay")
    assert overlay.inputs["spec"]["capacity"] == {"nvidia.com/gpu.shared": "4"}
    assert karpenter_values(fleet)["featureGates"]["nodeOverlay"] is True
    operator = fleet.one("kubernetes:helm.sh/v3:Release", "gpu-operator").inputs["values"]
    label = spec(fleet, "NodePool", "shared")["template"]["metadata"]["labels"]["nvidia.com/device-plugin.config"]
    assert label in operator["devicePlugin"]["config"]["data"]


@pytest.mark.parametrize(
    ("families", "expected"),
    [(["al2023"], "al2023"), (["bottlerocket"], "bottlerocket"), (["al2023", "bottlerocket"], "al2023")],
)
def test_the_operator_is_told_what_its_nodes_bring_along(families: list[str], expected: str) -> None:
    """Prevents operands chosen for another system; where both are there, nodes of the second opt out by label."""
    pools = [{"name": f"pool-{family}", "families": ["g5"], "amiFamily": family} for family in families]
    assert deployed(stack(*pools)).one("llm-serving:index:GpuOperator").inputs["ami_family"] == expected


def test_gates_are_open_only_where_something_needs_them(plain: Deployment) -> None:
    """Prevents alpha features of Karpenter in stacks that use none of them."""
    settings = karpenter_values(plain)
    assert settings["featureGates"]["staticCapacity"] is False
    assert settings["featureGates"]["nodeOverlay"] is False
    assert settings["isolatedVPC"] is False


def test_spot_always_has_its_interruption_queue(fleet: Deployment, plain: Deployment) -> None:
    """Prevents spot nodes that die without a drain: the queue is no setting, every stack has it."""
    queue = fleet.one("aws:sqs/queue:Queue").inputs["name"]
    assert queue
    assert karpenter_values(fleet)["interruptionQueue"] == queue
    assert karpenter_values(plain)["interruptionQueue"]


def test_partitions_start_the_mig_manager() -> None:
    """Prevents A100s that stay whole although their pool promises partitions."""
    mig = {"migProfile": "1g.5gb", "instanceTypes": ["p4d.24xlarge"]}
    made = deployed(stack(POOL, {"name": "mig", "families": ["p4d"], "gpuLimit": 8, "sharing": mig}))
    operator = made.one("kubernetes:helm.sh/v3:Release", "gpu-operator").inputs["values"]
    assert (operator["migManager"], operator["mig"]) == ({"enabled": True}, {"strategy": "mixed"})
    assert spec(made, "NodePool", "mig")["template"]["metadata"]["labels"]["nvidia.com/mig.config"] == "all-1g.5gb"
    assert made.of_kind("NodeOverlay")[0].inputs["spec"]["capacity"] == {"nvidia.com/mig-1g.5gb": "56"}


def test_images_are_those_of_the_family() -> None:
    """Prevents a Bottlerocket pool that boots Amazon Linux, and a default that is no dated alias."""
    bottle = {**POOL, "name": "bottle", "amiFamily": "bottlerocket"}
    latest = {**POOL, "name": "newest", "amiAlias": "al2023@latest"}
    pinned = {**bottle, "name": "pinned", "amiAlias": "bottlerocket@v1.63.0"}
    made = deployed(stack(bottle, latest, pinned, allowLatestAmi=True))
    aliases = {
        r.inputs["metadata"]["name"]: r.inputs["spec"]["amiSelectorTerms"][0]["alias"]
        for r in made.of_kind("EC2NodeClass")
    }
    assert aliases == {
        "cpu": versions.AL2023_AMI,
        "bottle": versions.BOTTLEROCKET_AMI,
        "newest": "al2023@latest",
        "pinned": "bottlerocket@v1.63.0",
    }


def test_zones_are_asked_of_ec2_and_the_plan_says_whose_answer_it_shows() -> None:
    """Prevents pools in zones that do not offer their types, and a plan that passes old data off as EC2's answer."""
    zones = ["us-east-1a", "us-east-1e"]  # EC2 has no g5 in us-east-1e
    made = deployed({**VALID, "network": {"availabilityZones": zones}})
    asked = [call for call in made.invocations if call.token.endswith("getInstanceTypeOfferings")]
    assert [call.args["locationType"] for call in asked] == ["availability-zone"]
    required = spec(made, "NodePool", "g5")["template"]["spec"]["requirements"]
    assert {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["us-east-1a"]} in required
    (planned,) = made.outputs["nodePools"]
    assert planned["zones"] == ["us-east-1a"]
    assert "shipped" in planned["zones_basis"]


def test_nodes_wait_as_long_as_their_slowest_server(plain: Deployment) -> None:
    """Prevents a node that is taken while its server still waits for the one before it, or one that never goes."""
    (planned,) = plain.outputs["nodePools"]
    grace = planned["termination_grace_minutes"]
    node = spec(plain, "NodePool", "g5")["template"]["spec"]
    assert node["terminationGracePeriod"] == f"{grace}m"
    pod = spec(plain, "Deployment", "llama")["template"]["spec"]
    start = plain.outputs["models"][0]["cold_start"]
    assert grace * 60 >= pod["terminationGracePeriodSeconds"] + start["startup_budget_s"]


VPC = {"vpcId": "vpc-0123456789abcdef0", "privateSubnetIds": ["subnet-0a1b2c3d4e5f60718", "subnet-1a1b2c3d4e5f60718"]}


@pytest.mark.parametrize("vpc", [{}, VPC], ids=["own", "existing"])
def test_without_a_way_out_karpenter_looks_up_no_prices(vpc: dict[str, Any]) -> None:
    """Prevents a controller that waits for a price list which it cannot reach, in any VPC."""
    values = changed("network", {**VALID["network"], **vpc, "natGateways": "none"})
    values["registries"] = {"images": "123456789012.dkr.ecr.us-east-1.amazonaws.com/mirror", "charts": "./charts"}
    values["models"][0] |= {"source": "/models/mine", "architecture": "tests/data/oracle_configs/llama3.1-8b.json"}
    del values["models"][0]["revision"]
    assert karpenter_values(deployed(values))["isolatedVPC"] is True


def test_the_host_gate_counts_what_runs_on_every_gpu_node(fleet: Deployment) -> None:
    """Prevents a server that fits the node on paper but not beside its DaemonSets."""
    plain, efa = (daemonsets.mebibytes(efa=each) for each in (False, True))
    assert efa - plain == daemonsets.EFA_HUGEPAGES_MIB + daemonsets.EFA_PLUGIN.mebibytes
    (model,) = fleet.outputs["models"]
    note = next(each for each in model["assumptions"] if each["name"] == "daemonsets")
    assert note["value"] == f"{daemonsets.millicores(efa=True)}m CPU, {efa} MiB"


def test_the_plan_is_plain_data(fleet: Deployment) -> None:
    """Prevents exports that the engine cannot store."""
    (p5, shared) = json.loads(json.dumps(fleet.outputs["nodePools"]))
    assert (p5["static_nodes"], p5["efa"], p5["placement_group"], p5["sharing"]) == (2, True, "near", None)
    assert (shared["sharing"], shared["models"]) == ({"time_slices": 4}, [])
