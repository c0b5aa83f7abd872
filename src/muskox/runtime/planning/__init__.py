"""What the coordinator decides, and nothing of how it comes about: who runs, where, with which shards (pure)."""
