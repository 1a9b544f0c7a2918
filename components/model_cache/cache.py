"""ModelCache: the file system that holds every model's weights."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s

from components.model_cache import volumes
from components.model_cache.policy import file_system_policy
from components.pods import GID, UID

NFS_PORT = 2049


class ModelCacheArgs(TypedDict):
    """Inputs of ModelCache."""

    cluster_name: str
    """For names and tags."""
    vpc_id: pulumi.Input[str]
    """VPC of the mount targets."""
    zones: list[str]
    """Zones of ``subnet_ids``, in the same order: logical names follow the zone, not its place in the list."""
    subnet_ids: pulumi.Input[list[pulumi.Input[str]]]
    """One private subnet per zone; each gets a mount target."""
    client_security_group_id: pulumi.Input[str]
    """Security group of the nodes, the only ones that may connect."""
    namespace: str
    """Namespace of the claim."""
    throughput_mode: NotRequired[str]
    """``elastic`` (default) or ``provisioned``."""
    provisioned_mibps: NotRequired[int | None]
    """MiB/s; required with ``provisioned``, refused by AWS with ``elastic``."""
    protect: NotRequired[bool]
    """Refuse to delete file system and key. Default false."""
    retain_on_delete: NotRequired[bool]
    """Leave file system and key in AWS when the stack goes. Default false."""


class ModelCache(pulumi.ComponentResource):
    """Encrypted EFS, reachable from the cluster's nodes in each zone, with a claim that every model's pods share.

    There is no lifecycle policy: weights that moved to Infrequent Access make the next cold start slow and dear.
    """

    file_system_id: pulumi.Output[str]
    access_point_id: pulumi.Output[str]
    claim_name: pulumi.Output[str]
    """Known to be bound and mountable in every zone once it resolves."""

    def __init__(self, name: str, args: ModelCacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("llm-serving:index:ModelCache", name, {**args}, opts)
        file_system = self._file_system(name, args)
        access_point = self._access_point(name, file_system)
        targets = self._mount_targets(name, args, file_system)
        claim = self._claim(name, args["namespace"], file_system, access_point, targets)
        self.file_system_id = file_system.id
        self.access_point_id = access_point.id
        self.claim_name = claim.metadata.name
        self.register_outputs(
            {
                "fileSystemId": self.file_system_id,
                "accessPointId": self.access_point_id,
                "claimName": self.claim_name,
            }
        )

    def _file_system(self, name: str, args: ModelCacheArgs) -> aws.efs.FileSystem:
        """Return the file system and its key. Both are kept or lost together: one is worthless without the other."""
        kept = pulumi.ResourceOptions(
            parent=self,
            protect=args.get("protect", False),
            retain_on_delete=args.get("retain_on_delete", False),
        )
        key = aws.kms.Key(
            f"{name}-key",
            description=f"Model weights of {args['cluster_name']}",
            enable_key_rotation=True,
            deletion_window_in_days=30,
            opts=kept,
        )
        mibps = args.get("provisioned_mibps")
        return aws.efs.FileSystem(
            f"{name}-files",
            encrypted=True,
            kms_key_id=key.arn,
            throughput_mode=args.get("throughput_mode", "elastic"),
            provisioned_throughput_in_mibps=None if mibps is None else int(mibps),
            tags={"Name": f"{args['cluster_name']}-models"},
            opts=kept,
        )

    def _access_point(self, name: str, file_system: aws.efs.FileSystem) -> aws.efs.AccessPoint:
        """Return the access point, which makes every client the same user below a directory of its own."""
        access_point = aws.efs.AccessPoint(
            f"{name}-access",
            file_system_id=file_system.id,
            posix_user={"uid": UID, "gid": GID},
            root_directory={
                "path": "/models",
                "creation_info": {"owner_uid": UID, "owner_gid": GID, "permissions": "0770"},
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        aws.efs.FileSystemPolicy(
            f"{name}-policy",
            file_system_id=file_system.id,
            policy=pulumi.Output.all(file_system.arn, access_point.arn).apply(lambda arns: file_system_policy(*arns)),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return access_point

    def _mount_targets(
        self, name: str, args: ModelCacheArgs, file_system: aws.efs.FileSystem
    ) -> list[aws.efs.MountTarget]:
        child = pulumi.ResourceOptions(parent=self)
        group = aws.ec2.SecurityGroup(
            f"{name}-nfs",
            description="NFS from the nodes of the cluster to the model cache",
            vpc_id=args["vpc_id"],
            tags={"Name": f"{args['cluster_name']}-models"},
            opts=child,
        )
        rule = aws.vpc.SecurityGroupIngressRule(
            f"{name}-nfs-from-nodes",
            security_group_id=group.id,
            referenced_security_group_id=args["client_security_group_id"],
            ip_protocol="tcp",
            from_port=NFS_PORT,
            to_port=NFS_PORT,
            description="Nodes of the cluster",
            opts=child,
        )
        subnets = pulumi.Output.from_input(args["subnet_ids"])
        return [
            aws.efs.MountTarget(
                f"{name}-mount-{zone}",
                file_system_id=file_system.id,
                subnet_id=subnets[index],
                security_groups=[group.id],
                opts=pulumi.ResourceOptions(parent=self, depends_on=[rule]),
            )
            for index, zone in enumerate(args["zones"])
        ]

    def _claim(
        self,
        name: str,
        namespace: str,
        file_system: aws.efs.FileSystem,
        access_point: aws.efs.AccessPoint,
        targets: list[aws.efs.MountTarget],
    ) -> k8s.core.v1.PersistentVolumeClaim:
        """Return the claim; what mounts it waits for the mount targets with it."""
        volume_name = file_system.id.apply(volumes.names)
        handle = pulumi.Output.concat(file_system.id, "::", access_point.id)
        storage_class = k8s.storage.v1.StorageClass(
            f"{name}-class",
            metadata=volumes.storage_class()["metadata"],
            provisioner=volumes.DRIVER,
            reclaim_policy=volumes.storage_class()["reclaimPolicy"],
            volume_binding_mode=volumes.storage_class()["volumeBindingMode"],
            opts=pulumi.ResourceOptions(parent=self),
        )
        volume = k8s.core.v1.PersistentVolume(
            f"{name}-volume",
            **volumes.persistent_volume(volume_name, handle, namespace),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[storage_class, *targets]),
        )
        return k8s.core.v1.PersistentVolumeClaim(
            f"{name}-claim",
            **volumes.claim(volume_name, namespace),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[volume]),
        )
