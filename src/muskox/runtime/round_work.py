"""A worker's rounds: performs the actions of :class:`muskox.runtime.rounds.RoundMachine` and feeds back what came of them."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import assert_never

from muskox.coordination import parse_runs
from muskox.digest import digest
from muskox.errors import MuskoxError, PeerError
from muskox.program import Manifest, Program
from muskox.records import Record
from muskox.runtime import round_events as rounds
from muskox.runtime.collective.audit import Audit
from muskox.runtime.collective.memory import is_whole
from muskox.runtime.collective.pace import Pace
from muskox.runtime.collective.reduction import WHOLE, Reduction
from muskox.runtime.collective.values import Part
from muskox.runtime.computing import Abandoned, BrokenShard, Computation
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
    Lacking,
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
from muskox.runtime.rounds import RoundMachine
from muskox.runtime.shell import Shell, crash
from muskox.store import open_shard

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
        self._computation = Computation(program, self._manifest, open_shard)
        self._reduction = Reduction(self._manifest.shards, self._computation.merge, shell.arena.allocate)
        self._machine = RoundMachine(
            setup.worker, checkpoint_interval_s=settings.checkpoint_interval_s, rounds_max=setup.rounds_max
        )
        self._computing: rounds.Compute | None = None
        self._helping: rounds.Help | None = None
        self._auditing: tuple[rounds.PartComputed, list[int]] | None = None  # our part, and others' shards to compute first
        self._share = setup.audit
        self._audits = Audit(0.0, [], [])
        self._runs: dict[str, str] = {}  # of shards, by member
        self._pace = Pace({})
        self._metrics: dict[str, float] = {}  # of the state, if we are the root

    # -- what node and peers say --

    def configure(self, settings: Settings) -> None:
        self._settings = settings
        self._machine.checkpoint_interval_s = settings.checkpoint_interval_s

    def form(self, formed: Formed) -> None:
        self._computing, self._helping, self._auditing = None, None, None
        self._computation.own(formed.files)
        names = tuple(member.worker for member in formed.members)
        shards = tuple(member.shards for member in formed.members)
        self._runs = dict(zip(names, shards, strict=True))
        self._audits = Audit(self._share, names, shards)
        self._handle(
            rounds.GenerationFormed(formed.number, names, names.index(self._machine.worker), shards, tuple(formed.changes))
        )
        rows = self._manifest.shard_rows
        self._pace = Pace({name: sum(rows[shard] for shard in parse_runs(runs)) for name, runs in self._runs.items()})
        loop = asyncio.get_running_loop()
        loop.call_later(self._settings.silence_s, self._miss, formed.number)
        loop.call_later(LATE_LOOK_S, self._look_for_late, formed.number)

    def _look_for_late(self, generation: int) -> None:
        """Have the root look, again and again, who keeps the others waiting."""
        if generation == self._machine.generation and self._machine.is_root:
            self._shell.put(lambda: self._handle(rounds.Waited()))
            asyncio.get_running_loop().call_later(LATE_LOOK_S, self._look_for_late, generation)

    def _miss(self, generation: int) -> None:
        """Report those who never joined the generation."""
        if generation == self._machine.generation:
            for peer in [*self._shell.lines.unlinked(generation), *self._machine.unheard()]:
                self.lost(peer, generation, f"it did not join within {self._settings.silence_s:g} s")

    def answered(self, message: Answered, body: bytes) -> None:
        match message:
            case Restore() if self._machine.wants_state(message.generation):
                computation = self._computation
                self._load(lambda: computation.load(message.round, False, body) if body else computation.begin())
            case Brought(files):
                self._computation.lend(files)
                self._audit()
                if self._helping is not None:
                    self._help(self._helping)
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
                self._help(action)
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
        def merge() -> rounds.Event:
            with _whole(action.parts):
                part = self._reduction.merged(action.slice, action.slices, action.parts, is_total=action.is_total)
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
        self._computing, self._helping, self._auditing = None, None, None  # who was late has the total without its own part
        round_ = self._machine.holding.round
        changes = [change.values for change in action.changes]

        def update() -> rounds.Event:
            with _whole(action.total):
                total = self._reduction.total(action.total, action.slices)
            holding = self._computation.update(round_, total, changes)
            if self._machine.is_root:
                self._metrics = self._computation.report()
            return rounds.StateUpdated(holding, self._computation.adds(), len(self._computation.packed_state()))

        self._think(update)

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

    def _compute(self, action: rounds.Compute) -> None:
        self._computing = action
        is_read = self._shell.lines.are_behind
        own, others = self._audits.duties(self._machine.worker, action.round)
        checks: list[tuple[int, str]] = []

        def check(shard: int, value: Record) -> None:
            if shard in own:
                checks.append((shard, digest(value)))

        def compute() -> rounds.PartComputed:
            self._shell.arena.turn(is_read=is_read)
            began_s = time.monotonic()
            values = self._computation.partials(action.round, lambda: self._computing is not action, seen=check)
            computed_s = time.monotonic()
            parts = self._reduction.parts(values, action.slices)
            return rounds.PartComputed(action.generation, action.round, parts, computed_s - began_s, tuple(checks))

        def then(event: rounds.PartComputed, error: BaseException | None) -> None:
            match error:
                case None:
                    self._auditing = (event, others)
                    self._audit()
                case Abandoned():
                    return
                case BrokenShard():
                    self._shell.tell(Broken(error.index, str(error)))
                case _:
                    self._fail(action.generation, error)

        self._shell.do(compute, then)

    def _audit(self) -> None:
        """Give our part, once we have computed what we audit of others, and our node has brought the shards for it."""
        if self._auditing is None:
            return
        event, shards = self._auditing
        lacking = self._computation.lacking(shards)
        if lacking:
            self._shell.tell(Lacking(lacking))
            return
        self._auditing = None
        if not shards:
            self._shell.put(lambda: self._handle(event))
            return
        computing, checks = self._computing, list(event.checks)

        def compute() -> rounds.PartComputed:
            def check(shard: int, value: Record) -> None:
                checks.append((shard, digest(value)))

            self._computation.partials(event.round, lambda: self._computing is not computing, shards, check)
            return replace(event, checks=tuple(checks))

        def then(audited: rounds.PartComputed, error: BaseException | None) -> None:
            if error is None:
                self._shell.put(lambda: self._handle(audited))
            elif isinstance(error, BrokenShard):  # our copy tells nothing of its owner's: no audit
                self._shell.put(lambda: self._handle(event))
            elif not isinstance(error, Abandoned):
                self._fail(event.generation, error)

        self._shell.do(compute, then)

    def _help(self, action: rounds.Help) -> None:
        """Compute another member's part, once our node has brought its shards."""
        self._helping = action
        shards = parse_runs(self._runs[action.late])
        lacking = self._computation.lacking(shards)
        if lacking:
            self._shell.tell(Lacking(lacking))
            return

        def compute() -> rounds.HelpComputed:
            values = self._computation.partials(action.round, lambda: self._helping is not action, shards)
            parts = self._reduction.parts(values, action.slices)
            return rounds.HelpComputed(action.generation, action.round, action.late, parts)

        def then(event: rounds.HelpComputed, error: BaseException | None) -> None:
            if error is None:
                self._shell.put(lambda: self._handle(event))
            elif not isinstance(error, Abandoned | BrokenShard):  # whose shard it is will find the same, or better
                self._fail(action.generation, error)

        self._shell.do(compute, then)

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
