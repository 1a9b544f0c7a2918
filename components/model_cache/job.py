"""The Job that fills the model cache with one revision of one model. Pure."""

import hashlib
import math
import re
from dataclasses import dataclass
from typing import Any

from components.pods import MODELS_PATH, container_security, dns_egress, from_secret, https_egress, pod_security
from components.scheduling import CPU_POOL

JOB_NAME_LIMIT = 63

SLOW_DOWNLOAD_MIBPS = 100
"""Rate that deadlines are planned with; the Hub throttles. Seen: 960 GB in 31 min (modelplaneai/modelplane#204)."""
NODE_AND_IMAGE_S = 900
"""A CPU node and a 10 GB image, pessimistic (vllm-project/vllm#41893)."""
DEADLINE_FACTOR = 2
"""Retries share the deadline."""
AWAIT_MARGIN_S = 300
"""Pulumi waits longer than the Job runs, so that it reports the Job's own failure."""

# Idempotent: a finished download is recognised by its marker, an interrupted one is resumed by the client itself.
# original/ and metal/ hold second copies of the weights in other formats; each pattern needs its own --exclude, a
# second word would be taken as a file to download (huggingface_hub 1.33 cli/download.py). Values come from the
# environment, never from string building.
SCRIPT = """\
if [ -e "$TARGET/.complete" ]; then
  echo "$SOURCE at $REVISION is complete"
  exit 0
fi
hf download "$SOURCE" --revision "$REVISION" --local-dir "$TARGET" --exclude "original/*" --exclude "metal/*"
touch "$TARGET/.complete"
"""


@dataclass(frozen=True)
class Download:
    """One revision of one model."""

    model: str
    """The model's name in the stack."""
    source: str
    """Hugging Face repository."""
    revision: str
    namespace: str
    image: str
    """vLLM's image: it contains the ``hf`` command, so nothing is installed while it runs."""
    claim_name: Any
    """PersistentVolumeClaim of the model cache (may be a Pulumi output)."""
    checkpoint_bytes: float
    token_secret: str | None = None
    """Secret whose key ``token`` holds the Hugging Face token."""

    @property
    def path(self) -> str:
        """The directory that the model's servers read."""
        return model_directory(self.model, self.revision)

    @property
    def job_name(self) -> str:
        """Name that changes with model and revision only."""
        digest = hashlib.sha256(f"{self.source}@{self.revision}".encode()).hexdigest()[:10]
        return f"preload-{self.model}"[: JOB_NAME_LIMIT - len(digest) - 1].rstrip("-") + f"-{digest}"

    @property
    def deadline_s(self) -> int:
        """Seconds after which the Job has failed."""
        transfer = self.checkpoint_bytes / 2**20 / SLOW_DOWNLOAD_MIBPS
        return NODE_AND_IMAGE_S + math.ceil(transfer * DEADLINE_FACTOR)

    @property
    def await_s(self) -> int:
        """Seconds that Pulumi waits."""
        return self.deadline_s + AWAIT_MARGIN_S


def model_directory(model: str, revision: str) -> str:
    """Return where a revision of a model lies on the cache, for servers and preloaders alike."""
    return f"{MODELS_PATH}/{model}/{re.sub('[^A-Za-z0-9._-]', '-', revision)}"


def labels(download: Download) -> dict[str, str]:
    """Return the labels of the Job and its pods."""
    return {
        "app.kubernetes.io/name": "model-preload",
        "app.kubernetes.io/instance": download.model,
        "app.kubernetes.io/part-of": "llm-serving",
    }


def job(download: Download) -> dict[str, Any]:
    """Return metadata and spec of the Job.

    It has no ``ttlSecondsAfterFinished``: once Kubernetes deleted it, the next ``pulumi up`` would make it again.
    """
    return {
        "metadata": {"name": download.job_name, "namespace": download.namespace, "labels": labels(download)},
        "spec": {
            "backoffLimit": 6,
            "activeDeadlineSeconds": download.deadline_s,
            "template": {
                "metadata": {
                    "labels": labels(download),
                    "annotations": {"karpenter.sh/do-not-disrupt": "true"},
                },
                "spec": _pod(download),
            },
        },
    }


def network_policy(download: Download) -> dict[str, Any]:
    """Return metadata and spec of the policy: out to name servers and by HTTPS, nothing in."""
    return {
        "metadata": {"name": download.job_name, "namespace": download.namespace, "labels": labels(download)},
        "spec": {
            "podSelector": {"matchLabels": labels(download)},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [dns_egress(), https_egress()],
        },
    }


def _pod(download: Download) -> dict[str, Any]:
    environment: list[dict[str, Any]] = [
        {"name": "SOURCE", "value": download.source},
        {"name": "REVISION", "value": download.revision},
        {"name": "TARGET", "value": download.path},
        {"name": "HOME", "value": "/tmp"},  # noqa: S108
        {"name": "HF_HOME", "value": "/tmp/huggingface"},  # noqa: S108
        {"name": "HF_HUB_DISABLE_TELEMETRY", "value": "1"},
    ]
    if download.token_secret:
        environment.append(from_secret("HF_TOKEN", download.token_secret))
    return {
        "restartPolicy": "OnFailure",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # A GPU node would be bought for a download: the pool of CPU nodes scales from zero.
        "nodeSelector": {"karpenter.sh/nodepool": CPU_POOL},
        "securityContext": pod_security(),
        "containers": [
            {
                "name": "download",
                "image": download.image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["/bin/sh", "-eu", "-c", SCRIPT],
                "env": environment,
                # Fits m7i.xlarge (4 vCPUs, 16 GiB), whose network carries more than Hugging Face sends.
                "resources": {"requests": {"cpu": "3", "memory": "12Gi"}, "limits": {"memory": "12Gi"}},
                "securityContext": container_security(read_only_root=True),
                "volumeMounts": [
                    {"name": "models", "mountPath": MODELS_PATH},
                    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
                ],
            }
        ],
        "volumes": [
            {"name": "models", "persistentVolumeClaim": {"claimName": download.claim_name}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
