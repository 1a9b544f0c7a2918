"""What a stack left behind in AWS. Looks, and never changes anything."""
