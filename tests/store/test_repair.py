"""The repair machine, step by step: who is repaired when, what is recorded, what is dropped, and what bounds it."""

from dataclasses import replace

from muskox.store.placement.repair import (
    Action,
    Copied,
    Copy,
    Drop,
    Node,
    NotCopied,
    NotRecorded,
    Record,
    Recorded,
    Repairer,
    RepairOptions,
    Seen,
    Unit,
)

OPTIONS = RepairOptions(away_s_max=30, patience_s=100, refusal_s=50, copies_max_per_node=2, copies_max=10, bytes_free_min=1000)
EVERYBODY = {name: Node(1.0, 1_000_000) for name in "abcde"}


def unit(key: str = "u", holders: str = "ab", replicas: int = 2, blobs: int = 1) -> Unit:
    return Unit(key, tuple((f"{key}#{i}", 100) for i in range(blobs)), replicas, tuple(holders), revision=1)


def seen(units: list[Unit], without: str = "", **nodes: Node) -> Seen:
    return Seen({name: node for name, node in {**EVERYBODY, **nodes}.items() if name not in without}, units)


def copies(actions: list[Action]) -> list[Copy]:
    return [action for action in actions if isinstance(action, Copy)]


def records(actions: list[Action]) -> list[Record]:
    return [action for action in actions if isinstance(action, Record)]


def drops(actions: list[Action]) -> list[Drop]:
    return [action for action in actions if isinstance(action, Drop)]


def machine_after_loss(units: list[Unit], without: str = "b") -> tuple[Repairer, list[Action]]:
    """Return a machine that has just found that `without` have been away for too long, and what it ordered."""
    machine = Repairer(OPTIONS)
    assert machine.handle(seen(units, without), 1) == []
    return machine, machine.handle(seen(units, without), 31)


def test_a_dead_nodes_replica_is_copied_recorded_and_dropped_when_the_node_returns() -> None:
    there = unit()
    machine, (copy,) = machine_after_loss([there])
    assert isinstance(copy, Copy) and copy.sources == ("a",) and copy.target in "cde" and copy.digest == "u#0"
    (record,) = machine.handle(Copied("u#0", copy.target, copy.number), 32)
    assert isinstance(record, Record)
    assert record.before == ("a", "b") and set(record.holders) == {"a", copy.target} and "b is gone" in record.reason
    assert machine.handle(Recorded("u", record.holders, 2), 33) == []
    now = replace(there, holders=record.holders, revision=2)
    assert machine.handle(seen([now], "b"), 34) == []
    assert machine.handle(seen([now]), 35) == [Drop("u", "b", ("u#0",))]
    assert machine.handle(seen([now]), 36) == []
    assert not machine.is_waiting


def test_a_restart_repairs_nothing() -> None:
    machine = Repairer(OPTIONS)
    for at_s, without in ((0, ""), (1, "b"), (30, "b"), (31, ""), (40, "b"), (69, "b")):
        assert machine.handle(seen([unit()], without), at_s) == []
        assert machine.summary().below == (1 if without else 0)
        assert machine.is_waiting == bool(without)


def test_a_missing_blob_is_copied_back_at_once_to_where_it_was() -> None:
    machine = Repairer(OPTIONS)
    bare = Node(1.0, 1_000_000, missing=frozenset(["u#1"]))
    (copy,) = machine.handle(seen([unit(blobs=2)], b=bare), 0)
    assert (copy.digest, copy.sources, copy.target) == ("u#1", ("a",), "b")  # type: ignore[union-attr]
    assert machine.handle(Copied("u#1", "b", 1), 1) == []
    assert machine.handle(seen([unit(blobs=2)]), 2) == []


def test_a_holder_without_room_for_what_it_lost_is_replaced() -> None:
    machine = Repairer(OPTIONS)
    (copy,) = copies(machine.handle(seen([unit()], b=Node(1.0, 1050, missing=frozenset(["u#0"]))), 0))
    assert copy.target in "cde"


def test_the_most_endangered_unit_comes_first() -> None:
    units = [unit("z", "abc", 3), unit("t", "bdc", 3), unit("m", "ab", 2)]
    machine = Repairer(replace(OPTIONS, copies_max=1))
    assert machine.handle(seen(units, "bd"), 1) == []
    order = []
    actions = machine.handle(seen(units, "bd"), 31)
    while copies(actions):
        (copy,) = copies(actions)
        order.append(copy.digest[0])
        actions = machine.handle(Copied(copy.digest, copy.target, copy.number), 32)
    assert order == ["m", "t", "t", "z"]


def test_no_node_sends_or_takes_more_copies_than_its_limit() -> None:
    units = [unit(f"u{i}", "ab") for i in range(9)]
    machine, actions = machine_after_loss(units)
    assert len(copies(actions)) == 2  # a is the only source
    first, _ = copies(actions)
    (after,) = copies(machine.handle(Copied(first.digest, first.target, first.number), 32))
    assert after.sources == ("a",)
    assert machine.summary().under_way == 2


def test_a_draining_node_gives_all_it_has_and_is_dropped_from_at_last() -> None:
    machine = Repairer(OPTIONS)
    draining = Node(1.0, 1_000_000, is_draining=True)
    (copy,) = copies(machine.handle(seen([unit()], b=draining), 0))
    assert set(copy.sources) == {"a", "b"} and copy.target in "cde"
    (record,) = records(machine.handle(Copied(copy.digest, copy.target, copy.number), 1))
    assert "b drains" in record.reason
    machine.handle(Recorded("u", record.holders, 2), 2)
    now = replace(unit(), holders=record.holders, revision=2)
    assert machine.handle(seen([now], b=draining), 3) == [Drop("u", "b", ("u#0",))]


def test_with_too_few_nodes_what_can_be_kept_is_kept_and_nothing_is_ordered() -> None:
    machine, actions = machine_after_loss([unit("u", "abc", 3)], "cde")
    assert actions == []
    assert machine.handle(seen([unit("u", "abc", 3)], "cde"), 1000) == []
    assert machine.summary().below == 1
    assert machine.handle(seen([unit("u", "abc", 3)], "de"), 1001) == []
    assert machine.summary().below == 0


def test_a_holder_that_comes_back_ends_its_repair_and_the_surplus_copy_is_dropped() -> None:
    machine, actions = machine_after_loss([unit(blobs=3)])
    first, second = copies(actions)
    machine.handle(Copied(first.digest, first.target, first.number), 32)
    assert copies(machine.handle(seen([unit(blobs=3)]), 33)) == []
    left = [first.digest, second.digest]
    dropped = drops(machine.handle(Copied(second.digest, second.target, second.number), 34))
    dropped += drops(machine.handle(seen([unit(blobs=3)]), 35))
    gone = [digest for drop in dropped for digest in drop.digests]
    assert set(left) <= set(gone) and {drop.node for drop in dropped} == {first.target}
    assert machine.handle(seen([unit(blobs=3)]), 36) == [] and machine.summary().copies == 1


def test_nothing_is_dropped_while_a_recorded_holder_is_not_whole() -> None:
    machine, (copy,) = machine_after_loss([unit()])
    assert isinstance(copy, Copy)
    (record,) = machine.handle(Copied(copy.digest, copy.target, copy.number), 32)
    assert isinstance(record, Record)
    machine.handle(Recorded("u", record.holders, 2), 33)
    now = replace(unit(), holders=record.holders, revision=2)
    assert drops(machine.handle(seen([now], copy.target), 34)) == []  # b is back, and the new holder is away
    assert drops(machine.handle(seen([now]), 35)) == [Drop("u", "b", ("u#0",))]


def test_an_old_picture_of_a_unit_is_passed_over() -> None:
    machine, (copy,) = machine_after_loss([unit()])
    assert isinstance(copy, Copy)
    (record,) = machine.handle(Copied(copy.digest, copy.target, copy.number), 32)
    assert isinstance(record, Record)
    machine.handle(Recorded("u", record.holders, 2), 33)
    assert machine.handle(seen([unit()]), 34) == []  # it shows a and b as holders still, and confirms nothing
    now = replace(unit(), holders=record.holders, revision=2)
    assert machine.handle(seen([now]), 35) == [Drop("u", "b", ("u#0",))]


def test_a_shared_blob_stays_where_another_unit_needs_it() -> None:
    other = replace(unit("v", "bc"), blobs=unit("u").blobs)
    machine = Repairer(OPTIONS)
    machine.handle(seen([unit("u", "ab", blobs=2), other], "e"), 0)
    now = replace(unit("u", "cd", blobs=2), revision=2)
    dropped = {drop.node: drop.digests for drop in drops(machine.handle(seen([now, other], "e"), 1))}
    assert dropped["b"] == ("u#1",)
    assert "u#1" in dropped["a"]


def test_a_node_that_refuses_is_passed_over_for_a_while() -> None:
    machine, (copy,) = machine_after_loss([unit()])
    assert isinstance(copy, Copy)
    assert machine.handle(NotCopied(copy.digest, copy.target, "its disk is full", copy.number), 32) == []
    (other,) = copies(machine.handle(seen([unit()], "b"), 33))
    assert other.target not in ("a", "b", copy.target)


def test_an_order_without_an_answer_fails_in_time_and_a_late_answer_to_it_ends_no_other() -> None:
    machine, (copy,) = machine_after_loss([unit()])
    assert isinstance(copy, Copy)
    assert machine.handle(seen([unit()], "b"), 130) == []
    (other,) = copies(machine.handle(seen([unit()], "b"), 131))
    assert other.target != copy.target
    assert machine.handle(NotCopied(copy.digest, copy.target, "late", copy.number), 132) == []
    assert machine.summary().under_way == 1
    assert machine.handle(Copied(other.digest, other.target, copy.number), 133) == []
    assert records(machine.handle(Copied(other.digest, other.target, other.number), 134))


def test_a_unit_that_everybody_refuses_rests() -> None:
    """At most one more than TARGETS_REFUSED_MAX nodes are asked before its sources are suspected."""
    nodes = {f"n{i}": Node(1.0, 1_000_000) for i in range(30)}
    machine, asked = Repairer(OPTIONS), 0
    for at_s in range(0, 49):
        actions = machine.handle(Seen({**EVERYBODY, **nodes, "b": Node(1.0, 1_000_000, is_draining=True)}, [unit()]), at_s)
        for copy in copies(actions):
            asked += 1
            machine.handle(NotCopied(copy.digest, copy.target, "its source has other bytes", copy.number), at_s)
    assert asked == 5


def test_blobs_of_a_unit_are_brought_together_from_different_holders() -> None:
    machine = Repairer(OPTIONS)
    lame = {"a": Node(1.0, 1_000_000, missing=frozenset(["u#0"])), "b": Node(1.0, 1_000_000, missing=frozenset(["u#1"]))}
    orders = {(copy.digest, copy.sources, copy.target) for copy in copies(machine.handle(seen([unit(blobs=2)], **lame), 0))}
    assert orders == {("u#0", ("b",), "a"), ("u#1", ("a",), "b")}
    assert machine.summary().endangered == 1 and machine.summary().lost == ()


def test_what_is_on_no_live_node_is_named_and_waits() -> None:
    machine, actions = machine_after_loss([unit()], "ab")
    assert actions == [] and machine.summary().lost == ("u",)
    (copy,) = machine.handle(seen([unit()], "b"), 40)
    assert isinstance(copy, Copy) and copy.sources == ("a",)
    assert machine.summary().lost == ()


def test_a_record_that_failed_is_tried_again_after_the_copies_are_found_again() -> None:
    machine, (copy,) = machine_after_loss([unit()])
    assert isinstance(copy, Copy)
    assert records(machine.handle(Copied(copy.digest, copy.target, copy.number), 32))
    assert machine.handle(NotRecorded("u", "the new holder lost it"), 33) == []
    (again,) = machine.handle(seen([unit()], "b"), 34)
    assert isinstance(again, Copy) and again.target == copy.target
    assert records(machine.handle(Copied(again.digest, again.target, again.number), 35))


def test_nothing_is_dropped_from_nodes_of_a_record_of_which_nobody_knows_whether_it_failed() -> None:
    """It was committed, and then a picture comes that was taken before, in which the old holder is back."""
    machine, (copy,) = machine_after_loss([unit()])
    assert isinstance(copy, Copy)
    (record,) = records(machine.handle(Copied(copy.digest, copy.target, copy.number), 32))
    machine.handle(NotRecorded("u", "the reply was lost"), 33)
    assert machine.handle(seen([unit()]), 34) == []
    now = replace(unit(), holders=record.holders, revision=2)
    assert machine.handle(seen([now]), 35) == [Drop("u", "b", ("u#0",))]


def test_a_new_node_takes_its_share_only_when_all_is_repaired() -> None:
    units = [replace(unit(f"u{i}"), family="f", index=i) for i in range(12)]
    nodes = {name: EVERYBODY[name] for name in "ab"}
    machine = Repairer(OPTIONS)
    assert machine.handle(Seen(nodes, units), 0) == []
    nodes["c"] = EVERYBODY["c"]
    lame = {**nodes, "a": Node(1.0, 1_000_000, missing=frozenset(["u0#0"]))}
    (copy,) = machine.handle(Seen(lame, units), 1)
    assert copy == Copy("u0#0", 100, ("b",), "a", 1)
    machine.handle(Copied("u0#0", "a", 1), 2)
    assert {copy.target for copy in copies(machine.handle(Seen(nodes, units), 3))} == {"c"}
    assert machine.summary().moving == 24 // 3


def test_what_is_lost_for_good_does_not_hold_up_the_rest() -> None:
    units = [replace(unit(f"u{i}", "ab"[i % 2], 1), family="f", index=i) for i in range(12)]
    nodes = {**{name: EVERYBODY[name] for name in "bc"}, "a": Node(1.0, 1_000_000, missing=frozenset(["u0#0"]))}
    machine = Repairer(OPTIONS)
    assert {copy.target for copy in copies(machine.handle(Seen(nodes, units), 1))} == {"c"}
    assert machine.summary().lost == ("u0",)


def test_two_replicas_in_one_rack_are_parted() -> None:
    racks = {name: Node(1.0, 1_000_000, "x" if name in "ab" else "y") for name in "abc"}
    machine = Repairer(OPTIONS)
    (copy,) = machine.handle(Seen(racks, [unit()]), 0)
    assert isinstance(copy, Copy) and copy.target == "c"


def test_a_copy_on_a_node_that_went_away_is_ordered_again_when_it_is_back() -> None:
    """It may have come back with another disk."""
    machine = Repairer(OPTIONS)
    there = unit(blobs=2)
    assert machine.handle(seen([there], "bde"), 0) == []
    first, second = copies(machine.handle(seen([there], "bde"), 31))
    machine.handle(Copied(first.digest, "c", first.number), 32)
    assert machine.handle(seen([there], "bcde"), 33) == []
    again = copies(machine.handle(seen([there], "bde"), 34))
    assert {copy.digest for copy in again} == {first.digest, second.digest}


def test_of_too_many_holders_those_that_are_live_and_whole_stay() -> None:
    for away in "abc":
        machine = Repairer(OPTIONS)
        (record,) = records(machine.handle(seen([unit("u", "abc", 2)], away), 0))
        assert away not in record.holders
