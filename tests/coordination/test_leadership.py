"""The election: one leads, the next takes over with a higher fence, and what the former still sends is refused."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox.coordination import Candidacy, Check, Create, Refused, Session, layout
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
