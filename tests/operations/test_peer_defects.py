"""Defects seen in projects like this one: what none of the other batteries holds against the whole program."""

from typing import Any

import pytest

from components.karpenter.efa import _layouts
from components.karpenter.sharing import _profiles
from components.scheduling import CPU_POOL, POOL_LABEL
from components.sizing import catalog
from components.versions import VLLM_IMAGE
from infra.settings.schema import Setting, settings_of
from infra.settings.sections import StackConfig
from infra.settings.stack import parse_stack
from offline.recording import Deployment
from offline.values import leaves, revealed
from tests.operations.everywhere import recorded
from tests.platform.test_contracts import gpu_pods, pools, required


def test_gpu_pools_launch_only_types_that_can_serve(up: Deployment) -> None:
    """Prevents pools that admit arm64 or fractional GPUs, which a selector by GPU category would."""
    for name, found in pools(up).items():
        for spec in found if name != CPU_POOL else ():
            for each in map(catalog.instance_type, required(spec, "node.kubernetes.io/instance-type")):
                assert (each.arch, each.excluded) == ("amd64", None), each.name
                assert each.gpu_count >= 1
            assert required(spec, "kubernetes.io/arch") == ["amd64"]


def test_spot_anywhere_has_its_queue(up: Deployment) -> None:
    """Prevents spot nodes that vanish without a drain: the controller must know the queue that events reach."""
    buys = {value for found in pools(up).values() for s in found for value in required(s, "karpenter.sh/capacity-type")}
    queue = revealed(up.one("aws:sqs/queue:Queue").inputs)["name"]
    controller = next(r for r in up.of_type("kubernetes:helm.sh/v3:Release") if r.inputs["chart"].endswith("karpenter"))
    assert buys
    assert revealed(controller.inputs["values"])["settings"]["interruptionQueue"] == queue
    assert len(up.of_type("aws:cloudwatch/eventTarget:EventTarget")) == 5


def test_every_server_has_three_probes_and_the_startup_one_waits_longest(up: Deployment) -> None:
    """Prevents servers that are killed while they load, and dead ones that nobody notices."""
    for each, template in gpu_pods(up):
        server = template["spec"]["containers"][0]
        spans = {name: server[name]["periodSeconds"] * server[name]["failureThreshold"] for name in PROBES}
        assert spans["startupProbe"] > 5 * spans["livenessProbe"], each.name
        assert spans["livenessProbe"] > spans["readinessProbe"]


PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def test_nothing_is_installed_when_a_server_starts(up: Deployment) -> None:
    """Prevents starts that depend on a package index and a model hub, and weights that differ between replicas."""
    for each, template in gpu_pods(up):
        server = template["spec"]["containers"][0]
        text = " ".join([*server["command"], *server["args"]])
        assert "pip" not in text
        assert {"name": "HF_HUB_OFFLINE", "value": "1"} in server["env"], each.name
        assert server["image"].endswith(VLLM_IMAGE.partition("/")[2])
        models = [mount for mount in server["volumeMounts"] if mount["mountPath"] == "/models"]
        assert all(mount["readOnly"] for mount in models)


def test_the_cache_is_shared_and_never_tiered(up: Deployment) -> None:
    """Prevents a cache that only one node can mount, and weights that move to slow storage after a week."""
    for kind in ("PersistentVolume", "PersistentVolumeClaim"):
        for each in up.of_kind(kind):
            assert each.inputs["spec"]["accessModes"] == ["ReadWriteMany"], each.name
    assert "lifecyclePolicies" not in up.one("aws:efs/fileSystem:FileSystem").inputs


def test_nothing_is_reachable_from_the_internet(up: Deployment) -> None:
    """Prevents a model behind a public load balancer without TLS or a key."""
    services = up.of_kind("Service")
    assert services
    assert {each.inputs["spec"]["type"] for each in services} == {"ClusterIP"}
    assert not [*up.of_kind("Ingress"), *up.of_kind("Gateway")]
    guarded = {r.inputs["metadata"]["name"] for r in up.of_kind("NetworkPolicy")}
    assert {each.inputs["metadata"]["name"] for each in services} <= guarded


def test_no_pod_is_privileged_or_runs_code_of_a_model(up: Deployment) -> None:
    """Prevents a container that owns its node, and remote code from a model repository."""
    for each in (*up.of_kind("Deployment"), *up.of_kind("Job")):
        found = dict(leaves(each.inputs["spec"]["template"]["spec"]))
        assert not [path for path, value in found.items() if path.endswith("privileged") and value]
        assert not [path for path, value in found.items() if "--trust-remote-code" in str(value)]
        assert found["securityContext.runAsNonRoot"] is True


def test_tables_are_keyed_on_what_aws_really_has() -> None:
    """Prevents an override that never applies, because its key is a name that no instance type or GPU carries."""
    assert {catalog.instance_type(name).name for name in _layouts()} == set(_layouts())
    for name, (cards, first) in _layouts().items():
        assert cards - first == catalog.instance_type(name).efa_count, name
    assert {catalog.gpu(key).key for key in _profiles()} == set(_profiles())


def _with_defaults(section: type) -> list[Setting]:
    own = [each for each in settings_of(section) if not each.required and each.default not in (None, (), {})]
    nested = [
        each.kind.section or (each.kind.item.section if each.kind.item else None) for each in settings_of(section)
    ]
    return own + [inner for each in nested if each for inner in _with_defaults(each)]


def test_defaults_pass_the_checks_of_what_a_user_writes() -> None:
    """Prevents swapped or impossible defaults, which no user's file would be allowed to hold."""
    found = _with_defaults(StackConfig)
    assert len(found) > 20
    for each in found:
        limits, value = each.limits, each.default
        for part in value if isinstance(value, tuple) else (value,):
            assert not limits.choices or part in limits.choices, each.key
            assert limits.minimum is None or part >= limits.minimum, each.key
            assert limits.maximum is None or part <= limits.maximum, each.key
            assert limits.check is None or not limits.check(part), each.key


def test_a_model_never_sleeps_without_someone_to_hold_its_requests() -> None:
    """Prevents a 503 for the first user after a pause: zero replicas need a gateway that waits, and there is none."""
    model: dict[str, Any] = {"name": "m", "source": "org/m", "concurrency": 1, "replicas": {"min": 0, "max": 1}}
    values = {"models": [model], "gpuPools": [{"name": "g5", "families": ["g5"]}], "network": _NETWORK}
    _, problems = parse_stack(values, "us-east-1")
    assert [each.path for each in problems] == ["models[0].replicas.min"]


_NETWORK = {"availabilityZones": ["us-east-1a", "us-east-1b"]}


@pytest.mark.parametrize("stack", ["prod", "cheap-pool"])
def test_every_setting_of_a_pool_reaches_a_node_pool(stack: str) -> None:
    """Prevents a configured instance family, zone or way to buy that is silently dropped."""
    deployment = recorded(stack)
    for plan in deployment.outputs["nodePools"]:
        found = pools(deployment)[plan["name"]]
        assert {t for s in found for t in required(s, "node.kubernetes.io/instance-type")} == set(
            plan["instance_types"]
        )
        assert {c for s in found for c in required(s, "karpenter.sh/capacity-type")} == set(plan["capacity"])
        assert {z for s in found for z in required(s, "topology.kubernetes.io/zone")} == set(plan["zones"])
        assert {s["limits"]["nvidia.com/gpu"] for s in found} == {str(plan["gpu_limit"])}
        assert {s["template"]["metadata"]["labels"][POOL_LABEL] for s in found} == {plan["name"]}
