"""The model cache and its preloaders."""

import json
from typing import Any

import kubernetes_validate
import pytest

from components import versions
from components.model_cache import ModelCache, ModelPreload, model_directory
from components.model_cache.job import Download, job, network_policy
from components.model_cache.policy import file_system_policy
from components.model_cache.volumes import claim, persistent_volume, storage_class
from offline.harness import deploy
from offline.recording import Deployment
from offline.teardown import destroy_position

ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]
NODES = "sg-0a1b2c3d4e5f60718"
CACHE: Any = {
    "cluster_name": "demo",
    "vpc_id": "vpc-0a1b2c3d4e5f60718",
    "zones": ZONES,
    "subnet_ids": ["subnet-0a1b2c3d4e5f60718", "subnet-1a1b2c3d4e5f60718", "subnet-2a1b2c3d4e5f60718"],
    "client_security_group_id": NODES,
    "namespace": "serving",
}
DOWNLOAD = Download(
    model="big",
    source="org/big-awq",
    revision="0123456789abcdef0123456789abcdef01234567",
    namespace="serving",
    image="vllm/vllm-openai:v0.33.0",
    claim_name="models-fs-0123456789abcdef0",
    checkpoint_bytes=39_800_000_000,
    token_secret="hugging-face",  # noqa: S106  the name of a Secret
)


def cache(**changes: Any) -> Deployment:
    """Deploy a cache alone, with some inputs changed."""
    args: Any = {**CACHE, **changes}
    return deploy(lambda: ModelCache("cache", args))


@pytest.fixture(scope="module")
def deployed() -> Deployment:
    """Return a cache with default inputs."""
    return cache()


def test_the_file_system_is_encrypted_elastic_and_never_tiered(deployed: Deployment) -> None:
    """Prevents weights in the clear, and a first start after a week that reads from Infrequent Access."""
    inputs = deployed.one("aws:efs/fileSystem:FileSystem").inputs
    assert inputs["encrypted"] is True
    assert inputs["kmsKeyId"] == deployed.one("aws:kms/key:Key").outputs["arn"]
    assert inputs["throughputMode"] == "elastic"
    assert "lifecyclePolicies" not in inputs


def test_every_zone_has_a_mount_target_that_only_nodes_reach(deployed: Deployment) -> None:
    """Prevents pods that hang in ContainerCreating in one zone, and weights that any host of the VPC can read."""
    targets = deployed.of_type("aws:efs/mountTarget:MountTarget")
    assert [target.name for target in targets] == [f"cache-mount-{zone}" for zone in ZONES]
    assert [target.inputs["subnetId"] for target in targets] == CACHE["subnet_ids"]
    rule = deployed.one("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule").inputs
    assert (rule["fromPort"], rule["toPort"], rule["ipProtocol"]) == (2049, 2049, "tcp")
    assert rule["referencedSecurityGroupId"] == NODES
    assert "cidrIpv4" not in rule


def test_every_client_is_the_user_of_the_image(deployed: Deployment) -> None:
    """Prevents files that the preloader writes and the servers cannot read."""
    inputs = deployed.one("aws:efs/accessPoint:AccessPoint").inputs
    assert (inputs["posixUser"]["uid"], inputs["posixUser"]["gid"]) == (2000, 0)
    assert inputs["rootDirectory"]["creationInfo"]["ownerUid"] == 2000


def test_clients_come_in_encrypted_through_the_access_point_and_never_as_root() -> None:
    """Prevents a mount that reads weights off the wire or reaches past the access point."""
    statements = {each["Sid"]: each for each in json.loads(file_system_policy("fs-arn", "ap-arn"))["Statement"]}
    allowed, denied = statements["MountThroughTheAccessPoint"], statements["OnlyEncrypted"]
    assert "elasticfilesystem:ClientRootAccess" not in allowed["Action"]
    assert allowed["Condition"]["StringEquals"] == {"elasticfilesystem:AccessPointArn": "ap-arn"}
    assert denied["Effect"] == "Deny"
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_volume_and_claim_follow_the_file_system(deployed: Deployment) -> None:
    """Prevents a replaced file system behind an old claim: the cache would be lost without anything saying so."""
    system = deployed.one("aws:efs/fileSystem:FileSystem").id
    volume = deployed.one("kubernetes:core/v1:PersistentVolume").inputs
    bound = deployed.one("kubernetes:core/v1:PersistentVolumeClaim").inputs
    assert volume["metadata"]["name"] == bound["metadata"]["name"] == bound["spec"]["volumeName"] == f"models-{system}"
    point = deployed.one("aws:efs/accessPoint:AccessPoint").id
    assert volume["spec"]["csi"]["volumeHandle"] == f"{system}::{point}"
    assert deployed.outputs_of("llm-serving:index:ModelCache")["claimName"] == f"models-{system}"


def test_the_claim_waits_for_the_mount_targets_and_goes_before_them(deployed: Deployment) -> None:
    """Prevents a first pod that cannot mount, and a destroy that hangs on a mounted file system."""
    position = destroy_position(deployed)
    first = position[deployed.one("kubernetes:core/v1:PersistentVolumeClaim").urn]
    volume = position[deployed.one("kubernetes:core/v1:PersistentVolume").urn]
    targets = [position[target.urn] for target in deployed.of_type("aws:efs/mountTarget:MountTarget")]
    assert first < volume < min(targets)


def test_protection_and_retention_cover_the_key_too() -> None:
    """Prevents a kept file system whose key is gone: nobody could read it again."""
    made = cache(protect=True, retain_on_delete=True)
    for type_ in ("aws:efs/fileSystem:FileSystem", "aws:kms/key:Key"):
        assert (made.one(type_).protect, made.one(type_).retain_on_delete) == (True, True)
    assert not cache().one("aws:efs/fileSystem:FileSystem").protect


def test_provisioned_throughput_is_passed_on() -> None:
    """Prevents a setting that is accepted and ignored."""
    inputs = cache(throughput_mode="provisioned", provisioned_mibps=256.0).one("aws:efs/fileSystem:FileSystem").inputs
    assert (inputs["throughputMode"], inputs["provisionedThroughputInMibps"]) == ("provisioned", 256)


def manifest(kind: str, version: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return a whole object."""
    return {"apiVersion": version, "kind": kind, **body}


@pytest.mark.parametrize(
    "made",
    [
        manifest("StorageClass", "storage.k8s.io/v1", storage_class()),
        manifest("PersistentVolume", "v1", persistent_volume("models-fs-0", "fs-0::fsap-0", "serving")),
        manifest("PersistentVolumeClaim", "v1", claim("models-fs-0", "serving")),
        manifest("Job", "batch/v1", job(DOWNLOAD)),
        manifest("NetworkPolicy", "networking.k8s.io/v1", network_policy(DOWNLOAD)),
    ],
    ids=lambda made: made["kind"],
)
def test_objects_have_no_field_that_the_api_server_does_not_know(made: dict[str, Any]) -> None:
    """Prevents a misspelt field, which the API server drops in silence."""
    kubernetes_validate.validate(made, versions.KUBERNETES, strict=True)


def container() -> dict[str, Any]:
    """Return the preloader's container."""
    return job(DOWNLOAD)["spec"]["template"]["spec"]["containers"][0]


def test_the_preloader_writes_where_the_servers_read() -> None:
    """Prevents the classic cache miss: downloaded into one folder, served from another."""
    values = {entry["name"]: entry.get("value") for entry in container()["env"]}
    assert values["TARGET"] == model_directory("big", DOWNLOAD.revision) == f"/models/big/{DOWNLOAD.revision}"
    assert {"name": "models", "mountPath": "/models"} in container()["volumeMounts"]


def test_a_finished_download_is_not_repeated_and_an_interrupted_one_is_not_taken_for_finished() -> None:
    """Prevents servers that start on half a checkpoint, and a Job that downloads 400 GB again."""
    script = container()["command"][-1]
    assert script.index(".complete") < script.index("hf download") < script.index('touch "$TARGET/.complete"')
    assert "-eu" in container()["command"]


def test_each_pattern_has_its_own_exclude() -> None:
    """Prevents the second pattern from being read as the one file to download (huggingface_hub 1.33)."""
    download = next(line for line in container()["command"][-1].splitlines() if line.startswith("hf download"))
    assert download.count('"original/*"') == download.count('"metal/*"') == 1
    assert download.count("--exclude") == 2


def test_the_token_comes_from_a_secret_and_nothing_else_does() -> None:
    """Prevents a token in the Job, and a Job that waits for a Secret that a public model does not need."""
    reference = {"secretKeyRef": {"name": "hugging-face", "key": "token"}}
    assert {"name": "HF_TOKEN", "valueFrom": reference} in container()["env"]
    public = Download(**{**DOWNLOAD.__dict__, "token_secret": None})
    assert "HF_TOKEN" not in str(job(public))


def test_downloads_run_on_cpu_nodes_and_are_kept_as_a_record() -> None:
    """Prevents a GPU node bought for a download, and a Job that every `up` makes again."""
    spec = job(DOWNLOAD)["spec"]
    assert spec["template"]["spec"]["nodeSelector"] == {"karpenter.sh/nodepool": "cpu"}
    assert "ttlSecondsAfterFinished" not in spec
    assert "nvidia.com/gpu" not in str(spec)


def test_the_job_is_named_after_model_and_revision() -> None:
    """Prevents a new revision from being taken for the old one, and names that Kubernetes refuses."""
    other = Download(**{**DOWNLOAD.__dict__, "revision": "main"})
    long = Download(**{**DOWNLOAD.__dict__, "model": "a" * 40})
    assert other.job_name != DOWNLOAD.job_name
    assert len(long.job_name) <= 63


def test_pulumi_waits_longer_than_the_job_may_take() -> None:
    """Prevents a timeout that hides why a download failed."""
    made = deploy(
        lambda: ModelPreload(
            "big-weights",
            {
                "model": "big",
                "source": DOWNLOAD.source,
                "revision": DOWNLOAD.revision,
                "namespace": "serving",
                "image": DOWNLOAD.image,
                "claim_name": DOWNLOAD.claim_name,
                "checkpoint_bytes": 410e9,
            },
        )
    )
    recorded = made.one("kubernetes:batch/v1:Job")
    deadline = recorded.inputs["spec"]["activeDeadlineSeconds"]
    assert deadline > 410e9 / 2**20 / 500
    assert all(int(recorded.timeouts[phase].removesuffix("s")) > deadline for phase in ("create", "update"))
    assert made.outputs_of("llm-serving:index:ModelPreload")["modelPath"] == f"/models/big/{DOWNLOAD.revision}"
