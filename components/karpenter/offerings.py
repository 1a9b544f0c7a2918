"""In which zones EC2 offers what a pool asks for."""

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws


class NotOfferedError(pulumi.RunError):
    """EC2 offers none of the types in any zone of the pool; Pulumi prints the message without a traceback."""


def usable_zones(zones: Sequence[str], offered: Sequence[str], instance_types: Sequence[str]) -> list[str]:
    """Return the pool's zones in which EC2 offers at least one of the types, in the pool's order. Pure.

    An answer without any zone at all proves nothing: an endpoint that knows no offerings (a simulator, a new Region's
    API) gives it too, and a type that the region lacks is refused before. The pool then keeps its zones.

    Raises:
        NotOfferedError: EC2 names zones, and none of the pool's is among them.

    """
    if not offered:
        return list(zones)
    usable = [zone for zone in zones if zone in set(offered)]
    if not usable:
        raise NotOfferedError(
            f"EC2 offers {', '.join(instance_types)} in {', '.join(sorted(set(offered)))}, not in {', '.join(zones)}; "
            "change the network's availability zones or the pool's families"
        )
    return usable


def offered_zones(
    instance_types: Sequence[str], zones: Sequence[str], *, parent: pulumi.Resource
) -> pulumi.Output[list[str]]:
    """Ask EC2, at preview already, and return the zones that a pool can use."""
    found = aws.ec2.get_instance_type_offerings_output(
        location_type="availability-zone",
        filters=[{"name": "instance-type", "values": list(instance_types)}],
        opts=pulumi.InvokeOutputOptions(parent=parent),
    )
    return found.apply(lambda offerings: usable_zones(zones, offerings.locations or [], instance_types))
