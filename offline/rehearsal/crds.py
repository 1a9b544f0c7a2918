"""The custom resource definitions of the kinds that a stack declares, from where they may be taken.

Karpenter's come with the servers (from the Go module that they are built from). Others come from a folder of CRD
files named ``GROUP_plural.yaml``: ``REHEARSAL_CRDS``, or a ``shared/crds`` folder beside the checkout. Nothing is
copied into this project; kinds that are found nowhere are left out of the rehearsal, which says so.
"""

import os
from pathlib import Path

import yaml

from offline.rehearsal.build import Toolchain
from offline.rehearsal.kube import CRD, Obj

KARPENTER_GROUPS = ("karpenter.sh", "karpenter.k8s.aws", "autoscaling.x-k8s.io")
_CHECKOUT = Path(__file__).parents[2]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads the bare ``=`` that one CRD has as an enum value as text."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: loader.construct_scalar(node))


def folders(toolchain: Toolchain) -> list[Path]:
    """Where CRD files may lie, the servers' own first."""
    beside = _CHECKOUT.parent / "shared" / "crds"
    named = [Path(p) for p in [os.environ.get("REHEARSAL_CRDS")] if p]
    return [p for p in [toolchain.crds, *named, beside] if p is not None and p.is_dir()]


def group_of(obj: Obj) -> str:
    """Return the API group of an object, "" for the core."""
    return obj["apiVersion"].rpartition("/")[0]


def find(toolchain: Toolchain, kinds: set[tuple[str, str]]) -> list[Obj]:
    """Karpenter's CRDs and those of the given kinds, as far as some folder has them.

    Only files of the groups in question are read, and of these only the kinds asked for are returned: the API server
    spends half a second and 25 MiB on each CRD.
    """
    found: dict[tuple[str, str], Obj] = {}
    groups = {group for group, _ in kinds} | set(KARPENTER_GROUPS)
    for folder in folders(toolchain):
        for path in sorted(p for p in folder.glob("*.yaml") if p.name.partition("_")[0] in groups):
            for document in yaml.load_all(path.read_text(), _Loader):
                if document and document.get("kind") == CRD:
                    key = (document["spec"]["group"], document["spec"]["names"]["kind"])
                    if key in kinds or key[0] in KARPENTER_GROUPS:
                        found.setdefault(key, document)
    return list(found.values())
