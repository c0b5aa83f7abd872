"""Which results become durable when: nothing twice, nothing forgotten, few pieces."""

import random

from muskox.runtime.tasks import saving
from muskox.runtime.tasks.events import Saved
from muskox.runtime.tasks.saving import Saving


def test_nothing_is_written_before_the_interval_has_passed_nor_while_a_piece_is_on_its_way() -> None:
    sizes: dict[int, int] = {}
    book = Saving(sizes, [], 100.0)
    assert book.due_s(10.0) is None
    sizes[4] = 1
    book.add(4)
    assert book.due_s(10.0) == 110.0
    piece = book.begin(110.0)
    assert (piece.saved, piece.absorbs) == (Saved(1, (4,), 1), ())
    sizes[5] = 1
    book.add(5)
    assert book.due_s(10.0) is None
    book.end(1, is_kept=True)
    assert book.due_s(10.0) == 120.0


def test_a_piece_that_was_not_written_is_tried_again_with_what_came_since() -> None:
    sizes = {1: 5, 2: 5}
    book = Saving(sizes, [], 0.0)
    book.look(())
    assert book.begin(1.0).saved.tasks == (1, 2)
    sizes[3] = 5
    book.add(3)
    book.end(1, is_kept=False)
    assert book.begin(2.0).saved == Saved(2, (1, 2, 3), 15)
    book.end(1, is_kept=True)  # not the one that is on its way
    assert book.due_s(0.0) is None


def test_what_is_left_at_the_end_is_one_piece_whatever_is_on_its_way() -> None:
    size = saving.PIECE_BYTES_MAX
    book = Saving({1: size, 2: size, 3: size}, [], 0.0)
    book.look(())
    assert book.begin(1.0).saved.tasks == (1,)
    assert book.is_new
    assert book.begin(1.0, saving.LAST_BYTES_MAX).saved == Saved(2, (2, 3), 2 * size)
    assert not book.is_new


def test_a_new_root_writes_what_it_holds_beside_the_pieces_it_found() -> None:
    book = Saving({1: 5, 2: 5, 3: 90}, [Saved(7, (1, 3), 95)], 0.0)
    book.look(())
    piece = book.begin(1.0)
    assert (piece.saved, piece.absorbs) == (Saved(8, (2,), 5), ()), "a large piece stays as it is"


def test_a_result_that_was_replaced_is_written_again() -> None:
    book = Saving({1: 5}, [Saved(1, (1,), 5)], 0.0)
    book.look(())
    assert book.due_s(0.0) is None
    book.add(1)
    assert book.begin(1.0).absorbs == (1,)


def test_a_piece_has_its_bound_and_a_larger_result_a_piece_of_its_own() -> None:
    half = saving.PIECE_BYTES_MAX // 2
    sizes = {0: 3 * half, 1: half, 2: half, 3: 1}
    book = Saving(sizes, [], 0.0)
    book.look(())
    found = []
    for now in range(1, 4):
        piece = book.begin(float(now))
        found.append((piece.saved.tasks, piece.absorbs))
        book.end(piece.saved.number, is_kept=True)
    assert found == [((0,), ()), ((1, 2), ()), ((3,), ())]


def test_what_one_piece_could_not_take_does_not_wait_for_the_interval_unless_it_cannot_be_written() -> None:
    size = saving.PIECE_BYTES_MAX
    book = Saving({0: size, 1: size, 2: size}, [], 0.0)
    book.look(())
    assert book.due_s(10.0) == 10.0
    book.end(book.begin(10.0).saved.number, is_kept=True)
    assert book.due_s(10.0) == 10.0
    book.end(book.begin(11.0).saved.number, is_kept=False)
    assert book.due_s(10.0) == 21.0, "the disk may be full"
    for now in (21.0, 22.0):
        book.end(book.begin(now).saved.number, is_kept=True)
    assert book.due_s(10.0) is None
    book.add(0)
    assert book.due_s(10.0) == 32.0


def test_pieces_stay_few_and_what_is_written_grows_by_a_logarithm() -> None:
    draw = random.Random(0)
    sizes: dict[int, int] = {}
    book, written, pieces = Saving(sizes, [], 0.0), 0, set()
    for task in range(2000):
        sizes[task] = draw.randrange(1, 100)
        book.add(task)
        piece = book.begin(float(task))
        is_kept = draw.random() < 0.9
        book.end(piece.saved.number, is_kept=is_kept)
        written += piece.saved.size_bytes
        if is_kept:
            pieces = pieces - set(piece.absorbs) | {piece.saved.number}
    assert len(pieces) <= 20
    assert written <= 14 * sum(sizes.values())
