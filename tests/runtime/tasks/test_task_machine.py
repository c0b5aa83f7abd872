"""The machine of a task job: thousands of seeded histories of deaths, pauses and slow workers, each with all the results."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

import pytest

from muskox.errors import PeerError
from muskox.runtime.tasks import events
from muskox.runtime.tasks.leading import NEWCOMER_S
from muskox.runtime.tasks.machine import Phase, TaskMachine
from muskox.runtime.tasks.messages import Answer, Distrust, Give, Go, Hold, Ready, Take

STEPS_MAX = 20_000
JOIN_S_MAX = 10  # who takes the place of a dead worker comes a while after the others have gone on


def digest_of(task: int) -> str:
    return f"digest-{task}"


def body_of(task: int) -> bytes:
    return bytes(task % 7 + 1)


@dataclass
class SimulatedWorker:
    """The shell of one machine: its inbox, its one thread, and the results that it keeps."""

    machine: TaskMachine
    slowness: float
    inbox: deque[events.Event] = field(default_factory=deque)
    told: deque[events.Event] = field(default_factory=deque)  # by its node, which may lag behind what peers say
    timers: list[tuple[float, events.Event]] = field(default_factory=list)
    running: int | None = None
    results: dict[tuple[int, str], bytes] = field(default_factory=dict)
    collected: dict[int, bytes] = field(default_factory=dict)
    paused_until: float = 0.0
    is_put_out: bool = False


class Simulation:
    """Machines, a network, and a coordinator that forms a generation whenever a member was reported, died or joined.

    The machine of `liar`, if there is one, computes tasks of even number wrongly, and not always the same.
    """

    def __init__(
        self,
        seed: int,
        workers: int,
        tasks: int,
        *,
        blows: int,
        audited: frozenset[int] = frozenset(),
        interval_s: float = 7.0,
        liar: str = "",
    ) -> None:
        self.random = random.Random(seed)
        self.tasks = tasks
        self.audited = audited
        self.interval_s = interval_s
        self.blows = blows
        self.liar = liar
        self.workers: dict[str, SimulatedWorker] = {}
        self.members: list[str] = []
        self.joining: list[float] = []
        self.generation = 0
        self.pieces: dict[int, dict[int, tuple[events.Found, bytes]]] = {}
        self.runs = 0
        self.started = 0
        self.found: set[tuple[str, int, str]] = set()
        self.finished: dict[int, bytes] | None = None
        self.is_found_out = False
        self.now = 0.0
        for _ in range(workers):
            self.start()
        self.form()

    def start(self) -> None:
        self.started += 1
        name = f"w{self.started}"
        machine = TaskMachine(name, self.tasks, checkpoint_interval_s=self.interval_s, audited=self.audited)
        self.workers[name] = SimulatedWorker(machine, self.random.choice([0.05, 0.3, 0.9]))

    def form(self) -> None:
        self.generation += 1
        live = [name for name, worker in self.workers.items() if not worker.is_put_out]
        self.members = [name for name in self.members if name in live] + [name for name in live if name not in self.members]
        for rank, name in enumerate(self.members):
            self.workers[name].told.append(events.GenerationFormed(self.generation, tuple(self.members), rank))

    def put_out(self, name: str, reason: str) -> None:
        """Its links break, a new worker takes its place: at once, or when the others are in a generation without it."""
        for peer, worker in self.workers.items():
            if peer != name:
                worker.inbox.append(events.PeerLost(name, self.workers[name].machine.generation, reason))
        self.workers[name].is_put_out = True
        if len(self.members) == 1 or self.random.random() < 0.5:
            self.start()
        else:
            self.joining.append(self.now + self.random.uniform(0, JOIN_S_MAX))
        self.form()

    def join(self) -> None:
        if come := [time_s for time_s in self.joining if time_s <= self.now]:
            self.joining = [time_s for time_s in self.joining if time_s > self.now]
            for _ in come:
                self.start()
            self.form()

    def black_out(self) -> None:
        """All die at once: what is durable is all that is left."""
        count = sum(not worker.is_put_out for worker in self.workers.values()) + len(self.joining)
        self.workers, self.members, self.joining = {}, [], []
        for _ in range(count):
            self.start()
        self.form()

    def strike(self) -> None:
        self.blows -= 1
        if self.random.random() < 0.1:
            self.black_out()
            return
        name = self.random.choice([name for name, worker in self.workers.items() if not worker.is_put_out])
        self.put_out(name, "it was killed, or silent")
        if self.random.random() < 0.6:
            del self.workers[name]
        else:  # a zombie: it wakes up and goes on as if nothing had been
            self.workers[name].paused_until = self.now + self.random.uniform(1, 60)

    def held(self) -> set[int]:
        """The tasks whose results somebody alive holds, or has been sent."""
        live = [worker for worker in self.workers.values() if not worker.is_put_out]
        messages = [event.message for worker in live for event in worker.inbox if isinstance(event, events.MessageArrived)]
        sent = {message.task for message in messages if isinstance(message, Answer | Hold)}
        return sent | {task for worker in live for task, _ in worker.results}

    def run(self, until: Callable[[float], bool] = lambda now: False) -> dict[int, bytes]:
        for _ in range(STEPS_MAX):
            if self.finished is not None or until(self.now):
                return self.finished or {}
            self.now += 1.0
            self.join()
            if self.blows and self.random.random() < 0.03:
                self.strike()
            awake = [name for name, worker in self.workers.items() if worker.paused_until <= self.now]
            if awake:
                self.step(self.random.choice(awake))
        raise AssertionError(f"it is stuck: {[(n, w.machine.phase, w.running) for n, w in self.workers.items()]}")

    def step(self, name: str) -> None:
        worker = self.workers[name]
        worker.inbox.extend(event for due_s, event in worker.timers if due_s <= self.now)
        worker.timers = [(due_s, event) for due_s, event in worker.timers if due_s > self.now]
        if worker.told and (not worker.inbox or self.random.random() < 0.5):
            event = worker.told.popleft()
        elif worker.inbox and self.random.random() < 0.8:
            event = worker.inbox.popleft()
        elif worker.running is not None and self.random.random() > worker.slowness:
            event = self.compute(name, worker.running)
            worker.running = None
        else:
            return
        for action in worker.machine.handle(event, self.now):
            self.perform(name, worker, action)
        held = worker.machine._held
        for task, digest in held.digests.items():
            assert (task, digest) in worker.results, "the shell has what the machine holds"
            assert {(finder, task, digest) for finder in held.finders[task]} <= self.found, "who is named has found it"

    def compute(self, name: str, task: int) -> events.TaskDone:
        self.runs += 1
        digest, body = digest_of(task), body_of(task)
        if name == self.liar and task % 2 == 0:
            digest, body = self.random.choice([("wrong", b"wrong"), ("false", b"false")])
        self.found.add((name, task, digest))
        return events.TaskDone(task, digest, body)

    def perform(self, name: str, worker: SimulatedWorker, action: events.Action) -> None:  # noqa: PLR0912  # one case a kind
        match action:
            case events.Dial(peer, generation):
                there = peer in self.workers and not self.workers[peer].is_put_out
                if not there:
                    worker.inbox.append(events.PeerLost(peer, generation, "nobody there"))
            case events.Send(peer, message):
                self.deliver(name, peer, message, b"")
            case events.SendResult(peer, message):
                self.deliver(name, peer, message, worker.results[message.task, message.digest])
            case events.RunTask(task):
                assert worker.running is None, "one at a time"
                worker.running = task
            case events.KeepResult(task, digest, body):
                worker.results[task, digest] = body
            case events.RestoreResults(generation):
                self.restore(worker, generation)
            case events.KeepPiece(generation, number, absorbs, results):
                is_kept = generation == self.generation and self.random.random() < 0.8
                if is_kept:
                    piece = {task: (found, worker.results[task, found.digest]) for task, found in results.items()}
                    self.keep_piece(number, absorbs, piece)
                worker.inbox.append(events.PieceKept(number, is_kept))
            case events.Collect(generation, digests):
                worker.collected = {task: worker.results[task, digest] for task, digest in enumerate(digests)}
                worker.timers.append((self.now + self.random.uniform(0, 40), events.Collected(generation, "whole")))
            case events.Finish(generation, digest):
                if generation == self.generation:  # the fence
                    assert digest == "whole"
                    self.finished = worker.collected
            case events.Suspect(peer, reason):
                self.suspect(worker, peer, reason)
            case events.Wake(generation, after_s):
                assert after_s > 0
                worker.timers.append((self.now + after_s, events.Woken(generation)))
            case events.Tell(_, done, _):
                assert done == len(worker.machine._held.digests)
            case events.GiveUp(generation, reason):
                assert generation != self.generation, reason
            case _:
                assert_never(action)

    def restore(self, worker: SimulatedWorker, generation: int) -> None:
        """Its shell keeps the pieces; while it reads them the worker goes on."""
        results: dict[int, events.Found] = {}
        pieces = []
        for number, piece in sorted(self.pieces.items()):
            for task, (found, body) in piece.items():
                worker.results[task, found.digest] = body
                results[task] = found
            pieces.append(events.Saved(number, tuple(piece), sum(found.size_bytes for found, _ in piece.values())))
        worker.told.append(events.ResultsRestored(generation, results, tuple(pieces)))

    def keep_piece(self, number: int, absorbs: tuple[int, ...], piece: dict[int, tuple[events.Found, bytes]]) -> None:
        assert number not in self.pieces
        self.pieces[number] = piece
        before = [self.pieces.pop(absorbed) for absorbed in absorbs]
        assert all(task in piece for absorbed in before for task in absorbed), "nothing durable is lost"

    def suspect(self, worker: SimulatedWorker, peer: str, reason: str) -> None:
        if "another result" not in reason:
            assert peer != worker.machine.worker, reason
            return
        assert peer == self.liar, reason
        self.is_found_out = True
        if worker.machine.generation == self.generation and peer in self.members:
            self.put_out(peer, reason)

    def deliver(self, sender: str, peer: str, message: object, body: bytes) -> None:
        """Over a link between two that are not put out: the others' links are broken."""
        if peer in self.workers and not self.workers[peer].is_put_out and not self.workers[sender].is_put_out:
            self.workers[peer].inbox.append(events.MessageArrived(sender, message, body))


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("tasks", [0, 1, 2, 23])
def test_without_deaths_every_task_is_finished(workers: int, tasks: int) -> None:
    simulation = Simulation(0, workers, tasks, blows=0)
    assert simulation.run() == {task: body_of(task) for task in range(tasks)}
    assert tasks <= simulation.runs <= tasks + workers, "copies are for the last ones"


def test_a_job_finishes_with_every_result_whoever_dies_or_sleeps_when() -> None:
    for seed in range(2000):
        tasks = 1 + seed % 40
        audited = frozenset(range(0, tasks, 3)) if seed % 2 else frozenset[int]()
        simulation = Simulation(seed, 1 + seed % 5, tasks, blows=seed % 8, audited=audited)
        assert simulation.run() == {task: body_of(task) for task in range(tasks)}, f"seed {seed}"


def test_where_all_is_audited_one_worker_that_computes_wrongly_spoils_no_result_whoever_dies_or_sleeps_when() -> None:
    for seed in range(400):
        tasks, workers = 1 + seed % 30, 3 + seed % 3
        everything, liar = frozenset(range(tasks)), f"w{1 + seed % workers}"
        simulation = Simulation(seed, workers, tasks, blows=seed % 5, audited=everything, liar=liar)
        assert simulation.run() == {task: body_of(task) for task in range(tasks)}, f"seed {seed}"


def test_what_a_worker_found_that_was_found_out_is_found_again_though_it_was_not_audited() -> None:
    for seed in range(400):
        tasks, workers = 1 + seed % 30, 3 + seed % 3
        some, liar = frozenset(range(0, tasks, 6)), f"w{1 + seed % workers}"
        simulation = Simulation(seed, workers, tasks, blows=0, audited=some, liar=liar)
        results = simulation.run()
        if simulation.is_found_out:
            assert results == {task: body_of(task) for task in range(tasks)}, f"seed {seed}"


def test_a_death_costs_what_was_running_whoever_it_was() -> None:
    """Of 60 tasks and four workers: one or two of the dead, and copies of the last ones. Nothing is made durable here."""
    for seed in range(300):
        simulation = Simulation(seed, 4, 60, blows=0, interval_s=1e9)
        simulation.run(until=lambda now: now >= 60)
        before = len(simulation.held())
        simulation.put_out(simulation.members[seed % 4], "it was killed")
        assert before - len(simulation.held()) <= 2, f"seed {seed}: {simulation.members[seed % 4]}"
        simulation.run()


# -- one machine, by hand --


def formed(
    rank: int, *members: str, tasks: int = 4, number: int = 1, interval_s: float = 1e9
) -> tuple[TaskMachine, list[events.Action]]:
    machine = TaskMachine(members[rank], tasks, checkpoint_interval_s=interval_s)
    return machine, machine.handle(events.GenerationFormed(number, members, rank), 0.0)


def heard(peer: str, message: object, body: bytes = b"") -> events.MessageArrived:
    return events.MessageArrived(peer, message, body)


def found(peer: str, task: int, digest: str, body: bytes = b"x") -> events.MessageArrived:
    """`peer` has found this itself."""
    return heard(peer, Answer(1, task, digest, [peer]), body)


def leading(*members: str, tasks: int = 4, interval_s: float = 1e9) -> tuple[TaskMachine, list[events.Action]]:
    """A root that has heard all, with nothing done yet."""
    machine, _ = formed(0, *members, tasks=tasks, interval_s=interval_s)
    for peer in members[1:]:
        machine.handle(heard(peer, Ready(1, [], [])), 0.0)
    return machine, machine.handle(events.ResultsRestored(1, {}, ()), 0.0)


def takes(actions: list[events.Action]) -> list[tuple[str, int]]:
    return [(action.peer, action.message.task) for action in actions if isinstance(action, events.Send | events.SendResult)
            and isinstance(action.message, Take)]  # fmt: skip


def pieces(actions: list[events.Action]) -> list[tuple[int, tuple[int, ...], list[int]]]:
    """Number, absorbed pieces and tasks."""
    return [(action.number, action.absorbs, list(action.results)) for action in actions if isinstance(action, events.KeepPiece)]


def test_a_free_worker_takes_the_next_task_and_one_ahead_while_there_are_enough() -> None:
    machine, actions = leading("a", "b", "c", tasks=9)
    assert takes(actions) == [("b", 1), ("c", 2), ("b", 4), ("c", 5)]
    assert events.RunTask(0) in actions
    actions = machine.handle(found("c", 2, "x"), 0.0)
    assert takes(actions) == [("c", 6)], "whoever is quick gets more"
    assert takes(machine.handle(found("c", 5, "x"), 0.0)) == [], "the last ones are for whoever is free first"


def test_when_none_is_left_the_free_copy_what_has_run_longest() -> None:
    machine, _ = leading("a", "b", "c", tasks=3)
    assert takes(machine.handle(found("c", 2, "2"), 0.0)) == [("c", 0)]
    actions = machine.handle(found("c", 0, "0"), 0.0)
    assert takes(actions) == [("c", 1)]
    assert takes(machine.handle(found("b", 1, "1"), 0.0)) == []
    assert machine.phase is Phase.COLLECTING, "the copies' answers are not awaited"


def test_a_death_of_a_member_gives_its_tasks_to_the_others_at_once() -> None:
    machine, _ = leading("a", "b", "c", tasks=3)
    machine.handle(found("c", 2, "2"), 0.0)  # c copies task 0
    actions = machine.handle(events.PeerLost("b", 1, "it died"), 0.0)
    assert actions == [events.Suspect("b", "it died")]
    assert takes(machine.handle(found("c", 0, "0"), 0.0)) == [("c", 1)]


def test_what_a_member_holds_is_fetched_one_result_at_a_time_and_not_run_again() -> None:
    machine, _ = formed(0, "a", "b", tasks=3)
    machine.handle(heard("b", Ready(1, [0, 2], [1])), 0.0)
    actions = machine.handle(events.ResultsRestored(1, {}, ()), 0.0)
    assert events.Send("b", Give(1, 0)) in actions
    assert events.Send("b", Give(1, 2)) not in actions
    assert events.RunTask(1) in actions, "a free worker copies what b runs"
    assert events.Send("b", Give(1, 2)) in machine.handle(found("b", 0, "0"), 0.0)


def test_a_member_keeps_on_running_when_its_root_dies_and_tells_the_next_one() -> None:
    machine, actions = formed(1, "a", "b")
    assert actions == [events.Dial("a", 1), events.Send("a", Ready(1, [], []))]
    machine.handle(heard("a", Go(1)), 0.0)
    assert machine.handle(heard("a", Take(1, 0)), 0.0) == [events.RunTask(0)]
    assert machine.handle(heard("a", Take(1, 1)), 0.0) == [], "one after the other"
    assert machine.handle(events.PeerLost("a", 1, "it died"), 0.0) == [events.Suspect("a", "it died")]
    assert machine.handle(events.TaskDone(0, "0", b"x"), 0.0) == [events.KeepResult(0, "0", b"x"), events.RunTask(1)]
    actions = machine.handle(events.GenerationFormed(2, ("c", "b"), 1), 0.0)
    assert actions == [events.Dial("c", 2), events.Send("c", Ready(2, [0], [1]))]
    machine.handle(events.TaskDone(1, "1", b"y"), 0.0)
    assert machine.handle(heard("c", Go(2)), 0.0) == [events.SendResult("c", Answer(2, 1, "1", ["b"]))]


def test_where_two_results_differ_a_third_worker_decides_and_the_odd_one_is_put_out() -> None:
    machine, _ = leading("a", "b", "c", tasks=3)
    machine.handle(found("b", 1, "1"), 0.0)  # b copies 0
    machine.handle(found("b", 0, "wrong", b"w"), 0.0)  # accepted: the first; b copies 2
    actions = machine.handle(events.TaskDone(0, "right", b"r"), 0.0)  # a objects; nobody is free: b and c run 2
    assert machine.phase is Phase.WORKING
    assert not any(isinstance(action, events.Suspect) for action in actions)
    actions = machine.handle(found("c", 2, "2"), 0.0)
    assert takes(actions) == [("c", 0)], "the third"
    actions = machine.handle(found("c", 0, "right", b"r"), 0.0)
    assert events.KeepResult(0, "right", b"r") in actions
    assert events.Suspect("b", "it found another result for task 0 than two others") in actions
    assert events.Send("c", Distrust(1, "b")) in actions
    assert events.RunTask(1) in actions, "what b found else is found again"
    machine.handle(events.TaskDone(1, "also wrong", b"r"), 0.0)
    assert machine.phase is Phase.COLLECTING, "the word of b counts nowhere"


def test_an_audited_task_is_run_by_a_second_worker_before_the_job_is_whole() -> None:
    machine = TaskMachine("a", 2, checkpoint_interval_s=1e9, audited=frozenset({1}))
    machine.handle(events.GenerationFormed(1, ("a", "b"), 0), 0.0)
    machine.handle(heard("b", Ready(1, [], [])), 0.0)
    machine.handle(events.ResultsRestored(1, {}, ()), 0.0)  # a runs 0, b runs 1
    machine.handle(found("b", 1, "1"), 0.0)
    actions = machine.handle(events.TaskDone(0, "0", b"x"), 0.0)
    assert events.RunTask(1) in actions, "b may not audit itself"
    assert machine.phase is Phase.WORKING
    machine.handle(events.TaskDone(1, "1", b"x"), 0.0)
    assert machine.phase is Phase.COLLECTING


def test_a_new_root_has_audited_again_what_one_alone_has_found_and_not_what_two_have() -> None:
    machine = TaskMachine("b", 3, checkpoint_interval_s=1e9, audited=frozenset({0, 1, 2}))
    machine.handle(events.GenerationFormed(1, ("a", "b", "c"), 1), 0.0)
    machine.handle(heard("a", Go(1)), 0.0)
    machine.handle(heard("a", Hold(1, 0, "wrong", ["a"]), b"w"), 0.0)
    machine.handle(events.GenerationFormed(2, ("b", "c", "d"), 0), 0.0)
    machine.handle(heard("c", Ready(2, [2], [])), 0.0)
    machine.handle(heard("d", Ready(2, [], [])), 0.0)
    durable = {1: events.Found("1", 1, ("c", "x"))}
    actions = machine.handle(events.ResultsRestored(2, durable, (events.Saved(1, (1,), 1),)), 0.0)
    assert events.RunTask(0) in actions
    assert takes(actions) == []
    machine.handle(heard("c", Answer(2, 2, "2", ["c", "x"]), b"x"), 0.0)
    actions = machine.handle(events.TaskDone(0, "right", b"r"), 0.0)
    assert takes(actions) == [("c", 0)], "the word of a stands against that of b"
    actions = machine.handle(heard("c", Answer(2, 0, "right", ["c"]), b"r"), 0.0)
    assert events.Send("d", Distrust(2, "a")) in actions
    assert events.Collect(2, ("right", "1", "2")) in actions


def test_who_was_found_out_counts_no_more_with_any_root_and_is_put_out_of_each_generation() -> None:
    machine, _ = formed(1, "a", "b", "c", tasks=1)
    machine.handle(heard("a", Go(1)), 0.0)
    machine.handle(heard("a", Hold(1, 0, "wrong", ["a"]), b"w"), 0.0)
    machine.handle(heard("a", Distrust(1, "a")), 0.0)
    machine.handle(events.GenerationFormed(2, ("b", "a", "d"), 0), 0.0)
    machine.handle(heard("a", Ready(2, [0], [])), 0.0)
    machine.handle(heard("d", Ready(2, [], [])), 0.0)
    actions = machine.handle(events.ResultsRestored(2, {}, ()), 0.0)
    assert events.Suspect("a", "it found another result for a task than two others") in actions
    assert events.Send("d", Distrust(2, "a")) in actions, "who joined since is told, too"
    assert events.RunTask(0) in actions
    assert events.Collect(2, ("right",)) in machine.handle(events.TaskDone(0, "right", b"r"), 0.0)


def test_a_root_that_is_told_late_who_was_found_out_has_its_results_found_again() -> None:
    machine, _ = leading("b", "c", "d", tasks=2)
    machine.handle(heard("c", Answer(1, 1, "wrong", ["a"]), b"w"), 0.0)
    actions = machine.handle(heard("a", Distrust(0, "a")), 0.0)
    assert events.Send("d", Distrust(1, "a")) in actions
    assert takes(actions) == [("c", 1)]


def test_who_is_left_alone_trusts_itself_rather_than_who_was_found_out() -> None:
    machine = TaskMachine("b", 1, checkpoint_interval_s=1e9, audited=frozenset({0}))
    machine.handle(events.GenerationFormed(1, ("a", "b"), 1), 0.0)
    machine.handle(heard("a", Go(1)), 0.0)
    machine.handle(heard("a", Hold(1, 0, "wrong", ["a"]), b"w"), 0.0)
    machine.handle(heard("a", Distrust(1, "a")), 0.0)
    machine.handle(events.GenerationFormed(2, ("b",), 0), 0.0)
    assert events.RunTask(0) in machine.handle(events.ResultsRestored(2, {}, ()), 0.0)
    machine.handle(events.TaskDone(0, "right", b"r"), 1.0)
    assert events.Collect(2, ("right",)) in machine.handle(events.Woken(2), 1 + NEWCOMER_S)


def test_a_root_that_was_found_out_itself_makes_no_result_of_the_job() -> None:
    machine, _ = leading("a", "b", "c", tasks=1)
    machine.handle(events.TaskDone(0, "wrong", b"w"), 0.0)
    assert machine.phase is Phase.COLLECTING, "nobody objects in time"
    machine, _ = leading("a", "b", "c", tasks=2)
    machine.handle(events.TaskDone(0, "wrong", b"w"), 0.0)
    machine.handle(found("c", 0, "right"), 0.0)
    machine.handle(found("b", 0, "right"), 0.0)
    machine.handle(found("b", 1, "1"), 0.0)
    assert machine.phase is Phase.WORKING
    assert machine.handle(events.TaskDone(1, "1", b"w"), 0.0) == []


def test_one_worker_has_one_word_though_it_holds_a_result_and_runs_the_task_again() -> None:
    machine, _ = formed(0, "a", "b", "c", tasks=3)
    machine.handle(heard("b", Ready(1, [0, 1], [])), 0.0)
    machine.handle(heard("c", Ready(1, [], [1])), 0.0)
    actions = machine.handle(events.ResultsRestored(1, {}, ()), 0.0)
    assert ("b", 1) not in takes(actions), "b holds it"
    machine.handle(found("b", 0, "0"), 0.0)
    machine.handle(found("b", 1, "wrong", b"w"), 0.0)
    machine.handle(found("c", 1, "right", b"r"), 0.0)
    actions = machine.handle(found("b", 1, "wrong", b"w"), 0.0)
    assert not any(isinstance(action, events.Suspect) for action in actions)


def test_a_dispute_waits_for_who_comes_in_place_of_the_third_worker() -> None:
    machine, _ = leading("a", "b", "c", tasks=3)
    machine.handle(found("b", 1, "1"), 0.0)
    machine.handle(found("b", 0, "one thing"), 0.0)  # c runs 2
    machine.handle(events.TaskDone(0, "another", b"x"), 0.0)
    late = NEWCOMER_S + 1
    machine.handle(events.Woken(1), late)
    actions = machine.handle(events.PeerLost("c", 1, "it died"), late)
    assert not any(isinstance(action, events.GiveUp) for action in actions)
    machine.handle(events.GenerationFormed(2, ("a", "b"), 0), late)
    actions = machine.handle(heard("b", Ready(2, [0, 1], [2])), late)
    assert not any(isinstance(action, events.GiveUp) for action in actions), "its place is not taken yet"
    machine.handle(events.GenerationFormed(3, ("a", "b", "d"), 0), late)
    machine.handle(heard("b", Ready(3, [0, 1], [2])), late)
    assert ("d", 0) in takes(machine.handle(heard("d", Ready(3, [], [])), late))


def test_who_is_alone_after_deaths_waits_for_others_to_audit_it_but_not_for_ever() -> None:
    machine = TaskMachine("a", 1, checkpoint_interval_s=1e9, audited=frozenset({0}))
    machine.handle(events.GenerationFormed(2, ("a",), 0), 0.0)
    machine.handle(events.ResultsRestored(2, {}, ()), 0.0)
    assert events.Wake(2, NEWCOMER_S) in machine.handle(events.TaskDone(0, "0", b"x"), 1.0)
    assert machine.handle(events.Leaving(), 2.0) == [], "nothing is durable that was to be audited and is not yet"
    assert events.Collect(2, ("0",)) in machine.handle(events.Woken(2), 1 + NEWCOMER_S)
    assert pieces(machine.handle(events.Leaving(), 20.0)) == [(1, (), [0])]


def test_a_worker_alone_audits_nothing() -> None:
    machine = TaskMachine("a", 1, checkpoint_interval_s=1e9, audited=frozenset({0}))
    machine.handle(events.GenerationFormed(1, ("a",), 0), 0.0)
    machine.handle(events.ResultsRestored(1, {}, ()), 0.0)
    machine.handle(events.TaskDone(0, "0", b"x"), 0.0)
    assert machine.phase is Phase.COLLECTING


def test_two_different_results_fail_the_job_when_no_third_worker_has_come_for_long() -> None:
    machine, _ = leading("a", "b")
    machine.handle(found("b", 1, "1"), 0.0)
    machine.handle(found("b", 3, "3"), 0.0)  # a has 0 and 2; b copies 0
    machine.handle(found("b", 0, "one thing"), 0.0)
    assert events.Wake(1, NEWCOMER_S) in machine.handle(events.TaskDone(0, "another", b"x"), 0.0)
    early = machine.handle(events.Woken(1), 1.0)
    assert not any(isinstance(action, events.GiveUp) for action in early), "a third may yet come"
    late = machine.handle(events.Woken(1), 1 + NEWCOMER_S)
    (reason,) = [action.reason for action in late if isinstance(action, events.GiveUp)]
    assert reason.startswith("task 0 gave different results on 2 workers, and there is no other to decide: is run() pure")


def test_a_root_that_was_none_for_a_while_asks_again_what_is_durable() -> None:
    machine, _actions = formed(0, "a", "b")
    machine.handle(heard("b", Ready(1, [], [])), 0.0)
    machine.handle(events.ResultsRestored(1, {}, ()), 0.0)
    machine.handle(events.GenerationFormed(2, ("a",), 0), 0.0)
    assert machine.phase is Phase.WORKING, "nobody else can have made anything durable"
    machine.handle(events.GenerationFormed(3, ("c", "a"), 1), 0.0)
    assert machine.handle(events.GenerationFormed(4, ("a",), 0), 0.0) == [events.RestoreResults(4)]
    assert machine.handle(events.ResultsRestored(3, {}, ()), 0.0) == [], "an answer to an earlier question"


def test_messages_out_of_turn_break_the_protocol_and_those_of_another_generation_are_ignored() -> None:
    machine, _ = formed(1, "a", "b", number=5)
    assert machine.handle(heard("a", Take(4, 0)), 0.0) == []
    with pytest.raises(PeerError, match="cannot be in READY"):
        machine.handle(heard("a", Take(5, 0)), 0.0)
    with pytest.raises(PeerError, match="speaks as the root, which is a"):
        machine.handle(heard("c", Take(5, 0)), 0.0)
    with pytest.raises(PeerError, match="tasks 0 to 9; this job has 4"):
        machine.handle(heard("c", Ready(5, [0], [9])), 0.0)


def test_a_peer_that_moved_on_is_not_reported() -> None:
    machine, _ = formed(1, "a", "b", number=5)
    assert machine.handle(events.PeerMoved("a", 5), 0.0) == []
    assert machine.handle(events.PeerLost("a", 5, "the connection with a broke"), 0.0) == []


def test_results_are_made_durable_when_the_interval_has_passed_and_not_before() -> None:
    machine, _ = leading("a", "b", tasks=9, interval_s=10.0)
    assert events.Wake(1, 6.0) in machine.handle(found("b", 1, "1"), 4.0)
    assert not any(isinstance(action, events.Wake) for action in machine.handle(found("b", 3, "3"), 5.0))
    assert pieces(machine.handle(events.Woken(1), 10.0)) == [(1, (), [1, 3])]
    machine.handle(events.PieceKept(1, True), 11.0)
    actions = machine.handle(found("b", 4, "4", b"xx"), 21.0)
    assert pieces(actions) == [(2, (1,), [1, 3, 4])], "a piece takes smaller ones along"


def test_a_root_that_is_to_leave_makes_durable_what_is_not_yet() -> None:
    machine, _ = leading("a", "b", tasks=9)
    assert machine.handle(events.Leaving(), 0.0) == []
    machine.handle(found("b", 1, "1"), 1.0)
    assert pieces(machine.handle(events.Leaving(), 1.0)) == [(1, (), [1])]
    member, _ = formed(1, "a", "b")
    assert member.handle(events.Leaving(), 0.0) == [], "the root has all that it found"


def test_what_is_not_durable_yet_is_made_so_while_the_job_s_result_is_made() -> None:
    machine, _ = leading("a", "b", tasks=2, interval_s=10.0)
    machine.handle(found("b", 1, "1"), 1.0)
    actions = machine.handle(events.TaskDone(0, "0", b"x"), 2.0)
    assert events.Collect(1, ("0", "1")) in actions
    assert pieces(machine.handle(events.Woken(1), 10.0)) == [(1, (), [1, 0])]


def test_a_new_generation_does_not_make_the_job_s_result_anew_that_is_being_made() -> None:
    machine, _ = leading("a", "b", tasks=1)
    assert events.Collect(1, ("0",)) in machine.handle(events.TaskDone(0, "0", b"x"), 1.0)
    machine.handle(events.GenerationFormed(2, ("a", "c"), 0), 2.0)
    actions = machine.handle(heard("c", Ready(2, [], [])), 2.0)
    assert machine.phase is Phase.COLLECTING
    assert not any(isinstance(action, events.Collect) for action in actions)
    assert machine.handle(events.Collected(1, "all"), 3.0) == [events.Finish(2, "all")]


def test_a_result_of_the_job_that_was_made_of_other_results_does_not_count() -> None:
    machine, _ = leading("a", "b", "c", tasks=1)
    assert events.Collect(1, ("wrong",)) in machine.handle(events.TaskDone(0, "wrong", b"w"), 1.0)
    machine.handle(events.GenerationFormed(2, ("b", "a", "c"), 1), 2.0)
    machine.handle(events.GenerationFormed(3, ("a", "c"), 0), 3.0)
    machine.handle(heard("c", Ready(3, [], [])), 3.0)
    durable = {0: events.Found("right", 1, ("b", "c"))}
    actions = machine.handle(events.ResultsRestored(3, durable, (events.Saved(1, (0,), 1),)), 3.0)
    assert events.Collect(3, ("right",)) in actions
    assert machine.handle(events.Collected(1, "all wrong"), 4.0) == []
    assert machine.handle(events.Collected(3, "all"), 5.0) == [events.Finish(3, "all")]


def test_a_root_that_is_to_leave_while_it_makes_the_job_s_result_loses_nothing() -> None:
    machine, _ = leading("a", "b", tasks=2)
    machine.handle(found("b", 1, "1"), 1.0)
    machine.handle(events.TaskDone(0, "0", b"x"), 2.0)
    assert pieces(machine.handle(events.Leaving(), 2.0)) == [(1, (), [1, 0])]
