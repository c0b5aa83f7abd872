"""A seeded simulation of one job: real machines, real reductions, and a network, a coordinator and deaths made up here.

Between two workers messages keep their order, as on a connection; everything else happens in any order. Workers are killed,
stopped and gone on with, links cut, at any step. The program adds in some rounds and merges in others, and its totals are now
small, now large, so that every form of the reduction occurs in one history. In some histories one worker computes its shards
wrongly, and everything is audited: it must be found, and nobody else.

    python tests/runtime/simulated_job.py SEED     replays a history and tells it
"""

import math
import random
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from unittest import mock

import numpy as np

from muskox.coordination import format_runs, parse_runs
from muskox.digest import digest
from muskox.errors import PeerError
from muskox.records import Record, normal
from muskox.runtime import round_events as rounds
from muskox.runtime import round_times
from muskox.runtime.collective import topology
from muskox.runtime.collective.audit import Audit
from muskox.runtime.collective.reduction import Reduction
from muskox.runtime.messages import Adjustment, Begin, State
from muskox.runtime.round_events import NOTHING, Holding
from muskox.runtime.rounds import RoundMachine
from muskox.tree import Climb

ROUNDS = 7  # the program is done after so many
STEPS_MAX = 100_000
SHARDS_MAX = 23
CHANGES_MAX = 4  # wanted in one history
LIES_EVERY = 5  # seeds
LARGE, SMALL = 48, 3  # elements of a total


# -- the program --


def adds(state: Record) -> bool:
    return bool(state["round"] % 3 != 1)


def partial(state: Record, shard: int) -> Record:
    size = LARGE if state["round"] % 4 < 2 else SMALL
    sums = np.linspace(0.1 * (shard + 1), 1.7, size) * state["w"]
    counts = np.full(3, shard, np.int32)
    return {"sums": sums, "counts": counts} if adds(state) else {"sums": sums, "counts": counts, "shards": [shard]}


def merge(left: Record, right: Record) -> Record:
    merged = {"sums": left["sums"] + right["sums"], "counts": left["counts"] + right["counts"]}
    return {**merged, "shards": left["shards"] + right["shards"]} if "shards" in left else merged


def update(state: Record, total: Record) -> Record:
    w = float(np.tanh(np.add.reduce(total["sums"])) + 1.0 + total["counts"][0] / 1000)
    return {"round": state["round"] + 1, "w": w, "history": [*state["history"], digest(total)[:8]]}


def changed(state: Record, changes: Sequence[Adjustment]) -> Record:
    """Make changes, each of which leaves a trace: made twice, or in another order, they give another state."""
    for change in changes:
        state = {**state, "w": 0.5 * state["w"] + change.values["w"], "history": [*state["history"], change.request]}
    return state


INITIAL: Record = {"round": 0, "w": 1.0, "history": []}


@cache
def undisturbed(shards: int, recorded: tuple[tuple[str, int, float], ...] = ()) -> list[str]:
    """Return the digest of the state after each round, computed by one worker without a network, with these changes."""
    state, digests = INITIAL, [digest(INITIAL)]
    for round_ in range(1, ROUNDS + 1):
        climb = Climb(shards, merge)
        for shard in range(shards):
            climb.add(shard, partial(state, shard))
        (total,) = climb.values.values()
        due = [Adjustment(request, at, {"w": w}) for request, at, w in recorded if at == round_]
        state = changed(update(state, total), due if round_ < ROUNDS else [])
        digests.append(digest(state))
    return digests


# -- the world --


@dataclass
class Worker:
    """The shell of one machine."""

    name: str
    machine: RoundMachine
    reduction: Reduction
    state: Record = field(default_factory=dict)
    owned: list[int] = field(default_factory=list)
    thoughts: deque = field(default_factory=deque)  # what the shell thinks of: it handles nothing else meanwhile
    computed: deque = field(default_factory=deque)
    told: deque = field(default_factory=deque)  # by its node, which may lag behind what peers say
    lost: deque = field(default_factory=deque)
    commits: deque = field(default_factory=deque)  # that its node is to make
    stopped: int = 0  # steps for which it is stopped


class SimulatedJob:
    """See the head of this file."""

    def __init__(
        self, seed: int, *, workers: int | None = None, troubles: int | None = None, lies: bool = False, tells: bool = False
    ) -> None:
        self.random = random.Random(seed)
        self.tells = tells
        self.liar = f"w{self.random.randint(1, 4)}" if lies else ""
        self.audits: dict[int, Audit] = {}  # by generation
        self.is_given_up = False
        self.shards = self.random.randint(1, SHARDS_MAX)
        self.troubles = self.random.randint(0, 8) if troubles is None else troubles
        self.workers: dict[str, Worker] = {}
        self.channels: dict[tuple[str, str], deque] = {}  # messages on their way, in order
        self.cut: set[tuple[int, frozenset[str]]] = set()  # links that are no more
        self.suspects: set[str] = set()
        self.generation, self.members = 0, ()
        self.runs: dict[int, dict[str, str]] = {}  # of shards, by generation and member
        self.checkpoint: tuple[Holding, Record] = (NOTHING, {})
        self.wishes: list[Adjustment] = []  # what clients want changed
        self.recorded: list[Adjustment] = []
        self.asked = 0
        self.started, self.now = 0, 0.0
        self.finished: Holding | None = None
        for _ in range(self.random.randint(1, 9) if workers is None else workers):
            self.start()
        self.form()

    def run(self) -> Holding:
        for _ in range(STEPS_MAX):
            if self.finished is not None:
                return self.finished
            if self.is_given_up:
                return NOTHING
            self.now += 1.0
            if self.troubles and self.random.random() < 0.02:
                self.troubles -= 1
                self.trouble()
            if self.asked < CHANGES_MAX and self.random.random() < 0.01:
                self.wish()
            self.step()
            if self.random.random() < 0.05:
                self.look_for_late()
        raise AssertionError("the job did not finish")

    # -- the coordinator and the nodes --

    def start(self) -> None:
        self.started += 1
        name = f"w{self.started}"
        machine = RoundMachine(name, checkpoint_interval_s=self.random.choice([5.0, 50.0]), rounds_max=1000)
        self.workers[name] = Worker(name, machine, Reduction(self.shards, lambda a, b: normal(merge(a, b)), self.buffer))

    def buffer(self, size: int) -> memoryview:
        return memoryview(bytearray(size))

    def form(self) -> None:
        """Form a generation of all who are not suspected: survivors first, as the coordinator does."""
        for name in sorted(self.suspects & set(self.workers)):
            if self.random.random() < 0.7:  # the node of the others is not reached just now: a zombie goes on
                del self.workers[name]
        live = [name for name in self.workers if name not in self.suspects]
        while not live or (len(live) < len(self.members) and self.random.random() < 0.8):
            self.start()
            live.append(f"w{self.started}")
        self.generation += 1
        self.members = tuple([name for name in self.members if name in live] + [n for n in live if n not in self.members])
        owners = [self.random.randrange(len(live)) for _ in range(self.shards)]
        owned = [[shard for shard, owner in enumerate(owners) if owner == rank] for rank in range(len(live))]
        runs = tuple(format_runs(some) for some in owned)
        self.runs[self.generation] = dict(zip(self.members, runs, strict=True))
        self.audits[self.generation] = Audit(1.0 if self.liar else 0.0, self.members, runs)
        self.say(f"generation {self.generation}: {', '.join(self.members)}")
        for rank, name in enumerate(self.members):
            formed = rounds.GenerationFormed(self.generation, self.members, rank, runs, tuple(self.recorded))
            self.workers[name].told.append((formed, owned[rank]))
        self.tell_wishes()

    # -- changes: clients, and the root's node --

    def wish(self) -> None:
        self.asked += 1
        self.wishes.append(Adjustment(f"c{self.asked}", 0, {"w": self.random.random()}))
        self.say(f"wanted: {self.wishes[-1]}")
        self.tell_wishes()

    def tell_wishes(self) -> None:
        if self.members and self.members[0] in self.workers and self.wishes:
            wished = rounds.ChangesWished(self.generation, tuple(self.wishes))
            self.workers[self.members[0]].told.append((wished, None))

    def record(self, worker: Worker, action: rounds.RecordChanges) -> None:
        """Commit as the root's node does: under the generation's fence, and for no round that a checkpoint is past already."""
        if action.generation != self.generation:
            return
        known = {change.request for change in self.wishes}
        is_ahead = self.checkpoint[0].round >= action.round
        fit = () if is_ahead else tuple(change for change in action.changes if change.request in known)
        self.recorded += fit
        self.wishes = [wish for wish in self.wishes if wish.request not in {change.request for change in fit}]
        self.say(f"{worker.name}: recorded {fit}")
        worker.told.append((rounds.ChangesRecorded(action.generation, action.round, fit), None))
        if is_ahead:
            self.tell_wishes()

    def suspect(self, reporter: str, generation: int, name: str, reason: str) -> None:
        self.say(f"{reporter} reports {name}: {reason}")
        assert "state" not in reason, f"{reporter} says of {name}: {reason}"
        assert "result" not in reason or name == self.liar, f"{reporter} says of {name}: {reason}"
        if generation == self.generation and reporter not in self.suspects and name in self.members:
            self.suspects.add(name)
            self.form()

    def look_for_late(self) -> None:
        """Have those look who do so from time to time: an hour has passed, so whoever is not done is late."""
        for worker in list(self.workers.values()):
            if worker.machine.is_watchful and not worker.stopped and not worker.thoughts:
                self.now += 3600.0
                self.handle(worker, rounds.Waited())

    # -- troubles --

    def trouble(self) -> None:
        name = self.random.choice(sorted(self.workers))
        match self.random.choice(["kill", "kill", "stop", "cut", "join"]):
            case "kill":
                self.kill(name)
            case "stop":
                self.say(f"{name} is stopped")
                self.workers[name].stopped = self.random.choice([20, 200, 2000])
                for peer in self.workers[name].machine.neighbours:
                    if peer in self.workers and self.random.random() < 0.7:
                        self.lose(peer, name, "it was silent")
            case "cut":
                peer = self.random.choice(sorted(self.workers))
                generation = self.workers[name].machine.generation
                self.cut.add((generation, frozenset((name, peer))))
                self.say(f"the link between {name} and {peer} is cut")
                if peer != name:
                    self.lose(peer, name, "the connection broke")
                    self.lose(name, peer, "the connection broke")
            case "join":
                self.start()
                self.form()

    def kill(self, name: str) -> None:
        self.say(f"{name} is killed")
        for action in self.workers[name].commits:
            if self.random.random() < 0.5:  # its node had it in hand
                self.record(self.workers[name], action)
        del self.workers[name]
        for (sender, receiver), channel in self.channels.items():
            if receiver == name:
                channel.clear()
            elif sender == name:
                for _ in range(self.random.randint(0, len(channel))):
                    channel.pop()  # had not left the machine
        for peer in self.workers:
            self.lose(peer, name, "it was killed")
        self.suspects.add(name)
        self.form()

    def lose(self, at: str, peer: str, reason: str) -> None:
        self.workers[at].lost.append(rounds.PeerLost(peer, self.workers[at].machine.generation, reason))

    # -- workers and the network --

    def step(self) -> None:
        """Have one thing happen, of all that could."""
        able, is_any_stopped = [], False
        for name, worker in self.workers.items():
            if worker.stopped:
                is_any_stopped = True
                worker.stopped -= 1
            elif worker.thoughts:
                able.append((name, "thoughts", ""))
            else:
                able += [(name, kind, "") for kind in ("computed", "told", "lost") if getattr(worker, kind)]
            if worker.commits:
                able.append((name, "commits", ""))
        for (sender, receiver), channel in self.channels.items():
            worker = self.workers.get(receiver)
            if channel and worker is not None and not worker.stopped and not worker.thoughts:
                able.append((receiver, "message", sender))
        if not able:
            if not is_any_stopped:
                self.wait()
            return
        name, kind, sender = self.random.choice(able)
        worker = self.workers[name]
        match kind:
            case "told":
                event, owned = worker.told.popleft()
                if owned is not None:
                    worker.owned = owned
                    worker.computed.clear()
            case "commits":
                self.record(worker, worker.commits.popleft())
                return
            case "message":
                event = rounds.MessageArrived(sender, *self.channels[sender, name].popleft())
            case _:
                event = getattr(worker, kind).popleft()
        self.handle(worker, event)

    def wait(self) -> None:
        """Nothing happens until somebody has waited long enough for one that never came."""
        for name, worker in self.workers.items():
            generation = worker.machine.generation
            cut = [peer for peer in worker.machine.neighbours if (generation, frozenset((name, peer))) in self.cut]
            for peer in {*cut, *worker.machine.unheard()}:
                self.lose(name, peer, "it did not join")
        assert any(worker.lost for worker in self.workers.values()), f"stuck: {self.phases()}"

    def phases(self) -> list[tuple[str, int, str]]:
        return [(name, w.machine.generation, w.machine.phase.name) for name, w in self.workers.items()]

    def handle(self, worker: Worker, event: rounds.Event) -> None:
        try:
            actions = worker.machine.handle(event, self.now)
        except PeerError as error:
            raise AssertionError(f"{worker.name} on {event}: {error}") from error
        self.check(worker)
        for action in actions:
            if worker.name in self.workers:  # else it has reported itself, and was ended
                self.perform(worker, action)

    def check(self, worker: Worker) -> None:
        """No two different states for one round, ever and anywhere."""
        holding = worker.machine.holding
        if worker.name not in self.suspects:  # who was put out holds what it likes
            assert holding == NOTHING or holding.digest == self.expected()[holding.round], f"{worker.name}: {holding}"

    def expected(self) -> list[str]:
        changes = tuple((change.request, change.round, change.values["w"]) for change in self.recorded)
        return undisturbed(self.shards, changes)

    def hold(self, worker: Worker, state: Record) -> Holding:
        worker.state = state
        return Holding(state["round"], digest(state), state["round"] >= ROUNDS)

    def perform(self, worker: Worker, action: rounds.Action) -> None:  # noqa: PLR0912, PLR0915  # one case an action
        match action:
            case rounds.Send(peer, message, body):
                self.deliver(worker.name, peer, message, bytes(body))
            case rounds.SendState(peer, message):
                assert isinstance(message, Begin | State) and message.digest == digest(worker.state)
                self.deliver(worker.name, peer, message, repr(worker.state).encode())
            case rounds.LoadState(_, _, body):
                held = self.hold(worker, eval(bytes(body)))  # our own repr
                worker.thoughts.append(rounds.StateLoaded(held, adds(worker.state), len(repr(worker.state))))
            case rounds.RestoreState():
                held = self.hold(worker, self.checkpoint[1] or INITIAL)
                worker.thoughts.append(rounds.StateLoaded(held, adds(worker.state), len(repr(worker.state))))
            case rounds.Compute(generation, round_, slices):
                climb = Climb(self.shards, merge)
                own, others = self.audits[generation].duties(worker.name, round_)
                checks = [(shard, digest(normal(partial(worker.state, shard)))) for shard in others]
                for shard in worker.owned:
                    value = normal(partial(worker.state, shard))
                    if worker.name == self.liar:
                        value["sums"] = value["sums"] + 1.0
                    climb.add(shard, value)
                    checks += [(shard, digest(value))] if shard in own else []
                parts = worker.reduction.parts(climb.values, slices)
                seconds = self.random.random()
                worker.computed.append(rounds.PartComputed(generation, round_, parts, seconds, tuple(checks)))
            case rounds.Help(generation, round_, late, slices):
                climb = Climb(self.shards, merge)
                for shard in parse_runs(self.runs[generation][late]):
                    climb.add(shard, normal(partial(worker.state, shard)))
                parts = worker.reduction.parts(climb.values, slices)
                worker.computed.append(rounds.HelpComputed(generation, round_, late, parts))
            case rounds.Reduce(slice_, slices, parts, _, is_sent):
                nodes = [node for part in parts for node in part.nodes]
                assert len(set(nodes)) == len(nodes), "no part counts twice"
                merged = worker.reduction.merged(slice_, slices, parts, is_sent=is_sent)
                worker.thoughts.append(rounds.PartsMerged(slice_, merged))
            case rounds.Update(total, slices, changes):
                after = update(worker.state, worker.reduction.total(total, slices))
                held = self.hold(worker, changed(after, changes if after["round"] < ROUNDS else ()))
                worker.thoughts.append(rounds.StateUpdated(held, adds(worker.state), len(repr(worker.state))))
            case rounds.RecordChanges():
                worker.commits.append(action)
            case rounds.KeepCheckpoint(generation, held):
                if generation == self.generation and held.rank > self.checkpoint[0].rank:
                    self.checkpoint = (held, worker.state)
            case rounds.Finish(generation, held):
                if generation == self.generation:  # the commit checks the fence
                    self.finished = held
            case rounds.Suspect(peer, reason):
                self.suspect(worker.name, worker.machine.generation, peer, reason)
            case rounds.Tell(_, round_, phases, _):
                assert all(seconds >= 0.0 for seconds in phases.values()), phases
                self.say(f"{worker.name}: round {round_}")
            case rounds.Expect(peers):
                assert worker.name not in peers
            case rounds.Dial(peer, generation):
                if peer not in self.workers:
                    worker.lost.append(rounds.PeerLost(peer, generation, "nobody answers"))
            case rounds.GiveUp(generation, reason):
                assert self.liar in self.runs[generation] and len(self.runs[generation]) < 3, reason
                self.is_given_up = generation == self.generation

    def deliver(self, sender: str, peer: str, message: object, body: bytes) -> None:
        link = (self.workers[sender].machine.generation, frozenset((sender, peer)))
        if peer in self.workers and link not in self.cut:
            self.channels.setdefault((sender, peer), deque()).append((message, body))

    def say(self, what: str) -> None:
        if self.tells:
            print(f"{self.now:6.0f}  {what}")  # a replay


@contextmanager
def small_limits() -> Iterator[None]:
    """Have nine members and a few hundred bytes be many: trees of two levels, links with a few only, slices of 64 bytes."""
    limits = {
        "FANIN_MAX": 4,
        "MESH_MEMBERS_MAX": 5,
        "EXCHANGE_MEMBERS_MAX": 3,
        "EXCHANGE_BYTES_MAX": 600,
        "SLICE_BYTES_MIN": 16,
    }
    with mock.patch.multiple(topology, SLICES_MAX=4, **limits):
        yield


def late_after(seconds: float) -> "mock._patch[float]":
    """Have nobody be late sooner. Where all auditors of a result are, it goes unaudited."""
    return mock.patch.object(round_times, "LATE_S_MIN", seconds)


def check(seed: int, *, tells: bool = False) -> None:
    """Run one history; AssertionError tells how to replay it."""
    try:
        lies = seed % LIES_EVERY == 0
        with small_limits(), late_after(math.inf if lies else round_times.LATE_S_MIN):
            job = SimulatedJob(seed, lies=lies, workers=4 + seed % 3 if lies else None, tells=tells)
            finished = job.run()
            assert job.is_given_up or finished == Holding(ROUNDS, job.expected()[ROUNDS], True)
    except AssertionError as error:
        raise AssertionError(f"replay with: python {sys.argv[0] if tells else __file__} {seed}\n{error}") from error


if __name__ == "__main__":
    check(int(sys.argv[1]), tells=True)
