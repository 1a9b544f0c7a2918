"""The whole deployment: network, cluster, platform, serving, each after what it needs."""

import pulumi

from infra.config import InvalidStack, read_secrets, read_settings
from infra.decisions import decide
from infra.layers.foundation import ROOT, lay_foundation
from infra.layers.platform import build_platform
from infra.layers.serving import serve
from infra.outputs import export


def deploy() -> None:
    """Read the settings, decide, and declare everything.

    Raises:
        InvalidStack: with every problem, before any resource is registered.

    """
    settings, secrets = read_settings(), read_secrets()
    config = settings.config
    decisions = decide(
        config,
        ROOT,
        token=secrets.hugging_face_token is not None,
        api_key=secrets.api_key is not None,
        ignored=settings.ignored,
        sound=not settings.problems,
    )
    if settings.problems or decisions.problems:
        raise InvalidStack(pulumi.get_stack(), (*settings.problems, *decisions.problems))
    for warning in decisions.warnings:
        pulumi.log.warn(str(warning).strip())
    foundation = lay_foundation(config)
    platform = build_platform(foundation, decisions.pools)
    endpoints = serve(foundation, platform, decisions, secrets)
    export(config, decisions, foundation.cluster, endpoints)
