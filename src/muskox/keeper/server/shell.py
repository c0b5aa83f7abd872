"""The shell: it takes events to the machine and does what the machine orders.

It owns the sockets, the clock, the line to the log's process and the snapshots. It decides nothing that a client could see.
"""

import asyncio
import gc
import os
import sys
import time
import traceback
from contextlib import suppress
from typing import assert_never

from muskox.errors import MuskoxError
from muskox.keeper.disk.recovery import Recovered
from muskox.keeper.machine.events import (
    Action,
    AppendTransactions,
    AwaitDrain,
    CloseConnection,
    Event,
    FramesArrived,
    Instant,
    OutputDrained,
    PauseReading,
    ResumeReading,
    Send,
    TimePassed,
    TransactionsSynced,
)
from muskox.keeper.machine.machine import Machine
from muskox.keeper.server.admission import Admission
from muskox.keeper.server.brief import settings_of
from muskox.keeper.server.client import ClientSocket
from muskox.keeper.server.figures import SLOW_SYNC_SECONDS, Figures, Traffic
from muskox.keeper.server.log_process import LogProcess
from muskox.keeper.server.options import Options
from muskox.keeper.server.snapshots import Snapshots
from muskox.keeper.server.status import Status
from muskox.keeper.server.words import answer, is_word
from muskox.keeper.server.writer import LogWriter

ANSWER_BYTES_MAX = 16 << 20  # of answers to four-letter words that are not read; then no more are given
REFUSAL_SECONDS = 1.0  # a flood of refused connections is told no more often than this
EXCESS_SECONDS = 1.0  # nor is one of writes over a quota
GREETING_SECONDS_MAX = 10.0  # Apache's patience with a connection that opens no session
GARBAGE_THRESHOLDS = (20_000, 1_000, 1_000)
SESSION_ID_SHIFT = 16  # milliseconds in the upper bits, a counter below: ids of two starts never meet
SESSION_ID_MASK = (1 << 55) - 1


class Shell:
    """One running server, inside one event loop."""

    def __init__(self, options: Options, recovered: Recovered, log: LogProcess, loop: asyncio.AbstractEventLoop) -> None:
        self.options = options
        self.loop = loop
        self.stopping = loop.create_future()  # set to None for a stop, or to what failed
        self.failure: OSError | MuskoxError | None = None  # also one that comes after a stop was asked for
        settings, notes = settings_of(options)
        for note in notes:
            say(note)
        session_id_first = (time.time_ns() // 1_000_000 << SESSION_ID_SHIFT) & SESSION_ID_MASK
        self.machine = Machine(recovered.database, settings, session_id_first, self.now())
        self.writer = LogWriter(log, loop, self.synced, self.stop, self.log_written)
        self.orders: list[AppendTransactions] = []  # not given to the log yet
        self.sockets: dict[int, ClientSocket] = {}
        self.admission = Admission(options.limits.connections_per_address_max, options.limits.connections_max)
        self.refusal_said = self.excess_said = 0.0
        self.greeting: dict[int, float] = {}  # connections that have sent nothing whole yet, and until when they may
        self.asking: dict[int, None] = {}  # connections that asked by four letters and are still there
        self.number_last = 0
        self.figures = Figures()
        self.status = Status(options, self.machine, self.figures, self.sockets)
        self.snapshots = Snapshots(options, loop, self.machine.image, recovered.transactions, self.snapshot_ended)
        gc.set_threshold(*GARBAGE_THRESHOLDS)

    def start(self) -> None:
        self.snapshots.start()
        self.tick()

    def now(self) -> Instant:
        return Instant(time.time_ns() // 1_000_000, int(self.loop.time() * 1000))

    # Events

    def handle(self, event: Event) -> None:
        """Take an event to the machine, do what it orders, and count."""
        since = time.monotonic()
        if type(event) is not FramesArrived:
            actions = self.ask(event)
            self.perform(actions)
            if actions and type(actions[0]) is AppendTransactions:
                self.figures.handled(None, 0, actions[0], since, 0)
            return
        self.greeting.pop(event.connection, None)
        traffic = self.figures.arrived(event.connection, event.frames)
        actions = self.ask(event)
        self.perform(actions)
        order = actions[0] if actions and type(actions[0]) is AppendTransactions else None
        self.figures.handled(traffic, len(event.frames), order, since, self.status.zxid)

    def ask(self, event: Event) -> list[Action]:
        try:
            return self.machine.handle(event, self.now())
        except Exception as error:  # noqa: BLE001  # bulkhead: what the machine holds now is not what the log will say
            say(f"a fault of this server's own, it ends: {error!r}")
            traceback.print_exc()
            os._exit(1)

    def admit(self, address: str) -> bool:
        """Return whether a client from there may connect; its departure is told by :meth:`left`."""
        reason = self.admission.admit(address)
        self.figures.rejected += reason is not None
        if reason is not None and self.loop.time() >= self.refusal_said + REFUSAL_SECONDS:
            self.refusal_said = self.loop.time()
            say(reason)
        return reason is None

    def turned_away(self, address: str, has_failed: bool) -> None:
        """Forget who was admitted but did not come to be a client: it said nothing, or its handshake has failed."""
        self.admission.left(address)
        self.figures.auth_failures += has_failed

    def joined(self, client: ClientSocket) -> int:
        self.number_last += 1
        self.sockets[self.number_last] = client
        self.greeting[self.number_last] = self.loop.time() + GREETING_SECONDS_MAX
        host, port = (client.transport.get_extra_info("peername") or ("", 0))[:2]
        is_secure = client.transport.get_extra_info("ssl_object") is not None
        self.figures.traffics[self.number_last] = Traffic(self.number_last, (host, port), is_secure, self.now().wall_ms)
        return self.number_last

    def left(self, client: ClientSocket) -> None:
        self.admission.left(client.address)
        self.figures.bytes_received += client.bytes_received
        if not client.was_closed:
            self.figures.dropped += 1
        self.sockets.pop(client.number, None)
        self.greeting.pop(client.number, None)
        self.figures.traffics.pop(client.number, None)
        self.asking.pop(client.number, None)

    def synced(self, zxid: int) -> None:
        """Take note that transactions are on disk."""
        self.handle(TransactionsSynced(zxid))
        self.figures.synced(zxid)
        if self.snapshots.begin_if_due():
            self.writer.roll()

    def log_written(self, seconds: float, count: int) -> None:
        """Take note how long a write and sync took."""
        self.figures.log_written(seconds, count)
        if seconds > SLOW_SYNC_SECONDS:
            say(f"the disk took {seconds:.1f} s to write and sync {count} transactions; every client that writes waits for it")

    def stop(self, error: OSError | MuskoxError | None = None) -> None:
        self.status.is_serving = False
        self.failure = self.failure or error
        if not self.stopping.done():
            self.stopping.set_result(error)

    def tick(self) -> None:
        # Whatever has come so far is not looked through for cycles again: the tree has none, and a look at all of a large one
        # takes a second. Neither has a connection left any once it is closed (a test counts them).
        gc.freeze()
        self.handle(TimePassed())
        deadline = self.loop.time()
        for number in [number for number, until in self.greeting.items() if until <= deadline]:
            self.figures.silent_expired += 1
            self.sockets[number].close()
        excess = self.machine.database.overlay.excess
        if excess.count and deadline >= self.excess_said + EXCESS_SECONDS:
            self.excess_said = deadline
            say(excess.take())
        self.loop.call_later(self.options.bucket_ms / 1000, self.tick)

    # Actions

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(number, data, frames):
                    socket = self.sockets.get(number)
                    if socket is not None:
                        socket.send(data)
                        self.figures.sent_to(number, len(data), frames)
                case AppendTransactions(entries=entries):
                    self.snapshots.transactions += len(entries)
                    self.order(action)
                case AwaitDrain(number):
                    socket = self.sockets.get(number)
                    if socket is not None and socket.await_drain():
                        self.loop.call_soon(self.handle, OutputDrained(number))
                case PauseReading(number) | ResumeReading(number):
                    socket = self.sockets.get(number)
                    if socket is not None:
                        socket.pause(isinstance(action, PauseReading))
                case CloseConnection(number):
                    socket = self.sockets.get(number)
                    if socket is not None:
                        socket.close()
                case _:
                    assert_never(action)

    def snapshot_ended(self, seconds: float, complaint: str | None) -> None:
        if complaint is None:
            self.figures.snapshots.add(seconds * 1000)
        else:
            say(complaint)

    def order(self, order: AppendTransactions) -> None:
        """Give transactions to the log, with all that the sockets which are ready now will order."""
        if not self.orders:
            self.loop.call_soon(self.write_orders)
        self.orders.append(order)

    def write_orders(self) -> None:
        orders, self.orders = self.orders, []
        self.writer.append(orders)

    # Four-letter words

    def find_answer(self, word: str, rest: bytes, number: int) -> bytes | None:
        """Return what is said to a four-letter word that came from connection `number`, None if it is none.

        Nothing is said while those who asked before have much to read: a list of a million watches is long.
        """
        if not is_word(word):
            return None
        self.greeting.pop(number, None)
        self.figures.word_came(number)
        unread = sum(self.sockets[each].transport.get_write_buffer_size() for each in self.asking)
        self.asking[number] = None
        if unread > ANSWER_BYTES_MAX:
            return b""
        try:
            said = answer(word, rest, self.status, number)
        except OSError as error:  # a folder that it tells of is gone
            said = f"{word} cannot be told: {error}\n"
        self.figures.sent += 1
        return said.encode()


def say(sentence: str) -> None:
    """Tell whoever runs this server; if nobody can hear it any more, serving goes on."""
    with suppress(OSError, ValueError, AttributeError):  # its reader is gone, or it was closed, or there never was one
        sys.stderr.write(f"muskox keeper: {sentence}\n")
        sys.stderr.flush()
