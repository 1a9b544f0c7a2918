"""List what a stack left behind in AWS: `python -m offline.sweep --stack prod`, after `pulumi destroy`.

Looks only: it prints the command that would remove each thing, and runs none. Needs AWS credentials that may describe
and list (ReadOnlyAccess suffices).
Exit codes: 0 nothing left (what the stack file keeps on purpose does not count), 1 something left, 2 wrong usage, no
credentials, or a kind that could not be looked at.
"""

import argparse
import functools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError, ProfileNotFound

from offline.program import ROOT
from offline.stack_files import UnreadableStackError, read_stack
from offline.sweep import services
from offline.sweep.ec2 import INSTANCES, NETWORK, STORAGE_AND_INTERFACES
from offline.sweep.finding import Client, Finding, Look
from offline.sweep.owner import Owner, owner_of
from offline.target import add_target, target_file

LOOKS: Mapping[str, Look] = {
    "load balancers": services.load_balancers,
    INSTANCES.name: INSTANCES.look,
    "clusters": services.clusters,
    **{kind.name: kind.look for kind in STORAGE_AND_INTERFACES},
    "file systems": services.file_systems,
    **{kind.name: kind.look for kind in NETWORK},
    "instance profiles": services.instance_profiles,
    "roles and policies": services.roles_and_policies,
    "queues": services.queues,
    "event rules": services.event_rules,
    "log groups": services.log_groups,
    "keys": services.keys,
}
"""In the order in which a person would remove what they find."""


@dataclass(frozen=True)
class Sweep:
    """The result of one look around."""

    owner: Owner
    account: str
    found: tuple[Finding, ...]
    unseen: Mapping[str, str]
    """Kind to the reason why it could not be looked at."""

    @property
    def left(self) -> tuple[Finding, ...]:
        """Return what nobody wanted to keep."""
        return tuple(each for each in self.found if not each.kept)

    @property
    def exit_code(self) -> int:
        """Return 0, 1 or 2: a look that missed something never says that nothing is left."""
        return 2 if self.unseen else 1 if self.left else 0

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        commands = [{**asdict(each), "remove": _command(each, self.owner)} for each in self.found]
        return {
            "cluster": self.owner.cluster,
            "region": self.owner.region,
            "account": self.account,
            "found": commands,
            "unseen": dict(self.unseen),
        }


def sweep(owner: Owner, client: Client) -> Sweep:
    """Look at every kind. Raises BotoCoreError or ClientError where not even the account can be told."""
    account = client("sts").get_caller_identity()["Account"]
    found: list[Finding] = []
    unseen: dict[str, str] = {}
    for kind, look in LOOKS.items():
        try:
            found.extend(look(client, owner))
        except (ClientError, BotoCoreError) as error:
            unseen[kind] = str(error)
    return Sweep(owner, account, tuple(found), unseen)


def main(arguments: Sequence[str] | None = None) -> int:
    """Sweep one stack, print what is left, and return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    path = target_file(parser, options)
    try:
        owner = owner_of(read_stack(ROOT, path))
        result = sweep(owner, _clients(owner.region, options.profile))
    except UnreadableStackError as unreadable:
        print(f"{path}: {unreadable}", file=sys.stderr)
        return 2
    except (NoCredentialsError, ProfileNotFound, NoRegionError) as missing:
        print(f"{missing}: sign in first (aws sso login, AWS_PROFILE, or --profile NAME)", file=sys.stderr)
        return 2
    except (ClientError, BotoCoreError) as error:
        print(f"AWS does not answer: {error}", file=sys.stderr)
        return 2
    if options.format == "json":
        print(json.dumps(result.to_json(), indent=2))
    else:
        print(_text(result))
    return result.exit_code


def _clients(region: str, profile: str | None) -> Client:
    session = boto3.Session(profile_name=profile, region_name=region)
    config = Config(retries={"mode": "adaptive", "max_attempts": 10})
    return functools.cache(lambda service: session.client(service, config=config))


def _parser() -> argparse.ArgumentParser:
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="python -m offline.sweep", description=summary, epilog=rest)
    add_target(parser)
    parser.add_argument("--profile", help="AWS profile to sign in with (default: as the aws command)")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    return parser


def _text(result: Sweep) -> str:
    owner = result.owner
    lines = [f"{owner.cluster} in {owner.region}, account {result.account}"]
    if any(each.kind == "cluster" for each in result.found):
        lines.append("The cluster still exists: what follows is in use, not left over. Destroy the stack first.")
    lines += _section("Left", result.left, owner)
    kept = [each for each in result.found if each.kept]
    lines += _section("Kept on purpose (cache.retainOnDelete)", kept, owner)
    if result.unseen:
        lines += ["", f"Not looked at: {len(result.unseen)}"]
        lines += [f"  {kind}: {reason}" for kind, reason in result.unseen.items()]
    elif not result.left:
        lines += ["", "Nothing is left."]
    return "\n".join(lines)


def _section(title: str, findings: Sequence[Finding], owner: Owner) -> list[str]:
    if not findings:
        return []
    lines = ["", f"{title}: {len(findings)}"]
    for each in findings:
        lines += [f"  {each.kind} {each.id}" + (f"  ({each.detail})" if each.detail else "")]
        lines += [f"    {_command(each, owner)}"]
    return lines


def _command(finding: Finding, owner: Owner) -> str:
    return f"aws --region {owner.region} {finding.remove}"
