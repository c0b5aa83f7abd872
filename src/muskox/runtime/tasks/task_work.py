"""A worker's tasks: performs what :class:`muskox.runtime.tasks.machine.TaskMachine` orders, and feeds back what came of it."""

import asyncio
import time
from collections.abc import Sequence
from typing import assert_never

import numpy as np

from muskox.errors import MuskoxError, PeerError
from muskox.program import Manifest
from muskox.runtime.computing import BrokenShard
from muskox.runtime.message import Buffer
from muskox.runtime.messages import (
    Adjust,
    Answered,
    Broken,
    Brought,
    Collective,
    Failed,
    Finished,
    Formed,
    Lacking,
    Moved,
    Recorded,
    Restore,
    Settings,
    Setup,
    Suspected,
    Told,
    Unfit,
)
from muskox.runtime.own_memory import shard_opener
from muskox.runtime.shell import Shell, crash
from muskox.runtime.tasks import events
from muskox.runtime.tasks.computing import TaskComputation
from muskox.runtime.tasks.machine import TaskMachine
from muskox.runtime.tasks.messages import (
    Answer,
    Distrust,
    Give,
    Go,
    Hold,
    Piece,
    PieceRead,
    PiecesWanted,
    PieceWritten,
    Ready,
    Take,
)
from muskox.runtime.thinking import Thinker
from muskox.streams import stream
from muskox.task_list import TaskList


class TaskWork:
    """See the head of this file."""

    def __init__(self, shell: Shell, setup: Setup, settings: Settings, listed: TaskList) -> None:
        self._shell = shell
        self._settings = settings
        self._computation = TaskComputation(listed, Manifest(setup.columns, tuple(setup.shard_rows)), shard_opener(setup))
        count = len(self._computation.tasks)
        self._machine = TaskMachine(
            setup.worker,
            count,
            checkpoint_interval_s=settings.checkpoint_interval_s,
            audited=frozenset(np.flatnonzero(stream(0, "audit").random(count) < setup.audit).tolist()),
        )
        self._collector = Thinker(asyncio.get_running_loop())  # a copy that we run must not keep the result waiting
        self._owned: dict[int, list[str]] = {}  # files of the shards that this generation gives to us
        self._brought: dict[int, list[str]] = {}  # and of those that our node brought when we asked last
        self._run: events.RunTask | None = None  # what waits for its shards
        self._restored: dict[int, tuple[events.Saved, dict[int, events.Found]]] = {}  # by piece, as they come
        self._failure = ""  # a task list that cannot go on; told in every generation, for the word may come too late in one

    # -- what node and peers say --

    def configure(self, settings: Settings) -> None:
        self._settings = settings
        self._machine.checkpoint_interval_s = settings.checkpoint_interval_s

    def form(self, formed: Formed) -> None:
        self._owned = formed.files
        names = tuple(member.worker for member in formed.members)
        self._handle(events.GenerationFormed(formed.number, names, names.index(self._machine.worker)))
        asyncio.get_running_loop().call_later(self._settings.silence_s, self._miss, formed.number)
        if self._failure:
            self._shell.tell(Failed(formed.number, self._failure))
        if self._run is not None:
            self._start(self._run)  # we may own others than before

    def _miss(self, generation: int) -> None:
        """Report those who never joined the generation."""
        if generation == self._machine.generation:
            for peer in sorted({*self._shell.lines.unlinked(generation), *self._machine.unheard()}):
                self.lost(peer, generation, f"it did not join within {self._settings.silence_s:g} s")

    def answered(self, message: Answered, body: bytes) -> None:
        match message:
            case Brought(files):
                self._brought = files
                self._start_when_brought()
            case PieceWritten(number, is_kept):
                self._handle(events.PieceKept(number, is_kept))
            case PieceRead():
                self._restore(message, body)
            case Restore() | Recorded():
                raise AssertionError("we asked for no checkpoint, and for no record of changes")
            case _:
                assert_never(message)

    def leave(self) -> None:
        self._handle(events.Leaving())

    def adjust(self, message: Adjust) -> None:
        for change in message.changes:
            self._shell.tell(Unfit(message.generation, change.request, "a list of tasks has no parameter that may change"))

    def heard(self, peer: str, message: Collective, body: Buffer) -> None:
        match message:
            case Ready() | Go() | Take() | Give() | Answer() | Hold() | Distrust():
                event: events.Event = events.MessageArrived(peer, message, body)
            case Moved(generation):
                event = events.PeerMoved(peer, generation)
            case _:
                reason = f"it speaks of rounds ({type(message).__name__}) in a job of tasks"
                event = events.PeerLost(peer, self._machine.generation, reason)
        self._shell.put(lambda: self._handle(event))

    def lost(self, peer: str, generation: int, reason: str) -> None:
        self._shell.put(lambda: self._handle(events.PeerLost(peer, generation, reason)))

    # -- the machine --

    def _handle(self, event: events.Event) -> None:
        try:
            actions = self._machine.handle(event, time.monotonic())
        except PeerError as error:
            assert isinstance(event, events.MessageArrived), "only a message can break the protocol"
            self._handle(events.PeerLost(event.peer, self._machine.generation, str(error)))
            return
        if isinstance(event, events.GenerationFormed):
            self._shell.lines.expect(self._machine.neighbours)
        for action in actions:
            self._perform(action)

    def _perform(self, action: events.Action) -> None:
        lines, tell, computation = self._shell.lines, self._shell.tell, self._computation
        match action:
            case events.Dial(peer, generation):
                lines.dial(peer, generation)
            case events.Send(peer, message):
                lines.send(peer, message)
            case events.SendResult(peer, message):
                lines.send(peer, message, computation.results.read(message.task, message.digest))
            case events.RunTask():
                self._start(action)
            case events.KeepResult(task, digest, body):
                computation.results.keep(task, digest, body)
            case events.RestoreResults(generation):
                self._restored = {}
                tell(PiecesWanted(generation))
            case events.KeepPiece(generation, number, absorbs, results):
                tell(Piece(generation, number, list(absorbs)), computation.piece(results))
            case events.Collect(generation, digests):
                self._collect(generation, digests)
            case events.Suspect(peer, reason):
                lines.drop(peer)
                tell(Suspected(self._machine.generation, peer, reason))
            case events.Tell(generation, done, running):
                tell(Told(generation, done, {"tasks": len(computation.tasks), "done": done, "running": running}))
            case events.Finish(generation, digest):
                tell(Finished(generation, len(computation.tasks), digest), computation.packed_result())
            case events.GiveUp(generation, reason):
                tell(Failed(generation, reason))
            case events.Wake(generation, after_s):
                asyncio.get_running_loop().call_later(after_s, self._wake, generation)
            case _:
                assert_never(action)

    def _wake(self, generation: int) -> None:
        self._shell.put(lambda: self._handle(events.Woken(generation)))

    # -- running a task --

    def _start(self, action: events.RunTask) -> None:
        """Run it when its shards are here: many tasks look at more of them than their worker owns."""
        self._run = action
        try:
            needed = self._computation.needed(action.task)
        except MuskoxError as error:
            self._fail(error)
            return
        if all(index in self._owned or index in self._brought for index in needed):
            self._start_when_brought()
        else:
            self._shell.tell(Lacking([index for index in needed if index not in self._owned]))

    def _start_when_brought(self) -> None:
        action = self._run
        if action is None:
            return
        files = {**self._brought, **self._owned}
        needed = self._computation.needed(action.task)
        if not all(index in files for index in needed):
            return
        files = {index: files[index] for index in needed}
        self._run = None

        def then(event: events.TaskDone, error: BaseException | None) -> None:
            match error:
                case None:
                    self._shell.put(lambda: self._handle(event))
                case BrokenShard():
                    self._shell.tell(Broken(error.index, str(error)))
                case _:
                    self._fail(error)

        self._shell.do(lambda: self._computation.run(action.task, files), then)

    # -- all of them --

    def _restore(self, message: PieceRead, body: bytes) -> None:
        """Keep a piece's results as it comes; when none is left, go on."""
        if not self._machine.wants_results(message.generation):
            return
        if message.number:
            self._restored[message.number] = self._computation.restore(message.number, body)
        if message.left:
            return
        pieces = [self._restored[number] for number in sorted(self._restored)]
        results = {task: told for _, told_by_task in pieces for task, told in told_by_task.items()}
        event = events.ResultsRestored(message.generation, results, tuple(piece for piece, _ in pieces))
        self._restored = {}
        self._handle(event)

    def _collect(self, generation: int, digests: Sequence[str]) -> None:
        def then(digest: str, error: BaseException | None) -> None:
            if error is None:
                self._shell.put(lambda: self._handle(events.Collected(generation, digest)))
            else:
                self._fail(error)

        self._collector.do(lambda: self._computation.collect(digests), then)

    def _fail(self, error: BaseException) -> None:
        """A refusal of the task list's ends the job; anything else is our own bug, or a broken disk."""
        if not isinstance(error, MuskoxError):
            crash(error)
        self._failure = str(error)
        self._shell.tell(Failed(self._machine.generation, self._failure))
