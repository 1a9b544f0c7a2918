"""The only reader of Pulumi's configuration: settings as frozen dataclasses, or every problem at once."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.runtime import get_config_env
from pulumi.runtime.config import CONFIG, is_config_secret

from infra.settings import checks
from infra.settings.problems import Problem
from infra.settings.sections import StackConfig
from infra.settings.stack import parse_stack

SECRETS = ("hfToken", "apiKey")
"""Optional secrets. Pulumi.yaml does not declare them: a declared secret without a default is required everywhere."""
DEFAULT_REGION = "us-east-1"


class InvalidStack(pulumi.RunError):
    """The stack cannot be deployed as configured. Pulumi prints a RunError's message without a traceback."""

    def __init__(self, stack: str, problems: tuple[Problem, ...]) -> None:
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        super().__init__("\n\n".join([f"{count} in Pulumi.{stack}.yaml", *map(str, problems)]))
        self.problems = problems


@dataclass(frozen=True)
class Secrets:
    """Credentials from the stack's encrypted configuration; None where not set."""

    hugging_face_token: pulumi.Output[str] | None
    api_key: pulumi.Output[str] | None


def read_secrets() -> Secrets:
    """Return the stack's secrets."""
    config = pulumi.Config()
    return Secrets(config.get_secret("hfToken"), config.get_secret("apiKey"))


@dataclass(frozen=True)
class Settings:
    """A stack's settings, with what is wrong with them and what has no effect."""

    config: StackConfig
    problems: tuple[Problem, ...]
    ignored: tuple[Problem, ...]


def read_settings() -> Settings:
    """Return the stack's settings and everything that is wrong with them."""
    region = pulumi.Config("aws").get("region") or DEFAULT_REGION
    raw, project = {**get_config_env(), **CONFIG.get()}, pulumi.get_project()
    values, ignored = plain_values(raw, project)
    config, problems = parse_stack(values, region)
    encrypted = {key for key in raw if is_config_secret(key)}
    own = (*readable_secrets(raw, encrypted, project), *name_problems(config, project, pulumi.get_stack()))
    return Settings(config, (*problems, *own), ignored)


def readable_secrets(raw: Mapping[str, str], encrypted: Collection[str], project: str) -> Iterator[Problem]:
    """Yield secrets that stand in the stack file for everybody to read; their values are never repeated."""
    for key in SECRETS:
        full = f"{project}:{key}"
        if full in raw and full not in encrypted:
            message = "is not encrypted: whoever reads the stack file has it"
            fix = f"pulumi config set --secret {key} VALUE, with a new value where this one was shared"
            yield Problem(key, None, "secret", message, fix)


def name_problems(config: StackConfig, project: str, stack: str) -> Iterator[Problem]:
    """Yield names of project and stack that make no name of a cluster, which roles and the queue share."""
    name = f"{project}-{stack}"
    if config.cluster.name is None and checks.cluster_name(name):
        message = f"makes {name} the cluster's name, which AWS refuses"
        yield Problem("stack", stack, "format", message, f"rename the stack so that this is {checks.CLUSTER_NAME}")


def plain_values(raw: Mapping[str, str], project: str) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """Return the project's settings as plain data, without the secrets, and what has no effect.

    Pulumi hands objects over as JSON, and booleans as text. Settings of the AWS provider are not read: the program
    configures its own explicit one, and says so instead of ignoring them silently.
    """
    values: dict[str, Any] = {}
    ignored = []
    for full, text in raw.items():
        namespace, _, key = full.rpartition(":")
        if namespace == project and key not in SECRETS:
            if text != "":  # Pulumi.yaml knows no optional keys: there, an empty text is how one is left unset
                values[key] = _decoded(text)
        elif namespace == "aws" and key != "region":
            message = "has no effect: the program configures its own provider from region and tags"
            fix = "use llm-serving:tags for tags, and AWS_PROFILE or the usual environment for credentials"
            ignored.append(Problem(full, None, "ignored", message, fix))
    return values, tuple(ignored)


def _decoded(text: Any) -> Any:
    """Return a value that may be JSON: lists, maps and booleans. Everything else is text, as the stack file's is."""
    if not isinstance(text, str) or not (text.startswith(("[", "{")) or text in {"true", "false"}):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
