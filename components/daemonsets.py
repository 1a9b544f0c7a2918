"""What the DaemonSets of a GPU node ask for, and so what a node has left for a model server. Pure."""

from typing import NamedTuple


class Requests(NamedTuple):
    """Requests of one DaemonSet's pod."""

    millicores: int
    mebibytes: int
    source: str


ON_EVERY_GPU_NODE = {
    "aws-efs-csi-driver": Requests(100, 256, "components/cluster/addons.py: efs-proxy needs more than its default"),
    "aws-ebs-csi-driver": Requests(30, 120, "kubernetes-sigs/aws-ebs-csi-driver chart 2.64.0: three containers"),
    "kube-proxy": Requests(100, 0, "EKS's manifest of kube-proxy"),
    "vpc-cni": Requests(50, 0, "aws/amazon-vpc-cni-k8s chart: aws-node and its network policy agent, 25m each"),
    "eks-node-monitoring-agent": Requests(10, 30, "aws/eks-node-monitoring-agent chart v1.7.0; its DCGM engine: none"),
    "node-feature-discovery": Requests(5, 64, "kubernetes-sigs/node-feature-discovery chart: worker"),
    "gpu-operator": Requests(0, 0, "NVIDIA/gpu-operator v26.7.0: plugin, discovery, exporter, validator ask nothing"),
}
"""By add-on or chart. eks-pod-identity-agent asks for nothing."""
EFA_PLUGIN = Requests(10, 20, "aws/eks-charts stable/aws-efa-k8s-device-plugin README")
EFA_HUGEPAGES_MIB = 5128 * 2
"""The EFA driver takes that many pages of 2 MiB for itself, which Karpenter does not know of
(awsdocs/amazon-eks-user-guide node-efa.adoc)."""
OWNERS_OWN = Requests(100, 256, "room for one agent of the cluster's owner, a log shipper for example")


def millicores(*, efa: bool) -> int:
    """Return the CPU that the DaemonSets of a GPU node ask for."""
    return sum(each.millicores for each in _all(efa=efa))


def mebibytes(*, efa: bool) -> int:
    """Return the memory that they ask for, with what the EFA driver takes, in MiB."""
    return sum(each.mebibytes for each in _all(efa=efa)) + (EFA_HUGEPAGES_MIB if efa else 0)


def _all(*, efa: bool) -> list[Requests]:
    return [*ON_EVERY_GPU_NODE.values(), OWNERS_OWN, *([EFA_PLUGIN] if efa else [])]
