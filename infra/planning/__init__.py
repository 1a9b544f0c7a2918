"""What follows from a stack's settings: sizes, pools, costs, advice. Nothing here imports Pulumi."""
