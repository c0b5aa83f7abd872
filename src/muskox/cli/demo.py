"""``muskox demo``: under construction in this commit."""


def demo() -> None:
    """Start three nodes, train on real flights, kill processes, and get the same model."""
