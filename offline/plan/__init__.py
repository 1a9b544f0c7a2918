"""The plan of a stack: what would run where, why, and what it costs, without a cloud."""
