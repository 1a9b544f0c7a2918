"""ModelPreload: one model revision in the cache before any GPU is bought for it."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from components.model_cache.job import Download, job, network_policy


class ModelPreloadArgs(TypedDict):
    """Inputs of ModelPreload."""

    model: str
    """The model's name in the stack; first part of its directory on the cache."""
    source: str
    """Hugging Face repository, ``org/name``."""
    revision: str
    """Commit, tag or branch; last part of the directory. A new one is a new Job."""
    namespace: str
    """Namespace of the Job and of the claim."""
    image: str
    """vLLM image, which contains the ``hf`` command."""
    claim_name: pulumi.Input[str]
    """PersistentVolumeClaim of the model cache. Its name carries the file system's id: a new one is loaded again."""
    checkpoint_bytes: float
    """Size of the download; the deadline follows from it."""
    token_secret: NotRequired[str | None]
    """Secret whose key ``token`` is the Hugging Face token. Default: none, public models only."""


class ModelPreload(pulumi.ComponentResource):
    """Job that downloads a model revision into the layout that its servers read, and is done."""

    model_path: pulumi.Output[str]
    """Directory of the weights, as seen by every pod that mounts the cache; known once they are there."""

    def __init__(self, name: str, args: ModelPreloadArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("llm-serving:index:ModelPreload", name, {**args}, opts)
        download = Download(
            model=args["model"],
            source=args["source"],
            revision=args["revision"],
            namespace=args["namespace"],
            image=args["image"],
            claim_name=args["claim_name"],
            checkpoint_bytes=args["checkpoint_bytes"],
            token_secret=args.get("token_secret"),
        )
        policy = k8s.networking.v1.NetworkPolicy(
            f"{name}-network", **network_policy(download), opts=pulumi.ResourceOptions(parent=self)
        )
        wait = f"{download.await_s}s"
        done = k8s.batch.v1.Job(
            f"{name}-job",
            **job(download),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[policy],
                custom_timeouts=pulumi.CustomTimeouts(create=wait, update=wait),
            ),
        )
        self.model_path = done.id.apply(lambda _: download.path)
        self.register_outputs({"modelPath": self.model_path})
