"""A worker's rounds: performs the actions of :class:`muskox.runtime.rounds.RoundMachine` and feeds back what came of them."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import assert_never

from muskox.coordination import parse_runs
from muskox.errors import MuskoxError, PeerError
from muskox.program import Manifest, Program
from muskox.runtime import round_events as rounds
from muskox.runtime.collective.audit import Audit
from muskox.runtime.collective.memory import is_whole
from muskox.runtime.collective.pace import Pace
from muskox.runtime.collective.reduction import WHOLE, Reduction
from muskox.runtime.collective.values import Part
from muskox.runtime.computing import Abandoned, BrokenShard, Computation
from muskox.runtime.for_others import ForOthers
from muskox.runtime.message import Buffer
from muskox.runtime.messages import (
    Adjust,
    Adjusting,
    Answered,
    Broken,
    Brought,
    Checkpointed,
    Collective,
    Failed,
    Finished,
    Formed,
    Paced,
    Recorded,
    Restore,
    Settings,
    Setup,
    Suspected,
    Told,
    Unfit,
    Wanted,
)
from muskox.runtime.own_memory import shard_opener
from muskox.runtime.own_values import Computed, OwnValues
from muskox.runtime.rounds import RoundMachine
from muskox.runtime.shell import Shell, crash

ADDED_BYTES_MAX = 1 << 20  # added on the event loop itself, in a fraction of a millisecond: the way to the thread costs as much


LATE_LOOK_S = 0.05  # between looks of the root for members that are late


class Overtaken(MuskoxError):
    """A part was written anew while we read it: the others are two rounds on."""


class RoundWork:
    """See the head of this file."""

    def __init__(self, shell: Shell, setup: Setup, settings: Settings, program: Program) -> None:
        self._shell = shell
        self._settings = settings
        self._manifest = Manifest(setup.columns, tuple(setup.shard_rows))
        self._computation = Computation(program, self._manifest, shard_opener(setup))
        self._reduction = Reduction(self._manifest.shards, self._computation.merge, shell.arena.allocate)
        self._machine = RoundMachine(
            setup.worker, checkpoint_interval_s=settings.checkpoint_interval_s, rounds_max=setup.rounds_max
        )
        self._computing: rounds.Compute | None = None  # what we were asked for
        self._own: OwnValues | None = None  # with which we answer
        self._total_bytes = 1 << 62  # of the last total; before there is one it may be anything
        self._for_others = ForOthers(shell, self._computation, self._reduction, self._hand_in, self._fail)
        self._share = setup.audit
        self._audits = Audit(0.0, [], [])
        self._runs: dict[str, str] = {}  # of shards, by member
        self._pace = Pace({})
        self._root_rows = 1.0  # for each of ours
        self._metrics: dict[str, float] = {}  # of the state, if we are the root

    # -- what node and peers say --

    def configure(self, settings: Settings) -> None:
        self._settings = settings
        self._machine.checkpoint_interval_s = settings.checkpoint_interval_s

    def form(self, formed: Formed) -> None:
        self._drop_work()
        self._computation.own(formed.files)
        names = tuple(member.worker for member in formed.members)
        shards = tuple(member.shards for member in formed.members)
        self._runs = dict(zip(names, shards, strict=True))
        self._audits = Audit(self._share, names, shards)
        self._for_others.form(self._audits, self._runs)
        self._handle(
            rounds.GenerationFormed(formed.number, names, names.index(self._machine.worker), shards, tuple(formed.changes))
        )
        rows = {name: sum(self._manifest.shard_rows[shard] for shard in parse_runs(runs)) for name, runs in self._runs.items()}
        self._root_rows = max(rows[names[0]] / max(rows[self._machine.worker], 1), 1.0)
        self._pace = Pace(rows)
        loop = asyncio.get_running_loop()
        loop.call_later(self._settings.silence_s, self._miss, formed.number, loop.time() + self._settings.silence_s)
        loop.call_later(LATE_LOOK_S, self._look_for_late, formed.number)

    def _look_for_late(self, generation: int) -> None:
        """Have the root look, again and again, who keeps the others waiting; and the next in rank, whether the root does."""
        if generation == self._machine.generation and self._machine.is_watchful:
            self._shell.put(lambda: self._handle(rounds.Waited(self._root_rows)))
            asyncio.get_running_loop().call_later(LATE_LOOK_S, self._look_for_late, generation)

    def _miss(self, generation: int, due_s: float) -> None:
        """Report those who never joined the generation; not if it was we who were stopped meanwhile."""
        loop = asyncio.get_running_loop()
        if loop.time() - due_s > self._settings.silence_s / 2:
            loop.call_later(self._settings.silence_s, self._miss, generation, loop.time() + self._settings.silence_s)
        elif generation == self._machine.generation:
            for peer in [*self._shell.lines.unlinked(generation), *self._machine.unheard()]:
                self.lost(peer, generation, f"it did not join within {self._settings.silence_s:g} s")

    def answered(self, message: Answered, body: bytes) -> None:
        match message:
            case Restore() if self._machine.wants_state(message.generation):
                computation = self._computation
                self._load(lambda: computation.load(message.round, False, body) if body else computation.begin())
            case Brought(files):
                self._computation.lend(files)
                self._for_others.brought()
            case Recorded(generation, round_, changes):
                self._handle(rounds.ChangesRecorded(generation, round_, tuple(changes)))

    def adjust(self, message: Adjust) -> None:
        self._handle(rounds.ChangesWished(message.generation, tuple(message.changes)))

    def leave(self) -> None:
        holding = self._machine.holding
        if holding.round >= 0 and not holding.is_done:
            checkpointed = Checkpointed(self._machine.generation, holding.round, holding.digest)
            self._shell.tell(checkpointed, self._computation.packed_state())

    def heard(self, peer: str, message: Collective, body: Buffer) -> None:
        self._shell.put(lambda: self._handle(rounds.MessageArrived(peer, message, body)))

    def lost(self, peer: str, generation: int, reason: str) -> None:
        self._shell.put(lambda: self._handle(rounds.PeerLost(peer, generation, reason)))

    # -- the machine --

    def _hand_in(self, event: rounds.Event) -> None:
        """Give the machine what was computed, in its turn."""
        self._shell.put(lambda: self._handle(event))

    def _handle(self, event: rounds.Event) -> None:
        try:
            actions = self._machine.handle(event, time.monotonic())
        except PeerError as error:
            assert isinstance(event, rounds.MessageArrived), "only a message can break the protocol"
            self._handle(rounds.PeerLost(event.peer, self._machine.generation, str(error)))
            return
        for action in actions:
            self._perform(action)

    def _perform(self, action: rounds.Action) -> None:  # noqa: PLR0912  # one case an action
        lines, tell, computation = self._shell.lines, self._shell.tell, self._computation
        match action:
            case rounds.Expect(peers):
                lines.expect(peers)
            case rounds.Dial(peer, generation):
                lines.dial(peer, generation)
            case rounds.Send(peer, message, body):
                lines.send(peer, message, body)
            case rounds.SendState(peer, message):
                lines.send(peer, message, computation.packed_state())
            case rounds.LoadState(round_, is_done, body):
                self._load(lambda: computation.load(round_, is_done, body))
            case rounds.RestoreState(generation):
                tell(Wanted(generation))
            case rounds.Compute():
                self._compute(action)
            case rounds.Help():
                self._for_others.help(action)
            case rounds.Reduce():
                self._reduce(action)
            case rounds.Update():
                self._update(action)
            case rounds.RecordChanges():
                self._record(action)
            case rounds.Suspect(peer, reason):
                lines.drop(peer)
                tell(Suspected(self._machine.generation, peer, reason))
            case rounds.Tell():
                self._tell(action)
            case rounds.KeepCheckpoint(generation, holding):
                tell(Checkpointed(generation, holding.round, holding.digest), computation.packed_state())
            case rounds.Finish(generation, holding):
                tell(Finished(generation, holding.round, holding.digest), computation.packed_state())
            case rounds.GiveUp(generation, reason):
                tell(Failed(generation, reason))
            case _:
                assert_never(action)

    def _tell(self, action: rounds.Tell) -> None:
        phases = {**action.phases, "rows_per_s": self._manifest.rows / max(action.phases["round"], 1e-9)}
        self._shell.tell(Told(action.generation, action.round, self._metrics, phases))
        slow = self._pace.hear(action.seconds, time.monotonic())
        if slow is not None:
            self._shell.tell(Paced(action.generation, slow))

    def _load(self, load: Callable[[], rounds.Holding]) -> None:
        computation = self._computation
        self._think(lambda: rounds.StateLoaded(load(), computation.adds(), len(computation.packed_state())))

    def _reduce(self, action: rounds.Reduce) -> None:
        if action.is_total:  # everybody's part is there: if ours came from a helper, it is of no use any more
            self._drop_work()

        def merge() -> rounds.Event:
            with _whole(action.parts):
                part = self._reduction.merged(action.slice, action.slices, action.parts, is_sent=action.is_sent)
            return rounds.PartsMerged(action.slice, part)

        if action.slices != WHOLE and sum(len(part.body) for part in action.parts) <= ADDED_BYTES_MAX:
            try:
                event = merge()
            except MuskoxError as error:
                self._fail(self._machine.generation, error)
            else:
                self._shell.put_first(lambda: self._handle(event))
        else:
            self._think(merge)

    def _update(self, action: rounds.Update) -> None:
        self._drop_work()  # who was late has the total without its own part
        round_ = self._machine.holding.round
        changes = [change.values for change in action.changes]

        def update() -> rounds.Event:
            with _whole(action.total):
                total = self._reduction.total(action.total, action.slices)
            holding = self._computation.update(round_, total, changes)
            if self._machine.is_root:
                self._metrics = self._computation.report()
            return rounds.StateUpdated(holding, self._computation.adds(), len(self._computation.packed_state()))

        self._total_bytes = sum(len(part.body) for part in action.total)
        self._think(update)
        self._begin_own(self._machine.generation, round_ + 1)  # the thread goes on without waiting for us to be asked

    def _record(self, action: rounds.RecordChanges) -> None:
        """Have our node record what our state can have, and say why not of the rest."""
        generation, fit = action.generation, []
        for change in action.changes:
            reason = self._computation.refusal(change.values)
            if reason:
                self._shell.tell(Unfit(generation, change.request, reason))
            else:
                fit.append(change)
        if fit:
            self._shell.tell(Adjusting(generation, action.round, fit))
        else:
            self._shell.put(lambda: self._handle(rounds.ChangesRecorded(generation, action.round, ())))

    def _think(self, work: Callable[[], rounds.Event]) -> None:
        """Have the thread do it; nothing is handled meanwhile, and its result before all else."""

        def then(event: rounds.Event, error: BaseException | None) -> None:
            if error is None:
                self._shell.put_first(lambda: self._handle(event))
            else:
                self._fail(self._machine.generation, error)
            self._shell.resume()

        self._shell.pause()
        self._shell.do(work, then)

    def _drop_work(self) -> None:
        """Have what the thread computes for this round abandoned."""
        self._computing = None
        if self._own is not None:
            self._own.drop()
            self._own = None
        self._for_others.drop()

    def _begin_own(self, generation: int, round_: int) -> None:
        self._own = OwnValues(generation, round_, *self._audits.duties(self._machine.worker, round_))
        self._own.begin(self._shell, self._computation, self._give)

    def _compute(self, action: rounds.Compute) -> None:
        """Give our part: of values that are there already, or on their way."""
        self._computing = action
        self._shell.arena.turn(is_read=self._shell.lines.are_behind)
        if self._own is None or (self._own.generation, self._own.round) != (action.generation, action.round):
            self._begin_own(action.generation, action.round)
        elif self._own.found is not None:
            self._give(self._own)

    def _give(self, own: OwnValues) -> None:
        action, found = self._computing, own.found
        if action is None or own is not self._own:
            return  # not asked for yet
        match found:
            case Computed():
                self._own = None
                self._cut(action, found, own.others)
            case BrokenShard():
                self._shell.tell(Broken(found.index, str(found)))
            case BaseException() if not isinstance(found, Abandoned):
                self._fail(action.generation, found)

    def _cut(self, action: rounds.Compute, found: Computed, others: list[int]) -> None:
        """Make parts of our values, a few bytes here and now, many in the thread; give them, but audit these shards first."""

        def cut() -> rounds.PartComputed:
            parts = self._reduction.parts(found.values, action.slices)
            return rounds.PartComputed(action.generation, action.round, parts, found.seconds, found.checks)

        def then(event: rounds.PartComputed, error: BaseException | None) -> None:
            if action is not self._computing:
                return
            if error is not None:
                self._fail(action.generation, error)
                return
            if others:
                self._for_others.audit_then_give(event, others)
            else:
                self._hand_in(event)

        if self._total_bytes * len(found.values) > ADDED_BYTES_MAX:
            self._shell.do(cut, then)
            return
        try:
            event = cut()
        except MuskoxError as error:
            self._fail(action.generation, error)
        else:
            then(event, None)

    def _fail(self, generation: int, error: BaseException) -> None:
        """A refusal of the program's or of its values ends the job; anything else is our own bug, or a broken disk."""
        if isinstance(error, Overtaken):
            self._shell.tell(Suspected(generation, self._machine.worker, "the others went on without it for two rounds"))
            return
        if not isinstance(error, MuskoxError):
            crash(error)
        self._shell.tell(Failed(generation, str(error)))


@contextlib.contextmanager
def _whole(parts: Sequence[Part]) -> Iterator[None]:
    """Read `parts` inside: whatever comes of it, or goes wrong with it, counts only if they were whole to the end."""
    try:
        yield
    except MuskoxError:
        _require_whole(parts)
        raise
    _require_whole(parts)


def _require_whole(parts: Sequence[Part]) -> None:
    if not all(is_whole(part.body) for part in parts):
        raise Overtaken
