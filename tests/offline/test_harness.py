"""The harness records what a program registers, as the engine would see it."""

import gc

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks
import pulumi_kubernetes as kubernetes
import pytest

from offline.harness import deploy
from offline.recording import Deployment
from offline.values import UNKNOWN, Secret, leaves, masked
from tests.offline import toy

CONFIG = {"replicas": 2}
SECRETS = {"token": "hunter2"}


@pytest.fixture(scope="module")
def up() -> Deployment:
    """Return the toy as `pulumi up` would make it."""
    return deploy(toy.ordered, config=CONFIG, secrets=SECRETS)


@pytest.fixture(scope="module")
def preview() -> Deployment:
    """Return the toy as a first `pulumi preview` sees it."""
    return deploy(toy.ordered, config=CONFIG, secrets=SECRETS, preview=True)


def test_a_registration_carries_all_that_the_engine_acts_on(up: Deployment) -> None:
    """Prevents tests that cannot see an option (protection, timeouts, aliases) and therefore never check it."""
    secret = up.one("kubernetes:core/v1:Secret")
    provider = up.one("pulumi:providers:kubernetes")
    assert secret.inputs["stringData"] == Secret({"token": "hunter2"})
    assert secret.provider_urn == provider.urn
    assert secret.id == "toy/token"
    assert secret.protect
    assert secret.timeouts == {"create": "5m"}
    assert secret.ignore_changes == ("metadata.labels",)
    assert secret.aliases == ("old-token",)
    assert secret.parent == up.stack_urn
    assert {up.by_urn[urn].name for urn in secret.dependencies} == {"class", "pool"}
    assert provider.package == secret.package == "kubernetes"


def test_dependencies_include_those_of_inputs(up: Deployment) -> None:
    """Prevents a plan that misses the edges which Pulumi derives from inputs."""
    nodes = up.one("eks:index:ManagedNodeGroup")
    role, cluster = up.one("aws:iam/role:Role"), up.one("eks:index:Cluster")
    assert nodes.dependencies == {role.urn, cluster.urn}
    assert nodes.property_dependencies["nodeRoleArn"] == {role.urn}
    assert nodes.remote
    assert not nodes.custom


def test_a_remote_component_stands_for_what_is_inside_it() -> None:
    """Prevents edges that lead to resources which no recording shows, and therefore order nothing."""

    def program() -> None:
        cluster = eks.Cluster("eks", name="toy", skip_default_node_group=True)
        aws.ssm.Parameter("name", type="String", value=cluster.eks_cluster.name)

    deployment = deploy(program)
    cluster = deployment.one("eks:index:Cluster")
    assert deployment.one("aws:ssm/parameter:Parameter").dependencies == {cluster.urn}


def test_urns_are_those_of_the_engine(up: Deployment) -> None:
    """Prevents a plan whose URNs do not occur in the state of a real deployment."""
    urn = "urn:pulumi:test::llm-serving::llm-serving:index:ToyCluster$aws:iam/role:Role::node"
    assert up.one("aws:iam/role:Role").urn == urn


def test_outputs_of_the_cluster_resolve_through_resource_references(up: Deployment) -> None:
    """Prevents components that read `cluster.eks_cluster.*` from being untestable (pulumi#7663)."""
    assert up.outputs == {"cluster": "toy", "group": "sg-0e5c1a57e20f0f0f0", "replicas": 2}
    assert up.outputs_of("llm-serving:index:ToyCluster") == {"name": "toy"}


def test_whole_numbers_stay_whole(up: Deployment) -> None:
    """Prevents manifests that say `8.0` where an API server wants an integer: the wire has only floats."""
    cpu = up.of_kind("NodePool")[0].inputs["spec"]["limits"]["cpu"]
    assert isinstance(cpu, int)


def test_a_preview_knows_no_output(preview: Deployment) -> None:
    """Prevents a preview that looks honest because the simulation knew too much."""
    assert preview.outputs == {"cluster": UNKNOWN, "group": UNKNOWN, "replicas": 2}
    assert preview.one("eks:index:ManagedNodeGroup").inputs["nodeRoleArn"] is UNKNOWN


def test_log_messages_are_recorded(up: Deployment) -> None:
    """Prevents warnings of the program from being lost."""
    assert [(m.severity, m.text) for m in up.messages] == [("warning", "a warning")]


def test_runs_are_isolated() -> None:
    """Prevents one test's configuration and resources from leaking into the next."""
    first = deploy(lambda: pulumi.export("a", pulumi.Config().get("a")), config={"a": "1"})
    second = deploy(lambda: pulumi.export("a", pulumi.Config().get("a")))
    assert (first.outputs, second.outputs) == ({"a": "1"}, {})


def test_errors_of_the_program_pass_through(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents a failing program, or a failing callback, from being recorded as an empty success."""

    def refuses() -> None:
        raise pulumi.RunError("no")

    def fails_later() -> None:
        role = aws.iam.Role("r", assume_role_policy="{}")
        pulumi.export("x", role.arn.apply(int))

    with pytest.raises(pulumi.RunError, match="no"):
        deploy(refuses)
    with pytest.raises(ValueError, match="invalid literal"):
        deploy(fails_later)
    gc.collect()
    assert not capsys.readouterr().err, "one failure is one message, not one per output that depends on it"


def test_data_sources_without_an_offline_answer_are_refused() -> None:
    """Prevents a program that only plans because an unknown data source was answered with nothing."""
    with pytest.raises(Exception, match="getVpc"):
        deploy(lambda: pulumi.export("vpc", aws.ec2.get_vpc(default=True).id))


def test_the_default_cloud_answers_the_allowed_data_sources() -> None:
    """Prevents components that ask for zones or the account from being untestable."""

    def program() -> None:
        pulumi.export("zones", aws.get_availability_zones(state="available").names)
        pulumi.export("account", aws.get_caller_identity().account_id)
        addon = aws.eks.get_addon_version(addon_name="coredns", kubernetes_version="1.35")
        pulumi.export("coredns", addon.version)

    deployment = deploy(program)
    assert deployment.outputs["zones"][:2] == ["us-east-1a", "us-east-1b"]
    assert deployment.outputs["account"] == "123456789012"
    assert deployment.outputs["coredns"] == "EKS default for 1.35"
    assert len(deployment.invocations) == 3


def test_masking_leaves_no_secret() -> None:
    """Prevents a printed plan from showing a token."""
    value = {"a": [Secret("hunter2"), UNKNOWN], "b": {"c": 1}}
    assert masked(value) == {"a": ["[secret]", "<computed>"], "b": {"c": 1}}
    assert "hunter2" not in repr(value)
    assert [path for path, _ in leaves(value)] == ["a[0]", "a[1]", "b.c"]


def test_looking_up_what_is_not_there_says_what_is(up: Deployment) -> None:
    """Prevents a puzzle when a component renames a child."""
    with pytest.raises(LookupError, match="token"):
        up.one("kubernetes:core/v1:Secret", "other")


def test_kubernetes_ids_name_the_object(up: Deployment) -> None:
    """Prevents a component from reading an id that no API server would give."""

    def program() -> None:
        provider = kubernetes.Provider("k", kubeconfig="{}")
        namespace = kubernetes.core.v1.Namespace(
            "n", metadata={"name": "serving"}, opts=pulumi.ResourceOptions(provider=provider)
        )
        pulumi.export("name", namespace.metadata.name)
        pulumi.export("id", namespace.id)

    assert deploy(program).outputs == {"name": "serving", "id": "serving"}
    assert up.one("eks:index:Cluster").id == ""
