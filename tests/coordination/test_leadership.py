"""The election: one leads, the next takes over with a higher fence, and what the former still sends is refused."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox.coordination import Candidacy, Check, Create, Refused, Session, layout, live_members, register
from muskox.coordination.leadership import predecessor

BOUND_S = 20.0
Connect = Callable[..., Session]


class Waking:
    """What a watch is given: counts, and can be waited for."""

    def __init__(self) -> None:
        self.fired = threading.Event()

    def __call__(self, _: object) -> None:
        self.fired.set()


def lead_after(candidacy: Candidacy, waking: Waking) -> int:
    """Look again whenever the watch fires, until this candidacy leads; return its fence."""
    while True:
        waking.fired.clear()
        fence = candidacy.look(waking)
        if fence is not None:
            return fence
        assert waking.fired.wait(BOUND_S), "nobody woke the next candidate"


@given(st.lists(st.integers(0, 10**10 - 1), unique=True, min_size=1), st.data())
def test_each_candidate_watches_the_one_before_it(sequence: list[int], data: st.DataObject) -> None:
    names = [f"{'ab'[number % 2]}-{number:010}" for number in sequence]
    mine = data.draw(st.sampled_from(names))
    lower = [name for name in names if name[-10:] < mine[-10:]]
    assert predecessor(names, mine) == max(lower, key=lambda name: name[-10:], default=None)


def test_the_first_leads_and_keeps_its_fence(session: Session) -> None:
    candidacy = Candidacy(session, "ann", "i-ann")
    fence = candidacy.look(Waking())
    assert fence is not None and fence == session.version(layout.FENCE)
    assert [candidacy.look(Waking()) for _ in range(3)] == [fence] * 3
    assert len(session.children(layout.CANDIDATES)) == 1


def test_the_second_takes_over_with_a_higher_fence_and_the_old_one_is_refused(connect: Connect) -> None:
    ann, bob, watcher = connect(), connect(), connect()
    first, second, waking = Candidacy(ann, "ann", "i-ann"), Candidacy(bob, "bob", "i-bob"), Waking()
    old = first.look(Waking())
    assert old is not None
    assert second.look(waking) is None and second.fence is None
    assert not waking.fired.is_set()
    ann.close()
    new = lead_after(second, waking)
    assert new > old
    watcher.commit([Check(layout.FENCE, new), Create(layout.dataset("a"))], lambda: False)
    with pytest.raises(Refused):
        watcher.commit([Check(layout.FENCE, old), Create(layout.dataset("b"))], lambda: False)
    found = watcher.find(layout.FENCE, layout.FenceRecord)
    assert found is not None and (found[0].coordinator, found[0].incarnation) == ("bob", "i-bob")


def test_a_death_in_the_middle_wakes_only_the_next(connect: Connect) -> None:
    sessions = [connect() for _ in range(4)]
    candidacies = [Candidacy(session, name, f"i-{name}") for session, name in zip(sessions, "abcd", strict=True)]
    wakings = [Waking() for _ in sessions]
    fences = [candidacy.look(waking) for candidacy, waking in zip(candidacies, wakings, strict=True)]
    assert [fence is not None for fence in fences] == [True, False, False, False]
    sessions[1].close()
    assert wakings[2].fired.wait(BOUND_S)
    assert candidacies[2].look(wakings[2]) is None
    sessions[0].close()
    assert lead_after(candidacies[2], wakings[2]) > fences[0]  # type: ignore[operator]
    assert not wakings[3].fired.is_set()


def test_what_an_older_session_of_ours_left_is_removed(connect: Connect) -> None:
    before, now = connect(), connect()
    assert Candidacy(before, "ann", "i-ann").look(Waking()) is not None
    candidacy = Candidacy(now, "ann", "i-ann")
    fence = candidacy.look(Waking())
    assert fence is not None
    (left,) = now.children(layout.CANDIDATES)
    assert now.owner(f"{layout.CANDIDATES}/{left}") == now.id


def test_a_candidate_whose_znode_was_removed_stands_again_and_takes_a_new_fence(connect: Connect) -> None:
    session, other = connect(), connect()
    candidacy, waking = Candidacy(session, "ann", "i-ann"), Waking()
    old = candidacy.look(waking)
    (mine,) = other.children(layout.CANDIDATES)
    other.delete(f"{layout.CANDIDATES}/{mine}")
    assert waking.fired.wait(BOUND_S)
    new = candidacy.look(waking)
    assert old is not None and new is not None and new > old


def member(node: str, incarnation: str) -> layout.MemberRecord:
    return layout.MemberRecord(
        name=node, folder_id=node, incarnation=incarnation, address="h:1", pid=1, cores=1, fingerprint="x"
    )


def test_everybody_knows_the_one_before_it_and_the_first_the_last(connect: Connect) -> None:
    candidacies = [Candidacy(connect(), name, f"i-{name}", f"{name}:1") for name in "abc"]
    for candidacy in [*candidacies, *candidacies]:
        candidacy.look(Waking())
    before = [candidacy.before for candidacy in candidacies]
    assert [(one.node, one.address) for one in before if one] == [("c", "c:1"), ("a", "a:1"), ("b", "b:1")]
    assert [candidacy.is_next for candidacy in candidacies] == [False, True, False]


def test_who_is_alone_has_nobody_before_it(session: Session) -> None:
    candidacy = Candidacy(session, "ann", "i-ann")
    candidacy.look(Waking())
    assert candidacy.before is None


def test_a_dead_leader_is_followed_before_its_session_ends(connect: Connect) -> None:
    dead, alive = connect(30.0), connect()
    first, second, waking = Candidacy(dead, "ann", "i-ann"), Candidacy(alive, "bob", "i-bob"), Waking()
    register(dead, member("ann", "i-ann"))
    old = first.look(Waking())
    assert old is not None and second.look(waking) is None and second.before is not None
    assert second.bury(second.before)
    assert lead_after(second, waking) > old
    assert live_members(alive) == {}


def test_who_was_alive_after_all_stands_again_and_is_not_buried_twice(connect: Connect) -> None:
    living, other = connect(), connect()
    first, second, waking = Candidacy(living, "ann", "i-ann"), Candidacy(other, "bob", "i-bob"), Waking()
    first.look(waking)
    second.look(Waking())
    assert second.before is not None and second.bury(second.before)
    assert waking.fired.wait(BOUND_S)
    assert second.look(Waking()) is not None
    assert first.look(Waking()) is None, "at the end of the line"
    second.look(Waking())
    assert second.before is not None and second.before.incarnation == "i-ann" and not second.bury(second.before)


def test_a_node_that_has_come_back_keeps_its_place_when_its_former_process_is_buried(connect: Connect) -> None:
    before, now, other = connect(), connect(), connect()
    candidacy, second = Candidacy(before, "ann", "i-1"), Candidacy(other, "bob", "i-bob")
    candidacy.look(Waking())
    second.look(Waking())
    register(now, member("ann", "i-2"))
    assert second.before is not None and second.bury(second.before)
    assert live_members(other) == {"ann": member("ann", "i-2")}
