"""The worker's machine: thousands of seeded histories of deaths, each of which must end with the undisturbed result."""

import random
from collections import deque
from dataclasses import dataclass, field

import pytest

from muskox.errors import PeerError
from muskox.runtime import round_events as rounds
from muskox.runtime.messages import Begin, Hello, Moved, Partial, Total
from muskox.runtime.round_events import NOTHING, Holding
from muskox.runtime.rounds import Phase, RoundMachine
from muskox.tree import cover

SHARDS = 6
ROUNDS = 5  # the program of this test is done after so many


def state_digest(round_: int) -> str:
    return f"state-{round_}"


def holding(round_: int) -> Holding:
    return Holding(round_, state_digest(round_), round_ >= ROUNDS)


@dataclass
class SimulatedWorker:
    """The shell of one machine, with the state replaced by its round number."""

    machine: RoundMachine
    inbox: deque = field(default_factory=deque)
    thoughts: deque = field(
        default_factory=deque
    )  # what the shell thinks of goes before all else: it handles nothing meanwhile
    told: deque = field(default_factory=deque)  # by its node, which may lag behind what peers say
    owned: list[int] = field(default_factory=list)

    @property
    def has_work(self) -> bool:
        return bool(self.thoughts or self.told or self.inbox)


class Simulation:
    """A network of machines with a coordinator that forms a generation whenever a member was reported or died."""

    def __init__(self, seed: int, workers: int, *, deaths: int) -> None:
        self.random = random.Random(seed)
        self.deaths = deaths
        self.workers: dict[str, SimulatedWorker] = {}
        self.members: list[str] = []
        self.generation = 0
        self.checkpoint = NOTHING
        self.started = 0
        self.finished: Holding | None = None
        self.now = 0.0
        for _ in range(workers):
            self.start()
        self.form()

    def start(self) -> None:
        self.started += 1
        name = f"w{self.started}"
        self.workers[name] = SimulatedWorker(RoundMachine(name, checkpoint_interval_s=3.0, rounds_max=1000))

    def form(self) -> None:
        self.generation += 1
        self.members = sorted(self.workers)
        for rank, name in enumerate(self.members):
            worker = self.workers[name]
            owned = list(range(rank, SHARDS, len(self.members)))
            worker.told.append((rounds.GenerationFormed(self.generation, tuple(self.members), rank), owned))

    def kill(self, name: str) -> None:
        generation = self.workers.pop(name).machine.generation
        for worker in self.workers.values():
            worker.inbox.append(rounds.PeerLost(name, generation, "it was killed"))
        self.start()
        self.form()

    def run(self) -> Holding:
        for _ in range(20_000):
            if self.finished is not None:
                return self.finished
            self.now += 1.0
            if self.deaths and self.random.random() < 0.05:
                self.deaths -= 1
                self.kill(self.random.choice(sorted(self.workers)))
            waiting = [name for name in sorted(self.workers) if self.workers[name].has_work]
            assert waiting, f"the generation is stuck: {[(n, w.machine.phase) for n, w in self.workers.items()]}"
            self.step(self.random.choice(waiting))
        raise AssertionError("the job did not finish")

    def step(self, name: str) -> None:
        worker = self.workers[name]
        if worker.thoughts:
            event = worker.thoughts.popleft()
        elif worker.told and (not worker.inbox or self.random.random() < 0.5):
            event, worker.owned = worker.told.popleft()
        else:
            event = worker.inbox.popleft()
        for action in worker.machine.handle(event, self.now):
            self.perform(name, worker, action)

    def perform(self, name: str, worker: SimulatedWorker, action: rounds.Action) -> None:
        machine, think = worker.machine, worker.thoughts.append
        match action:
            case rounds.Dial(peer, generation):
                worker.inbox.append(rounds.LinkOpened(generation) if peer in self.workers else self.lost(peer, generation))
            case rounds.Send(peer, message, body):
                self.deliver(name, peer, message, body)
            case rounds.SendState(peer, message):
                self.deliver(name, peer, message, b"state")
            case rounds.LoadState(round_, is_done, _):
                assert is_done == (round_ >= ROUNDS)
                think(rounds.StateLoaded(holding(round_)))
            case rounds.RestoreState():
                worker.inbox.append(rounds.StateLoaded(self.checkpoint if self.checkpoint != NOTHING else holding(0)))
            case rounds.Compute(generation, round_):
                nodes = tuple(cover(worker.owned, SHARDS))
                worker.inbox.append(rounds.PartComputed(generation, round_, nodes, tuple(b"x" for _ in nodes)))
            case rounds.Reduce(values):
                shards = [index << level for level, index in values]
                assert len(set(shards)) == len(shards) and 0 in shards, "no part counts twice"
                think(rounds.SumReduced(b"sum"))
            case rounds.Update():
                think(rounds.StateUpdated(holding(machine.holding.round + 1)))
            case rounds.KeepCheckpoint(_, held):
                self.checkpoint = held
            case rounds.Finish(_, held):
                self.finished = held
            case rounds.Suspect(peer, reason):
                assert peer not in self.workers, f"{peer} is alive, yet {reason}"
            case rounds.Tell() | rounds.GiveUp():
                pass

    def lost(self, peer: str, generation: int) -> rounds.PeerLost:
        return rounds.PeerLost(peer, generation, "nobody there")

    def deliver(self, sender: str, peer: str, message: object, body: bytes) -> None:
        if peer in self.workers:
            self.workers[peer].inbox.append(rounds.MessageArrived(sender, message, body))


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_a_job_without_deaths_finishes(workers: int) -> None:
    assert Simulation(0, workers, deaths=0).run() == holding(ROUNDS)


def test_a_job_finishes_with_the_same_state_whoever_dies_when() -> None:
    for seed in range(1500):
        simulation = Simulation(seed, 2 + seed % 4, deaths=1 + seed % 7)
        assert simulation.run() == holding(ROUNDS), f"seed {seed}"


def formed(rank: int, *members: str, number: int = 1) -> tuple[RoundMachine, list[rounds.Action]]:
    machine = RoundMachine(members[rank], checkpoint_interval_s=1e9, rounds_max=100)
    return machine, machine.handle(rounds.GenerationFormed(number, members, rank), 0.0)


def test_a_hello_that_comes_before_its_generation_is_kept() -> None:
    machine = RoundMachine("a", checkpoint_interval_s=1.0, rounds_max=100)
    assert machine.handle(rounds.MessageArrived("b", Hello(1, 4, "d", False), b""), 0.0) == []
    actions = machine.handle(rounds.GenerationFormed(1, ("a", "b"), 0), 0.0)
    assert [type(action).__name__ for action in actions] == ["Send"], "b holds more: its state is fetched"


def test_a_member_that_computes_from_another_state_is_put_out() -> None:
    machine, _ = formed(0, "a", "b")
    machine.handle(rounds.MessageArrived("b", Hello(1, -1, "", False), b""), 0.0)
    machine.handle(rounds.StateLoaded(holding(0)), 0.0)
    part = Partial(1, 0, "not the same", [(0, 0)], [1])
    assert machine.handle(rounds.MessageArrived("b", part, b"x"), 0.0) == [
        rounds.Suspect("b", "it computes round 0 from another state")
    ]


def test_of_two_states_after_the_same_round_the_odd_one_is_put_out() -> None:
    machine, _ = formed(0, "a", "b", "c")
    machine.holding = Holding(3, "odd", False)
    machine.handle(rounds.MessageArrived("b", Hello(1, 3, "even", False), b""), 0.0)
    actions = machine.handle(rounds.MessageArrived("c", Hello(1, 3, "even", False), b""), 0.0)
    assert actions == [rounds.Suspect("a", "it holds another state after round 3 than most")]


def test_messages_of_another_generation_are_ignored() -> None:
    machine, _ = formed(1, "a", "b", number=5)
    assert machine.handle(rounds.MessageArrived("a", Begin(4, 0, "d", False), b"state"), 0.0) == []
    assert machine.phase is Phase.JOINING


def test_a_peer_that_moved_on_is_not_reported() -> None:
    machine, _ = formed(1, "a", "b", number=5)
    assert machine.handle(rounds.MessageArrived("a", Moved(5), b""), 0.0) == []
    assert machine.handle(rounds.PeerLost("a", 5, "the connection with a broke"), 0.0) == []


def test_a_total_out_of_turn_breaks_the_protocol() -> None:
    machine, _ = formed(1, "a", "b")
    with pytest.raises(PeerError, match="total of round 0 in JOINING"):
        machine.handle(rounds.MessageArrived("a", Total(1, 0), b"sum"), 0.0)


def test_a_program_that_never_ends_is_given_up() -> None:
    machine = RoundMachine("a", checkpoint_interval_s=1.0, rounds_max=2)
    machine.handle(rounds.GenerationFormed(1, ("a",), 0), 0.0)
    actions = machine.handle(rounds.StateLoaded(Holding(2, "d", False)), 0.0)
    assert actions == [rounds.GiveUp(1, "the program did not finish within 2 rounds")]
