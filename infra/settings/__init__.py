"""The stack's settings: frozen dataclasses, their parser and their rules. Nothing here imports Pulumi."""
