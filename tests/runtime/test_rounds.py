"""The worker's machine: hundreds of seeded histories of deaths, each of which must end with the undisturbed result."""

import pytest
from runtime.simulated_job import ROUNDS, SimulatedJob, check, small_limits

from muskox.errors import PeerError
from muskox.runtime import round_events as rounds
from muskox.runtime.collective.exchange import AHEAD_ROUNDS_MAX
from muskox.runtime.collective.topology import EXCHANGE_BYTES_MAX, SLICE_BYTES_MIN, SLICES_MAX
from muskox.runtime.collective.values import Part
from muskox.runtime.messages import Adjustment, Begin, Fetch, Hello, Moved, Partial, Race, State, Total
from muskox.runtime.round_events import NOTHING, Holding
from muskox.runtime.round_times import HUNG_RATIO, HUNG_S_MIN, LATE_RATIO, LATE_S_MIN
from muskox.runtime.rounds import Phase, RoundMachine

HISTORIES = 300


@pytest.mark.parametrize("first", range(0, HISTORIES, 100))
def test_a_job_finishes_with_the_same_state_whoever_dies_when(first: int) -> None:
    for seed in range(first, first + 100):
        check(seed)


@pytest.mark.parametrize("workers", range(1, 10))
def test_any_number_of_workers_gives_the_same_bits_in_every_form(workers: int) -> None:
    with small_limits():
        job = SimulatedJob(workers, workers=workers, troubles=0)
        assert job.run() == Holding(ROUNDS, job.expected()[ROUNDS], True)


def holding(round_: int, digest: str = "d") -> Holding:
    return Holding(round_, digest, False)


def formed(rank: int, *members: str, number: int = 1) -> tuple[RoundMachine, list[rounds.Action]]:
    machine = RoundMachine(members[rank], checkpoint_interval_s=1e9, rounds_max=100)
    return machine, machine.handle(rounds.GenerationFormed(number, members, rank, ("",) * len(members)), 0.0)


def arrived(peer: str, message: object, body: bytes = b"") -> rounds.MessageArrived:
    return rounds.MessageArrived(peer, message, body)  # type: ignore[arg-type]


def test_a_member_dials_those_before_it_and_tells_the_root_what_it_holds() -> None:
    _, actions = formed(2, "a", "b", "c")
    dials = [rounds.Dial("a", 1), rounds.Dial("b", 1)]
    assert actions == [rounds.Expect(("a", "b")), *dials, rounds.Send("a", Hello(1, "c", -1, "", False))]


def test_links_that_only_slices_need_are_made_when_there_are_slices() -> None:
    with small_limits():
        machine, actions = formed(8, *"abcdefghi")
        assert actions[:2] == [rounds.Expect(("h",)), rounds.Dial("h", 1)]
        machine.handle(arrived("h", Begin(1, 0, "d", False, total_bytes=1000), b"state"), 0.0)
        actions = machine.handle(rounds.StateLoaded(holding(0), adds=True), 0.0)
        expected = next(action for action in actions if isinstance(action, rounds.Expect))
        assert [rounds.Dial(peer, 1) for peer in expected.peers] == [a for a in actions if isinstance(a, rounds.Dial)]
        assert "h" not in expected.peers
        assert actions[-1] == rounds.Compute(1, 0, slices=4)


def test_before_a_total_is_known_the_state_tells_how_large_it_will_be() -> None:
    machine, _ = formed(0, *"abcdefghij")
    for peer in "bcdefghij":
        machine.handle(arrived(peer, Hello(1, peer, -1, "", False)), 0.0)
    actions = machine.handle(rounds.StateLoaded(holding(0), adds=True, state_bytes=10 * SLICE_BYTES_MIN), 0.0)
    assert actions[-1] == rounds.Compute(1, 0, slices=10)
    assert actions[0] == rounds.SendState("b", Begin(1, 0, "d", False, total_bytes=10 * SLICE_BYTES_MIN))


def test_a_hello_that_comes_before_its_generation_is_kept() -> None:
    machine = RoundMachine("a", checkpoint_interval_s=1.0, rounds_max=100)
    assert machine.handle(arrived("b", Hello(1, "b", 4, "d", False)), 0.0) == []
    actions = machine.handle(rounds.GenerationFormed(1, ("a", "b"), 0, ("", "")), 0.0)
    assert actions[1:] == [rounds.Send("b", Fetch(1, "b"))], "b holds more: its state is fetched"


def test_a_hello_of_an_older_generation_does_not_hide_the_newer() -> None:
    machine, _ = formed(0, "a", "b")
    machine.handle(arrived("b", Hello(2, "b", 4, "d", False)), 0.0)
    assert machine.handle(arrived("b", Hello(1, "b", 4, "d", False)), 0.0) == []
    assert machine.handle(rounds.GenerationFormed(2, ("a", "b"), 0, ("", "")), 0.0)[1:] == [rounds.Send("b", Fetch(2, "b"))]


def test_who_begins_without_a_state_is_given_it() -> None:
    machine, _ = formed(0, "a", "b", "c")
    machine.holding = holding(3)
    machine.handle(arrived("b", Hello(1, "b", 3, "d", False)), 0.0)
    actions = machine.handle(arrived("c", Hello(1, "c", 2, "e", False)), 0.0)
    begin = Begin(1, 3, "d", False, 0)
    assert actions == [rounds.Send("b", begin), rounds.SendState("c", begin), rounds.Compute(1, 3, 0)]


def test_only_the_one_above_is_reported_when_those_below_it_are_not_heard() -> None:
    with small_limits():
        machine, _ = formed(0, *"abcdefghi")
        below = [machine._members[rank] for rank in machine._topology.route().children]
        assert machine.unheard() == below


def test_a_part_that_comes_before_its_round_is_kept() -> None:
    machine, _ = formed(1, "a", "b", "c")
    machine.handle(arrived("c", Partial(1, 3, "d", [(0, 1)], [1]), b"x"), 0.0)
    machine.holding = holding(3)
    machine.handle(arrived("a", Begin(1, 3, "d", False, 0)), 0.0)
    machine.handle(rounds.PartComputed(1, 3, (Part(((0, 0),), (1,), b"x"),)), 0.0)
    (reduce,) = machine.handle(arrived("a", Partial(1, 3, "d", [(0, 2)], [1]), b"x"), 0.0)
    assert isinstance(reduce, rounds.Reduce) and reduce.is_total and len(reduce.parts) == 3


def began(machine: RoundMachine) -> None:
    machine.handle(arrived("b", Hello(1, "b", -1, "", False)), 0.0)
    machine.handle(rounds.StateLoaded(holding(0)), 0.0)


def test_the_root_gives_its_part_only_when_the_change_after_that_round_stands() -> None:
    machine, _ = formed(0, "a", "b")
    began(machine)
    wished, decided = Adjustment("q", 0, {"rate": 0.5}), Adjustment("q", 1, {"rate": 0.5})
    assert machine.handle(rounds.ChangesWished(1, (wished,)), 0.0) == [rounds.RecordChanges(1, 1, (decided,))]
    machine.handle(arrived("b", Partial(1, 0, "d", [(0, 0)], [1]), b"x"), 0.0)
    part = rounds.PartComputed(1, 0, (Part(((0, 1),), (1,), b"x"),))
    assert machine.handle(part, 0.0) == [], "b cannot have the total before it is recorded"
    sent, reduce = machine.handle(rounds.ChangesRecorded(1, 1, (decided,)), 0.0)
    assert isinstance(sent, rounds.Send) and isinstance(sent.message, Partial) and sent.message.changes == [decided]
    assert isinstance(reduce, rounds.Reduce)
    (update,) = machine.handle(rounds.PartsMerged(0, Part((), (1,), b"x")), 0.0)
    assert isinstance(update, rounds.Update) and update.changes == (decided,)


def test_a_recorded_change_is_made_by_whoever_computes_its_round_anew() -> None:
    recorded = Adjustment("q", 4, {"rate": 0.5})
    machine = RoundMachine("a", checkpoint_interval_s=1e9, rounds_max=100)
    machine.holding = holding(3)
    machine.handle(rounds.GenerationFormed(2, ("a",), 0, ("0",), (recorded,)), 0.0)
    (reduce,) = machine.handle(rounds.PartComputed(2, 3, (Part(((0, 0),), (1,), b"x"),)), 0.0)
    assert isinstance(reduce, rounds.Reduce)
    (update,) = machine.handle(rounds.PartsMerged(0, Part((), (1,), b"x")), 0.0)
    assert update.changes == (recorded,)


def test_a_member_that_is_not_the_root_records_nothing() -> None:
    machine, _ = formed(1, "a", "b")
    machine.holding = holding(0)
    machine.handle(arrived("a", Begin(1, 0, "d", False, 0)), 0.0)
    assert machine.handle(rounds.ChangesWished(1, (Adjustment("q", 0, {"rate": 0.5}),)), 0.0) == []


def test_a_member_that_computes_from_another_state_is_put_out() -> None:
    machine, _ = formed(0, "a", "b")
    began(machine)
    machine.handle(arrived("b", Partial(1, 0, "not the same", [(0, 0)], [1]), b"x"), 0.0)
    actions = machine.handle(rounds.PartComputed(1, 0, (Part(((0, 1),), (1,), b"x"),)), 0.0)
    assert actions[1:] == [rounds.Suspect("b", "it computes round 0 from another state")]
    assert machine.phase is Phase.IDLE


def test_of_three_that_compute_the_odd_one_reports_itself() -> None:
    machine, _ = formed(0, "a", "b", "c")
    machine.handle(arrived("b", Hello(1, "b", -1, "", False)), 0.0)
    machine.handle(arrived("c", Hello(1, "c", -1, "", False)), 0.0)
    machine.handle(rounds.StateLoaded(holding(0, "odd")), 0.0)
    for peer, node in (("b", (0, 1)), ("c", (0, 2))):
        machine.handle(arrived(peer, Partial(1, 0, "even", [node], [1]), b"x"), 0.0)
    actions = machine.handle(rounds.PartComputed(1, 0, (Part(((0, 0),), (1,), b"x"),)), 0.0)
    assert rounds.Suspect("a", "it computes round 0 from another state") in actions


def test_of_two_states_after_the_same_round_the_odd_one_is_put_out() -> None:
    machine, _ = formed(0, "a", "b", "c")
    machine.holding = holding(3, "odd")
    machine.handle(arrived("b", Hello(1, "b", 3, "even", False)), 0.0)
    actions = machine.handle(arrived("c", Hello(1, "c", 3, "even", False)), 0.0)
    assert actions == [rounds.Suspect("a", "it holds another state after round 3 than most")]


def test_messages_of_another_generation_are_ignored() -> None:
    machine, _ = formed(1, "a", "b", number=5)
    for message in (
        Begin(4, 0, "d", False, 0),
        Fetch(4, "b"),
        State(4, 0, "d", False),
        Partial(4, 0, "d", [], []),
        Total(4, 0),
    ):
        assert machine.handle(arrived("a", message, b"state"), 0.0) == []
    assert machine.phase is Phase.JOINING


def test_a_peer_that_moved_on_is_not_reported() -> None:
    machine, _ = formed(1, "a", "b", number=5)
    assert machine.handle(arrived("a", Moved(5)), 0.0) == []
    assert machine.handle(rounds.PeerLost("a", 5, "the connection with a broke"), 0.0) == []


@pytest.mark.parametrize(
    "message", [Partial(1, 0, "d", [], [], SLICES_MAX), Total(1, 0, -1), Partial(1, 0, "d", [], [], member="z")]
)
def test_a_slice_that_cannot_be_breaks_the_protocol(message: Partial | Total) -> None:
    machine, _ = formed(0, "a", "b")
    began(machine)
    with pytest.raises(PeerError, match="b sends slice"):
        machine.handle(arrived("b", message), 0.0)


def test_who_is_too_far_behind_the_others_reports_itself() -> None:
    machine, _ = formed(1, "a", "b")
    first = 7_000_000
    for round_ in range(first, first + AHEAD_ROUNDS_MAX + 1):
        assert machine.handle(arrived("a", Partial(1, round_, "d", [], [])), 0.0) == []
    (suspect,) = machine.handle(arrived("a", Partial(1, round_ + 1, "d", [], [])), 0.0)
    assert isinstance(suspect, rounds.Suspect) and suspect.peer == "b"


def test_a_late_members_part_is_computed_by_one_that_is_done() -> None:
    machine, _ = formed(0, "a", "b", "c")
    for peer in ("b", "c"):
        machine.handle(arrived(peer, Hello(1, peer, -1, "", False)), 0.0)
    machine.handle(rounds.StateLoaded(holding(0)), 0.0)
    machine.handle(arrived("b", Partial(1, 0, "d", [(0, 1)], [1], seconds={"b": 1.0}), b"x"), 1.0)
    machine.handle(rounds.PartComputed(1, 0, (Part(((0, 0),), (1,), b"x"),), 1.0), 1.0)
    assert machine.handle(rounds.Waited(), LATE_RATIO) == []
    race = Race(1, 0, "c", "b")
    late_s = 1.1 + LATE_RATIO + LATE_S_MIN
    assert machine.handle(rounds.Waited(), late_s) == [rounds.Send("b", race), rounds.Send("c", race)]
    assert machine.handle(rounds.Waited(), late_s + 1.0) == [], "once is enough"
    (reduce,) = machine.handle(arrived("b", Partial(1, 0, "d", [(1, 1)], [1], member="c"), b"x"), late_s)
    assert isinstance(reduce, rounds.Reduce) and len(reduce.parts) == 3


def test_who_is_alone_with_a_late_member_computes_its_part_itself() -> None:
    machine, _ = formed(0, "a", "b")
    began(machine)
    machine.handle(rounds.PartComputed(1, 0, (Part(((0, 0),), (1,), b"x"),), 1.0), 1.0)
    assert machine.handle(rounds.Waited(), 100.0) == [rounds.Send("b", Race(1, 0, "b", "a")), rounds.Help(1, 0, "b", 0)]
    helped = rounds.HelpComputed(1, 0, "b", (Part(((0, 1),), (1,), b"y"),))
    sent, reduce = machine.handle(helped, 101.0)
    assert isinstance(sent, rounds.Send) and isinstance(sent.message, Partial) and sent.message.member == "b"
    assert isinstance(reduce, rounds.Reduce)


@pytest.mark.parametrize("form", ["exchange", "star", "slices"])
def test_a_root_that_lives_but_hangs_is_reported_by_the_next_in_rank(form: str) -> None:
    machines = {}
    size = 1 if form == "exchange" else EXCHANGE_BYTES_MAX
    for rank, name in ((1, "b"), (2, "c")):
        machines[name], _ = formed(rank, "a", "b", "c")
        machines[name].handle(arrived("a", Begin(1, 4, "d", False, size), b"state"), 0.0)
        machines[name].handle(rounds.StateLoaded(holding(4), adds=form == "slices"), 0.0)
        parts = (Part(((0, rank),), (1,), b"x"),) * (3 if form == "slices" else 1)
        machines[name].handle(rounds.PartComputed(1, 4, parts, 2.0), 2.0)
    if form != "star":
        machines["b"].handle(arrived("c", Partial(1, 4, "d", [(0, 2)], [1], 0 if form == "exchange" else 1), b"x"), 2.0)
    late_s = HUNG_S_MIN + HUNG_RATIO * 2.0
    assert machines["b"].handle(rounds.Waited(), late_s) == []
    assert machines["b"].handle(rounds.Waited(root_rows=3.0), late_s + 1.0) == [], "it has more rows"
    assert machines["c"].handle(rounds.Waited(), 10 * late_s) == [], "one is enough"
    (suspect,) = machines["b"].handle(rounds.Waited(), late_s + 1.0)
    assert isinstance(suspect, rounds.Suspect) and suspect.peer == "a"
    assert suspect.reason == f"it has not given its part of round 5 within {late_s + 1.0:.0f} s"


def test_who_is_raced_is_told_of_as_slow_by_what_is_known_of_it() -> None:
    machine, _ = formed(0, "a", "b")
    began(machine)
    machine.handle(rounds.PartComputed(1, 0, (Part(((0, 0),), (1,), b"x"),), 1.0), 1.0)
    machine.handle(rounds.Waited(), 10.0)
    machine.handle(rounds.HelpComputed(1, 0, "b", (Part(((0, 1),), (1,), b"y"),)), 11.0)
    machine.handle(rounds.PartsMerged(0, Part(((1, 0),), (1,), b"x")), 11.0)
    told, *_ = machine.handle(rounds.StateUpdated(holding(1)), 12.0)
    assert isinstance(told, rounds.Tell) and told.seconds == {"a": 1.0, "b": 12.0} and told.phases["compute"] == 1.0


def test_who_missed_a_recorded_change_while_it_was_left_out_does_not_go_on_from_its_own_state() -> None:
    """Left out of generation 2, which went another way from round 4 on, it is taken into generation 3: furthest, but wrong."""
    change = Adjustment("q", 5, {"w": 1.0})
    for last, holds in ((5, -1), (4, 4)):
        machine = RoundMachine("x", checkpoint_interval_s=1e9, rounds_max=100)
        machine.handle(rounds.GenerationFormed(1, ("a", "x"), 1, ("", "")), 0.0)
        machine.handle(arrived("a", Begin(1, last, "d", False, 0), b"state"), 0.0)
        machine.handle(rounds.StateLoaded(holding(last)), 0.0)
        actions = machine.handle(rounds.GenerationFormed(3, ("a", "x"), 1, ("", ""), (change,)), 0.0)
        (hello,) = [action.message for action in actions if isinstance(action, rounds.Send)]
        assert isinstance(hello, Hello) and hello.round == holds


def test_a_change_that_was_made_is_not_missed_in_the_next_generation() -> None:
    change = Adjustment("q", 1, {"w": 1.0})
    machine, _ = formed(1, "a", "b")
    machine.handle(arrived("a", Begin(1, 0, "d", False, 0), b"state"), 0.0)
    machine.handle(rounds.StateLoaded(holding(0)), 0.0)
    machine.handle(rounds.PartComputed(1, 0, (Part(((0, 1),), (1,), b"x"),), 1.0), 0.0)
    machine.handle(arrived("a", Partial(1, 0, "d", [(0, 0)], [1], changes=[change]), b"x"), 0.0)
    (update,) = machine.handle(rounds.PartsMerged(0, Part(((1, 0),), (1,), b"x")), 0.0)
    assert isinstance(update, rounds.Update) and update.changes == (change,)
    machine.handle(rounds.StateUpdated(holding(1)), 0.0)
    machine.handle(rounds.GenerationFormed(2, ("a", "b"), 1, ("", ""), (change,)), 0.0)
    assert machine.holding == holding(1)


def test_a_state_that_is_not_the_one_that_was_told_of_is_not_gone_on_from() -> None:
    machine, _ = formed(0, "a", "b", "c")
    machine.handle(arrived("b", Hello(1, "b", 5, "good", False)), 0.0)
    machine.handle(arrived("c", Hello(1, "c", 4, "other", False)), 0.0)
    machine.handle(arrived("b", State(1, 5, "good", False), b"state"), 0.0)
    (suspect,) = machine.handle(rounds.StateLoaded(holding(5, "flipped")), 0.0)
    assert isinstance(suspect, rounds.Suspect) and suspect.peer == "b" and machine.holding == NOTHING
    member, _ = formed(1, "a", "b")
    member.handle(arrived("a", Begin(1, 5, "good", False, 0), b"state"), 0.0)
    (suspect,) = member.handle(rounds.StateLoaded(holding(5, "flipped")), 0.0)
    assert isinstance(suspect, rounds.Suspect) and suspect.peer == "a"


def test_a_round_tells_how_long_its_phases_took() -> None:
    machine, _ = formed(0, "a", "b")
    began(machine)
    machine.handle(rounds.PartComputed(1, 0, (Part(((0, 0),), (1,), b"x"),), 2.0), 2.5)
    message = Partial(1, 0, "d", [(0, 1)], [1], seconds={"b": 3.0})
    machine.handle(arrived("b", message, b"x"), 3.5)
    machine.handle(rounds.PartsMerged(0, Part(((1, 0),), (1,), b"x")), 3.75)
    told, *_ = machine.handle(rounds.StateUpdated(holding(1)), 4.0)
    phases = {"compute": 3.0, "wait": 1.0, "reduce": 0.25, "update": 0.25, "round": 4.0}
    assert told == rounds.Tell(1, 1, phases, {"a": 2.0, "b": 3.0})


def test_a_program_that_never_ends_is_given_up() -> None:
    machine = RoundMachine("a", checkpoint_interval_s=1.0, rounds_max=2)
    machine.handle(rounds.GenerationFormed(1, ("a",), 0, ("",)), 0.0)
    actions = machine.handle(rounds.StateLoaded(holding(2)), 0.0)
    assert actions == [rounds.GiveUp(1, "the program did not finish within 2 rounds")]


def test_nothing_is_held_at_first() -> None:
    assert RoundMachine("a", checkpoint_interval_s=1.0, rounds_max=2).holding == NOTHING


def test_who_is_above_a_late_member_in_a_tree_computes_its_part_for_it() -> None:
    with small_limits():
        names = "abcdefghi"
        machine, _ = formed(0, *names)
        for peer in names[1:]:
            machine.handle(arrived("b", Hello(1, peer, -1, "", False)), 0.0)
        machine.handle(rounds.StateLoaded(holding(0)), 0.0)
        own = Part(((0, 0),), (1,), b"x")
        assert machine.handle(rounds.PartComputed(1, 0, (own,), 1.0), 1.0) == []
        below = [peer for peer in names[1:] if peer in machine.neighbours]
        assert machine.handle(rounds.Waited(), 10.0) == [rounds.Help(1, 0, peer, 0) for peer in below]
        assert machine.handle(rounds.Waited(), 11.0) == [], "once is enough"
        helped = Part(((0, 3),), (1,), b"y")
        (sent,) = machine.handle(rounds.HelpComputed(1, 0, below[0], (helped,)), 12.0)
        assert isinstance(sent, rounds.Send) and sent.peer == below[0]

        late, _ = formed(1, *names)
        late.handle(arrived("c", Hello(1, "c", -1, "", False)), 0.0)
        late.handle(arrived("a", Begin(1, 0, "d", False, 0), b"state"), 0.0)
        late.handle(rounds.StateLoaded(holding(0)), 0.0)
        late.handle(arrived("c", Partial(1, 0, "d", [(0, 2)], [1]), b"x"), 0.0)
        message = Partial(1, 0, "another", [(0, 1)], [1], member="b")
        assert late.handle(arrived("a", message, b"y"), 0.0) == [], "not computed from our state"
        message = Partial(1, 0, "d", [(0, 1)], [1], member="b")
        (reduce,) = late.handle(arrived("a", message, b"y"), 0.0)
        assert isinstance(reduce, rounds.Reduce) and len(reduce.parts) == 2, "it goes on with what was computed for it"


def test_who_has_the_total_already_helps_nobody_from_the_state_after_it() -> None:
    machine, _ = formed(1, "a", "b", "c")
    machine.handle(arrived("a", Begin(1, 0, "d", False, 0), b"state"), 0.0)
    machine.handle(rounds.StateLoaded(holding(0)), 0.0)
    machine.handle(rounds.PartComputed(1, 0, (Part(((0, 1),), (1,), b"x"),), 1.0), 1.0)
    for rank, peer in ((0, "a"), (2, "c")):
        machine.handle(arrived(peer, Partial(1, 0, "d", [(0, rank)], [1]), b"x"), 1.0)
    machine.handle(rounds.PartsMerged(0, Part(((1, 0),), (1,), b"x")), 1.0)
    race = arrived("a", Race(1, 0, "c", "b"))
    assert machine.handle(race, 1.0) == []
    machine.handle(rounds.StateUpdated(Holding(1, "result", True)), 1.0)
    assert machine.handle(race, 1.0) == []
