"""Charts and images from a mirror."""

import pytest

from components.registries import chart, image, mirrored, split_registry
from components.versions import KARPENTER, Chart

HTTP = Chart("keda", "https://kedacore.github.io/charts", "2.20.2")
OCI = Chart("karpenter", "oci://public.ecr.aws/karpenter", "1.14.1")


@pytest.mark.parametrize(
    ("pin", "mirror", "expected"),
    [
        (HTTP, None, {"chart": "keda", "repository_opts": {"repo": "https://kedacore.github.io/charts"}}),
        (OCI, None, {"chart": "oci://public.ecr.aws/karpenter/karpenter"}),
        (OCI, "https://charts.corp/", {"chart": "karpenter", "repository_opts": {"repo": "https://charts.corp"}}),
        (HTTP, "oci://registry.corp/charts", {"chart": "oci://registry.corp/charts/keda"}),
        (HTTP, "/srv/charts", {"chart": "/srv/charts/keda-2.20.2.tgz"}),
    ],
)
def test_charts_come_from_the_mirror(pin: Chart, mirror: str | None, expected: dict[str, object]) -> None:
    """Prevents an air-gapped cluster that still looks for one chart on the internet, or for another version."""
    assert chart(pin, {"charts": mirror} if mirror else None) == {**expected, "version": pin.version}


@pytest.mark.parametrize(
    ("reference", "registry", "path"),
    [
        ("vllm/vllm-openai:v0.33.0", "docker.io", "vllm/vllm-openai:v0.33.0"),
        ("busybox:1.37", "docker.io", "library/busybox:1.37"),
        ("nvcr.io/nvidia/k8s/dcgm-exporter:4.6.0", "nvcr.io", "nvidia/k8s/dcgm-exporter:4.6.0"),
        ("localhost:5000/a/b@sha256:00", "localhost:5000", "a/b@sha256:00"),
    ],
)
def test_images_keep_their_path_below_the_mirror(reference: str, registry: str, path: str) -> None:
    """Prevents pulls from a registry that the nodes cannot reach, and two images that collide in the mirror."""
    assert split_registry(reference) == (registry, path)
    assert image(reference, {"images": "mirror.corp/proxy/"}) == f"mirror.corp/proxy/{path}"
    assert image(reference, None) == reference


def test_only_the_images_of_a_chart_move() -> None:
    """Prevents values that lose what stood beside the image, and a rewrite of values that others still hold."""
    values = {"controller": {"env": ["x"]}, "replicas": 2}
    moved = mirrored(KARPENTER, values, {"images": "mirror.corp"})
    assert moved == {
        "controller": {"env": ["x"], "image": {"repository": "mirror.corp/karpenter/controller"}},
        "replicas": 2,
    }
    assert values == {"controller": {"env": ["x"]}, "replicas": 2}
    assert mirrored(KARPENTER, values, None) == values
