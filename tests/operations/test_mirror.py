"""Mirrored and air-gapped clusters: the list of what to mirror is complete, and nothing comes from anywhere else."""

import json
from functools import cache

import pytest

from components import chart_images
from components.registries import image
from offline import mirror
from offline.program import ROOT, deploy_stack, stack_file
from offline.recording import Deployment
from offline.stack_files import StackFiles, read_stack
from offline.teardown import requirements
from offline.values import revealed
from tests.operations import everywhere
from tests.program.conftest import STACKS, recorded

IMAGES = "registry.corp:5000/llm"
CHART_MIRRORS = ("oci://registry.corp:5000/charts", "https://charts.corp/llm", "./mirrored-charts")
RELEASE = "kubernetes:helm.sh/v3:Release"


@cache
def mirrored(charts: str) -> Deployment:
    """Return prod with both mirrors set."""
    files = read_stack(ROOT, stack_file("prod"))
    registries = {"llm-serving:registries": json.dumps({"charts": charts, "images": IMAGES})}
    return deploy_stack(StackFiles(files.project, files.stack, {**files.config, **registries}, files.secrets))


@pytest.mark.parametrize("charts", CHART_MIRRORS)
def test_every_chart_comes_from_the_mirror(charts: str) -> None:
    """Prevents one release of many from asking a public repository that an air-gapped cluster cannot reach."""
    releases = mirrored(charts).of_type(RELEASE)
    assert releases
    prefix = charts if "://" in charts else str((ROOT / charts).resolve())
    for release in releases:
        repository = (release.inputs.get("repositoryOpts") or {}).get("repo", "")
        assert str(release.inputs["chart"]).startswith(prefix) or repository.startswith(prefix), release.name


def test_every_image_of_ours_comes_from_the_mirror() -> None:
    """Prevents a pod, an init container or a Job that pulls from a public registry."""
    found = list(mirror.pod_images(mirrored(CHART_MIRRORS[0])))
    assert {user for _, user in found} > {"llama-70b", "llama-8b", "llama-405b"}
    assert not [(user, name) for name, user in found if not name.startswith(f"{IMAGES}/")]


def test_every_image_inside_a_chart_comes_from_the_mirror() -> None:
    """Prevents an operator whose own pods start while its operands stay in ImagePullBackOff."""
    registries = {"images": IMAGES}
    for release in mirrored(CHART_MIRRORS[0]).of_type(RELEASE):
        values = revealed(release.inputs.get("values") or {})
        for each in chart_images.started_images(mirror.chart_of(release).name, values):
            assert chart_images.value_at(values, each.value) == image(each.repository, registries), each.part


@pytest.mark.parametrize("pin", mirror.PINNED_CHARTS, ids=lambda pin: pin.name)
def test_the_images_of_every_pinned_chart_are_known(pin: mirror.Chart) -> None:
    """Prevents an upgrade of a chart that leaves the list of its images at the old version."""
    assert chart_images.known_version(pin.name) == pin.version


def test_listed_images_are_exact_and_below_their_repository() -> None:
    """Prevents a list that cannot be copied: no tag, or a repository that the chart's value does not replace."""
    for pin in mirror.PINNED_CHARTS:
        for each in chart_images.started_images(pin.name, {}):
            assert each.image.startswith(each.repository)
            name, _, tag = each.image.partition("@")[0].rpartition(":")
            assert name
            assert tag != "latest"


@pytest.mark.parametrize("stack", STACKS)
def test_the_list_names_every_release_and_image(stack: str) -> None:
    """Prevents a mirror that lacks something the stack installs."""
    deployment = recorded(stack)
    found = mirror.mirror(deployment)
    assert {user for each in found.charts for user in each.used_by} == {r.name for r in deployment.of_type(RELEASE)}
    own = {name for name, _ in mirror.pod_images(deployment)}
    assert own <= {each.source for each in found.images}
    assert all(each.target is None for each in (*found.charts, *found.images))
    assert {"vpc-cni", "kube-proxy", "coredns", "eks-node-monitoring-agent"} <= set(found.addons)


def test_targets_are_where_the_program_looks() -> None:
    """Prevents a copy to one place and a pull from another."""
    deployment = mirrored(CHART_MIRRORS[0])
    found = mirror.mirror(deployment)
    assert {each.target for each in found.charts} == {r.inputs["chart"] for r in deployment.of_type(RELEASE)}
    assert {name for name, _ in mirror.pod_images(deployment)} <= {each.target for each in found.images}
    assert all(str(each.target).startswith(f"{IMAGES}/") for each in found.images)


def test_parts_that_are_switched_off_are_not_listed() -> None:
    """Prevents a mirror full of images that nothing starts, and one without the MIG manager where it runs."""
    names = {each.part for each in chart_images.started_images("gpu-operator", {"migManager": {"enabled": False}})}
    assert "MIG manager" not in names
    assert "device plugin" in names
    assert "MIG manager" in {each.part for each in chart_images.started_images("gpu-operator", {})}


def test_a_digest_survives_the_copy() -> None:
    """Prevents a controller that finds its tag but not the digest that the chart asks for."""
    controller = next(each for each in mirror.mirror(recorded("prod")).images if "karpenter" in each.source)
    assert "@sha256:" in controller.copy
    assert controller.copy.endswith("$IMAGES/karpenter/controller:1.14.1")


def test_something_without_a_pin_is_not_passed_over() -> None:
    """Prevents a complete-looking list that misses a chart which nobody pinned."""
    deployment = recorded("dev")
    stray = next(r for r in deployment.of_type(RELEASE))
    renamed = type(stray)(**{**vars(stray), "inputs": {**stray.inputs, "chart": "oci://elsewhere/stray"}})
    with pytest.raises(mirror.UnlistedError, match="stray"):
        mirror.chart_of(renamed)


def test_the_command_prints_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents a list that no script can read, and a wrong exit code for a stack that is refused."""
    assert mirror.main(["--stack", "dev", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["stack"] == "dev"
    assert {"name", "source", "target", "used_by", "copy"} == set(document["charts"][0])
    assert mirror.main(["--stack", "dev"]) == 0
    assert "EKS add-ons" in capsys.readouterr().out
    with pytest.raises(SystemExit) as wrong:
        mirror.main(["--stack", "nothing"])
    assert wrong.value.code == 2


def test_an_isolated_cluster_needs_no_iam_endpoint() -> None:
    """Prevents nodes that never start: Karpenter makes instance profiles through IAM, which no VPC endpoint reaches."""
    isolated = everywhere.recorded("mirrored")
    profile = isolated.one("aws:iam/instanceProfile:InstanceProfile")
    classes = isolated.of_kind("EC2NodeClass")
    assert classes
    for each in classes:
        assert each.inputs["spec"]["instanceProfile"] == profile.inputs["name"]
        assert "role" not in each.inputs["spec"]
        assert profile.urn in requirements(isolated, each.urn)
    controller = next(r for r in isolated.of_type(RELEASE) if r.name == "karpenter")
    assert revealed(controller.inputs["values"])["settings"]["isolatedVPC"] is True
    assert not recorded("prod").of_type("aws:iam/instanceProfile:InstanceProfile")
