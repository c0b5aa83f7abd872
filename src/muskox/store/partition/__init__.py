"""Which shard a row belongs to, and how evenly rows lie (pure)."""
