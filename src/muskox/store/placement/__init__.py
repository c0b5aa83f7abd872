"""What should lie where, and how to bring that about (pure)."""
