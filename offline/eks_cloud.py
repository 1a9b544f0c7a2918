"""A simulated AWS with EKS: what `eks.Cluster` returns, and the few data sources that the program may ask."""

from collections.abc import Mapping
from typing import Any, Final

from offline.cloud import ACCOUNT, Cloud
from offline.values import Reference, revealed

_ZONE_LETTERS: Final = {"us-east-1": "abcdef", "us-west-2": "abcd", "us-west-1": "ab"}
"""Regions whose number of zones is not three (https://docs.aws.amazon.com/global-infrastructure, 2026-11)."""


class EksCloud(Cloud):
    """Knows the outputs of `eks.Cluster` that a program reads, among them references to the resources inside it."""

    def create(self, urn: str, type_: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Return (id, properties) of a new resource."""
        identity, outputs = super().create(urn, type_, name, inputs)
        match type_:
            case "eks:index:Cluster":
                identity, outputs = "", {**outputs, **self._cluster_outputs(urn, name, revealed(inputs))}
            case "aws:efs/fileSystem:FileSystem":
                outputs = {**outputs, "dnsName": f"{identity}.efs.{self.region}.amazonaws.com"}
            case "aws:sqs/queue:Queue":
                identity = f"https://sqs.{self.region}.amazonaws.com/{ACCOUNT}/{revealed(outputs['name'])}"
                outputs = {**outputs, "url": identity}
            case "aws:eks/addon:Addon":
                identity = f"{revealed(inputs['clusterName'])}:{inputs['addonName']}"
            case "aws:kms/key:Key":
                outputs = {**outputs, "keyId": identity}
            case "aws:ec2/launchTemplate:LaunchTemplate":
                outputs = {**outputs, "latestVersion": 1}
            case "aws:iam/policy:Policy":
                identity = outputs["arn"]
            case "kubernetes:helm.sh/v3:Release":
                status = {"name": name, "namespace": inputs.get("namespace"), "status": "deployed"}
                outputs = {**outputs, "status": status}
        return identity, outputs

    def invoke(self, token: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer one of the five data sources that need no resource of ours."""
        match token:
            case "aws:index/getAvailabilityZones:getAvailabilityZones":
                names = [self.region + letter for letter in _ZONE_LETTERS.get(self.region, "abc")]
                return {"id": self.region, "names": names, "zoneIds": [], "groupNames": [self.region]}
            case "aws:index/getCallerIdentity:getCallerIdentity":
                arn = f"arn:{self.partition}:iam::{ACCOUNT}:user/offline"
                return {"id": ACCOUNT, "accountId": ACCOUNT, "arn": arn, "userId": "AIDAOFFLINE"}
            case "aws:eks/getAddonVersion:getAddonVersion":
                version = f"EKS default for {args['kubernetesVersion']}"
                return {**args, "id": args["addonName"], "version": version}
            case "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings":
                return self._offerings(args)
            case "aws:eks/getCluster:getCluster":
                return self._existing_cluster(args["name"])
            case _:
                return super().invoke(token, args)

    def _cluster_outputs(self, urn: str, name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        cluster_name = inputs.get("name", name)
        issuer = f"oidc.eks.{self.region}.amazonaws.com/id/{cluster_name}"
        group = self._cluster_group(cluster_name, inputs)
        state = {
            "name": cluster_name,
            "arn": f"arn:{self.partition}:eks:{self.region}:{ACCOUNT}:cluster/{cluster_name}",
            "endpoint": f"https://{cluster_name}.gr7.{self.region}.eks.amazonaws.com",
            "version": inputs.get("version", ""),
            "certificateAuthority": {"data": "Q0E="},
            "vpcConfig": {
                "clusterSecurityGroupId": group,
                "subnetIds": inputs.get("privateSubnetIds", []),
                "vpcId": inputs.get("vpcId", ""),
            },
            "identities": [{"oidcs": [{"issuer": f"https://{issuer}"}]}],
        }
        project = urn.rsplit("::", 1)[0]
        inner = Reference(f"{project}$aws:eks/cluster:Cluster::{name}-eksCluster", cluster_name, state)
        kubeconfig = {"apiVersion": "v1", "kind": "Config", "clusters": [{"name": cluster_name}]}
        return {
            "eksCluster": inner,
            "core": {"cluster": inner, "endpoint": state["endpoint"], "vpcId": inputs.get("vpcId", "")},
            "kubeconfig": kubeconfig,
            "kubeconfigJson": '{"apiVersion":"v1","kind":"Config"}',
            "clusterSecurityGroupId": group,
            "nodeSecurityGroupId": group,
            "oidcIssuer": issuer,
            "oidcProviderUrl": f"https://{issuer}",
            "oidcProviderArn": f"arn:{self.partition}:iam::{ACCOUNT}:oidc-provider/{issuer}",
        }

    def _cluster_group(self, cluster_name: str, inputs: Mapping[str, Any]) -> str:
        """Return the security group that EKS makes for a new cluster."""
        del cluster_name, inputs
        return "sg-0e5c1a57e20f0f0f0"

    def _existing_cluster(self, name: str) -> Mapping[str, Any]:
        """Return a cluster that somebody else made; nobody knows its VPC and its version here."""
        return {
            "id": name,
            "name": name,
            "arn": f"arn:{self.partition}:eks:{self.region}:{ACCOUNT}:cluster/{name}",
            "endpoint": f"https://{name}.gr7.{self.region}.eks.amazonaws.com",
            "version": "",
            "certificateAuthorities": [{"data": "Q0E="}],
            "identities": [{"oidcs": [{"issuer": f"https://oidc.eks.{self.region}.amazonaws.com/id/{name}"}]}],
            "vpcConfig": {"clusterSecurityGroupId": self._cluster_group(name, {}), "vpcId": ""},
        }

    def _offerings(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        # Imported here: component tests that never ask need no catalogue.
        from components.sizing.catalog import offered_zones  # noqa: PLC0415

        wanted = [v for f in args.get("filters") or [] if f["name"] == "instance-type" for v in f["values"]]
        offers = [(type_, zone) for type_ in wanted for zone in offered_zones(self.region, type_)]
        return {
            "id": self.region,
            "instanceTypes": [type_ for type_, _ in offers],
            "locations": [zone for _, zone in offers],
            "locationTypes": ["availability-zone"] * len(offers),
        }
