"""Whether next to nothing is going on, so that waiting for the disk in the event loop keeps nobody waiting."""

ALONE_SECONDS_MIN = 0.0005  # a connection that has been the only one for so long is taken to be the only one
SYNC_SECONDS_MAX = 0.002  # a disk that takes longer is not waited for


class Quiet:
    """Who was heard of when, and how long the disk takes."""

    __slots__ = ("connection", "since", "sync_seconds")

    def __init__(self) -> None:
        self.connection = 0  # the last that was heard of
        self.since = 0.0  # when another was heard of before it
        self.sync_seconds = SYNC_SECONDS_MAX

    def heard(self, connection: int, now: float) -> None:
        if connection != self.connection:
            self.connection = connection
            self.since = now

    def synced(self, seconds: float) -> None:
        """Take note how long a sync took; one that took long is remembered for some time."""
        self.sync_seconds += (seconds - self.sync_seconds) / 4

    def is_quiet(self, now: float) -> bool:
        return now - self.since > ALONE_SECONDS_MIN and self.sync_seconds < SYNC_SECONDS_MAX
