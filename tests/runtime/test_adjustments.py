"""Which changes are to be recorded, and which are due: each once, in the order of the record, whoever tells of it."""

from muskox.runtime.adjustments import Adjustments
from muskox.runtime.messages import Adjustment


def change(request: str, round_: int = 0) -> Adjustment:
    return Adjustment(request, round_, {"rate": 0.5})


def test_wishes_are_taken_once_and_one_batch_at_a_time() -> None:
    known = Adjustments()
    known.wish([change("a"), change("b")])
    assert known.take(4) == (change("a", 4), change("b", 4)) and known.is_recording
    known.wish([change("a"), change("b"), change("c")])
    assert known.take(4) == (), "a batch is on its way"
    known.stand([change("a", 4), change("b", 4)])
    assert known.take(5) == (change("c", 5),)


def test_a_change_that_did_not_stand_may_be_wished_for_again() -> None:
    known = Adjustments()
    known.wish([change("a")])
    known.take(4)
    known.stand([])
    assert not known.is_recording and known.due(4, []) == ()
    known.wish([change("a")])
    assert known.take(5) == (change("a", 5),)


def test_what_is_recorded_already_is_not_recorded_again() -> None:
    known = Adjustments([change("a", 3)])
    known.wish([change("a")])
    assert known.take(4) == ()


def test_a_change_is_due_at_its_round_and_once_although_it_is_told_twice() -> None:
    known = Adjustments([change("a", 3), change("b", 4), change("c", 4)])
    assert known.due(3, []) == (change("a", 3),)
    assert known.due(4, [change("c", 4), change("d", 4)]) == (change("b", 4), change("c", 4), change("d", 4))
    assert known.due(5, []) == ()
