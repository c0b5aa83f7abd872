"""A worker of a task job as a machine: what to run, what to hand out, what to keep. Pure.

A generation is a star around its root (rank 0):

1. every member tells the root what it holds and runs (Ready); a new root takes what is durable from the last pieces;
2. the root hands out what nobody has (Take) and fetches what only others hold (Give); results come as answers;
3. when it holds all of them it makes the job's result of them.

A worker keeps the results of its tasks until the job ends, and goes on with what it runs whatever becomes of generations; the
root gives its own to the next in rank, too. So a death costs what was running there, whoever it was. Each task is accepted
once, by the root, under the generation's fence; a second answer has to be the same, and of audited tasks there has to be one.
Where two differ a third worker decides. What a result rests on, the names of those who found it, goes wherever the result goes.

The machine knows tasks by number, digests and names; results stay with the shell. `now` only spaces what is made durable.
"""

from enum import Enum, auto
from typing import assert_never

from muskox.errors import PeerError
from muskox.runtime.message import Buffer
from muskox.runtime.tasks.disputes import Disputes, Held
from muskox.runtime.tasks.events import (
    Action,
    Collect,
    Collected,
    Dial,
    Event,
    Finish,
    GenerationFormed,
    Leaving,
    MessageArrived,
    PeerLost,
    PeerMoved,
    PieceKept,
    RestoreResults,
    ResultsRestored,
    RunTask,
    Send,
    SendResult,
    Suspect,
    TaskDone,
    Woken,
)
from muskox.runtime.tasks.leading import Leading
from muskox.runtime.tasks.messages import Answer, Distrust, Give, Go, Hold, Ready, Take
from muskox.runtime.tasks.saving import Saving


class Phase(Enum):
    IDLE = auto()  # no generation, or one that is broken: what runs goes on
    READY = auto()  # a member until Go
    GATHERING = auto()  # the root until every Ready is in
    RESTORING = auto()  # a new root until it holds what is durable
    WORKING = auto()
    COLLECTING = auto()
    FINISHED = auto()


SAVING = (Phase.WORKING, Phase.COLLECTING)  # as root: to make a result of all may take long, too


class TaskMachine:
    """See the head of this file. One door: :meth:`handle`."""

    def __init__(self, worker: str, tasks: int, *, checkpoint_interval_s: float, audited: frozenset[int] = frozenset()) -> None:
        self.worker = worker
        self.checkpoint_interval_s = checkpoint_interval_s
        self.generation = 0
        self.phase = Phase.IDLE
        self._tasks = tasks
        self._audited = audited
        self._members: tuple[str, ...] = ()
        self._rank = 0
        self._held = Held()
        self._given: list[int] = []  # to this worker, in order; the first one runs
        self._since_ready: list[int] = []  # what it finished since it said what it holds
        self._readies: dict[str, Ready] = {}
        self._books: tuple[Saving, Disputes] | None = None  # of a root, from one of its generations to the next
        self._leading: Leading | None = None  # of a root that has heard all
        self._odd: set[str] = set()  # workers whose word counts no more
        self._collect: Collect | None = None  # of what the job's result is being made
        self._result = ""  # the digest of the job's result, once it was made

    @property
    def is_root(self) -> bool:
        return self._rank == 0

    @property
    def neighbours(self) -> tuple[str, ...]:
        """Those with whom we speak in this generation."""
        return self._members[1:] if self.is_root else self._members[:1]

    def unheard(self) -> list[str]:
        """Return the members that the root has not heard of in this generation, while it gathers them."""
        if self.phase is not Phase.GATHERING:
            return []
        heard = {peer for peer, ready in self._readies.items() if ready.generation == self.generation}
        return [peer for peer in self._members[1:] if peer not in heard]

    def wants_results(self, generation: int) -> bool:
        """Return whether what is durable is still awaited in `generation`: an answer may come too late."""
        return generation == self.generation and self.phase is Phase.RESTORING

    def handle(self, event: Event, now: float) -> list[Action]:
        return self._at_home(self._react(event, now))

    def _react(self, event: Event, now: float) -> list[Action]:
        match event:
            case GenerationFormed():
                return self._form(event, now)
            case MessageArrived():
                return self._receive(event, now)
            case PeerMoved(peer, generation):
                if generation == self.generation and peer in self._members:
                    self.phase = Phase.IDLE
                return []
            case PeerLost(peer, generation, reason):
                return self._lose(peer, generation, reason)
            case TaskDone():
                return self._done(event, now)
            case ResultsRestored():
                return self._restored(event, now) if self.wants_results(event.generation) else []
            case PieceKept(number, is_kept):
                if self._books is not None:
                    self._books[0].end(number, is_kept=is_kept)
                return self._save(now)
            case Collected(generation, digest):
                return self._collected(generation, digest)
            case Leaving():
                return self._leading.save_last(now) if self._leading is not None and self.phase in SAVING else []
            case Woken(generation):
                if self._leading is None or generation != self.generation or self.phase not in SAVING:
                    return []
                return [*self._leading.woken(self.checkpoint_interval_s, now), *self._collect_when_whole()]
            case _:
                assert_never(event)

    # -- a generation begins --

    def _form(self, event: GenerationFormed, now: float) -> list[Action]:
        if event.number <= self.generation:
            return []
        led_before = self.is_root and self.generation == event.number - 1
        self.generation, self._members, self._rank = event.number, event.members, event.rank
        self._leading = None
        if not (self.is_root and led_before):
            self._books = None  # another root may have made results durable since
        if not self.is_root:
            self.phase = Phase.READY
            self._since_ready = []
            ready = Ready(self.generation, sorted(self._held.digests), list(self._given))
            return [Dial(self._members[0], self.generation), Send(self._members[0], ready)]
        self.phase = Phase.GATHERING
        self._readies = {peer: ready for peer, ready in self._readies.items() if ready.generation >= self.generation}
        return self._begin_when_heard(now)

    def _begin_when_heard(self, now: float) -> list[Action]:
        if self.unheard():
            return []
        if self._books is not None or self._result:
            return self._begin(now)
        self.phase = Phase.RESTORING
        return [RestoreResults(self.generation)]

    def _restored(self, event: ResultsRestored, now: float) -> list[Action]:
        """Hold what is durable beside what we found ourselves."""
        saving = Saving(self._held.sizes, event.pieces, now)
        disputes = Disputes(self._held, self._audited, self._odd)
        for task, found in event.results.items():
            disputes.restore(task, found)
            if self._held.digests[task] != found.digest:
                saving.add(task)
        self._books = saving, disputes
        return self._begin(now)

    def _begin(self, now: float) -> list[Action]:
        if self._result:
            return self._finish()
        assert self._books is not None, "what is durable is known"
        self.phase = Phase.WORKING
        own = Ready(self.generation, [], list(self._given))
        readies = {self.worker: own, **{peer: self._readies[peer] for peer in self._members[1:]}}
        self._leading = Leading(self.generation, self._tasks, self._held, readies, self._books)
        go = [Send(peer, Go(self.generation)) for peer in self._members[1:]]
        return [*go, *self._leading.begin(self.checkpoint_interval_s, now), *self._collect_when_whole()]

    # -- messages --

    def _receive(self, event: MessageArrived, now: float) -> list[Action]:
        peer, message = event.peer, event.message
        match message:
            case Ready(generation=generation):
                self._check(peer, *message.held, *message.running)
                if generation >= self.generation:  # a peer may hear of its generation before we do
                    self._readies[peer] = message
                return self._begin_when_heard(now) if self.phase is Phase.GATHERING else []
            case Distrust(worker=worker):  # true in any generation
                self._odd.add(worker)
                return self._leading.distrust(worker) if self._leading is not None and self.phase is Phase.WORKING else []
            case _ if message.generation != self.generation or self.phase in (Phase.IDLE, Phase.FINISHED):
                return []
            case Answer():
                self._check(peer, message.task)
                return self._accept(peer, message, event.body, now) if self.phase is Phase.WORKING else []
            case _ if peer != self._members[0]:
                raise PeerError(f"{peer} speaks as the root, which is {self._members[0]}")
            case Go() if self.phase is Phase.READY:
                self.phase = Phase.WORKING
                return [self._answer(task) for task in self._since_ready]
            case Take(task=task) if self.phase is Phase.WORKING and task not in self._given:
                self._check(peer, task)
                return self._take(task)
            case Give(task=task) if self.phase is Phase.WORKING and task in self._held.digests:
                return [self._answer(task)]
            case Hold(task=task) if self.phase is Phase.WORKING:
                self._check(peer, task)
                return self._hold(message, event.body)
            case Go() | Take() | Give() | Hold():
                raise PeerError(f"{peer} sends {message}, which cannot be in {self.phase.name}")
            case _:
                assert_never(message)

    def _check(self, peer: str, *tasks: int) -> None:
        if tasks and not 0 <= min(tasks) <= max(tasks) < self._tasks:
            raise PeerError(f"{peer} speaks of tasks {min(tasks)} to {max(tasks)}; this job has {self._tasks}")

    def _answer(self, task: int) -> SendResult:
        digest, finders = self._held.digests[task], list(self._held.finders[task])
        return SendResult(self._members[0], Answer(self.generation, task, digest, finders))

    def _hold(self, message: Hold, body: Buffer) -> list[Action]:
        if message.task in self._held.digests:
            return []  # what we found ourselves
        return [self._held.keep(message.task, message.digest, message.finders, body)]

    # -- tasks --

    def _at_home(self, actions: list[Action]) -> list[Action]:
        """Do what we, as root, ask of ourselves."""
        done: list[Action] = []
        for action in actions:
            match action:
                case Send(peer, Take(task=task)) if peer == self.worker:
                    done += self._take(task)
                case _:
                    done.append(action)
        return done

    def _take(self, task: int) -> list[Action]:
        self._given.append(task)
        return [RunTask(task)] if len(self._given) == 1 else []

    def _done(self, event: TaskDone, now: float) -> list[Action]:
        """Our own thread has finished the first of the tasks given to us."""
        self._given.remove(event.task)
        next_: list[Action] = [RunTask(self._given[0])] if self._given else []
        if self._leading is not None and self.phase is Phase.WORKING:
            answer = Answer(self.generation, event.task, event.digest, [self.worker])
            is_new = event.task not in self._held.digests
            accepted = self._accept(self.worker, answer, event.body, now)
            return [*next_, *accepted, *(self._deposit(event.task) if is_new else [])]
        if self.is_root and event.task in self._held.digests:
            return next_  # accepted from another; no time to hold ours against it
        kept = self._held.keep(event.task, event.digest, [self.worker], event.body)
        if not self.is_root and self.phase is Phase.WORKING:
            return [kept, self._answer(event.task), *next_]
        self._since_ready.append(event.task)
        return [kept, *next_]

    def _accept(self, peer: str, answer: Answer, body: Buffer, now: float) -> list[Action]:
        if self._leading is None or not self._leading.is_present(peer):
            return []  # it was put out; what it holds it holds all the same
        actions = self._leading.answered(peer, answer, body)
        return [*actions, *self._leading.save(self.checkpoint_interval_s, now), *self._collect_when_whole()]

    def _deposit(self, task: int) -> list[Action]:
        """Have another hold what only we have found, so that our death costs no more than a member's."""
        assert self._leading is not None, "only a root has nobody to answer to"
        next_ = next(filter(self._leading.is_present, self._members[1:]), None)
        if next_ is None or self.phase is not Phase.WORKING or task not in self._held.digests:
            return []
        digest, finders = self._held.digests[task], list(self._held.finders[task])
        return [SendResult(next_, Hold(self.generation, task, digest, finders))]

    def _save(self, now: float) -> list[Action]:
        if self._leading is None or self.phase not in SAVING:
            return []
        return self._leading.save(self.checkpoint_interval_s, now)

    # -- ends --

    def _collect_when_whole(self) -> list[Action]:
        assert self._leading is not None, "only a root collects"
        if self.phase is not Phase.WORKING or not self._leading.is_whole or not self._leading.is_present(self.worker):
            return []
        self.phase = Phase.COLLECTING
        digests = tuple(self._held.digests[task] for task in range(self._tasks))
        if self._collect is not None and self._collect.digests == digests:
            return []  # since an earlier generation
        self._collect = Collect(self.generation, digests)
        return [self._collect]

    def _collected(self, generation: int, digest: str) -> list[Action]:
        if self._collect is None or self._collect.generation != generation:
            return []  # made of others than we hold now
        self._collect, self._result = None, digest
        return self._finish() if self.phase is Phase.COLLECTING else []

    def _finish(self) -> list[Action]:
        self.phase = Phase.FINISHED
        return [Finish(self.generation, self._result)]

    def _lose(self, peer: str, generation: int, reason: str) -> list[Action]:
        """A member goes on with what it runs, and waits for the next generation; the root goes on with all others."""
        if generation != self.generation or peer not in self.neighbours or self.phase in (Phase.IDLE, Phase.FINISHED):
            return []
        if not self.is_root or self._leading is None:
            self.phase = Phase.IDLE
            return [Suspect(peer, reason)]
        if not self._leading.is_present(peer):
            return []
        return [Suspect(peer, reason), *self._leading.lose(peer)]
