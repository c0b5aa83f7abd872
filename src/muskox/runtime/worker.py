"""A worker process: the thin shell around :class:`muskox.runtime.rounds.RoundMachine`.

It performs the machine's actions on sockets, on the pipe to its node and in one thread that computes, and feeds the results
back as events. It ends when its node's pipe closes: an orphan would only warm the room. It never speaks to ZooKeeper.
"""

import asyncio
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import assert_never

from muskox.errors import MuskoxError, PeerError
from muskox.program import Manifest
from muskox.records import unpack
from muskox.runtime import rounds
from muskox.runtime.computing import Abandoned, Computation, ProgramFailed, load_program
from muskox.runtime.links import Link, LinkOptions, answer, dial, tls_contexts
from muskox.runtime.messages import (
    LENGTHS,
    Checkpointed,
    Collective,
    Failed,
    Finished,
    Formed,
    FromNode,
    FromWorker,
    Listening,
    Moved,
    Restore,
    Settings,
    Setup,
    Stop,
    Suspected,
    Told,
    Wanted,
    check_lengths,
    decode_from_node,
    frame,
)
from muskox.store import open_shard

ABANDONED_EXIT = 0


def worker_main(pipe: socket.socket) -> None:
    """Run a worker until its node's pipe closes; the entry of the forked process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the node to decide
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    asyncio.run(_serve(pipe))


async def _serve(pipe: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=pipe)
    setup, program = await _read(reader)
    settings, _ = await _read(reader)
    assert isinstance(setup, Setup) and isinstance(settings, Settings), "the node sends these first"
    worker = Worker(setup, settings, writer)
    try:
        await worker.listen(program)
        while True:
            worker.hear(*await _read(reader))
    except (asyncio.IncompleteReadError, OSError):
        os._exit(ABANDONED_EXIT)  # the node is gone; the thread that computes must not keep us


async def _read(reader: asyncio.StreamReader) -> tuple[FromNode, bytes]:
    head_bytes, body_bytes = check_lengths(await reader.readexactly(LENGTHS.size))
    head = decode_from_node(await reader.readexactly(head_bytes))
    return head, await reader.readexactly(body_bytes)


class Worker:
    """The shell's state: links by (generation, peer), the machine, and the computation."""

    def __init__(self, setup: Setup, settings: Settings, pipe: asyncio.StreamWriter) -> None:
        self._setup = setup
        self._settings = settings
        self._pipe = pipe
        self._machine = rounds.RoundMachine(
            setup.worker, checkpoint_interval_s=settings.checkpoint_interval_s, rounds_max=setup.rounds_max
        )
        server_tls, client_tls = tls_contexts(setup.tls)
        self._options = LinkOptions(
            setup.job, setup.worker, bytes.fromhex(setup.key), lambda: self._settings.silence_s, server_tls, client_tls
        )
        self._links: dict[tuple[int, str], Link] = {}
        self._addresses: dict[str, str] = {}
        self._events: deque[rounds.Event] = deque()
        self._is_feeding = False
        self._computing: rounds.Compute | None = None
        self._thread = ThreadPoolExecutor(1, "compute")
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, program: bytes) -> None:
        """Load the program, listen, and tell the node where."""
        server = await asyncio.start_server(self._accept, self._setup.host, 0, ssl=self._options.server_tls)
        port = server.sockets[0].getsockname()[1]
        self._tell(Listening(f"{self._setup.host}:{port}", os.getpid()))
        manifest = Manifest(self._setup.columns, tuple(self._setup.shard_rows))
        try:
            self._computation = Computation(load_program(unpack(program)), manifest, open_shard)
        except MuskoxError as error:
            self._tell(Failed(0, str(error)))

    # -- what the node says --

    def hear(self, message: FromNode, body: bytes) -> None:
        match message:
            case Settings():
                self._settings = message
                self._machine.checkpoint_interval_s = message.checkpoint_interval_s
            case Formed():
                self._form(message)
            case Restore(round_, _):
                self._load(lambda: self._computation.load(round_, False, body) if body else self._computation.begin())
            case Stop():
                os._exit(0)
            case Setup():
                raise PeerError("a second Setup")
            case _:
                assert_never(message)

    def _form(self, formed: Formed) -> None:
        for key in [key for key in self._links if key[0] < formed.number]:
            link = self._links.pop(key)
            link.send(Moved(key[0]))
            link.close()
        self._addresses = {member.worker: member.address for member in formed.members}
        self._computing = None
        self._computation.own(formed.files)
        names = tuple(self._addresses)
        rank = names.index(self._setup.worker)
        self._feed(rounds.GenerationFormed(formed.number, names, rank))
        if rank == 0:
            asyncio.get_running_loop().call_later(self._settings.silence_s, self._miss, formed.number)

    def _miss(self, generation: int) -> None:
        """Report those who never joined the generation."""
        for peer in list(self._addresses):
            if generation == self._machine.generation and (generation, peer) not in self._links and peer != self._setup.worker:
                self._feed(rounds.PeerLost(peer, generation, f"it did not join within {self._settings.silence_s:g} s"))

    # -- the machine --

    def _feed(self, event: rounds.Event) -> None:
        """Let the machine handle `event`, and all events that performing its actions yields, in order."""
        self._events.append(event)
        if self._is_feeding:
            return
        self._is_feeding = True
        try:
            while self._events:
                self._step(self._events.popleft())
        finally:
            self._is_feeding = False

    def _step(self, event: rounds.Event) -> None:
        try:
            actions = self._machine.handle(event, asyncio.get_running_loop().time())
        except PeerError as error:
            assert isinstance(event, rounds.MessageArrived), "only a message can break the protocol"
            self._events.append(rounds.PeerLost(event.peer, self._machine.generation, str(error)))
            return
        try:
            for action in actions:
                self._perform(action)
        except ProgramFailed as error:
            self._tell(Failed(self._machine.generation, str(error)))

    def _perform(self, action: rounds.Action) -> None:
        match action:
            case rounds.Dial():
                self._spawn(self._dial(action))
            case rounds.Send(peer, message, body):
                self._send(peer, message, body)
            case rounds.SendState(peer, message):
                self._send(peer, message, self._computation.packed_state())
            case rounds.LoadState(round_, is_done, body):
                self._events.append(rounds.StateLoaded(self._computation.load(round_, is_done, body)))
            case rounds.RestoreState(generation):
                self._tell(Wanted(generation))
            case rounds.Compute():
                self._computing = action
                self._spawn(self._compute(action))
            case rounds.Reduce(values):
                self._events.append(rounds.SumReduced(self._computation.total(values)))
            case rounds.Update(total):
                self._events.append(rounds.StateUpdated(self._computation.update(self._machine.holding.round, total)))
            case rounds.Suspect(peer, reason):
                self._drop(peer)
                self._tell(Suspected(peer, reason))
            case rounds.Tell(generation, round_):
                self._tell(Told(generation, round_, self._computation.report()))
            case rounds.KeepCheckpoint(generation, holding):
                self._tell(Checkpointed(generation, holding.round, holding.digest), self._computation.packed_state())
            case rounds.Finish(generation, holding):
                self._computation.publish()
                self._tell(Finished(generation, holding.round, holding.digest), self._computation.packed_state())
            case rounds.GiveUp(generation, reason):
                self._tell(Failed(generation, reason))
            case _:
                assert_never(action)

    def _load(self, load: Callable[[], rounds.Holding]) -> None:
        try:
            holding = load()
        except ProgramFailed as error:
            self._tell(Failed(self._machine.generation, str(error)))
        else:
            self._feed(rounds.StateLoaded(holding))

    async def _compute(self, action: rounds.Compute) -> None:
        def abandoned() -> bool:
            return self._computing is not action

        loop = asyncio.get_running_loop()
        try:
            parts = await loop.run_in_executor(self._thread, self._computation.parts, action.round, abandoned)
        except Abandoned:
            return
        except ProgramFailed as error:
            self._tell(Failed(action.generation, str(error)))
            return
        self._feed(rounds.PartComputed(action.generation, action.round, tuple(parts), tuple(parts.values())))

    # -- links --

    async def _dial(self, action: rounds.Dial) -> None:
        try:
            link = await dial(self._options, self._addresses[action.peer], action.peer, action.generation)
        except PeerError as error:
            self._feed(rounds.PeerLost(action.peer, action.generation, str(error)))
            return
        self._links[(action.generation, action.peer)] = link
        self._feed(rounds.LinkOpened(action.generation))
        await self._listen_to(link)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            link = await answer(self._options, reader, writer)
        except PeerError:
            return  # a stranger: nobody's business but its own
        if link.generation < self._machine.generation:
            link.send(Moved(link.generation))
            link.close()
            return
        self._links[(link.generation, link.peer)] = link
        await self._listen_to(link)

    async def _listen_to(self, link: Link) -> None:
        try:
            while True:
                message, body = await link.receive(self._options.silence_s)
                self._feed(rounds.MessageArrived(link.peer, message, body))
        except PeerError as error:
            link.close()
            if self._links.get((link.generation, link.peer)) is link:
                del self._links[(link.generation, link.peer)]
                self._feed(rounds.PeerLost(link.peer, link.generation, str(error)))

    def _send(self, peer: str, message: Collective, body: bytes) -> None:
        link = self._links.get((self._machine.generation, peer))
        if link is None:
            self._events.append(rounds.PeerLost(peer, self._machine.generation, f"there is no connection with {peer}"))
        else:
            link.send(message, body)

    def _drop(self, peer: str) -> None:
        link = self._links.pop((self._machine.generation, peer), None)
        if link is not None:
            link.close()

    def _tell(self, message: FromWorker, body: bytes = b"") -> None:
        self._pipe.write(frame(message, body))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            asyncio.get_running_loop().call_exception_handler({"message": "worker", "exception": task.exception()})
            os._exit(1)  # our own bug, or a broken disk: the node starts another worker, and bounds how often
