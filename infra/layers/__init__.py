"""The parts of a stack, each standing on the one before: foundation, platform, serving."""
