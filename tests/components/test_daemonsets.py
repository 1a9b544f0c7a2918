"""What DaemonSets take from a GPU node, as the planner is told."""

from components import daemonsets, versions
from components.cluster.addons import CONFIGURATION
from components.karpenter.sharing import mig_profiles
from components.sizing import catalog


def test_the_file_systems_driver_asks_for_what_we_configure() -> None:
    """Prevents a planner that counts the chart's default while the cluster runs our own figures."""
    asked = CONFIGURATION[versions.EFS_CSI]["node"]["resources"]["requests"]
    counted = daemonsets.ON_EVERY_GPU_NODE[versions.EFS_CSI]
    assert (asked["cpu"], asked["memory"]) == (f"{counted.millicores}m", f"{counted.mebibytes}Mi")


def test_every_daemonset_is_counted_once_and_efa_on_top() -> None:
    """Prevents pods that fit no node: one DaemonSet forgotten is one pod pending for ever."""
    per_node = (*versions.ADDONS_BEFORE_NODES, *versions.ADDONS_AFTER_NODES)
    elsewhere = {versions.COREDNS, versions.METRICS_SERVER, versions.POD_IDENTITY_AGENT}
    assert set(per_node) - elsewhere <= set(daemonsets.ON_EVERY_GPU_NODE)
    assert (daemonsets.millicores(efa=False), daemonsets.mebibytes(efa=False)) == (395, 726)
    assert (daemonsets.millicores(efa=True), daemonsets.mebibytes(efa=True)) == (405, 726 + 20 + 10_256)


def test_every_source_is_named() -> None:
    """Prevents figures that nobody can check."""
    assert all(each.source for each in daemonsets.ON_EVERY_GPU_NODE.values())


def test_gpus_that_can_be_partitioned_have_profiles() -> None:
    """Prevents a claim that B300 or RTX PRO 6000 have no MIG, and profiles of a misspelt GPU."""
    able = {"a100-40gb", "a100-80gb", "h100", "h200", "b200", "b300", "rtx-pro-6000-server"}
    assert {each.key for each in catalog.gpus() if mig_profiles(each.key)} == able
