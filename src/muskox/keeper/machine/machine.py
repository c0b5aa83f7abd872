"""The machine of the keeper: one door, :meth:`Machine.handle`; nobody else changes sessions, connections or the tree.

A write is prepared when it comes, ordered to the log, and applied and answered when the shell says that it is on disk. A read
is answered at once, unless a write of the same connection is still on its way: then it waits in line, so that replies leave in
the order of the requests. Watches fire when the write that caused them is applied, before its reply.
"""

from collections import deque
from struct import Struct
from typing import NamedTuple, assert_never

from muskox.errors import PeerError
from muskox.keeper.machine.acl import Refusal, digest_identity
from muskox.keeper.machine.connection import Connection, Phase, ReadWaiting, WriteInFlight
from muskox.keeper.machine.database import Database, Image
from muskox.keeper.machine.effects import draft
from muskox.keeper.machine.events import (
    Action,
    AwaitDrain,
    ConnectionLost,
    ConnectionOpened,
    Event,
    FramesArrived,
    Instant,
    OutputDrained,
    PauseReading,
    ResumeReading,
    TimePassed,
    TransactionsSynced,
)
from muskox.keeper.machine.outbox import Outbox
from muskox.keeper.machine.prepare import WRITES, close_session, prepare
from muskox.keeper.machine.reads import Reads
from muskox.keeper.machine.replies import data_reply, reply, welcome
from muskox.keeper.machine.sessions import Sessions, is_password
from muskox.keeper.machine.watches import Watches, notification
from muskox.keeper.wire.frames import frame
from muskox.keeper.wire.jute import codec
from muskox.keeper.wire.opcodes import XID_PING, ErrorCode, EventType, OpCode
from muskox.keeper.wire.records import CONNECT_REQUEST, AuthPacket, ConnectRequest
from muskox.keeper.wire.transactions import CreateSessionTxn, ErrorTxn, Txn, TxnHeader, encode_entry

SESSION_ID_BITS = 55  # of ours; above them is the number of an ensemble's server
REQUEST_HEAD = Struct(">ii")
AUTH_PACKET = codec(AuthPacket)

# Plain numbers: in the hot path, a look at an Enum's member costs as much as everything else about it.
GET_DATA = int(OpCode.GET_DATA)
AUTH = int(OpCode.AUTH)
CREATE_SESSION = int(OpCode.CREATE_SESSION)
CLOSE_SESSION = int(OpCode.CLOSE_SESSION)
PING = int(OpCode.PING)
OK = int(ErrorCode.OK)
NO_EVENT = EventType.NONE
OPEN = Phase.OPEN

# A connection with more requests in line, or more bytes in one answer, is not read from until it has caught up: memory is
# bounded by what one read of a socket can ask for.
REQUESTS_WAITING_MAX = 2_000
WAITING_BYTES_MAX = 4 << 20
OUTPUT_BYTES_AT_ONCE_MAX = 1 << 20
# Time passes a bucket at a step. If a step is this much longer, the server was stopped, and could hear nobody's pings.
STANDSTILL_BUCKETS = 10


class Settings(NamedTuple):
    """What the machine must be told: bounds for session timeouts and how finely expiry is looked at."""

    timeout_ms_min: int = 4_000
    timeout_ms_max: int = 40_000
    bucket_ms: int = 200


class Machine:
    """Sessions, connections and the tree, driven by events."""

    def __init__(self, database: Database, settings: Settings, session_id_first: int, now: Instant) -> None:
        self.database = database
        self.settings = settings
        self.sessions = Sessions(settings.bucket_ms)
        for session_id, timeout_ms in database.timeouts_ms.items():
            self.sessions.track(session_id, timeout_ms, now.steady_ms)
        for session_id in database.overlay.ephemerals:
            if not self.sessions.is_alive(session_id):
                self.sessions.track(session_id, settings.timeout_ms_min, now.steady_ms)  # nobody knows it: it will expire
        used = [session_id for session_id in self.sessions.due_ms if session_id >> SESSION_ID_BITS == 0]
        self.session_id_next = max(session_id_first, *(session_id + 1 for session_id in used), 0)  # a clock may go back
        self.zxid = database.zxid  # of the last prepared transaction; database.zxid is the last applied one
        self.looked_ms = now.steady_ms
        self.connections: dict[int, Connection] = {}
        self.attached: dict[int, int] = {}  # session id -> the number of its live connection
        self.in_flight: deque[WriteInFlight] = deque()
        self.watches = Watches()
        self.reads = Reads(database.tree, self.watches, self.notify)
        self.outbox = Outbox()

    def handle(self, event: Event, now: Instant) -> list[Action]:
        """Take one event in and return what the shell must do, in order."""
        zxid_before = self.zxid
        match event:
            case FramesArrived(number, frames):
                self.frames_arrived(number, frames, now)
            case TransactionsSynced(zxid):
                self.transactions_synced(zxid, now)
            case TimePassed():
                self.expire_sessions(now)
            case OutputDrained(number):
                self.output_drained(number)
            case ConnectionOpened(number, address):
                self.connections[number] = Connection(number, address)
            case ConnectionLost(number):
                self.forget_connection(number)
            case _:
                assert_never(event)
        return self.outbox.take(zxid_before + 1, self.zxid)

    def image(self) -> Image:
        """Return what a snapshot holds now."""
        return self.database.image()

    # What leaves

    def send(self, number: int, data: bytes) -> None:
        if number in self.connections:
            self.outbox.parts_for(number).append(data)

    def notify(self, number: int, body: bytes) -> None:
        self.send(number, frame(body))

    def close(self, connection: Connection) -> None:
        """Send what is ordered, then close; the session lives on until it is closed or expires."""
        self.outbox.close(connection.number)
        self.forget_connection(connection.number)

    def forget_connection(self, number: int) -> None:
        connection = self.connections.get(number)
        if connection is None:
            return
        self.watches.remove_connection(number)
        if self.attached.get(connection.session_id) == number:
            del self.attached[connection.session_id]
        connection.phase = Phase.CLOSING
        del self.connections[number]

    def regulate(self, connection: Connection) -> None:
        """Stop or go on reading, by how much of this connection waits."""
        must_pause = (
            connection.phase is Phase.OPENING
            or connection.is_blocked
            or len(connection.waiting) > REQUESTS_WAITING_MAX
            or connection.waiting_bytes > WAITING_BYTES_MAX
        )
        if must_pause == connection.is_paused or connection.phase is Phase.CLOSING:
            return
        connection.is_paused = must_pause
        order = PauseReading(connection.number) if must_pause else ResumeReading(connection.number)
        self.outbox.orders.append(order)

    # What comes

    def frames_arrived(self, number: int, frames: list[bytes], now: Instant) -> None:
        connection = self.connections.get(number)
        if connection is None:
            return
        rest = iter(frames)
        if connection.phase is Phase.GREETING:
            self.greet(connection, next(rest, b""), now)
        if connection.phase is Phase.OPENING:
            connection.backlog.extend(rest)
        elif connection.phase is OPEN:
            if not self.sessions.touch(connection.session_id, connection.timeout_ms, now.steady_ms):
                return  # its session is closing: Apache, too, drops what comes after the end
            try:
                self.requests(connection, list(rest), now)
            except PeerError:
                self.close(connection)
        self.regulate(connection)

    def requests(self, connection: Connection, frames: list[bytes], now: Instant) -> None:
        """Answer, or put in line, each request. This loop is the hot path.

        Raises
        ------
        PeerError
            If a frame has no header.
        """
        parts = self.outbox.parts_for(connection.number)
        waiting = connection.waiting
        size = 0
        for data in frames:
            if len(data) < REQUEST_HEAD.size:
                raise PeerError(f"a request of {len(data)} bytes has no header")
            xid, kind = REQUEST_HEAD.unpack_from(data)
            if kind in WRITES:
                self.write(connection, xid, kind, data, now)
                if kind == CLOSE_SESSION:
                    break
            elif waiting or connection.is_blocked:
                if kind == AUTH or kind not in self.reads.answers:
                    self.special(connection, xid, kind, data)
                else:
                    connection.wait(ReadWaiting(xid, kind, data))
            else:
                answer = data_reply(self.database.tree, self.database.zxid, xid, data) if kind == GET_DATA else None
                if answer is None:
                    answer = self.read(connection, xid, kind, data)
                parts.append(answer)
                size += len(answer)
                if size > OUTPUT_BYTES_AT_ONCE_MAX:
                    self.block(connection)
            if connection.phase is not OPEN:
                break

    def block(self, connection: Connection) -> None:
        if not connection.is_blocked:
            connection.is_blocked = True
            self.outbox.orders.append(AwaitDrain(connection.number))

    def output_drained(self, number: int) -> None:
        connection = self.connections.get(number)
        if connection is not None:
            connection.is_blocked = False
            self.drain(connection)
            self.regulate(connection)

    def read(self, connection: Connection, xid: int, kind: int, data: bytes) -> bytes:
        """Return the reply to a request that changes nothing; unknown ones end the connection."""
        if kind == AUTH or kind not in self.reads.answers:
            self.special(connection, xid, kind, data)
            return b""
        answer = self.reads.answer(connection, kind, data)
        xid = XID_PING if kind == PING else xid
        if isinstance(answer, Refusal):
            return reply(xid, self.database.zxid, answer.code, b"")
        return reply(xid, self.database.zxid, OK, answer)

    def special(self, connection: Connection, xid: int, kind: int, data: bytes) -> None:
        """Answer what never waits in line: a proof of identity, and what no server knows."""
        if kind != AUTH:
            self.send(connection.number, reply(xid, -1, ErrorCode.UNIMPLEMENTED, b""))
            self.close(connection)
            return
        packet = AUTH_PACKET.decode(data, REQUEST_HEAD.size)
        if packet.scheme == "digest" and packet.auth is not None:
            connection.prove(digest_identity(packet.auth))
        elif packet.scheme != "ip":  # what ip could prove is known since the connection was opened
            self.send(connection.number, reply(xid, 0, ErrorCode.AUTH_FAILED, b""))
            self.close(connection)
            return
        self.send(connection.number, reply(xid, 0, OK, b""))

    # Writes

    def write(self, connection: Connection, xid: int, kind: int, data: bytes, now: Instant) -> None:
        header = TxnHeader(connection.session_id, xid, self.zxid + 1, now.wall_ms, kind)
        overlay = self.database.overlay
        overlay.begin(header.zxid)
        code, body = OK, b""
        txn: Txn
        try:
            outcome = prepare(overlay, connection, header, data)
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
            self.sessions.forget(connection.session_id)
        in_flight = self.log(header, txn, connection.number, reply(xid, header.zxid, code, body))
        in_flight.size = len(data)
        connection.wait(in_flight)

    def log(self, header: TxnHeader, txn: Txn, number: int, reply: bytes) -> WriteInFlight:
        """Order the drafted transaction to the log; it takes a zxid even if it is a refusal."""
        if isinstance(txn, ErrorTxn):
            header = header._replace(type=OpCode.ERROR)
        self.zxid = header.zxid
        digest = self.database.digest
        self.outbox.entries.append(encode_entry(header, txn, digest))
        in_flight = WriteInFlight(header, txn, self.database.overlay.finish(), number, reply, digest)
        self.in_flight.append(in_flight)
        return in_flight

    def transactions_synced(self, zxid: int, now: Instant) -> None:
        while self.in_flight and self.in_flight[0].header.zxid <= zxid:
            self.apply(self.in_flight.popleft(), now)

    def apply(self, write: WriteInFlight, now: Instant) -> None:
        """Settle a durable transaction, tell watchers, then answer."""
        self.database.settle(write.header, write.txn, write.changes, write.digest)
        for path, _, event in write.changes:
            if event is not NO_EVENT:
                told = self.watches.take(path, event)
                if told:
                    data = frame(notification(path, event))
                    for number in told:
                        self.send(number, data)
        write.is_applied = True
        kind = write.header.type
        if kind == CLOSE_SESSION:
            self.session_closed(write)
            return
        connection = self.connections.get(write.connection)
        if connection is None:
            return
        if kind == CREATE_SESSION:
            self.session_opened(connection, write, now)
            return
        self.drain(connection)
        if connection.is_paused:
            self.regulate(connection)

    def drain(self, connection: Connection) -> None:
        """Answer what stands in line, up to the first write that is not durable yet."""
        waiting = connection.waiting
        parts = self.outbox.parts_for(connection.number)
        size = 0
        while waiting and connection.phase is OPEN:
            first = waiting[0]
            if isinstance(first, WriteInFlight):
                if not first.is_applied:
                    return
                answer = first.reply
            elif connection.is_blocked:
                return
            else:
                answer = self.read(connection, first.xid, first.type, first.frame)
            connection.next_waiting()
            parts.append(answer)
            size += len(answer)
            if size > OUTPUT_BYTES_AT_ONCE_MAX:
                self.block(connection)

    # Sessions

    def greet(self, connection: Connection, data: bytes, now: Instant) -> None:
        """Take the connect request: open a session, or resume one."""
        try:
            request, end = CONNECT_REQUEST.decode_from(data)
        except PeerError:
            self.close(connection)
            return
        if request.last_zxid_seen > self.database.zxid:
            self.close(connection)  # it has seen what this server has not; it must not be taken back in time
            return
        timeout_ms = min(max(request.timeout_ms, self.settings.timeout_ms_min), self.settings.timeout_ms_max)
        connection.timeout_ms = timeout_ms
        knows_read_only = end < len(data)
        if request.session_id == 0:
            self.open_session(connection, knows_read_only, now)
        else:
            self.resume_session(connection, request, knows_read_only, now)

    def open_session(self, connection: Connection, knows_read_only: bool, now: Instant) -> None:
        session_id = self.session_id_next
        self.session_id_next += 1
        self.sessions.track(session_id, connection.timeout_ms, now.steady_ms)
        self.attach(connection, session_id)
        connection.phase = Phase.OPENING
        header = TxnHeader(session_id, 0, self.zxid + 1, now.wall_ms, CREATE_SESSION)
        self.database.overlay.begin(header.zxid)
        answer = welcome(session_id, connection.timeout_ms, knows_read_only)
        self.log(header, CreateSessionTxn(connection.timeout_ms), connection.number, answer)

    def resume_session(self, connection: Connection, request: ConnectRequest, knows_read_only: bool, now: Instant) -> None:
        session_id = request.session_id
        # Whoever names a session ends its live connection, even with a wrong password: so does Apache.
        live = self.connections.get(self.attached.get(session_id, 0))
        if live is not None:
            self.close(live)
        is_own = is_password(session_id, request.password)
        if is_own and self.sessions.touch(session_id, connection.timeout_ms, now.steady_ms):
            self.attach(connection, session_id)
            connection.phase = OPEN
            for write in self.in_flight:  # what it reads here comes after what it wrote on its last connection
                if write.header.session_id == session_id:
                    write.connection, write.reply = connection.number, b""
                    connection.wait(write)
            self.send(connection.number, welcome(session_id, connection.timeout_ms, knows_read_only))
            return
        self.send(connection.number, welcome(0, 0, knows_read_only))
        self.close(connection)

    def attach(self, connection: Connection, session_id: int) -> None:
        connection.session_id = session_id
        self.attached[session_id] = connection.number

    def session_opened(self, connection: Connection, write: WriteInFlight, now: Instant) -> None:
        self.send(connection.number, write.reply)
        connection.phase = OPEN
        frames, connection.backlog = connection.backlog, []
        self.frames_arrived(connection.number, frames, now)

    def session_closed(self, write: WriteInFlight) -> None:
        """Answer whoever asked for the end, and close the connection of the session that ended."""
        connection = self.connections.get(self.attached.get(write.header.session_id, 0))
        if connection is not None:
            self.drain(connection)
            self.close(connection)

    def expire_sessions(self, now: Instant) -> None:
        """End the sessions whose time has run out; time in which this server stood still counts for none of them."""
        late_ms = now.steady_ms - self.looked_ms
        self.looked_ms = now.steady_ms
        if late_ms > STANDSTILL_BUCKETS * self.settings.bucket_ms:
            self.sessions.postpone(late_ms)
            return
        for session_id in self.sessions.expired(now.steady_ms):
            self.sessions.forget(session_id)
            header = TxnHeader(session_id, 0, self.zxid + 1, now.wall_ms, CLOSE_SESSION)
            overlay = self.database.overlay
            overlay.begin(header.zxid)
            txn = close_session(overlay, session_id)
            draft(overlay, header, txn)
            self.log(header, txn, 0, b"")
