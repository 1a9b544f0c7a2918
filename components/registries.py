"""Where charts and images come from: their own registries, or one mirror for clusters that cannot reach those."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from components.chart_images import started_images
from components.versions import Chart


class RegistriesArgs(TypedDict):
    """A mirror of everything that the program installs."""

    charts: NotRequired[str]
    """``https://`` or ``oci://`` repository, or a directory of packaged charts, instead of every chart's own."""
    images: NotRequired[str]
    """Host and optional path instead of every image's registry, e.g. ``registry.corp/mirror``."""


def chart(pin: Chart, registries: Mapping[str, Any] | None) -> dict[str, Any]:
    """Arguments of a Helm Release that say where its chart comes from: chart, version, repository_opts."""
    mirror = (registries or {}).get("charts")
    if mirror and "://" not in mirror:
        return {"chart": f"{mirror.rstrip('/')}/{pin.name}-{pin.version}.tgz", "version": pin.version}
    repository = (mirror or pin.repository).rstrip("/")
    if repository.startswith("oci://"):
        return {"chart": f"{repository}/{pin.name}", "version": pin.version}
    return {"chart": pin.name, "version": pin.version, "repository_opts": {"repo": repository}}


def image(reference: str, registries: Mapping[str, Any] | None) -> str:
    """Return the image as it is, or below the mirror's prefix with its own path, tag and digest kept."""
    mirror = (registries or {}).get("images")
    if not mirror:
        return reference
    _, path = split_registry(reference)
    return f"{mirror.rstrip('/')}/{path}"


def mirrored(pin: Chart, values: Mapping[str, Any], registries: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the chart's values with the repository of every image that it starts below the mirror, if there is one."""
    result = dict(values)
    if not (registries or {}).get("images"):
        return result
    for each in started_images(pin.name, values):
        *parents, last = each.value.split(".")
        place = result
        for key in parents:
            place[key] = dict(place.get(key, {}))
            place = place[key]
        place[last] = image(each.repository, registries)
    return result


def split_registry(reference: str) -> tuple[str, str]:
    """Registry host and the rest of an image reference, by Docker's rule for names without a host."""
    host, _, path = reference.partition("/")
    if path and ("." in host or ":" in host or host == "localhost"):
        return host, path
    return "docker.io", reference if path else f"library/{reference}"
