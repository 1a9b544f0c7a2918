"""What a run of the program registered: the data that plans, tests and renderings read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from offline.values import leaves


@dataclass(frozen=True)
class Registration:
    """One resource as the engine was asked to make it. Property names are those of the wire (camelCase)."""

    urn: str
    type: str
    name: str
    inputs: Mapping[str, Any]
    """Secrets appear as `Secret`, resources as `Reference`, values that a preview cannot know as `UNKNOWN`."""
    parent: str
    """URN; the stack's for a resource without a component."""
    provider: str
    """`<urn>::<id>` of the explicit provider; empty where a default provider would be used."""
    providers: Mapping[str, str]
    """Package to `<urn>::<id>`: what a component hands to its children."""
    dependencies: frozenset[str]
    """URNs: those of `depends_on` and those that inputs come from."""
    property_dependencies: Mapping[str, frozenset[str]]
    protect: bool
    retain_on_delete: bool
    delete_before_replace: bool
    deleted_with: str
    aliases: tuple[str, ...]
    """Old names or URNs."""
    ignore_changes: tuple[str, ...]
    replace_on_changes: tuple[str, ...]
    additional_secret_outputs: tuple[str, ...]
    timeouts: Mapping[str, str]
    """Of create, update, delete: those that are set."""
    custom: bool
    """False: a component."""
    remote: bool
    """True: a component that a plugin makes (eks.Cluster); its children do not appear in a recording."""
    id: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What the simulated provider answered; empty in a preview."""

    @property
    def package(self) -> str:
        """Return `aws`, `kubernetes`, `eks`, ...; for a provider resource the package it serves."""
        head, _, rest = self.type.partition(":")
        return rest.rpartition(":")[2] if self.is_provider else head

    @property
    def is_provider(self) -> bool:
        """Tell whether this is an explicit provider."""
        return self.type.startswith("pulumi:providers:")

    @property
    def provider_urn(self) -> str:
        """Return the URN of the explicit provider, empty without one."""
        return self.provider.rpartition("::")[0]


@dataclass(frozen=True)
class Invocation:
    """One data source that the program asked."""

    token: str
    args: Mapping[str, Any]
    provider: str


@dataclass(frozen=True)
class Message:
    """One line that the program logged through `pulumi.log` (or the SDK on its behalf)."""

    severity: str
    text: str


@dataclass
class Deployment:
    """Everything one run of a program registered, in the order of registration (which means nothing)."""

    project: str
    stack: str
    resources: list[Registration] = field(default_factory=list)
    component_outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """URN to the outputs that the component registered."""
    outputs: dict[str, Any] = field(default_factory=dict)
    """The stack's exports."""
    invocations: list[Invocation] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    @property
    def stack_urn(self) -> str:
        """Return the URN of the root of the tree."""
        return f"urn:pulumi:{self.stack}::{self.project}::pulumi:pulumi:Stack::{self.project}-{self.stack}"

    @property
    def by_urn(self) -> dict[str, Registration]:
        """Return all resources by URN."""
        return {resource.urn: resource for resource in self.resources}

    def of_type(self, type_: str) -> list[Registration]:
        """Return the resources of one type token, such as `aws:efs/fileSystem:FileSystem`, by name."""
        return sorted((r for r in self.resources if r.type == type_), key=lambda r: r.name)

    def one(self, type_: str, name: str | None = None) -> Registration:
        """Return the single resource of a type (and name). Raises LookupError that lists what there is."""
        found = [r for r in self.of_type(type_) if name in (None, r.name)]
        if len(found) != 1:
            there = [r.name for r in self.of_type(type_)] or sorted({r.type for r in self.resources})
            raise LookupError(f"{len(found)} resources of {type_} named {name or 'anything'}; there are {there}")
        return found[0]

    def of_kind(self, kind: str) -> list[Registration]:
        """Return Kubernetes objects of a kind, typed resources and custom ones alike, by name."""
        objects = (r for r in self.resources if r.package == "kubernetes" and not r.is_provider)
        return sorted((r for r in objects if r.inputs.get("kind") == kind), key=lambda r: r.name)

    def children(self, urn: str) -> list[Registration]:
        """Return the direct children of a resource, by type and name."""
        return sorted((r for r in self.resources if r.parent == urn), key=lambda r: (r.type, r.name))

    def components(self) -> list[Registration]:
        """Return the components that the program itself defines, by URN."""
        return sorted((r for r in self.resources if not r.custom and not r.remote), key=lambda r: r.urn)

    def outputs_of(self, type_: str, name: str | None = None) -> dict[str, Any]:
        """Return what the single component of a type (and name) registered as its outputs."""
        return self.component_outputs[self.one(type_, name).urn]

    def input_leaves(self) -> Iterator[tuple[Registration, str, Any]]:
        """Yield (resource, path, value) for every scalar of every resource's inputs."""
        for resource in self.resources:
            for path, value in leaves(resource.inputs):
                yield resource, path, value
