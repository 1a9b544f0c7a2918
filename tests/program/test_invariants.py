"""What must hold for every resource of every shipped stack."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pulumi

from infra.settings.schema import camel
from offline.recording import Deployment, Registration
from offline.values import Secret, leaves, revealed
from tests.program.conftest import SECRETS, STACKS, recorded

PINNED_IMAGE = re.compile(r".+(?::v?\d[\w.-]*|@sha256:[0-9a-f]{64})")
PINNED_CHART = re.compile(r"v?\d+\.\d+\.\d+([-+][\w.]+)?")
DATED_AMI = re.compile(r"(al2023@v\d{8}|bottlerocket@v\d+\.\d+\.\d+)")
NAMESPACES_OF_EKS = {"default", "kube-system", "kube-public", "kube-node-lease"}


def _kubernetes(deployment: Deployment) -> list[Registration]:
    return [r for r in deployment.resources if r.package == "kubernetes" and not r.is_provider]


def _pod_specs(deployment: Deployment) -> Iterator[tuple[Registration, Mapping[str, Any]]]:
    for resource in _kubernetes(deployment):
        template = (resource.inputs.get("spec") or {}).get("template") or {}
        if "containers" in (template.get("spec") or {}):
            yield resource, template["spec"]


def test_a_preview_shows_every_resource_that_up_makes() -> None:
    """Prevents a preview that hides resources because they depend on values known only later."""
    for stack in STACKS:
        shown = {(r.type, r.name, r.parent) for r in recorded(stack, preview=True).resources}
        assert shown == {(r.type, r.name, r.parent) for r in recorded(stack).resources}, stack


def test_no_output_is_formatted_into_text(up: Deployment) -> None:
    """Prevents `Calling __str__ on an Output` from being deployed as a name or an argument."""
    texts = [*up.input_leaves(), *((r, "", text) for r in up.resources for _, text in leaves(r.outputs))]
    assert not [(r.urn, path) for r, path, text in texts if isinstance(text, str) and "Output[" in text]
    assert not [path for path, text in leaves(up.outputs) if isinstance(text, str) and "Output[" in text]


def test_secrets_stay_in_secrets(up: Deployment) -> None:
    """Prevents a token in an argument, an annotation, a chart's values or an export."""
    holders = {r.type for r, _, value in up.input_leaves() if isinstance(value, Secret) and r.custom}
    assert holders <= {"kubernetes:core/v1:Secret", "pulumi:providers:kubernetes"}
    plain = [(r.urn, path) for r, path, value in up.input_leaves() if isinstance(value, str) and _holds_secret(value)]
    assert not plain
    exported = [*leaves(up.outputs), *(leaf for outputs in up.component_outputs.values() for leaf in leaves(outputs))]
    assert not [path for path, value in exported if isinstance(value, str) and _holds_secret(value)]


def test_every_secret_reaches_the_cluster(up: Deployment) -> None:
    """Prevents the test above from passing because the secrets were dropped."""
    held = [text for r in up.of_type("kubernetes:core/v1:Secret") for _, text in leaves(revealed(r.inputs))]
    assert set(SECRETS.values()) <= set(held)


def _holds_secret(text: str) -> bool:
    return any(secret in text for secret in SECRETS.values())


def test_every_resource_names_its_provider(up: Deployment) -> None:
    """Prevents objects that land in whatever cluster or account the shell points at: default providers are off."""
    known = {r.urn for r in up.resources if r.is_provider}
    lost = [r.urn for r in up.resources if r.custom and not r.is_provider and r.provider_urn not in known]
    assert not lost
    remote = [r for r in up.resources if r.remote]
    assert remote
    assert not [r.urn for r in remote if "aws" not in r.providers and r.provider_urn not in known]


def test_every_resource_belongs_to_a_component(up: Deployment) -> None:
    """Prevents loose resources that no component's removal would take along."""
    by_urn = up.by_urn
    loose = [r for r in up.resources if r.custom and r.parent not in by_urn]
    assert [r.type for r in loose] == ["pulumi:providers:aws"]


def _component_types() -> dict[str, type]:
    found: dict[str, type] = {}
    waiting: list[type] = [pulumi.ComponentResource]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            waiting.append(cls)
            if cls.__module__.startswith("components."):
                found[f"llm-serving:index:{cls.__name__}"] = cls
    return found


def test_components_register_exactly_the_outputs_they_annotate(up: Deployment) -> None:
    """Prevents outputs that the state, stack references and other languages cannot see."""
    types = _component_types()
    for component in up.components():
        annotated = inspect.get_annotations(types[component.type])
        public = {camel(name): hint for name, hint in annotated.items() if "Output[" in str(hint)}
        assert set(up.component_outputs[component.urn]) == set(public), component.urn
        assert all(name.startswith("_") for name in annotated if camel(name) not in public), component.urn


def test_every_aws_resource_is_tagged(up: Deployment) -> None:
    """Prevents costs that nobody can attribute: the provider's default tags reach every taggable resource."""
    tags = up.one("pulumi:providers:aws").inputs["defaultTags"]
    for needed in ("llm-serving", up.stack):
        assert needed in str(tags)


def test_karpenter_finds_subnets_and_security_groups(up: Deployment) -> None:
    """Prevents nodes that never start because no subnet carries the discovery tag."""
    subnets = [r for r in up.of_type("aws:ec2/subnet:Subnet") if "private" in r.name]
    assert subnets
    cluster = revealed(up.one("eks:index:Cluster").inputs)["name"]
    assert all(r.inputs["tags"]["karpenter.sh/discovery"] == cluster for r in subnets)


def test_images_charts_and_amis_are_pinned(up: Deployment) -> None:
    """Prevents a rollout that nobody decided: `latest`, a floating chart, an AMI alias that moves."""
    images = [c["image"] for _, pod in _pod_specs(up) for c in (*pod["containers"], *pod.get("initContainers", ()))]
    assert images
    assert not [image for image in images if not PINNED_IMAGE.fullmatch(image) or "latest" in image]
    releases = up.of_type("kubernetes:helm.sh/v3:Release")
    assert releases
    assert not [r.name for r in releases if not PINNED_CHART.fullmatch(str(r.inputs.get("version")))]
    terms = [t for r in up.of_kind("EC2NodeClass") for t in r.inputs["spec"]["amiSelectorTerms"]]
    assert terms
    assert not [term for term in terms if not DATED_AMI.fullmatch(term.get("alias", ""))]


def test_every_namespace_in_use_is_declared(up: Deployment) -> None:
    """Prevents objects that fail because their namespace is somebody else's, or is left behind by a chart."""
    declared = {r.inputs["metadata"]["name"] for r in up.of_kind("Namespace")}
    used = {(r.inputs.get("metadata") or {}).get("namespace") or r.inputs.get("namespace") for r in _kubernetes(up)}
    assert {name for name in used if name} <= declared | NAMESPACES_OF_EKS
    assert not [r.name for r in up.of_type("kubernetes:helm.sh/v3:Release") if r.inputs.get("createNamespace")]


def test_what_waits_for_a_gpu_has_explicit_timeouts(up: Deployment) -> None:
    """Prevents a deployment that fails after ten minutes while a GPU node is still starting, on create or update."""
    waiting = [r for r, _ in _pod_specs(up) if r.inputs["kind"] in {"Deployment", "Job"}]
    assert waiting
    assert not [r.urn for r in waiting if not {"create", "update"} <= set(r.timeouts)]
    assert not [r.urn for r in up.of_kind("NodePool") if "delete" not in r.timeouts]


def test_state_is_protected_where_the_stack_says_so() -> None:
    """Prevents a destroy of production's weights and cluster by one command, and a dev stack that cannot be removed."""
    protected = {r.type for r in recorded("prod").resources if r.protect}
    assert {"aws:efs/fileSystem:FileSystem", "eks:index:Cluster"} <= protected
    assert not [r.urn for r in recorded("dev").resources if r.protect]


def test_the_exports_say_how_to_reach_what_was_built(up: Deployment) -> None:
    """Prevents a deployment that ends without telling how to use it."""
    text = str(revealed(up.outputs))
    cluster = revealed(up.one("eks:index:Cluster").inputs)["name"]
    assert f"aws eks update-kubeconfig --name {cluster}" in text or "update-kubeconfig" in text
    assert cluster in text
    for service in up.of_kind("Service"):
        assert service.inputs["metadata"]["name"] in text


def test_every_decision_is_registered_with_its_model(up: Deployment) -> None:
    """Prevents a state that does not say why an instance was chosen."""
    names = {r.inputs["metadata"]["name"] for r in up.of_kind("Deployment")}
    decisions = [up.component_outputs[r.urn]["decision"] for r in up.of_type("llm-serving:index:ModelSizing")]
    assert {decision["name"] for decision in decisions} == names
    assert all({"instance_type", "tp", "pp", "memory", "usd_per_hour"} <= set(decision) for decision in decisions)
