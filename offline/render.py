"""Write every Kubernetes object that a stack declares as YAML: `python -m offline.render --stack prod --out DIR`.

Secrets are masked. Helm releases are charts that a cluster renders, not objects of ours: they are counted and left out.
Exit codes: 0 rendered, 1 the stack was refused, 2 wrong usage.
"""

import argparse
import base64
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from offline.recording import Deployment
from offline.target import Refused, add_target, deploy_target, target_file
from offline.values import MASK, Secret, masked

HEADER: Final = "# Rendered by `make render`; the next run replaces this file.\n"
_FIRST_KEYS: Final = ("apiVersion", "kind", "metadata")


def objects(deployment: Deployment) -> list[dict[str, Any]]:
    """Return the manifest of every Kubernetes object, masked, in the order of their file names."""
    found = [
        _manifest(resource.inputs)
        for resource in deployment.resources
        if resource.package == "kubernetes" and not resource.is_provider and "kind" in resource.inputs
    ]
    return sorted(found, key=file_name)


def file_name(manifest: Mapping[str, Any]) -> str:
    """Return a name that no other object of the cluster has: kind, namespace, name."""
    metadata = manifest["metadata"]
    parts = [manifest["kind"], metadata.get("namespace"), metadata["name"]]
    return "-".join(part for part in parts if part).lower().replace("/", "-") + ".yaml"


def write_objects(manifests: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write one file per object and remove those of an earlier run. Raises FileExistsError for a file of others."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.yaml"):
        if path.read_text(encoding="utf-8").startswith(HEADER):
            path.unlink()
    for manifest in manifests:
        with (folder / file_name(manifest)).open("x", encoding="utf-8") as file:
            file.write(HEADER)
            yaml.dump(manifest, file, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def main(arguments: Sequence[str] | None = None) -> int:
    """Render one stack and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m offline.render", description=(__doc__ or "").split("\n", 1)[0])
    add_target(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; made where it is missing")
    options = parser.parse_args(arguments)
    try:
        deployment = deploy_target(target_file(parser, options))
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    manifests = objects(deployment)
    try:
        write_objects(manifests, options.out)
    except OSError as error:
        parser.error(f"--out {options.out}: {error.strerror}: {error.filename}")
    releases = len(deployment.of_type("kubernetes:helm.sh/v3:Release"))
    print(f"{len(manifests)} objects of {deployment.stack} written to {options.out}; {releases} Helm releases left out")
    return 0


def _manifest(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs as a manifest; what `data` of a Secret holds must stay base64 to be valid."""
    manifest = dict(inputs)
    if manifest["kind"] == "Secret":
        for key, mask in (("data", base64.b64encode(MASK.encode()).decode()), ("stringData", MASK)):
            if key in manifest:
                held = manifest[key].value if isinstance(manifest[key], Secret) else manifest[key]
                manifest[key] = dict.fromkeys(held, mask)
    return {key: masked(manifest[key]) for key in (*_FIRST_KEYS, *sorted(set(manifest) - set(_FIRST_KEYS)))}


class _Dumper(yaml.SafeDumper):
    """Writes scripts and documents inside strings as blocks, and never an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


if __name__ == "__main__":
    sys.exit(main())
