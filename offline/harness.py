"""Run a Pulumi program without an engine, a cloud or a CLI, and return everything it registered.

    deployment = deploy(lambda: ModelCache("cache", {...}), cloud=EksCloud())
    assert deployment.one("aws:efs/fileSystem:FileSystem").inputs["encrypted"] is True

The program runs to its end on an event loop and in a context of its own, so runs cannot see each other.
"""

import asyncio
import contextvars
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pulumi.runtime
from google.protobuf import empty_pb2
from pulumi.runtime import mocks, settings
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.stack import run_in_stack

from offline.cloud import Cloud
from offline.eks_cloud import EksCloud
from offline.recording import Deployment, Invocation, Message, Registration
from offline.values import Reference, decode, encode, leaves, revealed

PROJECT = "llm-serving"
_STACK_TYPE = "pulumi:pulumi:Stack"
_TURNS = 50
"""Turns of the event loop between two looks at what is still pending."""


def deploy(
    program: Callable[[], Any],
    *,
    cloud: Cloud | None = None,
    config: Mapping[str, Any] | None = None,
    secrets: Mapping[str, Any] | None = None,
    preview: bool = False,
    project: str = PROJECT,
    stack: str = "test",
) -> Deployment:
    """Run `program` and return its recording.

    `config` and `secrets` hold stack configuration by key (`llm-serving:models`; a key without a namespace belongs
    to the project); values that are no strings are JSON-encoded, as the CLI does. With `preview`, no resource has
    any output but its inputs: everything a first `pulumi preview` cannot know is unknown. `cloud` answers creations
    and data sources; by default `EksCloud`. Whatever the program raises passes through.
    """
    deployment = Deployment(project=project, stack=stack)
    monitor = _RecordingMonitor(deployment, cloud or EksCloud(), preview=preview)
    context = contextvars.copy_context()
    context.run(_configure, deployment, monitor, _qualified(config, project), _qualified(secrets, project))
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(_InlineExecutor(max_workers=1))
        # One failure leaves every output that depends on it unread; the failure itself is raised.
        runner.get_loop().set_exception_handler(lambda _loop, _context: None)
        runner.run(run_in_stack(lambda: _settled(program)), context=context)
    return deployment


def _qualified(values: Mapping[str, Any] | None, project: str) -> dict[str, str]:
    return {
        key if ":" in key else f"{project}:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in (values or {}).items()
    }


def _configure(
    deployment: Deployment, monitor: "_RecordingMonitor", config: dict[str, str], secrets: dict[str, str]
) -> None:
    """Point the SDK's context-local settings at the recording monitor (what the language host does at start)."""
    settings.reset_options(project=deployment.project, stack=deployment.stack, preview=monitor.preview)
    settings.configure(
        mocks.MockSettings(
            monitor=monitor,
            monitor_features=set(monitor.GetDeploymentInfo(empty_pb2.Empty()).supportedFeatures),
            engine=mocks.MockEngine(_message_logger(deployment)),
            project=deployment.project,
            stack=deployment.stack,
            dry_run=monitor.preview,
            organization=None,
            callbacks=None,
        )
    )
    pulumi.runtime.set_all_config({**config, **secrets}, list(secrets))


async def _settled(program: Callable[[], Any]) -> None:
    """Run a program and let everything it started come to rest.

    The SDK's own wait (`wait_for_rpcs`) looks at every pending output each time one of them is done: with hundreds of
    resources that is most of a run. Once nothing is pending it has nothing to look at. Whatever does not come to rest
    by itself, and every error, is left to it.
    """
    program()
    pending = -1
    while pending != (pending := sum(not task.done() for task in asyncio.all_tasks())):
        for _ in range(_TURNS):
            await asyncio.sleep(0)


class _InlineExecutor(ThreadPoolExecutor):
    """Runs each call at once on the caller's thread.

    Resource references must be rehydrated on the loop's thread: on worker threads `eks.Addon(cluster=...)` fails or
    hangs in one run out of three (https://github.com/pulumi/pulumi/issues/7663).
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  (handed to whoever awaits the future)
            future.set_exception(error)
        return future


def _message_logger(deployment: Deployment) -> logging.Logger:
    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            deployment.messages.append(Message(record.levelname.lower(), record.getMessage()))

    logger = logging.Logger("pulumi program", logging.INFO)  # noqa: LOG001  (private to this run, not global)
    logger.addHandler(Collector())
    return logger


class _RecordingMonitor(mocks.MockMonitor):
    """The engine's resource monitor: records each request and lets a simulated cloud answer it."""

    def __init__(self, deployment: Deployment, cloud: Cloud, *, preview: bool) -> None:
        super().__init__(mocks=cloud)  # pyright: ignore[reportArgumentType]  (every method that uses it is replaced)
        self.preview = preview
        self._deployment = deployment
        self._cloud = cloud
        self._referenced: dict[str, Reference] = {}
        self._owners: dict[str, str] = {}
        """Resource inside a remote component to that component, which stands for it in the recording."""

    def make_urn(self, parent: str, type_: str, name: str) -> str:
        """Return the URN that the engine would give: the stack does not appear in the chain of parent types."""
        chain = parent.split("::")[2] if parent else ""
        qualified = f"{chain}${type_}" if chain and chain != _STACK_TYPE else type_
        return f"urn:pulumi:{self._deployment.stack}::{self._deployment.project}::{qualified}::{name}"

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> Any:  # noqa: N802  (gRPC's name)
        """Record a registration and answer with the simulated resource's id and properties."""
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == _STACK_TYPE:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        inputs = decode(request.object)
        identity, outputs = self._create(urn, request, inputs)
        self._deployment.resources.append(
            _registration(urn, request, inputs, self._owners, identity=identity, outputs=outputs)
        )
        return resource_pb2.RegisterResourceResponse(urn=urn, id=identity, object=encode(outputs))

    def _create(
        self, urn: str, request: resource_pb2.RegisterResourceRequest, inputs: dict[str, Any]
    ) -> tuple[str, Mapping[str, Any]]:
        if self.preview:
            return "", {} if request.remote else inputs
        if not request.custom and not request.remote:
            return "", {}
        identity, outputs = self._cloud.create(urn, request.type, request.name, inputs)
        for _, value in leaves(outputs):
            if isinstance(value, Reference):
                self._referenced[value.urn] = value
                self._owners[value.urn] = urn
        self._referenced[urn] = Reference(urn, identity, outputs)
        return identity, outputs

    def RegisterResourceOutputs(self, request: resource_pb2.RegisterResourceOutputsRequest) -> Any:  # noqa: N802
        """Record what a component or the stack registered as its outputs."""
        outputs = decode(request.outputs)
        if request.urn == self._deployment.stack_urn:
            self._deployment.outputs = outputs
        else:
            self._deployment.component_outputs[request.urn] = outputs
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> Any:  # noqa: N802
        """Answer a data source, or resolve a resource reference to the state that goes with it."""
        args = decode(request.args)
        if request.tok == "pulumi:pulumi:getResource":
            found = self._referenced.get(args["urn"], Reference(args["urn"], ""))
            answer: Mapping[str, Any] = {"urn": found.urn, "id": found.id, "state": found.state}
        else:
            self._deployment.invocations.append(Invocation(request.tok, args, request.provider))
            answer = self._cloud.invoke(request.tok, revealed(args))
        response = resource_pb2.ResourceInvokeResponse()
        getattr(response, "return").CopyFrom(encode(answer))
        return response


def _registration(
    urn: str,
    request: resource_pb2.RegisterResourceRequest,
    inputs: Mapping[str, Any],
    owners: Mapping[str, str],
    *,
    identity: str,
    outputs: Mapping[str, Any],
) -> Registration:
    by_property = {key: _recorded(value.urns, owners) for key, value in request.propertyDependencies.items()}
    # The SDK leaves references out of a remote component's dependencies: its children, which a plugin makes and no
    # recording shows, have them.
    referenced = frozenset(value.urn for _, value in leaves(inputs) if isinstance(value, Reference))
    limits = request.customTimeouts
    timeouts = {"create": limits.create, "update": limits.update, "delete": limits.delete}
    return Registration(
        urn=urn,
        type=request.type,
        name=request.name,
        inputs=inputs,
        parent=request.parent,
        provider=request.provider,
        providers=dict(request.providers),
        dependencies=_recorded(request.dependencies, owners).union(referenced, *by_property.values()),
        property_dependencies=by_property,
        protect=request.protect,
        retain_on_delete=request.retainOnDelete,
        delete_before_replace=request.deleteBeforeReplace,
        deleted_with=request.deletedWith,
        aliases=tuple(alias.urn or alias.spec.name for alias in request.aliases),
        ignore_changes=tuple(request.ignoreChanges),
        replace_on_changes=tuple(request.replaceOnChanges),
        additional_secret_outputs=tuple(request.additionalSecretOutputs),
        timeouts={operation: limit for operation, limit in timeouts.items() if limit},
        custom=request.custom,
        remote=request.remote,
        id=identity,
        outputs=outputs,
    )


def _recorded(urns: Iterable[str], owners: Mapping[str, str]) -> frozenset[str]:
    """Return dependencies as resources of the recording."""
    return frozenset(owners.get(urn, urn) for urn in urns)
