"""What a keeper can be told when it starts."""

from dataclasses import dataclass
from pathlib import Path

from muskox.errors import CallerError

TICKS_MIN, TICKS_MAX = 2, 20  # Apache's bounds for session timeouts, in ticks
BUCKETS_PER_TICK = 10
WORDS_DEFAULT = ("srvr",)


@dataclass(frozen=True, slots=True)
class Options:
    """How to serve.

    Parameters
    ----------
    data_dir : where log and snapshots lie; made if it is missing
    client_port : the port for clients, 0 for any that is free
    host : the address to listen at; beyond loopback only if you say so
    tick_ms : Apache's tickTime; bounds for session timeouts follow from it unless given
    snap_count : transactions between snapshots
    four_letter_words : which of them are answered, or ("*",) for all
    """

    data_dir: Path
    client_port: int = 2181
    host: str = "127.0.0.1"
    tick_ms: int = 2_000
    session_timeout_ms_min: int | None = None
    session_timeout_ms_max: int | None = None
    snap_count: int = 100_000
    four_letter_words: tuple[str, ...] = WORDS_DEFAULT

    def __post_init__(self) -> None:
        if not 0 <= self.client_port <= 0xFFFF:
            raise CallerError(f"client_port is {self.client_port}; a port is a number from 0 to 65535")
        if self.tick_ms < 1 or self.snap_count < 1:
            raise CallerError(f"tick_ms is {self.tick_ms} and snap_count {self.snap_count}; both must be at least 1")
        if not 0 < self.timeout_ms_min <= self.timeout_ms_max:
            raise CallerError(f"session timeouts from {self.timeout_ms_min} to {self.timeout_ms_max} ms leave none to choose")

    @property
    def timeout_ms_min(self) -> int:
        return self.tick_ms * TICKS_MIN if self.session_timeout_ms_min is None else self.session_timeout_ms_min

    @property
    def timeout_ms_max(self) -> int:
        return self.tick_ms * TICKS_MAX if self.session_timeout_ms_max is None else self.session_timeout_ms_max

    @property
    def bucket_ms(self) -> int:
        """How finely expiry is looked at: a session lives at most this much longer than its timeout."""
        return max(self.tick_ms // BUCKETS_PER_TICK, 10)
