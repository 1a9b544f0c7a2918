"""How far the planner is from published measurements: ``python -m tests.accuracy`` writes docs/accuracy.md."""
