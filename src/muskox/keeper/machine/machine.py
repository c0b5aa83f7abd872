"""The machine of the keeper: one door, :meth:`Machine.handle`; nobody else changes sessions, connections or the tree.

A write is prepared when it comes, ordered to the log, and applied and answered when the shell says that it is on disk. A read
is answered at once, unless a write of the same connection is still on its way: then it waits in line, so that replies leave in
the order of the requests. Watches fire when the write that caused them is applied, before its reply.
"""

from struct import Struct
from typing import assert_never

from muskox.errors import PeerError
from muskox.keeper.machine.acl import Refusal
from muskox.keeper.machine.connection import Barrier, Connection, Phase, ReadWaiting
from muskox.keeper.machine.connections import Connections
from muskox.keeper.machine.database import Database, Image
from muskox.keeper.machine.effects import draft
from muskox.keeper.machine.events import (
    Action,
    ConnectionLost,
    ConnectionOpened,
    Event,
    FramesArrived,
    Instant,
    OutputDrained,
    TimePassed,
    TransactionsSynced,
)
from muskox.keeper.machine.hot_writes import HOT, set_data
from muskox.keeper.machine.outbox import Outbox
from muskox.keeper.machine.pipeline import Pipeline, Run
from muskox.keeper.machine.prepare import WRITES, prepare
from muskox.keeper.machine.reads import Reads
from muskox.keeper.machine.reaper import Reaper
from muskox.keeper.machine.reception import Reception
from muskox.keeper.machine.replies import HOT_READS, hot_reply, reply
from muskox.keeper.machine.settings import Settings
from muskox.keeper.machine.trust import PROOFS, Trust
from muskox.keeper.machine.watches import Watches, notification
from muskox.keeper.wire.opcodes import XID_PING, ErrorCode, EventType, OpCode
from muskox.keeper.wire.transactions import DeleteTxn, ErrorTxn, Txn, TxnHeader

REQUEST_HEAD = Struct(">ii")

# Plain numbers: in the hot path, a look at an Enum's member costs as much as everything else about it.
SYNC = int(OpCode.SYNC)
SET_DATA = int(OpCode.SET_DATA)
CREATE_SESSION = int(OpCode.CREATE_SESSION)
DELETE_CONTAINER = int(OpCode.DELETE_CONTAINER)
CLOSE_SESSION = int(OpCode.CLOSE_SESSION)
PING = int(OpCode.PING)
OK = int(ErrorCode.OK)
NO_EVENT = EventType.NONE
OPEN = Phase.OPEN

OUTPUT_BYTES_AT_ONCE_MAX = 1 << 20
OVERDUE_BYTES_MAX = 8 << 20  # of answers that cannot wait any longer for a client that reads nothing


class Machine:
    """Sessions, connections and the tree, driven by events."""

    def __init__(self, database: Database, settings: Settings, session_id_first: int, now: Instant) -> None:
        self.database = database
        self.outbox = Outbox()
        self.pipeline = Pipeline(database, self.outbox)
        self.watches = Watches()
        self.connections = Connections(self.outbox, self.watches, self.pipeline, settings.outstanding_max)
        self.reception = Reception(settings, self.connections, self.pipeline, session_id_first, now)
        self.reads = Reads(database, self.watches, self.connections.notify)
        self.trust = Trust(settings)
        self.settings = settings
        self.reaper = Reaper(database.overlay, settings, now)

    def handle(self, event: Event, now: Instant) -> list[Action]:
        """Take one event in and return what the shell must do, in order."""
        zxid_before = self.pipeline.zxid
        match event:
            case FramesArrived(number, frames):
                self.frames_arrived(number, frames, now)
            case TransactionsSynced(zxid):
                self.transactions_synced(zxid, now)
            case TimePassed():
                self.reception.expire(now)
                self.reap(now)
            case OutputDrained(number):
                self.output_drained(number, now)
            case ConnectionOpened(number, address, identities):
                connection = self.connections.by_number[number] = Connection(number, address, identities)
                self.trust.meet(connection)
            case ConnectionLost(number):
                self.connections.forget(number)
                self.trust.forget(number)
            case _:
                assert_never(event)
        return self.outbox.take(zxid_before + 1, self.pipeline.zxid)

    def image(self) -> Image:
        """Return what a snapshot holds now."""
        return self.database.image()

    # What comes

    def frames_arrived(self, number: int, frames: list[bytes], now: Instant) -> None:
        connection = self.connections.by_number.get(number)
        if connection is None:
            return
        if connection.phase is Phase.GREETING and frames:
            self.reception.greet(connection, frames[0], now)
            frames = frames[1:]
        if connection.phase is Phase.OPENING:
            connection.backlog.extend(frames)
        elif connection.phase is OPEN:
            if not self.reception.sessions.touch(connection.session_id, connection.timeout_ms, now.steady_ms):
                return  # its session is closing: Apache, too, drops what comes after the end
            try:
                if connection.must_prove:
                    frames = self.hear_proofs(connection, frames)
                self.requests(connection, frames, now)
            except PeerError:
                self.connections.close(connection)
        self.connections.regulate(connection)

    def requests(self, connection: Connection, frames: list[bytes], now: Instant) -> None:
        """Answer, or put in line, each request. This loop is the hot path.

        Raises
        ------
        PeerError
            If a frame has no header.
        """
        parts = self.outbox.parts_for(connection.number)
        waiting = connection.waiting
        run: Run | None = None  # the writes since the last read
        size = 0
        index, count = 0, len(frames)
        while index < count:
            data = frames[index]
            index += 1
            if len(data) < REQUEST_HEAD.size:
                raise PeerError(f"a request of {len(data)} bytes has no header")
            xid, kind = REQUEST_HEAD.unpack_from(data)
            if kind in WRITES:
                if run is None or kind == CLOSE_SESSION:
                    run = Run(connection.number, connection.session_id, now.wall_ms, kind if kind == CLOSE_SESSION else 0)
                    waiting.append(run)
                done = self.set_data(connection, run, frames, index - 1) if kind == SET_DATA else 0
                if done:
                    index += done - 1
                    continue
                self.write(connection, run, xid, kind, data)
                if kind == CLOSE_SESSION:
                    break
                continue
            if kind == SYNC and self.pipeline.in_flight:
                connection.wait_for(self.pipeline.in_flight[-1])
            if waiting or connection.is_blocked:
                run = None
                self.put_in_line(connection, xid, kind, data)
            else:
                answer = hot_reply(self.database.tree, self.database.zxid, xid, kind, data) if kind in HOT_READS else None
                if answer is None:
                    answer = self.read(connection, xid, kind, data)
                parts.append(answer)
                size += len(answer)
                if size > OUTPUT_BYTES_AT_ONCE_MAX:
                    self.connections.block(connection)
            if connection.phase is not OPEN:
                break

    def output_drained(self, number: int, now: Instant) -> None:
        connection = self.connections.by_number.get(number)
        if connection is not None:
            connection.is_blocked = False
            if number in self.connections.ending:
                self.connections.ending[number] = now.steady_ms + connection.timeout_ms
            self.drain(connection)
            self.connections.regulate(connection)

    # Reads

    def put_in_line(self, connection: Connection, xid: int, kind: int, data: bytes) -> None:
        if kind not in self.reads.answers:
            self.special(connection, xid, kind, data)
        else:
            connection.wait(ReadWaiting(xid, kind, data, connection.identities))

    def read(self, connection: Connection, xid: int, kind: int, data: bytes) -> bytes:
        """Return the reply to a request that changes nothing; unknown ones end the connection."""
        if kind not in self.reads.answers:
            self.special(connection, xid, kind, data)
            return b""
        answer = self.reads.answer(connection, kind, data)
        xid = XID_PING if kind == PING else xid
        if isinstance(answer, Refusal):
            return reply(xid, self.database.zxid, answer.code, b"")
        return reply(xid, self.database.zxid, OK, answer)

    def special(self, connection: Connection, xid: int, kind: int, data: bytes) -> None:
        """Answer what never waits in line: a proof of identity, and what no server knows.

        Raises
        ------
        PeerError
            If a proof is malformed.
        """
        zxid, code, body = -1, ErrorCode.UNIMPLEMENTED, b""
        if kind in PROOFS:
            zxid = 0
            code, body = self.trust.judge(connection, kind, data)
        self.connections.send(connection.number, reply(xid, zxid, code, body))
        if code != OK:
            self.connections.close(connection)

    def hear_proofs(self, connection: Connection, frames: list[bytes]) -> list[bytes]:
        """Take proofs of identity until they are enough, and return the frames after them; anything else ends the connection.

        Raises
        ------
        PeerError
            If a frame has no header, or a proof is malformed.
        """
        for index, data in enumerate(frames):
            if not connection.must_prove:
                return frames[index:]
            if len(data) < REQUEST_HEAD.size:
                raise PeerError(f"a request of {len(data)} bytes has no header")
            xid, kind = REQUEST_HEAD.unpack_from(data)
            if kind not in PROOFS:
                code = ErrorCode.SESSION_CLOSED_REQUIRE_SASL_AUTH
                self.connections.send(connection.number, reply(xid, 0, code, b""))
                self.connections.close(connection)
                return []
            self.special(connection, xid, kind, data)
            if connection.phase is not OPEN:
                return []
        return []

    # Writes

    def set_data(self, connection: Connection, run: Run, frames: list[bytes], start: int) -> int:
        """Order the setData requests from `start` on that are ordinary ones, as the next of `run`; return how many."""
        overlay, pipeline = self.database.overlay, self.pipeline
        if not overlay.is_plain:
            return 0
        by = (connection.session_id, run.time_ms, SET_DATA)
        done = set_data(overlay, by, pipeline.zxid + 1, frames, start, (run.changes, self.outbox.entries, run.replies))
        if done:
            size = sum(map(len, frames[start : start + done]))
            run.size += size
            connection.waiting_bytes += size
            run.digest = overlay.digest
            pipeline.added(run, done)
        return done

    def write(self, connection: Connection, run: Run, xid: int, kind: int, data: bytes) -> None:
        """Prepare one request and order it to the log, as the next of `run`."""
        overlay = self.database.overlay
        pipeline = self.pipeline
        zxid = pipeline.zxid + 1
        run.size += len(data)
        connection.waiting_bytes += len(data)
        short_way = HOT.get(kind) if overlay.is_plain else None
        if short_way is not None:
            hot = short_way(overlay, (connection.session_id, run.time_ms, kind), zxid, data)
            if hot is not None:
                changes, entry, answer = hot
                run.changes.append(changes)
                run.digest = overlay.digest
                pipeline.add(run, entry, answer)
                return
        header = TxnHeader(connection.session_id, xid, zxid, run.time_ms, kind)
        overlay.begin(zxid)
        code, body = OK, b""
        txn: Txn
        try:
            outcome = prepare(overlay, connection, header, data, self.settings)
        except PeerError as error:
            overlay.abandon()
            outcome = Refusal(ErrorCode.MARSHALLING, str(error))
        except BaseException:  # bulkhead: parts of a multi that are drafted must not stay behind
            overlay.abandon()
            raise
        if isinstance(outcome, Refusal):
            code, txn = outcome.code, ErrorTxn(outcome.code)
        else:
            txn, body = outcome
        if kind == CLOSE_SESSION:
            self.reception.sessions.forget(connection.session_id)
        pipeline.order(run, header, txn, reply(xid, zxid, code, body))

    def reap(self, now: Instant) -> None:
        """Delete the containers and znodes with a time to live that are due."""
        overlay, pipeline = self.database.overlay, self.pipeline
        run = Run(0, 0, now.wall_ms)
        for path in self.reaper.due(now):
            header, txn = TxnHeader(0, 0, pipeline.zxid + 1, now.wall_ms, DELETE_CONTAINER), DeleteTxn(path)
            overlay.begin(header.zxid)
            draft(overlay, header, txn)
            pipeline.order(run, header, txn, b"")

    def transactions_synced(self, zxid: int, now: Instant) -> None:
        in_flight = self.pipeline.in_flight
        while in_flight and in_flight[0].zxid_last <= zxid:
            self.apply(in_flight[0], now)
        self.connections.release()

    def apply(self, run: Run, now: Instant) -> None:
        """Settle transactions that are durable, tell watchers, then answer."""
        writer = self.connections.by_number.get(run.connection)
        if writer is not None and writer.is_blocked and run.kind != CLOSE_SESSION:
            self.drain(writer, is_overdue=True)  # what it read before it wrote this must not see this
        self.pipeline.settle(run)
        if not self.watches.is_empty:
            self.tell_watchers(run)
        run.ready = len(run.replies)
        if run.kind == CLOSE_SESSION:
            self.session_closed(run, now)
        elif run.kind == CREATE_SESSION:
            self.session_opened(run, now)
        else:
            connection = self.connections.by_number.get(run.connection)
            if connection is not None:
                self.drain(connection)
                if connection.is_paused:
                    self.connections.regulate(connection)
        for number in run.barriers:
            connection = self.connections.by_number.get(number)
            if connection is not None:
                self.drain(connection)
                self.connections.regulate(connection)

    def tell_watchers(self, run: Run) -> None:
        for index, changes in enumerate(run.changes):
            for path, _, event in changes:
                told = self.watches.take(path, event) if event is not NO_EVENT else None
                if not told:
                    continue
                if run.connection in told:  # it hears of its earlier writes first
                    run.ready = index
                    self.drain(self.connections.by_number[run.connection])
                data = notification(path, event)
                for number in told:
                    self.connections.send(number, data)

    def drain(self, connection: Connection, is_overdue: bool = False) -> None:
        """Answer what stands in line, up to the first write that is not durable yet.

        With `is_overdue` even one that has much to read yet is answered; if that is too much, it is cut off.
        """
        waiting = connection.waiting
        parts = self.outbox.parts_for(connection.number)
        size = 0
        while waiting and connection.phase is OPEN:
            first = waiting[0]
            if isinstance(first, Run):
                replies = first.replies[first.left : first.ready] if first.left else first.replies[: first.ready]
                first.left = first.ready
                parts += replies
                if not first.is_applied or first.left < len(first.replies):
                    return
                size += sum(map(len, replies))
            elif isinstance(first, Barrier):
                if not first.run.is_applied:
                    return
            elif connection.is_blocked and not is_overdue:
                return
            else:
                identities, connection.identities = connection.identities, first.identities
                answer = self.read(connection, first.xid, first.type, first.frame)
                connection.identities = identities
                parts.append(answer)
                size += len(answer)
            connection.next_waiting()
            if size > OUTPUT_BYTES_AT_ONCE_MAX:
                self.connections.block(connection)
            if is_overdue and size > OVERDUE_BYTES_MAX:
                self.connections.close(connection)
        if connection.number in self.connections.ending and connection.phase is OPEN:
            self.connections.close(connection)

    # Sessions

    def session_opened(self, run: Run, now: Instant) -> None:
        connection = self.connections.by_number.get(run.connection)
        if connection is None:
            return
        self.connections.send(connection.number, run.replies[0])
        connection.phase = OPEN
        frames, connection.backlog = connection.backlog, []
        self.frames_arrived(connection.number, frames, now)

    def session_closed(self, run: Run, now: Instant) -> None:
        """Answer whoever asked for the end, and close the connection of the session that ended.

        One that reads its last answers slowly may go on as long as it reads; one that ran out had its time.
        """
        connection = self.connections.find_attached(run.session_id)
        if connection is not None:
            patience_ms = connection.timeout_ms if run.connection == connection.number else 0
            self.connections.ending[connection.number] = now.steady_ms + patience_ms
            self.drain(connection)
