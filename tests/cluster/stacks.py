"""The stacks that are rehearsed: those that are shipped, the examples, and one with a group of nodes added."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from components.scheduling import GPU_TAINT, toleration
from offline.program import ROOT
from offline.rehearsal.bundle import Bundle
from offline.rehearsal.groups import API, KIND, PREFIX
from offline.rehearsal.kube import Obj
from offline.stack_files import stack_name

GROUP = "pair"
GROUP_SIZE = 2


@dataclass(frozen=True)
class Stack:
    """A stack file, and what is changed in what it declares."""

    path: Path
    change: Callable[[Bundle], Bundle] = lambda bundle: bundle


def _with_group(bundle: Bundle) -> Bundle:
    """Add a model server over two nodes, which no shipped stack has, where the stack's own models run."""
    smallest = min(bundle.models, key=lambda model: model["gpus"])["name"]
    model = next(o for o in bundle.of_kind("Deployment") if o["metadata"]["name"] == smallest)
    return dataclasses.replace(bundle, batches=(*bundle.batches, (_group(model),)))


def _group(model: Obj) -> Obj:
    """Return a group whose pods ask for what the model's ask, all in one zone, recreated together."""
    spec = dict(model["spec"]["template"]["spec"])
    labels = {"app.kubernetes.io/name": GROUP}
    spec.pop("topologySpreadConstraints", None)
    spec["tolerations"] = [toleration(GPU_TAINT)]
    return {
        "apiVersion": API, "kind": KIND,
        "metadata": {
            "name": GROUP, "namespace": model["metadata"]["namespace"],
            "annotations": {f"{PREFIX}exclusive-topology": "topology.kubernetes.io/zone"},
        },
        "spec": {
            "replicas": 1, "startupPolicy": "LeaderCreated",
            "leaderWorkerTemplate": {
                "size": GROUP_SIZE, "restartPolicy": "RecreateGroupOnPodRestart",
                "workerTemplate": {"metadata": {"labels": labels}, "spec": spec},
            },
        },
    }  # fmt: skip


_FILES = sorted(ROOT.glob("Pulumi.*.yaml"))
_EXAMPLES = sorted(ROOT.glob("examples/**/Pulumi.*.yaml"))
SHIPPED = tuple(stack_name(path) for path in _FILES)
EXAMPLES = tuple(stack_name(path) for path in _EXAMPLES)
WITH_GROUP = "staging-with-group"
ALL = {stack_name(path): Stack(path) for path in (*_FILES, *_EXAMPLES)} | {
    WITH_GROUP: Stack(ROOT / "Pulumi.staging.yaml", _with_group)
}
"""By name, in the order in which they are rehearsed."""
