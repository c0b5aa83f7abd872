"""Sessions as clients live them: opened, resumed, expired.

It owns which sessions are alive. The connect request of a new connection comes here; so does the time.
"""

from muskox.errors import PeerError
from muskox.keeper.machine.connection import Connection, Phase
from muskox.keeper.machine.connections import Connections
from muskox.keeper.machine.database import Database
from muskox.keeper.machine.effects import draft
from muskox.keeper.machine.events import Instant
from muskox.keeper.machine.pipeline import Pipeline, Run
from muskox.keeper.machine.prepare import close_session
from muskox.keeper.machine.replies import welcome
from muskox.keeper.machine.sessions import Sessions, is_password
from muskox.keeper.machine.settings import Settings
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import CONNECT_REQUEST, ConnectRequest
from muskox.keeper.wire.transactions import CreateSessionTxn, TxnHeader

SESSION_ID_BITS = 55  # of ours; above them is the number of an ensemble's server
# Time passes a bucket at a step. If a step is this much longer, the server was stopped, and could hear nobody's pings.
STANDSTILL_BUCKETS = 10
CREATE_SESSION = int(OpCode.CREATE_SESSION)
CLOSE_SESSION = int(OpCode.CLOSE_SESSION)


class Reception:
    """Opens, resumes and expires sessions."""

    def __init__(self, settings: Settings, connections: Connections, pipeline: Pipeline, first_id: int, now: Instant) -> None:
        self.settings = settings
        self.connections = connections
        self.pipeline = pipeline
        self.database: Database = pipeline.database
        self.sessions = Sessions(settings.bucket_ms)
        for session_id, timeout_ms in self.database.timeouts_ms.items():
            self.sessions.track(session_id, timeout_ms, now.steady_ms)
        for session_id in self.database.overlay.ephemerals:
            if not self.sessions.is_alive(session_id):
                self.sessions.track(session_id, settings.timeout_ms_min, now.steady_ms)  # nobody knows it: it will expire
        used = [session_id for session_id in self.sessions.due_ms if session_id >> SESSION_ID_BITS == 0]
        self.session_id_next = max(first_id, *(session_id + 1 for session_id in used), 0)  # a clock may go back
        self.looked_ms = now.steady_ms
        self.expired = 0  # how many sessions have run out

    def greet(self, connection: Connection, data: bytes, now: Instant) -> None:
        """Take the connect request: open a session, or resume one."""
        try:
            request, end = CONNECT_REQUEST.decode_from(data)
        except PeerError:
            self.connections.close(connection)
            return
        if request.last_zxid_seen > self.database.zxid:
            # It has seen what this server has not; it must not be taken back in time.
            self.connections.close(connection)
            return
        connection.timeout_ms = min(max(request.timeout_ms, self.settings.timeout_ms_min), self.settings.timeout_ms_max)
        knows_read_only = end < len(data)
        if request.session_id == 0:
            self.open(connection, knows_read_only, now)
        else:
            self.resume(connection, request, knows_read_only, now)

    def open(self, connection: Connection, knows_read_only: bool, now: Instant) -> None:
        session_id = self.session_id_next
        self.session_id_next += 1
        self.sessions.track(session_id, connection.timeout_ms, now.steady_ms)
        self.connections.attach(connection, session_id)
        connection.phase = Phase.OPENING
        header = TxnHeader(session_id, 0, self.pipeline.zxid + 1, now.wall_ms, CREATE_SESSION)
        self.database.overlay.begin(header.zxid)
        answer = welcome(session_id, connection.timeout_ms, knows_read_only)
        run = Run(connection.number, session_id, now.wall_ms, CREATE_SESSION)
        self.pipeline.order(run, header, CreateSessionTxn(connection.timeout_ms), answer)

    def resume(self, connection: Connection, request: ConnectRequest, knows_read_only: bool, now: Instant) -> None:
        session_id = request.session_id
        # Whoever names a session ends its live connection, even with a wrong password: so does Apache.
        live = self.connections.find_attached(session_id)
        if live is not None:
            self.connections.close(live)
        is_own = is_password(session_id, request.password)
        if is_own and self.sessions.touch(session_id, connection.timeout_ms, now.steady_ms):
            self.connections.attach(connection, session_id)
            connection.phase = Phase.OPEN
            for run in self.pipeline.in_flight:  # what it reads here comes after what it wrote on its last connection
                if run.session_id == session_id:
                    connection.wait_for(run)
            self.connections.send(connection.number, welcome(session_id, connection.timeout_ms, knows_read_only))
            return
        self.connections.send(connection.number, welcome(0, 0, knows_read_only))
        self.connections.close(connection)

    def expire(self, now: Instant) -> None:
        """End the sessions whose time has run out; time in which this server stood still counts for none of them."""
        self.connections.end_overdue(now.steady_ms)
        late_ms = now.steady_ms - self.looked_ms
        self.looked_ms = now.steady_ms
        if late_ms > STANDSTILL_BUCKETS * self.settings.bucket_ms:
            self.sessions.postpone(late_ms)
            return
        for session_id in self.sessions.expired(now.steady_ms):
            connection = self.connections.find_attached(session_id)
            if connection is not None and connection.is_paused and not connection.is_blocked:
                # Nothing is read from it, because the log is behind: what says that its client lives may wait in its socket.
                self.sessions.touch(session_id, connection.timeout_ms, now.steady_ms)
                continue
            self.expired += 1
            self.sessions.forget(session_id)
            header = TxnHeader(session_id, 0, self.pipeline.zxid + 1, now.wall_ms, CLOSE_SESSION)
            overlay = self.database.overlay
            overlay.begin(header.zxid)
            txn = close_session(overlay, session_id)
            draft(overlay, header, txn)
            self.pipeline.order(Run(0, session_id, now.wall_ms, CLOSE_SESSION), header, txn, b"")
