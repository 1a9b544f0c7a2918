"""A VPC for the cluster: public and private subnets, NAT, endpoints, flow logs."""

from components.network.network import Network, NetworkArgs

__all__ = ["Network", "NetworkArgs"]
