"""What may be wrong with a dataset, and what differs between two (pure)."""
