"""The schema: names that can be znodes, runs of shards, and records of which foreign bytes are Corrupt."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox.coordination import course, format_runs, layout, parse_runs
from muskox.errors import CallerError, Corrupt

RECORDS = [
    kind
    for kind in (*vars(layout).values(), *vars(course).values())
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind is not msgspec.Struct
]


@pytest.mark.parametrize("name", ["a", "flights", "node-1", "2013", "a.b_c-d", "x" * layout.NAME_LENGTH_MAX])
def test_a_good_name_is_returned(name: str) -> None:
    assert layout.check_name("dataset", name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "-x", "a/b", "a b", "a\n", "a\0", "a@1", "_x", "²", "名", "x" * (layout.NAME_LENGTH_MAX + 1)],
)
def test_a_bad_name_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(CallerError, match=r"dataset name .* is not valid: use ASCII letters, digits"):
        layout.check_name("dataset", name)


@given(st.sets(st.integers(0, 10_000), max_size=60))
def test_runs_come_back(shards: set[int]) -> None:
    assert parse_runs(format_runs(list(shards))) == sorted(shards)


def test_runs_grow_with_pieces_and_not_with_shards() -> None:
    assert format_runs(list(range(100_000))) == "0-99999"
    assert format_runs([]) == "" and parse_runs("") == []


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@given(data=st.binary(max_size=40) | st.sampled_from([b"", b"null", b"[]", b"3", b'{"a":1}', b'{"phase":"odd"}', b"\xff"]))
def test_foreign_bytes_are_corrupt(kind: type[msgspec.Struct], data: bytes) -> None:
    try:
        record = layout.decode(data, kind, "/somewhere")
    except Corrupt as error:
        assert f"znode /somewhere holds no {kind.__name__}" in str(error)
    else:
        assert isinstance(record, kind)


@pytest.mark.parametrize(
    "record",
    [
        layout.JobState(phase=layout.JobPhase.DONE, reason="ü", rounds=7, result_nodes=["a"]),
        layout.GenerationRecord(
            number=3, members=[layout.GenerationMember(worker="w", node="n", address="h:1", pid=2, shards="0-3,8")]
        ),
        layout.AssignmentRecord(jobs={"job-1": 2}),
        layout.ConfigRecord(values={"silence_s": 2.5}),
    ],
    ids=lambda record: type(record).__name__,
)
def test_a_record_comes_back(record: msgspec.Struct) -> None:
    assert layout.decode(layout.encode(record), type(record), "/p") == record


def test_three_phases_are_final() -> None:
    assert [phase for phase in layout.JobPhase if phase.is_final] == ["done", "failed", "cancelled"]


def test_a_recipe_is_named_by_the_rule() -> None:
    assert layout.recipe("locks", "report") == "/recipes/locks/report"
    with pytest.raises(CallerError, match="is not valid"):
        layout.recipe("locks", "../jobs")
