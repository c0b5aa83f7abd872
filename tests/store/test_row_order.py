"""The order of a stream of rows: every row once, the same every time, from any row on as if it had never been left."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from muskox.store.readers.row_order import RowOrder, share

SHARDS = st.lists(st.integers(0, 40), min_size=1, max_size=6).map(lambda rows: tuple(enumerate(rows)))


def play(order: RowOrder, done: int) -> list[tuple[int, int]]:
    """Return the (shard, row) that come after `done`, as a reader of windows gets them."""
    found = []
    for start in order.after(done):
        rows, skip = dict(order.shards)[start.shard], start.skip
        for first in range(start.first_row, rows, order.window_rows):
            count = min(order.window_rows, rows - first)
            window = order.shuffled(start.shard, first // order.window_rows, count)
            found += [(start.shard, first + int(position)) for position in window[skip:]]
            skip = 0
    return found


@given(shards=SHARDS, seed=st.none() | st.integers(0, 5), window=st.integers(1, 50), data=st.data())
def test_every_row_comes_once_and_any_row_can_be_gone_on_from(
    shards: tuple[tuple[int, int], ...], seed: int | None, window: int, data: st.DataObject
) -> None:
    order = RowOrder(shards, seed, 0, window)
    whole = play(order, 0)
    assert Counter(whole) == Counter((shard, row) for shard, rows in shards for row in range(rows))
    assert len(whole) == order.rows
    done = data.draw(st.integers(0, order.rows))
    if seed is None:
        assert whole == sorted(whole)
        (first, *_) = [*order.after(done), None]
        assert first is None or [(first.shard, first.first_row)] == whole[done : done + 1]
    else:
        assert play(order, done) == whole[done:]


@given(count=st.integers(0, 50), readers=st.integers(1, 9), seed=st.none() | st.integers(0, 3))
def test_readers_share_the_shards_out(count: int, readers: int, seed: int | None) -> None:
    parts = [share(range(count), seed, 1, reader, readers) for reader in range(readers)]
    assert sorted(shard for part in parts for shard in part) == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_seed_an_epoch_a_shard_and_a_window_each_shuffle_anew() -> None:
    order = RowOrder(((0, 100), (1, 100)), 7, 0, 50)
    shuffles = [
        order.shuffled(0, 0, 50),
        order.shuffled(0, 1, 50),
        order.shuffled(1, 0, 50),
        RowOrder(order.shards, 8, 0, 50).shuffled(0, 0, 50),
        RowOrder(order.shards, 7, 1, 50).shuffled(0, 0, 50),
    ]
    assert len({tuple(each) for each in shuffles}) == len(shuffles)
    assert len({tuple(share(range(30), seed, epoch, 0, 1)) for seed, epoch in [(0, 0), (0, 1), (1, 0), (None, 0)]}) == 4


def test_the_order_is_the_same_in_every_process_and_for_ever() -> None:
    assert share(range(8), 1, 2, 0, 1) == [7, 3, 4, 5, 1, 6, 0, 2]
    assert RowOrder(((3, 8),), 1, 2, 8).shuffled(3, 0, 8).tolist() == [0, 2, 4, 5, 7, 1, 3, 6]
