"""Everything outside of EC2: each function looks at one kind."""

from collections.abc import Iterator, Mapping
from typing import Any

from offline.sweep.finding import Client, Finding
from offline.sweep.owner import Owner, tag_map

_TAGS_AT_ONCE = 20
"""Load balancers per DescribeTags call."""
_KEY_OF_THE_CACHE = "Model weights of {}"
"""Description of the cache's key, as components/model_cache gives it."""


def clusters(client: Client, owner: Owner) -> Iterator[Finding]:
    """Yield the cluster and its node groups."""
    eks = client("eks")
    if not any(owner.cluster in page["clusters"] for page in eks.get_paginator("list_clusters").paginate()):
        return
    found = eks.describe_cluster(name=owner.cluster)["cluster"]
    if not owner.owns(found.get("tags", {})):
        return
    for group in eks.list_nodegroups(clusterName=owner.cluster)["nodegroups"]:
        remove = f"eks delete-nodegroup --cluster-name {owner.cluster} --nodegroup-name {group}"
        yield Finding("node group", group, f"of cluster {owner.cluster}", remove)
    yield Finding("cluster", owner.cluster, found["status"], f"eks delete-cluster --name {owner.cluster}")


def load_balancers(client: Client, owner: Owner) -> Iterator[Finding]:
    """Yield load balancers that Services and Ingresses of the cluster made."""
    elb = client("elbv2")
    listed = {
        each["LoadBalancerArn"]: each
        for page in elb.get_paginator("describe_load_balancers").paginate()
        for each in page["LoadBalancers"]
    }
    for arn in _owned(elb, "ResourceArns", "ResourceArn", sorted(listed), owner):
        detail = f"{listed[arn]['Type']}, {listed[arn]['LoadBalancerName']}"
        yield Finding("load balancer", arn, detail, f"elbv2 delete-load-balancer --load-balancer-arn {arn}")
    classic = client("elb")
    names = [
        each["LoadBalancerName"]
        for page in classic.get_paginator("describe_load_balancers").paginate()
        for each in page["LoadBalancerDescriptions"]
    ]
    for name in _owned(classic, "LoadBalancerNames", "LoadBalancerName", sorted(names), owner):
        yield Finding("load balancer", name, "classic", f"elb delete-load-balancer --load-balancer-name {name}")


def _owned(elb: Any, argument: str, key: str, ids: list[str], owner: Owner) -> Iterator[str]:
    for start in range(0, len(ids), _TAGS_AT_ONCE):
        described = elb.describe_tags(**{argument: ids[start : start + _TAGS_AT_ONCE]})["TagDescriptions"]
        yield from (each[key] for each in described if owner.owns(tag_map(each["Tags"])))


def file_systems(client: Client, owner: Owner) -> Iterator[Finding]:
    """Yield the model cache, with what is mounted; the stack file says whether it is left on purpose."""
    efs = client("efs")
    for page in efs.get_paginator("describe_file_systems").paginate():
        for each in page["FileSystems"]:
            if not owner.owns(tag_map(each["Tags"])):
                continue
            identity = each["FileSystemId"]
            for target in efs.describe_mount_targets(FileSystemId=identity)["MountTargets"]:
                mount = target["MountTargetId"]
                remove = f"efs delete-mount-target --mount-target-id {mount}"
                yield Finding("mount target", mount, f"of {identity} in {target['SubnetId']}", remove)
            size = f"{each['SizeInBytes']['Value'] / 2**30:,.1f} GiB of weights"
            remove = f"efs delete-file-system --file-system-id {identity}"
            yield Finding("file system", identity, size, remove, kept=owner.keeps_cache)


def queues(client: Client, owner: Owner) -> Iterator[Finding]:
    """Yield Karpenter's queue, which has the cluster's name."""
    sqs = client("sqs")
    for page in sqs.get_paginator("list_queues").paginate(QueueNamePrefix=owner.cluster):
        for url in page.get("QueueUrls", ()):
            if owner.owns(sqs.list_queue_tags(QueueUrl=url).get("Tags", {})):
                yield Finding("queue", url.rpartition("/")[2], "", f"sqs delete-queue --queue-url {url}")


def event_rules(client: Client, owner: Owner) -> Iterator[Finding]:
    """Yield the rules that feed the queue."""
    events = client("events")
    for page in events.get_paginator("list_rules").paginate():
        for rule in page["Rules"]:
            if owner.owns(tag_map(events.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"])):
                remove = f"events delete-rule --name {rule['Name']}"
                yield Finding("event rule", rule["Name"], "remove its targets first", remove)


def log_groups(client: Client, owner: Owner) -> Iterator[Finding]:
    """Yield the groups that EKS, the flow logs and agents write to. They have names of their own and may lack tags."""
    logs = client("logs")
    prefixes = ("/aws/eks/{}/", "/aws/vpc/{}/", "/aws/containerinsights/{}/") if owner.cluster_is_ours else ()
    for prefix in prefixes:
        for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix.format(owner.cluster)):
            for group in page["logGroups"]:
                detail = f"{group.get('storedBytes', 0) / 2**30:,.1f} GiB"
                remove = f"logs delete-log-group --log-group-name {group['logGroupName']}"
                yield Finding("log group", group["logGroupName"], detail, remove)


def instance_profiles(client: Client, owner: Owner) -> Iterator[Finding]:
    """Yield profiles that Karpenter made; a leftover one keeps its role from being deleted."""
    iam = client("iam")
    for page in iam.get_paginator("list_instance_profiles").paginate():
        for profile in page["InstanceProfiles"]:
            name = profile["InstanceProfileName"]
            # The listing has no tags.
            if owner.owns(tag_map(iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"].get("Tags"))):
                roles = ", ".join(role["RoleName"] for role in profile["Roles"])
                remove = f"iam delete-instance-profile --instance-profile-name {name}"
                yield Finding("instance profile", name, f"remove role {roles} first" if roles else "", remove)


def roles_and_policies(client: Client, owner: Owner) -> Iterator[Finding]:
    """Yield roles and policies: they cost nothing, but the next `up` finds their names taken."""
    iam = client("iam")
    prefix = f"{owner.cluster}-"
    for page in iam.get_paginator("list_roles").paginate():
        for name in (role["RoleName"] for role in page["Roles"] if role["RoleName"].startswith(prefix)):
            if owner.owns(tag_map(iam.list_role_tags(RoleName=name)["Tags"])):
                yield Finding("role", name, "detach its policies first", f"iam delete-role --role-name {name}")
    for page in iam.get_paginator("list_policies").paginate(Scope="Local"):
        for arn in (each["Arn"] for each in page["Policies"] if each["PolicyName"].startswith(prefix)):
            if owner.owns(tag_map(iam.list_policy_tags(PolicyArn=arn)["Tags"])):
                yield Finding("policy", arn, "", f"iam delete-policy --policy-arn {arn}")


def keys(client: Client, owner: Owner) -> Iterator[Finding]:
    """Yield encryption keys that are still in use; destroy schedules them for deletion, which is as good as gone."""
    kms = client("kms")
    for page in kms.get_paginator("list_keys").paginate():
        for identity in (each["KeyId"] for each in page["Keys"]):
            key = kms.describe_key(KeyId=identity)["KeyMetadata"]
            if key.get("KeyManager") == "AWS" or key["KeyState"] == "PendingDeletion":
                continue
            if owner.owns(_key_tags(kms, identity)):
                kept = owner.keeps_cache and key["Description"] == _KEY_OF_THE_CACHE.format(owner.cluster)
                remove = f"kms schedule-key-deletion --key-id {identity}"
                yield Finding("key", identity, key["Description"], remove, kept=kept)


def _key_tags(kms: Any, identity: str) -> Mapping[str, str]:
    """Return a key's tags; none where its own policy keeps us from reading them, which ours does not."""
    try:
        return tag_map(kms.list_resource_tags(KeyId=identity)["Tags"])
    except kms.exceptions.ClientError as error:
        if error.response["Error"]["Code"] == "AccessDeniedException":
            return {}
        raise
