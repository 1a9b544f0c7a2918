"""What the program declares, as the controllers of a cluster would get to see it.

Read from a recorded run: Kubernetes objects and charts in the order in which Pulumi makes them, the parts of the AWS
account that Karpenter looks at, and the plan's decisions.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from components import versions
from components.scheduling import POOL_LABEL, SYSTEM_POOL
from offline.recording import Deployment, Registration
from offline.rehearsal.cloud import Account, Tagged
from offline.rehearsal.kube import Obj
from offline.teardown import destroy_batches
from offline.values import revealed

RELEASE = "kubernetes:helm.sh/v3:Release"
_SUBNET, _GROUP = "aws:ec2/subnet:Subnet", "aws:ec2/securityGroup:SecurityGroup"
_EXISTING_CLUSTER = "llm-serving:index:ExistingCluster"
"""Stands on two system nodes and on add-ons that somebody else runs (components/cluster/existing.py)."""
_BROUGHT_ADDONS = (versions.EFS_CSI,)
_EFFECTS = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute", "PREFER_NO_SCHEDULE": "PreferNoSchedule"}


@dataclass(frozen=True)
class Release:
    """A Helm release: its chart's name without repository and version, and the values it is given."""

    chart: str
    namespace: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Addon:
    """An EKS add-on and its configuration values."""

    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class NodeGroup:
    """A managed node group."""

    name: str
    instance_type: str
    nodes: int
    labels: Mapping[str, str]
    taints: tuple[Obj, ...]


@dataclass(frozen=True)
class Bundle:
    """One stack, ready to be rehearsed."""

    stack: str
    account: Account
    batches: tuple[tuple[Obj | Release, ...], ...]
    """What is applied, first to last; nothing needs anything of its own batch. Deletion goes backwards."""
    addons: tuple[Addon, ...]
    node_groups: tuple[NodeGroup, ...]
    models: tuple[Mapping[str, Any], ...]
    """The plan's decisions: the ``models`` of its JSON document."""

    @property
    def objects(self) -> tuple[Obj, ...]:
        """All Kubernetes objects, in order of creation."""
        return tuple(item for batch in self.batches for item in batch if not isinstance(item, Release))

    @property
    def releases(self) -> tuple[Release, ...]:
        """All Helm releases, in order of creation."""
        return tuple(item for batch in self.batches for item in batch if isinstance(item, Release))

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones of the subnets that nodes may use."""
        return tuple(sorted({subnet.zone for subnet in self.account.subnets}))

    def of_kind(self, kind: str) -> list[Obj]:
        """Return the objects of a kind."""
        return [o for o in self.objects if o["kind"] == kind]


def from_deployment(deployment: Deployment) -> Bundle:
    """Return the bundle of a recorded run (not a preview)."""
    batches = tuple(
        tuple(item for item in map(_item, batch) if item is not None)
        for batch in reversed(destroy_batches(deployment))
    )
    filled = tuple(batch for batch in batches if batch)
    classes = [o for b in filled for o in b if not isinstance(o, Release) and o["kind"] == "EC2NodeClass"]
    return Bundle(
        stack=deployment.stack,
        account=_account(deployment, classes),
        batches=filled,
        addons=tuple(_addons(deployment)),
        node_groups=tuple(_node_groups(deployment)),
        models=tuple(revealed(deployment.outputs)["models"]),
    )


def _item(resource: Registration) -> Obj | Release | None:
    if resource.package != "kubernetes" or resource.is_provider:
        return None
    inputs = revealed(resource.inputs)
    if resource.type == RELEASE:
        path = inputs["chart"].rstrip("/").rpartition("/")[2]
        chart = re.sub(r"(-v?\d[^/]*)?\.tgz$", "", path)
        return Release(chart, inputs.get("namespace", "default"), inputs.get("values") or {})
    return {key: value for key, value in inputs.items() if key != "status"}


def _addons(deployment: Deployment) -> Iterable[Addon]:
    for resource in deployment.of_type("aws:eks/addon:Addon"):
        inputs = revealed(resource.inputs)
        yield Addon(inputs["addonName"], json.loads(inputs.get("configurationValues") or "{}"))
    if deployment.of_type("eks:index:Cluster"):
        yield Addon(versions.KUBE_PROXY, {})  # made inside eks.Cluster, whose children no recording shows
    if deployment.of_type(_EXISTING_CLUSTER):
        yield from (Addon(name, {}) for name in (*versions.ADDONS_BEFORE_NODES, *_BROUGHT_ADDONS))


def _node_groups(deployment: Deployment) -> Iterable[NodeGroup]:
    for resource in deployment.of_type("aws:eks/nodeGroup:NodeGroup"):
        inputs = revealed(resource.inputs)
        scaling = inputs["scalingConfig"]
        taints = tuple({**t, "effect": _EFFECTS[t["effect"]]} for t in inputs.get("taints") or [])
        count = int(scaling.get("desiredSize", scaling["minSize"]))
        yield NodeGroup(resource.name, inputs["instanceTypes"][0], count, inputs.get("labels") or {}, taints)
    if deployment.of_type(_EXISTING_CLUSTER):
        yield NodeGroup("existing", "m7i.large", 2, {POOL_LABEL: SYSTEM_POOL}, ())


def _account(deployment: Deployment, classes: list[Obj]) -> Account:
    """Return what exists in the account. An existing network or role, which the program only names, exists as named."""
    clusters = [revealed(r.inputs) for r in deployment.of_type("eks:index:Cluster")]
    releases = [r for r in map(_item, deployment.of_type(RELEASE)) if isinstance(r, Release)]
    settings = next((r.values.get("settings", {}) for r in releases if r.chart == versions.KARPENTER.name), {})
    providers = [revealed(r.inputs) for r in deployment.of_type("pulumi:providers:aws")]
    region = next((p["region"] for p in providers if p.get("region")), "us-east-1")
    specs = [c["spec"] for c in classes]
    roles = tuple(revealed(r.outputs)["name"] for r in deployment.of_type("aws:iam/role:Role"))
    own_network = bool(deployment.of_type(_SUBNET))
    tags = _tags(deployment)
    subnets = tuple(
        Tagged(tags[r.id], revealed(r.inputs)["availabilityZone"], r.id) for r in deployment.of_type(_SUBNET)
    )
    groups = {r.id: Tagged(tags[r.id], id=r.id) for r in deployment.of_type(_GROUP)}
    for resource in deployment.of_type("eks:index:Cluster"):
        identity = revealed(resource.outputs)["clusterSecurityGroupId"]
        groups[identity] = Tagged(tags.get(identity, {}), id=identity)
    selected = _existing(specs, "securityGroupSelectorTerms", region)
    brought = [group for group in selected if group.id not in groups and (group.id or not groups)]
    queues = [revealed(r.outputs).get("name", r.name) for r in deployment.of_type("aws:sqs/queue:Queue")]
    return Account(
        cluster=clusters[0]["name"] if clusters else settings.get("clusterName", deployment.stack),
        region=region,
        kubernetes=clusters[0].get("version", versions.KUBERNETES) if clusters else versions.KUBERNETES,
        subnets=subnets if own_network else _existing(specs, "subnetSelectorTerms", region),
        security_groups=(*groups.values(), *brought),
        roles=roles or tuple({s["role"] for s in specs if s.get("role")}),
        instance_profiles=tuple({s["instanceProfile"] for s in specs if s.get("instanceProfile")}),
        queue=queues[0] if queues else None,
        ami_aliases=tuple({t["alias"] for s in specs for t in s["amiSelectorTerms"] if "alias" in t}),
        placement_groups=tuple(s["placementGroupSelector"]["name"] for s in specs if "placementGroupSelector" in s),
        ami_ids=tuple({t["id"] for s in specs for t in s["amiSelectorTerms"] if "id" in t}),
    )


def _tags(deployment: Deployment) -> dict[str, dict[str, str]]:
    """Tags by EC2 id: the resource's own and those of separate Tag resources."""
    found = {r.id: dict(revealed(r.inputs).get("tags") or {}) for r in deployment.resources if r.id}
    for resource in deployment.of_type("aws:ec2/tag:Tag"):
        inputs = revealed(resource.inputs)
        found.setdefault(inputs["resourceId"], {})[inputs["key"]] = inputs["value"]
    return found


def _existing(specs: list[Obj], field: str, region: str) -> tuple[Tagged, ...]:
    """Subnets (one per zone) or groups that a brought network must hold for the selectors to match."""
    terms = [term for spec in specs for term in spec.get(field, [])]
    ids = dict.fromkeys(term["id"] for term in terms if "id" in term)
    tags = {str(term["tags"]): term["tags"] for term in terms if "tags" in term}
    named = [Tagged({}, f"{region}{'abc'[number % 3]}", each) for number, each in enumerate(ids)]
    return (*named, *(Tagged(each, region + letter) for each in tags.values() for letter in "abc"))
