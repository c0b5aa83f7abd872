"""Who holds which run comes back from its record, which stays small."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox.coordination import layout, stored
from muskox.errors import Corrupt
from muskox.store.placement.holders import Holders, decode_holders, encode_holders

NAMES = [f"node-{number}" for number in range(12)]


@st.composite
def holders(draw: st.DrawFn) -> tuple[Holders, int]:
    level, shards = draw(st.integers(0, 4)), draw(st.integers(1, 70))
    runs = tuple(tuple(draw(st.lists(st.sampled_from(NAMES), max_size=4, unique=True))) for _ in range(-(-shards >> level)))
    return Holders(level, draw(st.integers(1, 3)), runs), shards


@given(holders())
def test_holders_come_back_from_their_record(case: tuple[Holders, int]) -> None:
    held, shards = case
    record = layout.decode(layout.encode(encode_holders(held)), stored.PlacementRecord, "/p")
    again = decode_holders(record, shards)
    assert again == held
    assert [again.of(shard) for shard in range(shards)] == [held.runs[shard >> held.level] for shard in range(shards)]
    assert [shard for run in range(len(held.runs)) for shard in held.run(run, shards)] == list(range(shards))


def test_one_run_is_changed_and_no_other() -> None:
    held = Holders(1, 2, (("a", "b"), ("b", "c"), ("c", "a")))
    assert held.with_run(1, ["d"]).runs == (("a", "b"), ("d",), ("c", "a"))


def test_the_plan_for_a_thousand_nodes_fits_a_znode() -> None:
    nodes = [f"rack-{number // 40}.machine-{number:04}" for number in range(1000)]
    runs = tuple((nodes[run % 1000], nodes[(run * 7 + 1) % 1000]) for run in range(100_000 >> 4))
    assert len(layout.encode(encode_holders(Holders(4, 2, runs)))) < 100_000


@pytest.mark.parametrize("change", [{"runs": "AAA="}, {"nodes": []}])
def test_a_record_that_cannot_be_is_refused(change: dict) -> None:
    record = {"level": 0, "replicas": 1, "nodes": ["a"], "runs": encode_holders(Holders(0, 1, (("a",),) * 3)).runs}
    with pytest.raises(Corrupt, match="a placement"):
        decode_holders(stored.PlacementRecord(**{**record, **change}), 3)
