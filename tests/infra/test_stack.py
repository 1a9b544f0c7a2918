"""Composition of a stack in the cases that no shipped stack has."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from infra.config import InvalidStack
from infra.permissions import read_policy
from offline.program import deploy_stack
from offline.recording import Deployment
from offline.stack_files import StackFiles
from offline.values import revealed
from tests.infra.stacks import VALID, changed

ARCHITECTURE = "tests/data/oracle_configs/llama3.1-8b.json"


def deployed(values: Mapping[str, Any], secrets: Mapping[str, str] | None = None) -> Deployment:
    """Run the whole program with a stack's settings."""
    texts = {
        f"llm-serving:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in values.items()
    }
    return deploy_stack(StackFiles("llm-serving", "test", {"aws:region": "us-east-1", **texts}, secrets or {}))


def test_a_streamed_model_needs_no_download_but_permissions() -> None:
    """Prevents a copy of what is in S3 already, and servers that may not read it."""
    values = copy.deepcopy(dict(VALID))
    values["models"] = [
        {
            "name": "mine",
            "source": "s3://weights/mine",
            "architecture": ARCHITECTURE,
            "maxModelLen": 8192,
            "concurrency": 4,
        }
    ]
    values["permissionsBoundary"] = boundary = "arn:aws:iam::123456789012:policy/boundary"
    made = deployed(values)
    assert not made.of_type("kubernetes:batch/v1:Job")
    (servers,) = made.of_type("kubernetes:apps/v1:Deployment")
    assert servers.inputs["spec"]["template"]["spec"]["containers"][0]["args"][0] == "s3://weights/mine"
    association = made.one("aws:eks/podIdentityAssociation:PodIdentityAssociation", "mine-weights").inputs
    assert (association["namespace"], association["serviceAccount"]) == ("serving", "mine")
    assert made.one("aws:iam/role:Role", "mine-weights").inputs["permissionsBoundary"] == boundary


def test_a_model_on_the_cache_is_served_where_it_lies() -> None:
    """Prevents a Job that would download a path."""
    values = copy.deepcopy(dict(VALID))
    values["models"] = [
        {"name": "mine", "source": "/models/mine", "architecture": ARCHITECTURE, "maxModelLen": 8192, "concurrency": 4}
    ]
    made = deployed(values)
    assert not made.of_type("kubernetes:batch/v1:Job")
    (servers,) = made.of_type("kubernetes:apps/v1:Deployment")
    assert servers.inputs["spec"]["template"]["spec"]["containers"][0]["args"][0] == "/models/mine"


@pytest.mark.parametrize(
    ("source", "objects", "prefixes"),
    [
        ("s3://weights/a/b/", "arn:aws:s3:::weights/a/b/*", ["a/b", "a/b/*"]),
        ("s3://weights", "arn:aws:s3:::weights/*", ["*", "*"]),
    ],
)
def test_servers_may_read_their_prefix_only(source: str, objects: str, prefixes: list[str]) -> None:
    """Prevents a model server that reads every bucket of the account."""
    listing, reading = json.loads(read_policy(source, "us-east-1"))["Statement"]
    assert (listing["Action"], reading["Action"]) == ("s3:ListBucket", "s3:GetObject")
    assert (listing["Resource"], reading["Resource"]) == ("arn:aws:s3:::weights", objects)
    assert listing["Condition"]["StringLike"]["s3:prefix"] == prefixes


def test_partitions_have_their_own_arns() -> None:
    """Prevents policies that are void outside the commercial partition."""
    assert "arn:aws-cn:s3" in read_policy("s3://weights", "cn-north-1")


def test_an_existing_vpc_is_used_as_it_is() -> None:
    """Prevents a second VPC, and nodes that look for subnets by a tag which foreign subnets do not carry."""
    subnets = ["subnet-0a1b2c3d4e5f60718", "subnet-1a1b2c3d4e5f60718"]
    network = {**VALID["network"], "vpcId": "vpc-0123456789abcdef0", "privateSubnetIds": subnets}
    made = deployed(changed("network", network))
    assert not made.of_type("aws:ec2/vpc:Vpc")
    assert made.one("eks:index:Cluster").inputs["vpcId"] == "vpc-0123456789abcdef0"
    targets = [target.inputs["subnetId"] for target in made.of_type("aws:efs/mountTarget:MountTarget")]
    assert targets == subnets
    for node_class in made.of_kind("EC2NodeClass"):
        terms = node_class.inputs["spec"]["subnetSelectorTerms"]
        assert [term["id"] for term in terms] == subnets


def test_mirrors_replace_every_registry_of_our_own_pods(tmp_path: Path) -> None:
    """Prevents an air-gapped cluster whose servers ask Docker Hub."""
    registries = {"images": "mirror.corp/llm", "charts": str(tmp_path)}
    made = deployed(changed("registries", registries))
    pods = [r.inputs["spec"]["template"]["spec"] for kind in ("Deployment", "Job") for r in made.of_kind(kind)]
    images = [container["image"] for pod in pods for container in pod["containers"]]
    assert images
    assert all(image.startswith("mirror.corp/llm/vllm/vllm-openai:") for image in images)
    charts = [release.inputs["chart"] for release in made.of_type("kubernetes:helm.sh/v3:Release")]
    assert all(chart.startswith(str(tmp_path)) for chart in charts)


def test_tags_and_boundary_reach_what_they_are_for() -> None:
    """Prevents costs without an owner, and roles that an account's rules refuse."""
    boundary = "arn:aws:iam::123456789012:policy/boundary"
    logged = {**VALID["network"], "flowLogs": True}
    made = deployed({**VALID, "tags": {"team": "llm"}, "permissionsBoundary": boundary, "network": logged})
    assert json.loads(made.one("pulumi:providers:aws").inputs["defaultTags"])["tags"]["team"] == "llm"
    roles = made.of_type("aws:iam/role:Role")
    assert {"network-flow-logs", "cluster-system", "karpenter", "karpenter-node"} <= {role.name for role in roles}
    assert {role.inputs.get("permissionsBoundary") for role in roles} == {boundary}


def test_the_caches_own_protection_wins() -> None:
    """Prevents weights that cannot be deleted from a stack that otherwise can, against what its file says."""
    made = deployed({**VALID, "protect": True, "cache": {"protect": False, "retainOnDelete": True}})
    system = made.one("aws:efs/fileSystem:FileSystem")
    assert (system.protect, system.retain_on_delete) == (False, True)
    assert made.one("eks:index:Cluster").protect


def test_secrets_are_made_and_named_only_where_they_are_set() -> None:
    """Prevents pods that wait for a Secret which nobody created."""
    bare = deployed(VALID)
    assert not bare.of_type("kubernetes:core/v1:Secret")
    assert "secretKeyRef" not in str([revealed(r.inputs) for kind in ("Deployment", "Job") for r in bare.of_kind(kind)])
    full = deployed(VALID, {"llm-serving:hfToken": "hf", "llm-serving:apiKey": "key"})
    assert len(full.of_type("kubernetes:core/v1:Secret")) == 2
    assert "hugging-face" in str(revealed(full.of_kind("Job")[0].inputs))
    assert "model-api-key" in str(revealed(full.of_kind("Deployment")[0].inputs))


def test_a_refused_stack_registers_nothing_and_tells_all() -> None:
    """Prevents half a stack: settings and sizing are both refused in the same run, before anything exists."""
    values = changed("models.0.maxModelLen", 200_000)
    values["tags"] = {"cost": 1}
    with pytest.raises(InvalidStack) as refused:
        deployed(values)
    assert {problem.path for problem in refused.value.problems} == {"tags.cost", "models[0].maxModelLen"}


def test_every_setting_of_a_pool_reaches_its_nodes() -> None:
    """Prevents a setting that is accepted, validated and never used."""
    pool = {
        "name": "paid",
        "families": ["g5"],
        "capacity": ["reserved", "on-demand"],
        "reservations": [{"tags": {"team": "llm"}, "ownerId": "123456789012"}],
        "zones": ["us-east-1b"],
        "gpuLimit": 1,
        "volumeGib": 321,
        "consolidateAfterMinutes": 33,
        "maintenanceWindows": [{"days": ["sat"], "startUtc": "02:00", "hours": 4}],
    }
    made = deployed({**VALID, "gpuPools": [pool]})
    (node_class,) = [r for r in made.of_kind("EC2NodeClass") if r.inputs["metadata"]["name"] == "paid"]
    pools = [r.inputs["spec"] for r in made.of_kind("NodePool") if r.inputs["metadata"]["name"].startswith("paid-")]
    assert len(pools) == 2
    text = json.dumps([node_class.inputs["spec"], *pools], default=str)
    for expected in (
        '"team": "llm"',
        "123456789012",
        "us-east-1b",
        "321Gi",
        '"nvidia.com/gpu": "1"',
        "33m",
        '"schedule"',
    ):
        assert expected in text
    assert "us-east-1a" not in text


def test_what_has_no_effect_is_said_with_the_other_warnings() -> None:
    """Prevents aws:defaultTags from being believed in: the program has a setting of its own for tags."""
    texts = {f"llm-serving:{key}": json.dumps(value) for key, value in VALID.items()}
    files = StackFiles("llm-serving", "test", {"aws:region": "us-east-1", "aws:defaultTags": "{}", **texts}, {})
    made = deploy_stack(files)
    assert "aws:defaultTags" in [warning["path"] for warning in made.outputs["warnings"]]
    assert any("aws:defaultTags" in message.text for message in made.messages)
