"""Pools of nodes: disruption, storage, network interfaces, labels and capacity chain."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.gpu_operator.values import operator_values
from components.karpenter import GpuNodePool
from components.karpenter.budgets import DAYS, disruption_budgets
from components.karpenter.efa import efa_interfaces, network_interfaces
from components.karpenter.node_class import block_devices, node_class
from components.karpenter.offerings import NotOfferedError, usable_zones
from components.karpenter.storage import Storage, choose_storage, root_volume_gib
from components.sizing.catalog import instance_type, instance_types
from offline.cloud import Cloud
from offline.harness import deploy
from offline.recording import Deployment
from tests.components.platform import AMI, G5, P5_EFA, ZONES, gpu_pool

WEEK = 7 * 24 * 60


@pytest.fixture(scope="module")
def chain() -> Deployment:
    """Return a pool that falls back from reserved to on-demand to spot."""
    return gpu_pool(capacity=["reserved", "on-demand", "spot"], reservations=[{"id": "cr-0123456789abcdef0"}])


def spec(deployment: Deployment, name: str, kind: str = "NodePool") -> Any:
    """Return the spec of one custom resource by its Kubernetes name."""
    return next(r.inputs["spec"] for r in deployment.of_kind(kind) if r.inputs["metadata"]["name"] == name)


def requirement(pool: Any, key: str) -> list[str]:
    """Return the values that a NodePool requires of a label."""
    return next(r["values"] for r in pool["template"]["spec"]["requirements"] if r["key"] == key)


# --- capacity chain -------------------------------------------------------------------------------------------------


def test_what_is_paid_for_is_used_first(chain: Deployment) -> None:
    """Prevents an idle reservation beside on-demand nodes, and spot before what cannot be taken away."""
    names = ["g5-reserved", "g5-on-demand", "g5-spot"]
    pools = [spec(chain, name) for name in names]
    types = [requirement(pool, "karpenter.sh/capacity-type") for pool in pools]
    assert types == [["reserved"], ["on-demand"], ["spot"]]
    weights = [pool["weight"] for pool in pools]
    assert weights == sorted(weights, reverse=True)
    assert len(set(weights)) == 3


def test_a_reservation_is_selected_by_the_node_class(chain: Deployment) -> None:
    """Prevents a paid reservation that stays empty: Karpenter never uses an open one by itself."""
    terms = spec(chain, "g5", "EC2NodeClass")["capacityReservationSelectorTerms"]
    assert terms == [{"id": "cr-0123456789abcdef0"}]
    assert chain.component_outputs[chain.components()[0].urn]["nodePoolNames"] == [
        "g5-reserved",
        "g5-on-demand",
        "g5-spot",
    ]


def test_every_input_reaches_the_manifests() -> None:
    """Prevents settings that are accepted and ignored (defect R1: a configured instance type never emitted)."""
    made = gpu_pool(
        consolidate_after_minutes=45,
        expire_after_hours=100,
        termination_grace_minutes=90,
        volume_gib=333,
        tags={"team": "search"},
        placement_group="near",
        subnet_ids=["subnet-1"],
        maintenance_windows=[{"days": ["sat"], "start_utc": "02:00", "hours": 4}],
    )
    pool, nodes = spec(made, "g5"), spec(made, "g5", "EC2NodeClass")
    assert requirement(pool, "node.kubernetes.io/instance-type") == G5["instance_types"]
    assert requirement(pool, "topology.kubernetes.io/zone") == ZONES
    assert requirement(pool, "kubernetes.io/arch") == ["amd64"]
    assert pool["disruption"]["consolidateAfter"] == "45m"
    assert pool["template"]["spec"]["expireAfter"] == "100h"
    assert pool["template"]["spec"]["terminationGracePeriod"] == "90m"
    assert pool["limits"] == {"nvidia.com/gpu": "24"}
    assert any("schedule" in budget for budget in pool["disruption"]["budgets"])
    assert nodes["blockDeviceMappings"][0]["ebs"]["volumeSize"] == "333Gi"
    assert nodes["tags"] == {"llm-serving/pool": "g5", "team": "search"}
    assert nodes["placementGroupSelector"] == {"name": "near"}
    assert nodes["subnetSelectorTerms"] == [{"id": "subnet-1"}]
    assert nodes["role"] == "demo-karpenter-node"
    assert nodes["amiSelectorTerms"] == [{"alias": AMI}]


def test_static_pools_have_a_fixed_size_and_nothing_that_karpenter_refuses() -> None:
    """Prevents a NodePool that the API server rejects: with replicas, only limits.nodes and no weight."""
    pool = spec(gpu_pool(static_nodes=2), "g5")
    assert pool["replicas"] == 2
    assert pool["limits"] == {"nodes": "2"}
    assert "weight" not in pool


def test_capacity_blocks_do_not_expire_on_top() -> None:
    """Prevents a node of a paid block that Karpenter replaces for its age while the block still runs."""
    made = gpu_pool(capacity=["reserved"], reservations=[{"tags": {"pool": "p5"}}], capacity_block=True)
    node = spec(made, "g5")["template"]["spec"]
    assert node["expireAfter"] == "Never"
    assert node["terminationGracePeriod"] == "60m"


# --- disruption -----------------------------------------------------------------------------------------------------


def test_only_empty_nodes_are_ever_taken_away() -> None:
    """Prevents the eviction of loaded models: neither a cheaper type nor a new AMI takes a busy node."""
    pool = spec(gpu_pool(), "g5")["disruption"]
    assert pool["consolidationPolicy"] == "WhenEmpty"
    assert {"nodes": "100%", "reasons": ["Empty"]} in pool["budgets"]
    assert {"nodes": "0", "reasons": ["Drifted", "Underutilized"]} in pool["budgets"]


def test_expiry_always_has_an_end() -> None:
    """Prevents half-drained, still billed nodes: expiry ignores budgets, and do-not-disrupt would hold it for ever."""
    for made in (gpu_pool(), gpu_pool(P5_EFA)):
        for pool in made.of_kind("NodePool"):
            node = pool.inputs["spec"]["template"]["spec"]
            assert node["expireAfter"]
            assert node["terminationGracePeriod"]


def test_deleting_a_pool_waits_for_its_drain() -> None:
    """Prevents a destroy that gives up, or goes on to Karpenter, while nodes still drain."""
    made = gpu_pool(termination_grace_minutes=90)
    assert made.of_kind("NodePool")[0].timeouts["delete"] == "105m"
    assert gpu_pool().of_kind("NodePool")[0].timeouts["delete"] == "75m"
    assert made.of_kind("EC2NodeClass")[0].timeouts["delete"] == "30m"


def window_minutes(days: list[str], start: str, hours: int) -> set[int]:
    """Return the minutes of the week inside a window, by a second, independent reckoning."""
    hour, minute = int(start[:2]), int(start[3:])
    return {(DAYS.index(day) * 1440 + hour * 60 + minute + m) % WEEK for day in days for m in range(hours * 60)}


def blocked_minutes(budgets: list[dict[str, Any]]) -> set[int]:
    """Return the minutes of the week in which drift may take no node."""
    blocked: set[int] = set()
    for budget in budgets:
        if budget["nodes"] != "0" or "Drifted" not in budget["reasons"]:
            continue
        minute, hour, _, _, day = budget["schedule"].split()
        hours, rest = budget["duration"].rstrip("m").split("h")
        start = DAYS.index(day) * 1440 + int(hour) * 60 + int(minute)
        blocked |= {(start + m) % WEEK for m in range(int(hours) * 60 + int(rest))}
    return blocked


@given(
    days=st.lists(st.sampled_from(DAYS), min_size=1, max_size=7, unique=True),
    hour=st.integers(0, 23),
    minute=st.sampled_from([0, 15, 59]),
    hours=st.integers(1, 24),
)
def test_drift_is_allowed_in_the_windows_and_nowhere_else(days: list[str], hour: int, minute: int, hours: int) -> None:
    """Prevents node replacements in serving hours: budgets can only say when they are active, so gaps are computed."""
    start = f"{hour:02}:{minute:02}"
    budgets = disruption_budgets([{"days": days, "start_utc": start, "hours": hours}])
    allowed = window_minutes(days, start, hours)
    assert blocked_minutes(budgets) == set(range(WEEK)) - allowed
    assert {"nodes": "1", "reasons": ["Drifted"]} in budgets
    assert {"nodes": "0", "reasons": ["Underutilized"]} in budgets


# --- nodes ----------------------------------------------------------------------------------------------------------


def test_pods_cannot_take_the_nodes_role() -> None:
    """Prevents credentials that leak from the metadata service into model servers."""
    options = spec(gpu_pool(), "g5", "EC2NodeClass")["metadataOptions"]
    assert options == {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1}


def test_nodes_are_marked_for_pods_and_for_the_gpu_operator() -> None:
    """Prevents GPU nodes without a device plugin, CPU pods on them, and model servers before the file system."""
    node = spec(gpu_pool(), "g5")["template"]
    assert node["metadata"]["labels"] == {
        "llm-serving/pool": "g5",
        "nvidia.com/gpu.present": "true",
        "feature.node.kubernetes.io/pci-10de.present": "true",
    }
    assert node["spec"]["taints"] == [{"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}]
    assert [taint["key"] for taint in node["spec"]["startupTaints"]] == ["efs.csi.aws.com/agent-not-ready"]


def test_bottlerocket_keeps_its_own_device_plugin() -> None:
    """Prevents two device plugins that fight for nvidia.com/gpu, and images on the 4 GiB system volume."""
    made = gpu_pool(ami_alias="bottlerocket@v1.57.0", volume_gib=100)
    assert spec(made, "g5")["template"]["metadata"]["labels"]["nvidia.com/gpu.deploy.device-plugin"] == "false"
    system, data = spec(made, "g5", "EC2NodeClass")["blockDeviceMappings"]
    assert (system["deviceName"], system["ebs"]["volumeSize"]) == ("/dev/xvda", "4Gi")
    assert (data["deviceName"], data["ebs"]["volumeSize"]) == ("/dev/xvdb", "100Gi")
    assert "userData" not in spec(made, "g5", "EC2NodeClass")


def test_the_root_volume_holds_two_images_and_logs() -> None:
    """Prevents DiskPressure in the middle of a rollout, when old and new image are both there."""
    assert root_volume_gib() == 100
    assert root_volume_gib(images=1) == 60
    assert root_volume_gib(local_model_gib=140) == 260
    assert choose_storage([0]) == Storage(100, instance_store=False)


def test_local_disks_replace_the_root_volume_only_where_every_type_has_them() -> None:
    """Prevents a 30 GiB root volume on the one type of the pool without NVMe: its image would not fit."""
    nvme = [instance_type(name).local_nvme_gb for name in G5["instance_types"]]
    assert choose_storage(nvme) == Storage(30, instance_store=True)
    assert choose_storage([*nvme, 0]) == Storage(100, instance_store=True)
    assert spec(gpu_pool(), "g5", "EC2NodeClass")["instanceStorePolicy"] == "RAID0"
    plain = node_class(
        "cpu",
        cluster_name="demo",
        node_role_name="demo-node",
        ami_alias=AMI,
        storage=Storage(60, instance_store=False),
        fast_image_pull=False,
    )
    assert "instanceStorePolicy" not in plain["spec"]


@pytest.mark.parametrize("storage", [Storage(100, instance_store=False), Storage(30, instance_store=True)])
def test_volumes_are_encrypted_and_their_speed_is_possible(storage: Storage) -> None:
    """Prevents plain-text disks and a gp3 volume that EC2 refuses (throughput above a quarter of its IOPS)."""
    for device in block_devices("al2023", storage):
        ebs = device["ebs"]
        assert ebs["encrypted"] is True
        assert ebs.get("throughput", 0) <= 0.25 * ebs.get("iops", 0)


def test_images_are_pulled_in_parallel_where_the_type_benefits() -> None:
    """Prevents cold starts that wait two minutes for an image, and a setting on types that ignore it."""
    assert "FastImagePull: true" in spec(gpu_pool(), "g5", "EC2NodeClass")["userData"]
    assert "userData" not in spec(gpu_pool(instance_types=["g5.xlarge"]), "g5", "EC2NodeClass")


def test_pulumi_waits_until_karpenter_accepts_the_node_class() -> None:
    """Prevents an `up` that succeeds although no subnet, group or AMI matches, and pods that then stay pending."""
    nodes = gpu_pool().of_kind("EC2NodeClass")[0]
    assert nodes.inputs["metadata"]["annotations"] == {"pulumi.com/waitFor": "condition=Ready"}
    assert nodes.timeouts["create"] == "10m"


def test_somebody_elses_subnets_are_named_by_id() -> None:
    """Prevents a pool that finds no subnet because the VPC's owner does not set our tag."""
    made = node_class(
        "x",
        cluster_name="demo",
        node_role_name="r",
        ami_alias=AMI,
        storage=Storage(100, instance_store=False),
        fast_image_pull=False,
        subnet_ids=["subnet-1", "subnet-2"],
    )
    assert made["spec"]["subnetSelectorTerms"] == [{"id": "subnet-1"}, {"id": "subnet-2"}]


# --- EFA ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [each.name for each in instance_types() if each.efa_count])
def test_layouts_have_every_interface_of_the_type(name: str) -> None:
    """Prevents a layout with fewer, or more, EFA interfaces than EC2 gives the type: Karpenter would refuse it."""
    interfaces = network_interfaces(name)
    assert efa_interfaces(name) == instance_type(name).efa_count
    assert interfaces[0] == {"networkCardIndex": 0, "deviceIndex": 0, "interfaceType": "interface"}
    places = [(each["networkCardIndex"], each["deviceIndex"]) for each in interfaces]
    assert len(set(places)) == len(places)
    on_card_0 = any(each["networkCardIndex"] == 0 for each in interfaces[1:])
    assert on_card_0 == instance_type(name).efa_on_card_0


def test_efa_nodes_talk_to_each_other_and_have_no_public_address() -> None:
    """Prevents NCCL that hangs: EFA needs both directions of a group to name the group itself."""
    made = gpu_pool(P5_EFA)
    group = made.one("aws:ec2/securityGroup:SecurityGroup")
    for direction in ("ingress", "egress"):
        assert group.inputs[direction] == [{"protocol": "-1", "fromPort": 0, "toPort": 0, "self": True}]
    nodes = spec(made, "p5", "EC2NodeClass")
    assert {"id": group.id} in nodes["securityGroupSelectorTerms"]
    assert nodes["associatePublicIPAddress"] is False
    assert len(nodes["networkInterfaces"]) == 33
    assert "networkInterfaces" not in spec(gpu_pool(), "g5", "EC2NodeClass")


# --- sharing --------------------------------------------------------------------------------------------------------


def test_karpenter_and_the_node_agree_on_time_slices() -> None:
    """Prevents four nodes for four pods that could share one GPU, and a configuration that no node asks for."""
    made = gpu_pool(sharing={"time_slices": 4})
    overlays = {r.inputs["metadata"]["name"]: r.inputs["spec"] for r in made.of_kind("NodeOverlay")}
    assert overlays["g5-a10g-4"]["capacity"] == {"nvidia.com/gpu.shared": "16"}
    assert overlays["g5-a10g-1"]["capacity"] == {"nvidia.com/gpu.shared": "4"}
    assert overlays["g5-a10g-4"]["requirements"][0]["values"] == ["g5.12xlarge"]
    label = spec(made, "g5")["template"]["metadata"]["labels"]["nvidia.com/device-plugin.config"]
    assert label in operator_values("al2023", time_slices=(4,))["devicePlugin"]["config"]["data"]


def test_partitions_are_counted_per_gpu() -> None:
    """Prevents pods that wait for a partition which Karpenter does not know a new node would have."""
    made = gpu_pool(P5_EFA, efa=False, sharing={"mig_profile": "1g.10gb"})
    assert made.of_kind("NodeOverlay")[0].inputs["spec"]["capacity"] == {"nvidia.com/mig-1g.10gb": "56"}
    assert spec(made, "p5")["template"]["metadata"]["labels"]["nvidia.com/mig.config"] == "all-1g.10gb"
    assert not gpu_pool().of_kind("NodeOverlay")


# --- zones ----------------------------------------------------------------------------------------------------------


def test_zones_without_the_type_are_left_out() -> None:
    """Prevents launches that always fail in a zone where EC2 does not have the type."""
    made = gpu_pool(check_offerings=True, zones=[*ZONES, "us-east-1e"])
    asked = next(call for call in made.invocations if call.token.endswith("getInstanceTypeOfferings"))
    assert asked.args["locationType"] == "availability-zone"
    assert requirement(spec(made, "g5"), "topology.kubernetes.io/zone") == ZONES  # EC2 has no g5 in us-east-1e


def test_no_zone_at_all_is_an_error_that_says_where() -> None:
    """Prevents a pool that can never launch anything and says nothing."""
    assert usable_zones(["a", "b"], ["b", "c"], ["p5.48xlarge"]) == ["b"]
    with pytest.raises(NotOfferedError, match=r"p5\.48xlarge in c, not in a, b"):
        usable_zones(["a", "b"], ["c"], ["p5.48xlarge"])


def test_an_answer_without_any_zone_decides_nothing() -> None:
    """Prevents a stack that cannot be planned because an endpoint knows no offerings."""
    assert usable_zones(["a", "b"], [], ["p5.48xlarge"]) == ["a", "b"]


def test_a_preview_of_an_empty_account_shows_the_same_pool() -> None:
    """Prevents pools that appear only once something exists."""
    first = deploy(lambda: GpuNodePool("g5", G5), cloud=Cloud(), preview=True)
    assert {(r.type, r.name) for r in first.resources} == {(r.type, r.name) for r in gpu_pool().resources}
