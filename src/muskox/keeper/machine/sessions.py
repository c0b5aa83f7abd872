"""Sessions: which are alive, until when, and what they must show to be resumed.

The sessions that the log knows stand in the database; these are the ones watched over, from the request for one to its end.

Expiry is rounded up to buckets, so that a tick costs what it expires and not what is alive. `now` is an argument of whoever
asks. Which connection a session has is not known here.
"""

SECRET = 0xB3415C00  # Apache's, so that a session survives a change from one server to the other
RANDOM_MULTIPLIER = 0x5DEECE66D
RANDOM_MASK = (1 << 48) - 1


def password_of(session_id: int) -> bytes:
    """Return the 16 bytes that prove a session is one's own: java.util.Random's, seeded as Apache does."""
    seed = ((session_id ^ SECRET) ^ RANDOM_MULTIPLIER) & RANDOM_MASK
    password = b""
    for _ in range(4):
        seed = (seed * RANDOM_MULTIPLIER + 11) & RANDOM_MASK
        # nextBytes hands out each int from its lowest byte on.
        password += (seed >> 16).to_bytes(4, "little")
    return password


class Sessions:
    """The live sessions and when each is due to expire."""

    def __init__(self, bucket_ms: int) -> None:
        self.bucket_ms = bucket_ms
        self.due_ms: dict[int, int] = {}  # the bucket of every tracked session
        self.buckets: dict[int, dict[int, None]] = {}

    def track(self, session_id: int, timeout_ms: int, now_ms: int) -> None:
        """Begin to watch over a session."""
        due = self.bucket_of(now_ms + timeout_ms)
        self.due_ms[session_id] = due
        self.buckets.setdefault(due, {})[session_id] = None

    def touch(self, session_id: int, timeout_ms: int, now_ms: int) -> bool:
        """Give a session `timeout_ms` from now; False if it is closing, expired or unknown."""
        was = self.due_ms.get(session_id)
        if was is None:
            return False
        if was != self.bucket_of(now_ms + timeout_ms):
            self.forget(session_id)
            self.track(session_id, timeout_ms, now_ms)
        return True

    def forget(self, session_id: int) -> None:
        """Watch over a session no longer: it is closing."""
        due = self.due_ms.pop(session_id, None)
        if due is not None:
            bucket = self.buckets[due]
            del bucket[session_id]
            if not bucket:
                del self.buckets[due]

    def is_alive(self, session_id: int) -> bool:
        return session_id in self.due_ms

    def expired(self, now_ms: int) -> list[int]:
        """Return the sessions whose time has run out, the longest overdue first."""
        due = sorted(bucket for bucket in self.buckets if bucket <= now_ms)
        return [session_id for bucket in due for session_id in self.buckets[bucket]]

    def postpone(self, ms: int) -> None:
        """Give every session `ms` more."""
        due_ms, self.due_ms, self.buckets = self.due_ms, {}, {}
        for session_id, due in due_ms.items():
            later = self.bucket_of(due + ms - 1)
            self.due_ms[session_id] = later
            self.buckets.setdefault(later, {})[session_id] = None

    def bucket_of(self, time_ms: int) -> int:
        return (time_ms // self.bucket_ms + 1) * self.bucket_ms


def is_password(session_id: int, password: bytes | None) -> bool:
    return session_id != 0 and password == password_of(session_id)
