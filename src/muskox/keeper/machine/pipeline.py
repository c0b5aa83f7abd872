"""Writes on their way to the disk: ordered to the log, applied in their order once they are there.

A run is what one connection wrote in one go: it is synced as one, so it waits as one. It owns the zxid of the last prepared
transaction; the database's zxid is that of the last applied one.
"""

from collections import deque
from collections.abc import Sequence

from muskox.keeper.machine.database import Database
from muskox.keeper.machine.outbox import Outbox
from muskox.keeper.machine.tree import Change
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.transactions import ErrorTxn, Txn, TxnHeader, encode_entry

ERROR = int(OpCode.ERROR)


class Run:
    """Consecutive transactions of one connection, with their replies. One that opens or closes a session stands alone."""

    __slots__ = (
        "barriers",
        "changes",
        "connection",
        "digest",
        "is_applied",
        "kind",
        "left",
        "ready",
        "replies",
        "session_id",
        "size",
        "time_ms",
        "txn",
        "zxid_last",
    )

    def __init__(self, connection: int, session_id: int, time_ms: int, kind: int = 0) -> None:
        self.connection = connection  # 0 if nobody waits for the replies
        self.session_id = session_id
        self.time_ms = time_ms  # when it came
        self.kind = kind  # CREATE_SESSION or CLOSE_SESSION if it is one of these
        self.txn: Txn | None = None  # of one that opens or closes a session
        self.zxid_last = 0
        self.digest = 0  # of the tree once all of it is applied
        self.changes: list[Sequence[Change]] = []  # of each transaction
        self.replies: list[bytes] = []  # to each
        self.ready = 0  # how many replies may leave
        self.left = 0  # how many have left
        self.size = 0  # bytes of the requests
        self.is_applied = False
        self.barriers: dict[int, None] = {}  # connections that wait for this run with a sync


class Pipeline:
    """What is under way, oldest first."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self.database = database
        self.outbox = outbox
        self.zxid = database.zxid
        self.in_flight: deque[Run] = deque()
        self.outstanding = 0  # transactions under way

    def order(self, run: Run, header: TxnHeader, txn: Txn, reply: bytes) -> None:
        """Order the drafted transaction to the log, as the next of `run`; it takes a zxid even if it is a refusal."""
        if isinstance(txn, ErrorTxn):
            header = header._replace(type=ERROR)
        digest = self.database.digest
        self.add(run, encode_entry(header, txn, digest), reply)
        run.digest = digest
        run.changes.append(self.database.overlay.finish())
        if run.kind:
            run.txn = txn

    def add(self, run: Run, entry: bytes, reply: bytes) -> None:
        run.replies.append(reply)
        self.outbox.entries.append(entry)
        self.added(run, 1)

    def added(self, run: Run, count: int) -> None:
        """Count what was put into `run` and into the outbox."""
        if not run.zxid_last:
            self.in_flight.append(run)
        self.zxid += count
        run.zxid_last = self.zxid
        self.outstanding += count

    def settle(self, run: Run) -> None:
        """Apply a run that is on disk, the first of those under way."""
        self.in_flight.popleft()
        self.outstanding -= len(run.replies)
        self.database.settle(run.changes, run.zxid_last, run.digest)
        if run.txn is not None:
            self.database.settle_session(run.session_id, run.txn)
        run.is_applied = True
