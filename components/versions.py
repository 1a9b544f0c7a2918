"""Every version that the program installs, in one place.

Nothing else in the repository holds a version of a chart, an image, an add-on, an AMI or Kubernetes. The comments are
read by Renovate. Which versions fit each other, and until when AWS supports them, is data: ``compatibility.json``.
"""

from typing import NamedTuple


class Chart(NamedTuple):
    """A Helm chart at one exact version."""

    name: str
    repository: str
    """``https://`` index or ``oci://`` prefix; the chart's name is appended to the latter."""
    version: str


# Newest minor whose standard support still has months to run (to 2027-03-27); 1.34 ends 2026-12-02.
# Source: endoflife-date/endoflife.date@a70eca3:products/amazon-eks.md.
# renovate: datasource=endoflife-date depName=amazon-eks versioning=loose
KUBERNETES = "1.35"

# A dated alias: `latest` replaces every node on each AMI release. Karpenter picks the NVIDIA variant by itself.
# renovate: datasource=github-releases depName=awslabs/amazon-eks-ami extractVersion=^v(?<version>.+)$
AL2023_AMI = "al2023@v20260724"
# renovate: datasource=github-releases depName=bottlerocket-os/bottlerocket
BOTTLEROCKET_AMI = "bottlerocket@v1.57.0"

# The CRD chart is a Release of its own at the same version: Helm never upgrades `crds/` of the main chart.
# renovate: datasource=docker depName=public.ecr.aws/karpenter/karpenter
KARPENTER_VERSION = "1.14.1"
KARPENTER = Chart("karpenter", "oci://public.ecr.aws/karpenter", KARPENTER_VERSION)
KARPENTER_CRD = Chart("karpenter-crd", "oci://public.ecr.aws/karpenter", KARPENTER_VERSION)

# Ships device plugin 0.20.0: 0.19.0 to 0.19.2 seize every EFA device (NVIDIA/k8s-device-plugin#1692).
# renovate: datasource=helm depName=gpu-operator registryUrl=https://helm.ngc.nvidia.com/nvidia
GPU_OPERATOR = Chart("gpu-operator", "https://helm.ngc.nvidia.com/nvidia", "v26.7.0")

# renovate: datasource=helm depName=aws-efa-k8s-device-plugin registryUrl=https://aws.github.io/eks-charts
EFA_DEVICE_PLUGIN = Chart("aws-efa-k8s-device-plugin", "https://aws.github.io/eks-charts", "v0.5.30")

# The engine. The planner's memory rules and flags are those of this release.
# renovate: datasource=docker depName=vllm/vllm-openai
VLLM_VERSION = "0.33.0"
VLLM_IMAGE = "vllm/vllm-openai:v0.33.0"

# EKS managed add-ons. Versions come from the stack's config or are EKS's default for the cluster's Kubernetes version.
VPC_CNI = "vpc-cni"
KUBE_PROXY = "kube-proxy"
POD_IDENTITY_AGENT = "eks-pod-identity-agent"
COREDNS = "coredns"
EBS_CSI = "aws-ebs-csi-driver"
EFS_CSI = "aws-efs-csi-driver"
METRICS_SERVER = "metrics-server"
NODE_MONITORING_AGENT = "eks-node-monitoring-agent"

ADDONS_BEFORE_NODES = (VPC_CNI, KUBE_PROXY, POD_IDENTITY_AGENT)
"""Installed before any node joins: without them a node is never Ready or its first pods have no credentials."""
ADDONS_AFTER_NODES = (COREDNS, EBS_CSI, EFS_CSI, METRICS_SERVER, NODE_MONITORING_AGENT)
"""Need a node to become active, so they wait for the system node group."""
