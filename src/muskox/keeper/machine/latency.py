"""How long requests took, for those who watch over a server."""


class Latency:
    """Milliseconds from a request's arrival to its answer; a read that is answered at once takes none."""

    __slots__ = ("count", "max_ms", "min_ms", "total_ms")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.count = 0
        self.total_ms = 0
        self.min_ms = 0
        self.max_ms = 0

    def add(self, ms: int, count: int) -> None:
        """Take note that `count` requests took `ms` each."""
        ms = max(ms, 0)  # the wall clock may go back
        self.min_ms = ms if self.count == 0 else min(self.min_ms, ms)
        self.max_ms = max(self.max_ms, ms)
        self.total_ms += ms * count
        self.count += count
