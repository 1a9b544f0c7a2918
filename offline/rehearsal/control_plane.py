"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler on free loopback ports."""

import json
import secrets
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from offline.rehearsal import pki
from offline.rehearsal.kube import Kube
from offline.rehearsal.processes import Group, free_port

START_S = 120
"""Longest wait for the API server: 3-5 s on two free cores, the rest is for a busy machine."""

# Controllers that need no cloud. node-lifecycle is left out: simulated nodes renew no lease, so it would taint them
# unreachable; horizontal-pod-autoscaling too: nothing serves metrics.
CONTROLLERS = (
    "clusterrole-aggregation-controller", "cronjob-controller", "daemonset-controller", "deployment-controller",
    "disruption-controller", "endpoints-controller", "endpointslice-controller", "garbage-collector-controller",
    "job-controller", "namespace-controller", "persistentvolume-binder-controller",
    "persistentvolume-protection-controller", "persistentvolumeclaim-protection-controller",
    "pod-garbage-collector-controller", "replicaset-controller", "resourcequota-controller",
    "root-ca-certificate-publisher-controller", "service-cidr-controller", "serviceaccount-controller",
    "serviceaccount-token-controller", "statefulset-controller", "taint-eviction-controller",
    "ttl-after-finished-controller",
)  # fmt: skip


class ControlPlane:
    """``with ControlPlane(servers) as plane: plane.kube.list("v1", "Node")``.

    ``servers`` is the folder of the binaries. ``folder`` keeps certificates, data and logs; a temporary one that
    goes with the control plane by default.
    """

    def __init__(self, servers: Path, folder: Path | None = None) -> None:
        self.servers = servers
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="rehearsal-")
        self.folder = (folder or Path(self._temporary.name if self._temporary else ".")).resolve()
        self.started_in_s = 0.0

    def __enter__(self) -> Self:
        began = time.monotonic()
        pki.write(self.folder / "pki")
        self.group = Group(self.folder)
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        self.started_in_s = time.monotonic() - began
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End every process and remove the temporary folder."""
        self.group.close()
        if self._temporary:
            self._temporary.cleanup()

    @property
    def kubeconfig(self) -> Path:
        """For controllers and for a curious ``kubectl``."""
        return self.folder / "kubeconfig.json"

    def _start(self) -> None:
        keys = self.folder / "pki"
        token = secrets.token_urlsafe(24)
        client, peer, api = free_port(), free_port(), free_port()
        self.url = f"https://127.0.0.1:{api}"
        self.kube = Kube(self.url, token, keys / "ca.crt")
        _private(keys / "tokens.csv", f'{token},rehearsal,rehearsal,"system:masters"\n')
        _private(self.kubeconfig, json.dumps(self._kubeconfig(token)))
        etcd = f"http://127.0.0.1:{client}"
        self.group.start("etcd", [
            str(self.servers / "etcd"), "--name=rehearsal", f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync",
            f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=rehearsal=http://127.0.0.1:{peer}", "--log-level=warn",
        ])  # fmt: skip
        self.group.start("kube-apiserver", [
            str(self.servers / "kube-apiserver"), f"--etcd-servers={etcd}", "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", f"--secure-port={api}", f"--cert-dir={keys}",
            f"--tls-cert-file={keys / 'server.crt'}", f"--tls-private-key-file={keys / 'server.key'}",
            f"--client-ca-file={keys / 'ca.crt'}", f"--token-auth-file={keys / 'tokens.csv'}",
            "--authorization-mode=RBAC", "--allow-privileged=true", "--service-cluster-ip-range=172.20.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={keys / 'sa.pub'}", f"--service-account-signing-key-file={keys / 'sa.key'}",
            "--endpoint-reconciler-type=none", "--shutdown-delay-duration=0s",
        ])  # fmt: skip
        self.group.wait("kube-apiserver is ready", lambda: self.kube.answers("/readyz"), START_S)
        self.group.start("kube-controller-manager", [
            str(self.servers / "kube-controller-manager"), f"--kubeconfig={self.kubeconfig}", "--leader-elect=false",
            "--secure-port=0", "--controllers=" + ",".join(CONTROLLERS), f"--root-ca-file={keys / 'ca.crt'}",
            f"--service-account-private-key-file={keys / 'sa.key'}", "--kube-api-qps=200", "--kube-api-burst=400",
            # A claim that is seen before its volume is looked at again after this; the default of 15 s only waits.
            "--pvclaimbinder-sync-period=1s",
        ])  # fmt: skip
        self.group.start("kube-scheduler", [
            str(self.servers / "kube-scheduler"), f"--config={self._scheduler_config()}", "--secure-port=0",
        ])  # fmt: skip
        self.group.wait(
            "the controllers are at work",
            lambda: self.kube.answers("/api/v1/namespaces/default/serviceaccounts/default"),
            START_S,
        )

    def _kubeconfig(self, token: str) -> dict[str, object]:
        cluster = {"server": self.url, "certificate-authority": str(self.folder / "pki" / "ca.crt")}
        return {
            "apiVersion": "v1", "kind": "Config", "current-context": "rehearsal",
            "clusters": [{"name": "rehearsal", "cluster": cluster}],
            "users": [{"name": "rehearsal", "user": {"token": token}}],
            "contexts": [{"name": "rehearsal", "context": {"cluster": "rehearsal", "user": "rehearsal"}}],
        }  # fmt: skip

    def _scheduler_config(self) -> Path:
        """EKS's defaults but for the back-off of unschedulable pods (1-10 s), which only costs time here."""
        path = self.folder / "scheduler.json"
        path.write_text(json.dumps({
            "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": str(self.kubeconfig), "qps": 200, "burst": 400},
            "leaderElection": {"leaderElect": False}, "podInitialBackoffSeconds": 1, "podMaxBackoffSeconds": 1,
        }))  # fmt: skip
        return path


def _private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
