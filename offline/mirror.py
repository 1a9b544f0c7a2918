"""What a mirror must hold before a stack can run from it: `python -m offline.mirror --stack prod`.

Everything comes from the recorded program: its Helm releases, the images of their charts (with the parts that the
values switch off left out), and the images of its own pods. Nothing is contacted.
Exit codes: 0 listed, 1 the stack was refused, 2 wrong usage.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from components import versions
from components.chart_images import started_images
from components.registries import image
from components.versions import Chart
from offline.recording import Deployment, Registration
from offline.target import Refused, add_target, deploy_target, target_file
from offline.values import leaves, revealed

_RELEASE = "kubernetes:helm.sh/v3:Release"
PINNED_CHARTS = tuple(pin for pin in vars(versions).values() if isinstance(pin, Chart))
PINNED_IMAGES = tuple(str(pin) for name, pin in vars(versions).items() if name.endswith("_IMAGE"))


@dataclass(frozen=True)
class Item:
    """One chart or image."""

    name: str
    source: str
    """Where it is published."""
    target: str | None
    """Where the stack takes it from; None where the stack names no mirror for it."""
    used_by: tuple[str, ...]
    copy: str
    """A command that copies it. `$CHARTS` and `$IMAGES` stand for the mirror where the stack names none."""


@dataclass(frozen=True)
class Mirror:
    """Everything that a stack installs from outside of AWS."""

    stack: str
    charts: tuple[Item, ...]
    images: tuple[Item, ...]
    addons: tuple[str, ...]
    """EKS add-ons: their images are in EKS's own registry of the region."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


class UnlistedError(LookupError):
    """The program installs something whose origin is not pinned, so nobody could mirror it."""


def mirror(deployment: Deployment) -> Mirror:
    """Return what a recorded stack needs from a mirror. Raises UnlistedError for a chart or image without a pin."""
    registries = _registries(deployment)
    return Mirror(
        stack=deployment.stack,
        charts=tuple(_chart(release, registries) for release in deployment.of_type(_RELEASE)),
        images=_images(deployment, registries),
        addons=_addons(deployment),
    )


def chart_of(release: Registration) -> Chart:
    """Return the pin that a release installs, whether it comes from the chart's own repository or a mirror."""
    location = str(release.inputs["chart"]).rpartition("/")[2]
    for pin in PINNED_CHARTS:
        if location in (pin.name, f"{pin.name}-{pin.version}.tgz"):
            return pin
    raise UnlistedError(f"release {release.name} installs {location}, which components/versions.py lacks")


def pod_images(deployment: Deployment) -> Iterator[tuple[str, str]]:
    """Yield (image, name of the object) of every container that the program itself declares."""
    for resource in deployment.resources:
        if resource.package != "kubernetes" or resource.is_provider or resource.type == _RELEASE:
            continue
        for path, value in leaves(resource.inputs):
            if path.rpartition(".")[2] == "image" and isinstance(value, str):
                yield value, resource.inputs["metadata"]["name"]


def _addons(deployment: Deployment) -> tuple[str, ...]:
    """Return the add-ons of a cluster of our own; kube-proxy is made inside eks.Cluster, which no recording shows."""
    inside = {versions.KUBE_PROXY} if deployment.of_type("eks:index:Cluster") else set()
    return tuple(sorted({r.inputs["addonName"] for r in deployment.of_type("aws:eks/addon:Addon")} | inside))


def _registries(deployment: Deployment) -> dict[str, str]:
    """Return the mirrors as the components got them."""
    operator = deployment.one("llm-serving:index:GpuOperator")
    return {key: value for key, value in (revealed(operator.inputs).get("registries") or {}).items() if value}


def _chart(release: Registration, registries: Mapping[str, str]) -> Item:
    pin = chart_of(release)
    published = f"{pin.repository.rstrip('/')}/{pin.name}"
    mirrored = registries.get("charts")
    pulled = f"{published} --version {pin.version}"
    if not pin.repository.startswith("oci://"):
        pulled = f"{pin.name} --repo {pin.repository} --version {pin.version}"
    package = f"{pin.name}-{pin.version}.tgz"
    if mirrored and "://" not in mirrored:
        target, copy = f"{mirrored}/{package}", f"helm pull {pulled} --destination {mirrored}"
    elif mirrored and not mirrored.startswith("oci://"):
        target = f"{mirrored}/{package}"
        copy = f"helm pull {pulled} && curl --upload-file {package} {target}"
    else:
        target = f"{mirrored}/{pin.name}" if mirrored else None
        copy = f"helm pull {pulled} && helm push {package} {mirrored or '$CHARTS'}"
    return Item(f"{pin.name} {pin.version}", published, target, (release.name,), copy)


def _images(deployment: Deployment, registries: Mapping[str, str]) -> tuple[Item, ...]:
    users: dict[str, list[str]] = {}
    for release in deployment.of_type(_RELEASE):
        pin = chart_of(release)
        for each in started_images(pin.name, revealed(release.inputs.get("values") or {})):
            users.setdefault(each.image, []).append(f"{pin.name} ({each.part})")
    own = {image(pin, registries): pin for pin in PINNED_IMAGES}
    for found, user in pod_images(deployment):
        if found not in own:
            raise UnlistedError(f"{user} runs {found}, which components/versions.py lacks")
        users.setdefault(own[found], []).append(user)
    return tuple(_image(source, names, registries) for source, names in sorted(users.items()))


def _image(source: str, used_by: Sequence[str], registries: Mapping[str, str]) -> Item:
    target = image(source, registries) if registries.get("images") else None
    # A tag that comes with a digest is copied by the digest and named by the tag: the digest stays the same.
    name = (target or image(source, {"images": "$IMAGES"})).partition("@")[0]
    tag, _, digest = source.partition("@")
    exact = f"{tag.rpartition(':')[0]}@{digest}" if digest else source
    return Item(tag.rpartition("/")[2], source, target, tuple(dict.fromkeys(used_by)), f"crane copy {exact} {name}")


def main(arguments: Sequence[str] | None = None) -> int:
    """List what one stack needs and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m offline.mirror", description=(__doc__ or "").split("\n", 1)[0])
    add_target(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    options = parser.parse_args(arguments)
    try:
        found = mirror(deploy_target(target_file(parser, options)))
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    if options.format == "json":
        json.dump(found.to_json(), sys.stdout, indent=2)
        print()
    else:
        print(_text(found))
    return 0


def _text(found: Mirror) -> str:
    lines: list[str] = []
    for title, items in (("Charts", found.charts), ("Images", found.images)):
        lines += [f"{title} of {found.stack}: {len(items)}"]
        for item in items:
            lines += [f"  {item.source if title == 'Images' else f'{item.source} {item.name.split()[-1]}'}"]
            lines += [f"    used by {', '.join(item.used_by)}"]
            lines += [f"    taken from {item.target}"] if item.target else []
            lines += [f"    {item.copy}"]
        lines.append("")
    lines += [
        f"EKS add-ons: {', '.join(found.addons)}",
        "  Their images are in EKS's own registry of the region, which the interface endpoints ecr.api and ecr.dkr and",
        "  the S3 gateway reach: https://docs.aws.amazon.com/eks/latest/userguide/add-ons-images.html",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
