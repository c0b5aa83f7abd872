"""Whose word a result rests on: nobody's twice, two of an audited task, more than have found any other."""

from muskox.runtime.tasks.disputes import Disputes, Held, Verdict
from muskox.runtime.tasks.events import Found


def disputes(*found: tuple[str, str], audited: bool = False, odd: tuple[str, ...] = ()) -> tuple[Disputes, Held]:
    """A book in which this digest of task 0 was found by each of these letters."""
    held = Held()
    for digest, finders in found:
        held.put(0, Found(digest, 1, tuple(finders)))
    book = Disputes(held, frozenset({0} if audited else {}), set(odd))
    book.begin()
    return book, held


def test_one_word_is_enough_for_a_task_that_is_not_audited_until_somebody_objects() -> None:
    book, _ = disputes(("x", "a"))
    assert book.is_settled
    assert book.hear(0, "x", ["b"]) is None
    assert book.hear(0, "y", ["c"]) is None
    assert not book.is_settled
    assert book.hear(0, "y", ["d"]) == Verdict("y", ("c", "d"), ("a",))
    assert book.is_settled


def test_an_audited_task_takes_the_words_of_two() -> None:
    book, _ = disputes(("x", "a"), audited=True)
    assert list(book.wanting("b")) == [0]
    assert list(book.wanting("a")) == []
    assert book.hear(0, "x", ["b"]) == Verdict("x", ("a", "b"), ())
    assert disputes(("x", "ab"), audited=True)[0].is_settled


def test_nobody_speaks_twice() -> None:
    book, _ = disputes(("x", "a"), audited=True)
    assert book.hear(0, "x", ["a"]) is None
    assert book.hear(0, "y", ["b"]) is None
    assert book.hear(0, "x", ["a"]) is None
    assert book.hear(0, "x", ["b"]) is None
    assert book.hear(0, "x", ["c"]) == Verdict("x", ("a", "c"), ("b",))


def test_two_against_two_takes_a_fifth() -> None:
    book, _ = disputes(("x", "ab"))
    assert book.hear(0, "y", ["c", "d"]) is None
    assert book.hear(0, "z", ["e"]) is None
    assert book.hear(0, "y", ["f"]) == Verdict("y", ("c", "d", "f"), ("a", "b", "e"))


def test_one_against_two_is_odd_at_once() -> None:
    book, _ = disputes(("x", "ab"))
    assert book.hear(0, "y", ["c"]) == Verdict("x", ("a", "b"), ("c",))


def test_what_rests_on_a_word_that_counts_no_more_is_wanted_from_everybody_else() -> None:
    book, held = disputes(("x", "ab"), audited=True)
    book.distrust("a")
    assert held.finders[0] == ("b",)
    assert (list(book.wanting("b")), list(book.wanting("c"))) == ([], [0])
    book, held = disputes(("x", "a"))
    book.distrust("a")
    assert (held.finders[0], list(book.wanting("c"))) == ((), [0])


def test_everybody_is_heard_before_a_dispute_is_given_up_and_nobody_is_waited_for_once_it_is_closed() -> None:
    book, _ = disputes(("x", "a"))
    book.hear(0, "y", ["b"])
    assert book.find_undecidable() is None
    book.close(["a", "b", "c"])
    assert book.find_undecidable() is None
    book.hear(0, "z", ["c"])
    assert book.find_undecidable() == (0, 3)
    book.begin()
    assert book.find_undecidable() is None, "others may come with the new generation"


def test_an_audit_without_anybody_to_do_it_is_none_until_somebody_comes() -> None:
    book, _ = disputes(("x", "a"), audited=True)
    book.close(["a"])
    assert book.is_settled
    book.begin()
    assert not book.is_settled


def test_what_is_durable_takes_the_place_of_what_we_hold_unless_more_have_found_that() -> None:
    book, held = disputes(("x", "a"))
    book.restore(0, Found("y", 5, ("b", "c")))
    assert (held.found(0), book.is_settled) == (Found("y", 5, ("b", "c")), True)
    book, held = disputes(("x", "ab"))
    book.restore(0, Found("y", 5, ("c",)))
    assert (held.found(0), book.is_settled) == (Found("x", 1, ("a", "b")), True)
    book, held = disputes(("x", "a"))
    book.restore(0, Found("y", 5, ("b",)))
    assert (held.found(0), book.is_settled) == (Found("y", 5, ("b",)), False)
    assert book.hear(0, "x", ["c"]) == Verdict("x", ("a", "c"), ("b",))
    book, held = disputes(("x", "a"), audited=True, odd=("b",))
    book.restore(0, Found("y", 5, ("b",)))
    book.close(["a"])
    assert (held.found(0), book.is_settled) == (Found("x", 1, ("a",)), True)


def test_the_words_of_two_who_found_the_same_are_counted_together_when_it_is_restored() -> None:
    book, held = disputes(("x", "a"), audited=True)
    book.restore(0, Found("x", 1, ("b",)))
    book.begin()
    assert (held.finders[0], book.is_settled) == (("b", "a"), False)
    assert book.hear(0, "x", ["a"]) is None
