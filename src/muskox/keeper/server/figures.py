"""What a running server counts: requests, latencies, bytes, syncs; of all clients together and of each connection.

Counted is by the batch: what one read of a socket brought is one step here, however many requests are in it. What can be asked
of the machine at any time is not counted at all; see the server's status.
"""

from collections import deque
from struct import Struct
from time import monotonic
from typing import NamedTuple

from muskox.keeper.machine.events import AppendTransactions
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.transactions import decode_entry

RECENT_MAX = 1_000  # values that quantiles are taken of
DIGEST_EVERY = 128  # Apache's: the digest of each so many transactions is kept for whoever compares servers
DIGESTS_MAX = 1_024
SLOW_SYNC_SECONDS = 1.0  # Apache warns of these
HEAD_BYTES = 8  # of a request: its xid and its kind
CONNECT_HEAD = Struct(">ii").pack(0, OpCode.CREATE_SESSION)  # what a connect request, which has no head, counts as


class Summary:
    """Count, sum and extremes of what was measured."""

    __slots__ = ("count", "last", "max", "min", "total")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.count = 0
        self.total = self.min = self.max = self.last = 0.0

    def add(self, value: float, count: int = 1) -> None:
        """Take note of `value`, measured `count` times."""
        if value < self.min or not self.count:
            self.min = value
        if value > self.max:  # noqa: PLR1730  # for every batch of requests: max() takes as long as all the rest
            self.max = value
        self.last = value
        self.total += value * count
        self.count += count

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0


class Distribution(Summary):
    """A summary with quantiles, of the last values alone; one that was measured many times at once counts once."""

    __slots__ = ("recent",)

    def reset(self) -> None:
        super().reset()
        self.recent: deque[float] = deque(maxlen=RECENT_MAX)

    def add(self, value: float, count: int = 1) -> None:
        self.recent.append(value)
        # The same as above, written out: a call of super() takes twice as long as all the rest.
        if value < self.min or not self.count:
            self.min = value
        if value > self.max:  # noqa: PLR1730
            self.max = value
        self.last = value
        self.total += value * count
        self.count += count

    def quantile(self, share: float) -> float:
        """Return the value that a `share` of the last values does not exceed; 0 if there are none."""
        values = sorted(self.recent)
        return values[min(int(share * len(values)), len(values) - 1)] if values else 0.0


class Traffic:
    """What one connection asked, what it was sent and how long it waited."""

    __slots__ = (
        "answered_ms",
        "cxid_head",
        "established_ms",
        "has_greeted",
        "head",
        "host",
        "is_secure",
        "latency",
        "number",
        "port",
        "received",
        "sent",
        "zxid",
    )

    def __init__(self, number: int, peer: tuple[str, int], is_secure: bool, now_ms: int) -> None:
        self.number = number
        self.host, self.port = peer
        self.is_secure = is_secure
        self.established_ms = now_ms  # by the wall clock
        self.has_greeted = False
        self.latency = Summary()
        self.reset()

    def reset(self) -> None:
        """Begin to count anew, as `crst` asks."""
        self.received = 0  # requests, the connect request among them
        self.sent = 0  # replies and notifications
        self.head = b""  # xid and kind of the last request
        self.cxid_head = b""  # of the last that was no ping or the like
        self.zxid = -1
        self.answered_ms = 0
        self.latency.reset()


class Ordered(NamedTuple):
    """A batch of writes under way."""

    zxid_last: int
    writes: int
    since: float
    traffic: Traffic | None


class Digest(NamedTuple):
    zxid: int
    digest: int


class Figures:
    """The counts of one server."""

    def __init__(self) -> None:
        self.since = monotonic()
        self.traffics: dict[int, Traffic] = {}  # of the live connections, by their number
        self.ordered: deque[Ordered] = deque()
        self.digests: deque[Digest] = deque(maxlen=DIGESTS_MAX)
        self.starts = Distribution()  # milliseconds of the recovery
        self.replayed = Distribution()  # transactions that it took from the log
        self.trace_mask = 306  # Apache's default; nothing is traced here
        self.snapshots = Distribution()  # milliseconds
        self.syncs = Distribution()  # milliseconds of each write and sync of the log
        self.batches = Distribution()  # transactions in each
        self.reads = Distribution()  # milliseconds
        self.updates = Distribution()
        self.reset()

    def reset(self) -> None:
        """Begin to count anew, as `srst` asks; connections keep their own counts."""
        self.received = 0
        self.sent = 0
        self.bytes_received = 0  # by connections that are gone
        self.bytes_sent = 0
        self.connects = 0
        self.dropped = 0  # connections that their clients ended without a word
        self.rejected = 0
        self.silent_expired = 0  # connections that opened no session in time
        self.auth_failures = 0
        self.slow_syncs = 0
        self.commits = 0
        self.expired_before = 0  # sessions whose expiry is not counted any more
        for summary in (self.reads, self.updates, self.syncs, self.batches, self.snapshots):
            summary.reset()

    def arrived(self, number: int, frames: list[bytes]) -> Traffic | None:
        """Take note of a batch of requests, before the machine has it."""
        count = len(frames)
        self.received += count
        traffic = self.traffics.get(number)
        if traffic is None:
            return None
        traffic.received += count
        if not traffic.has_greeted:
            traffic.has_greeted = True
            self.connects += 1
            traffic.head = traffic.cxid_head = CONNECT_HEAD
            if count == 1:
                return traffic
        traffic.head = head = frames[-1][:HEAD_BYTES]
        if head and head[0] < 0x80:
            traffic.cxid_head = head
        return traffic

    def handled(self, traffic: Traffic | None, frames: int, order: AppendTransactions | None, since: float, zxid: int) -> None:
        """Take note that the machine has taken in a batch, and which writes it ordered."""
        writes = 0
        if order is not None:
            writes = len(order.entries)
            self.ordered.append(Ordered(order.zxid_last, writes, since, traffic))
            if order.zxid_last % DIGEST_EVERY < writes:
                self.keep_digest(order)
        reads = frames - writes
        if reads > 0:
            now = monotonic()
            ms = (now - since) * 1000
            self.reads.add(ms, reads)
            if traffic is not None:
                traffic.latency.add(ms, reads)
                traffic.zxid = zxid
                traffic.answered_ms = int(now * 1000)

    def word_came(self, number: int) -> None:
        """Take note of four letters, which count as a request."""
        self.received += 1
        traffic = self.traffics.get(number)
        if traffic is not None:
            traffic.received += 1

    def sent_to(self, number: int, size: int, count: int) -> None:
        self.sent += count
        self.bytes_sent += size
        traffic = self.traffics.get(number)
        if traffic is not None:
            traffic.sent += count

    def synced(self, zxid: int) -> None:
        """Take note that all writes up to `zxid` are applied and answered."""
        now = monotonic()
        ordered = self.ordered
        while ordered and ordered[0].zxid_last <= zxid:
            zxid_last, writes, since, traffic = ordered.popleft()
            ms = (now - since) * 1000
            self.commits += writes
            if traffic is not None:  # else nobody waited for it
                self.updates.add(ms, writes)
                traffic.latency.add(ms, writes)
                traffic.zxid = zxid_last
                traffic.answered_ms = int(now * 1000)

    def log_written(self, seconds: float, count: int) -> None:
        """Take note that a batch of transactions was written and synced."""
        self.syncs.add(seconds * 1000)
        self.batches.add(count)
        if seconds > SLOW_SYNC_SECONDS:
            self.slow_syncs += 1

    def keep_digest(self, order: AppendTransactions) -> None:
        first = -(-order.zxid_first // DIGEST_EVERY) * DIGEST_EVERY
        for zxid in range(first, order.zxid_last + 1, DIGEST_EVERY):
            digest = decode_entry(order.entries[zxid - order.zxid_first]).digest
            if digest is not None:
                self.digests.append(Digest(zxid, digest.tree_digest))
