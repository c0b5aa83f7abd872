"""The open connections, and what is sent to them: in order, within bounds.

It owns who is connected and whose output or input must wait. It does not know what is asked or answered.
"""

from muskox.keeper.machine.connection import Connection, Phase
from muskox.keeper.machine.events import AwaitDrain, PauseReading, ResumeReading
from muskox.keeper.machine.outbox import Outbox
from muskox.keeper.machine.pipeline import Pipeline
from muskox.keeper.machine.watches import Watches

# A connection with more requests in line, or more bytes in one answer, is not read from until it has caught up: memory is
# bounded by what one read of a socket can ask for.
REQUESTS_WAITING_MAX = 2_000
WAITING_BYTES_MAX = 4 << 20
NOTIFIED_BYTES_AT_ONCE_MAX = 1 << 20


class Connections:
    """Connections by number, and the one that each session has."""

    def __init__(self, outbox: Outbox, watches: Watches, pipeline: Pipeline, outstanding_max: int) -> None:
        self.outbox = outbox
        self.watches = watches
        self.pipeline = pipeline
        self.outstanding_max = outstanding_max
        self.by_number: dict[int, Connection] = {}
        self.attached: dict[int, int] = {}  # session id -> the number of its live connection
        self.throttled: dict[int, None] = {}  # connections that wait until fewer writes are under way
        self.ending: dict[int, int] = {}  # those without a session: they close once all that waits has left, or at this time

    def find_attached(self, session_id: int) -> Connection | None:
        """Return the live connection of a session."""
        return self.by_number.get(self.attached.get(session_id, 0))

    def attach(self, connection: Connection, session_id: int) -> None:
        connection.session_id = session_id
        self.attached[session_id] = connection.number

    def send(self, number: int, data: bytes) -> None:
        if number in self.by_number:
            self.outbox.parts_for(number).append(data)

    def notify(self, number: int, frames: bytes) -> None:
        """Send what a connection has missed; what it asks next waits if that was much."""
        self.send(number, frames)
        if len(frames) > NOTIFIED_BYTES_AT_ONCE_MAX:
            self.block(self.by_number[number])

    def close(self, connection: Connection) -> None:
        """Send what is ordered, then close; the session lives on until it is closed or expires."""
        self.outbox.close(connection.number)
        self.forget(connection.number)

    def forget(self, number: int) -> None:
        connection = self.by_number.get(number)
        if connection is None:
            return
        self.watches.remove_connection(number)
        self.throttled.pop(number, None)
        self.ending.pop(number, None)
        if self.attached.get(connection.session_id) == number:
            del self.attached[connection.session_id]
        connection.phase = Phase.CLOSING
        del self.by_number[number]

    def block(self, connection: Connection) -> None:
        """Answer this connection no more until what was sent to it has left."""
        if not connection.is_blocked:
            connection.is_blocked = True
            self.outbox.orders.append(AwaitDrain(connection.number))

    def regulate(self, connection: Connection) -> None:
        """Stop or go on reading, by how much of this connection waits, and how much is under way for all."""
        if connection.phase is Phase.CLOSING:
            return
        is_throttled = self.pipeline.outstanding > self.outstanding_max and bool(connection.waiting)
        if is_throttled:
            self.throttled[connection.number] = None
        must_pause = (
            is_throttled
            or connection.phase is Phase.OPENING
            or connection.is_blocked
            or len(connection.waiting) > REQUESTS_WAITING_MAX
            or connection.waiting_bytes > WAITING_BYTES_MAX
        )
        if must_pause != connection.is_paused:
            connection.is_paused = must_pause
            order = PauseReading(connection.number) if must_pause else ResumeReading(connection.number)
            self.outbox.orders.append(order)

    def end_overdue(self, steady_ms: int) -> None:
        """Close those that had long enough to read the last answers: no session runs out for them any more."""
        for number in [number for number, until_ms in self.ending.items() if until_ms <= steady_ms]:
            self.close(self.by_number[number])

    def release(self) -> None:
        """Look again at whom too many writes under way have stopped."""
        if self.throttled and self.pipeline.outstanding <= self.outstanding_max:
            throttled, self.throttled = self.throttled, {}
            for number in throttled:
                self.regulate(self.by_number[number])
