"""A worker process: the thin shell around :class:`muskox.runtime.rounds.RoundMachine`.

It performs the machine's actions on sockets, on the pipe to its node and in one thread that computes, and feeds the results
back as events. It ends when its node's pipe closes: an orphan would only warm the room. It never speaks to ZooKeeper.
"""

import asyncio
import os
import select
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import assert_never

from muskox.errors import MuskoxError, PeerError
from muskox.program import Manifest
from muskox.records import unpack
from muskox.runtime import round_events as rounds
from muskox.runtime.computing import Abandoned, BrokenShard, Computation, ProgramFailed, load_program
from muskox.runtime.links import Link, LinkOptions, answer, dial, tls_contexts
from muskox.runtime.messages import (
    LENGTHS,
    Broken,
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
from muskox.runtime.rounds import RoundMachine
from muskox.store import open_shard

ABANDONED_EXIT = 0


def worker_main(pipe: socket.socket) -> None:
    """Run a worker until its node's pipe closes; the entry of the forked process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the node to decide
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with, args=(pipe.dup(),), name="node", daemon=True).start()
    asyncio.run(_serve(pipe))


def _end_with(pipe: socket.socket) -> None:
    """End this process when its node is gone, whatever the event loop is doing."""
    watch = select.poll()
    watch.register(pipe, select.POLLRDHUP | select.POLLHUP)
    watch.poll()
    os._exit(ABANDONED_EXIT)


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
        self._machine = RoundMachine(
            setup.worker, checkpoint_interval_s=settings.checkpoint_interval_s, rounds_max=setup.rounds_max
        )
        server_tls, client_tls = tls_contexts(setup.tls)
        self._options = LinkOptions(
            setup.job, setup.worker, bytes.fromhex(setup.key), lambda: self._settings.silence_s, server_tls, client_tls
        )
        self._links: dict[tuple[int, str], Link] = {}
        self._addresses: dict[str, str] = {}
        self._steps: deque[Callable[[], None]] = deque()
        self._is_running = False
        self._is_thinking = False
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
                self._put(lambda: self._form(message))
            case Restore():
                self._put(lambda: self._restore(message, body))
            case Stop():
                os._exit(0)
            case Setup():
                raise PeerError("a second Setup")
            case _:
                assert_never(message)

    def _form(self, formed: Formed) -> None:
        """Leave the former generation for this one."""
        for key in [key for key in self._links if key[0] < formed.number]:
            link = self._links.pop(key)
            link.send(Moved(key[0]))
            link.close()
        self._addresses = {member.worker: member.address for member in formed.members}
        self._computing = None
        self._computation.own(formed.files)
        names = tuple(self._addresses)
        rank = names.index(self._setup.worker)
        self._handle(rounds.GenerationFormed(formed.number, names, rank))
        if rank == 0:
            asyncio.get_running_loop().call_later(self._settings.silence_s, self._miss, formed.number)

    def _miss(self, generation: int) -> None:
        """Report those who never joined the generation."""
        if generation == self._machine.generation:
            for peer in self._machine.unheard():
                self._feed(rounds.PeerLost(peer, generation, f"it did not join within {self._settings.silence_s:g} s"))

    def _restore(self, message: Restore, body: bytes) -> None:
        if self._machine.wants_state(message.generation):
            self._think(lambda: self._computation.load(message.round, False, body) if body else self._computation.begin())

    # -- the machine: one event after the other; while the thread thinks for it, events wait --

    def _feed(self, event: rounds.Event) -> None:
        self._put(lambda: self._handle(event))

    def _put(self, step: Callable[[], None]) -> None:
        self._steps.append(step)
        self._run()

    def _run(self) -> None:
        if self._is_running:
            return
        self._is_running = True
        try:
            while self._steps and not self._is_thinking:
                self._steps.popleft()()
        finally:
            self._is_running = False

    def _handle(self, event: rounds.Event) -> None:
        try:
            actions = self._machine.handle(event, asyncio.get_running_loop().time())
        except PeerError as error:
            assert isinstance(event, rounds.MessageArrived), "only a message can break the protocol"
            self._handle(rounds.PeerLost(event.peer, self._machine.generation, str(error)))
            return
        for action in actions:
            self._perform(action)

    def _perform(self, action: rounds.Action) -> None:
        match action:
            case rounds.Dial():
                self._spawn(self._dial(action))
            case rounds.Send(peer, message, body):
                self._send(peer, message, body)
            case rounds.SendState(peer, message):
                self._send(peer, message, self._computation.packed_state())
            case rounds.LoadState(round_, is_done, body):
                self._think(lambda: self._computation.load(round_, is_done, body))
            case rounds.RestoreState(generation):
                self._tell(Wanted(generation))
            case rounds.Compute():
                self._computing = action
                self._spawn(self._compute(action))
            case rounds.Reduce(values):
                self._think(lambda: rounds.SumReduced(self._computation.total(values)))
            case rounds.Update(total):
                round_ = self._machine.holding.round
                self._think(lambda: rounds.StateUpdated(self._computation.update(round_, total)))
            case rounds.Suspect(peer, reason):
                self._drop(peer)
                self._tell(Suspected(self._machine.generation, peer, reason))
            case rounds.Tell(generation, round_):
                self._report(generation, round_)
            case rounds.KeepCheckpoint(generation, holding):
                self._tell(Checkpointed(generation, holding.round, holding.digest), self._computation.packed_state())
            case rounds.Finish(generation, holding):
                self._tell(Finished(generation, holding.round, holding.digest), self._computation.packed_state())
            case rounds.GiveUp(generation, reason):
                self._tell(Failed(generation, reason))
            case _:
                assert_never(action)

    def _report(self, generation: int, round_: int) -> None:
        try:
            self._tell(Told(generation, round_, self._computation.report()))
        except ProgramFailed as error:
            self._tell(Failed(generation, str(error)))

    def _think(self, work: Callable[[], rounds.Event | rounds.Holding]) -> None:
        """Have the thread do what a program's size may make slow, so that beats go on; nothing is handled meanwhile."""
        self._is_thinking = True
        self._spawn(self._thought(work))

    async def _thought(self, work: Callable[[], rounds.Event | rounds.Holding]) -> None:
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except ProgramFailed as error:
            self._tell(Failed(self._machine.generation, str(error)))
        else:
            event = rounds.StateLoaded(result) if isinstance(result, rounds.Holding) else result
            self._steps.appendleft(lambda: self._handle(event))
        self._is_thinking = False
        self._run()

    async def _compute(self, action: rounds.Compute) -> None:
        def abandoned() -> bool:
            return self._computing is not action

        loop = asyncio.get_running_loop()
        try:
            parts = await loop.run_in_executor(self._thread, self._computation.parts, action.round, abandoned)
        except Abandoned:
            return
        except BrokenShard as error:
            self._tell(Broken(error.index, str(error)))
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
            self._feed(rounds.PeerLost(peer, self._machine.generation, f"there is no connection with {peer}"))
        else:
            link.send(message, body)

    def _drop(self, peer: str) -> None:
        link = self._links.pop((self._machine.generation, peer), None)
        if link is not None:
            link.send(Moved(link.generation))  # we end this link: it is no death of ours
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
