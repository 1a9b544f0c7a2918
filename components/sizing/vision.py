"""Bytes of an image tower on one rank."""

from components.sizing.architecture import Architecture


def vision_bytes(arch: Architecture, ranks: int) -> int:
    """Bytes of the tower and its projector on one rank (16 bit)."""
    vision = arch.vision
    if vision is None:
        return 0
    del ranks
    width, inner = vision.hidden, vision.intermediate
    block = 4 * width * width + 2 * width * inner + 9 * width + inner
    patches = vision.patch**2 * vision.channels * vision.temporal_patch * width
    return 2 * (vision.layers * block + patches)
