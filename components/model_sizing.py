"""ModelSizing: why a model runs where it runs, kept in the stack's state."""

from typing import Any, TypedDict

import pulumi


class ModelSizingArgs(TypedDict):
    """Inputs of ModelSizing."""

    decision: dict[str, Any]
    """The planner's decision: the keys of a model in the plan's JSON."""


class ModelSizing(pulumi.ComponentResource):
    """The planner's decision for one model as outputs; it has no resources of its own."""

    decision: pulumi.Output[dict[str, Any]]
    """Everything that was decided, with the numbers and assumptions behind it."""
    instance_type: pulumi.Output[str]
    gpus: pulumi.Output[int]
    """GPUs of one replica."""
    replicas: pulumi.Output[int]
    usd_per_hour: pulumi.Output[float]
    """On-demand price of the replicas that the busiest moment needs."""

    def __init__(self, name: str, args: ModelSizingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("llm-serving:index:ModelSizing", name, {**args}, opts)
        decision = args["decision"]
        self.decision = pulumi.Output.from_input(decision)
        self.instance_type = pulumi.Output.from_input(decision["instance_type"])
        self.gpus = pulumi.Output.from_input(int(decision["gpus"]))
        self.replicas = pulumi.Output.from_input(int(decision["replicas"]))
        self.usd_per_hour = pulumi.Output.from_input(float(decision["usd_per_hour"]))
        self.register_outputs(
            {
                "decision": self.decision,
                "instanceType": self.instance_type,
                "gpus": self.gpus,
                "replicas": self.replicas,
                "usdPerHour": self.usd_per_hour,
            }
        )
