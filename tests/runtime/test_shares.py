"""Who owns which shards: whole runs, evenly many, moved as little as can be; fewer for the slow, and then it settles."""

from hypothesis import given
from hypothesis import strategies as st
from pictures import NODES

from muskox.runtime.planning.shares import GAIN_MIN, gain, parts, share, speeds

REPLICAS = st.lists(st.lists(st.sampled_from(NODES), max_size=3, unique=True), min_size=1, max_size=80)
WORKERS = st.dictionaries(st.sampled_from([f"w{number}" for number in range(8)]), st.sampled_from(NODES), min_size=1)


@given(REPLICAS, WORKERS, st.dictionaries(st.integers(0, 79), st.sampled_from([f"w{number}" for number in range(10)])))
def test_every_shard_is_owned_once_and_nobody_has_more_than_an_even_share(
    replicas: list[list[str]], workers: dict[str, str], before: dict[int, str]
) -> None:
    shares = share(replicas, workers, before)
    assert list(shares) == list(workers)
    assert sorted(shard for owned in shares.values() for shard in owned) == list(range(len(replicas)))
    longest = max(run for run in (1 << level for level in range(8)) if run == 1 or len(replicas) // run >= 4 * len(workers))
    runs = -(-len(replicas) // longest)
    assert max(len(owned) for owned in shares.values()) <= -(-runs // len(workers)) * longest


@given(REPLICAS, WORKERS)
def test_a_share_that_was_even_stays_where_it_was(replicas: list[list[str]], workers: dict[str, str]) -> None:
    first = share(replicas, workers, {})
    before = {shard: name for name, owned in first.items() for shard in owned}
    again = share(replicas, workers, before)
    assert {name: sorted(owned) for name, owned in again.items()} == {name: sorted(owned) for name, owned in first.items()}


@given(REPLICAS, WORKERS, st.data())
def test_after_a_death_the_others_keep_what_they_had(
    replicas: list[list[str]], workers: dict[str, str], data: st.DataObject
) -> None:
    first = share(replicas, workers, {})
    before = {shard: name for name, owned in first.items() for shard in owned}
    dead = data.draw(st.sampled_from(sorted(workers)))
    left = {name: node for name, node in workers.items() if name != dead}
    if left and run_length(len(replicas), len(left)) == run_length(len(replicas), len(workers)):
        after = share(replicas, left, before)
        assert all(set(first[name]) <= set(after[name]) for name in left)


def run_length(shards: int, workers: int) -> int:
    length = 1
    while shards // (2 * length) >= 4 * workers:
        length *= 2
    return length


def test_shards_go_where_their_bytes_are() -> None:
    shares = share([("ann",)] * 4 + [("bob",)] * 4, {"a": "ann", "b": "bob"}, {})
    assert shares == {"a": [0, 1, 2, 3], "b": [4, 5, 6, 7]}


def test_many_shards_are_owned_in_aligned_runs() -> None:
    shares = share([("ann",)] * 1024, {"a": "ann", "b": "bob"}, {})
    for owned in shares.values():
        starts = sorted(owned)[::128]
        assert all(shard % 128 == 0 for shard in starts)
        assert sorted(owned) == [shard for start in starts for shard in range(start, start + 128)]


def test_one_more_worker_takes_its_part() -> None:
    before = {shard: "a" if shard < 6 else "b" for shard in range(12)}
    shares = share([()] * 12, {"a": "ann", "b": "bob", "c": "cat"}, before)
    assert sorted(map(len, shares.values())) == [4, 4, 4]
    assert set(shares["a"]) <= set(range(6)) and set(shares["b"]) <= set(range(6, 12))


@given(REPLICAS, WORKERS, st.dictionaries(st.sampled_from([f"w{number}" for number in range(8)]), st.floats(1e-9, 1e3)))
def test_every_shard_is_owned_once_however_slow_anybody_is(
    replicas: list[list[str]], workers: dict[str, str], pace: dict[str, float]
) -> None:
    shares = share(replicas, workers, {}, pace)
    assert sorted(shard for owned in shares.values() for shard in owned) == list(range(len(replicas)))
    assert len(replicas) < len(workers) or all(shares.values())


def test_a_slow_worker_gets_less_and_the_last_is_ready_sooner() -> None:
    workers, pace = {"a": "ann", "b": "bob", "c": "cat"}, {"a": 1.0, "b": 1.0, "c": 4.0}
    before = {shard: name for name, owned in share([()] * 24, workers, {}).items() for shard in owned}
    shares = share([()] * 24, workers, before, pace)
    assert {name: len(owned) for name, owned in shares.items()} == {"a": 12, "b": 10, "c": 2}
    assert set(shares["c"]) < {shard for shard, name in before.items() if name == "c"}
    assert gain({"a": 8, "b": 8, "c": 8}, {"a": 12, "b": 10, "c": 2}, pace) > GAIN_MIN


def test_noise_moves_nothing() -> None:
    workers, pace = {"a": "ann", "b": "bob", "c": "cat"}, {"a": 1.0, "b": 1.1, "c": 0.9}
    assert speeds(list(workers), pace) == {"a": 1.0, "b": 1.0, "c": 1.0}
    assert share([()] * 24, workers, {}, pace) == share([()] * 24, workers, {})


@given(st.integers(1, 200), st.lists(st.sampled_from([0.1, 0.3, 1.0, 1.3]), min_size=1, max_size=9))
def test_no_other_parts_would_be_ready_sooner(runs: int, values: list[float]) -> None:
    """Beyond one each: whoever is last would be later still, or as late, had any other of them one run of its."""
    speed = {f"w{rank}": value for rank, value in enumerate(values)}
    found = parts(runs, speed)
    assert sum(found.values()) == runs
    for name, count in found.items():
        if count > 1:
            assert all((found[other] + 1) / speed[other] >= count / speed[name] * (1 - 1e-12) for other in found)


@given(
    st.lists(st.floats(0.5, 8.0), min_size=2, max_size=8),
    st.integers(8, 200),
    st.lists(st.floats(0.95, 1.05), min_size=200, max_size=200),
)
def test_moving_shards_settles_though_every_measurement_differs(seconds: list[float], shards: int, noise: list[float]) -> None:
    """Workers of any steady speed, measured with 5 percent of noise: shards move once, at most twice, and then never again."""
    workers = {f"w{rank}": NODES[rank % 3] for rank in range(len(seconds))}
    draw = iter(noise)
    owned = share([()] * shards, workers, {})
    moves = []
    for look in range(20):
        pace = {name: value * next(draw) for name, value in zip(workers, seconds, strict=True)}
        before = {shard: name for name, part in owned.items() for shard in part}
        after = share([()] * shards, workers, before, pace)
        if gain(*({name: len(part) for name, part in each.items()} for each in (owned, after)), pace) >= GAIN_MIN:
            owned = after
            moves.append(look)
    assert len(moves) <= 2 and all(look < 10 for look in moves)


def test_where_replicas_leave_the_choice_shards_lie_side_by_side() -> None:
    """A worker sends one vector for each whole subtree: two workers that hold everything send one each."""
    owned = share([["ann", "bob"]] * 16, {"a": "ann", "b": "bob"}, {})
    assert owned == {"a": list(range(8)), "b": list(range(8, 16))}
