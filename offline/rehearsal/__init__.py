"""The rendered stack in front of a real Kubernetes control plane and a real Karpenter, without a cloud.

``python -m offline.rehearsal --stack prod`` starts etcd, kube-apiserver, kube-controller-manager, kube-scheduler
and Karpenter on loopback, plays EC2 (moto) and the nodes, applies what the program declares and compares what the
controllers did with what the plan promised. docs/rehearsal.md says what that proves and what it does not.
"""
