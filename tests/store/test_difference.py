"""The difference of two versions is told from their manifests."""

import json

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from muskox.store.inspection.difference import Difference, compare_versions
from muskox.store.manifest import DatasetManifest, Part, ShardEntry, dataset_digest


def manifest(
    version: int,
    contents: list[str],
    columns: list[tuple[str, str]] = [("id", "int"), ("x", "float")],  # noqa: B006 (never changed)
    by: str = "rows",
    groups: list[tuple[str, list[str]]] | None = None,
) -> DatasetManifest:
    entries = [
        ShardEntry(rows=10, content_digest=content, parts=[Part(bytes=100, file_digest=f"file of {content}")])
        for content in contents
    ]
    return DatasetManifest(
        name="flights",
        version=version,
        columns=columns,
        by=by,
        shards=entries,
        digest=dataset_digest(dict(columns), by, contents),
        groups=groups or [("", [name for name, _ in columns])],
    )


def test_a_version_and_itself_are_the_same() -> None:
    found = compare_versions(manifest(1, ["a", "b"]), manifest(2, ["a", "b"]))
    assert found.is_same and (found.left, found.right) == ("flights@1", "flights@2")
    assert found.sentences() == ["20 rows in both", "200 bytes in both", "2 shards: all the same"]


def test_appended_rows_change_the_shards_that_they_lie_in() -> None:
    found = compare_versions(manifest(1, ["a", "b", "c"]), manifest(2, ["a", "b2", "c", "d"]))
    assert (found.shards_same, found.shards_moved, found.shards_changed) == (2, 0, [1, 3])
    assert found.sentences() == ["40 rows, +10", "400 bytes, +100", "4 shards, +1: 2 the same, 2 changed or new"]


def test_columns_added_removed_retyped_and_reordered_are_told() -> None:
    left = manifest(1, ["a"], [("id", "int"), ("x", "float"), ("old", "bool"), ("z", "int")])
    right = manifest(2, ["b"], [("x", "float"), ("id", "string"), ("new", "timestamp"), ("z", "int")])
    found = compare_versions(left, right)
    assert found.columns_added == [("new", "timestamp")]
    assert found.columns_removed == [("old", "bool")]
    assert found.columns_retyped == [("id", "int", "string")]
    assert found.sentences()[:4] == [
        "column 'new' (timestamp) is new",
        "column 'old' (bool) is gone",
        "column 'id' was int and is string",
        "the columns stand in another order",
    ]
    assert not compare_versions(manifest(1, ["a"], left.columns[:2]), manifest(2, ["a"], left.columns)).is_reordered


def test_another_rule_and_other_groups_are_told() -> None:
    split = [("ids", ["id"]), ("rest", ["x"])]
    found = compare_versions(manifest(1, ["a", "b"]), manifest(2, ["b", "a"], by="hash:id", groups=split))
    assert found.sentences()[2:] == [
        "cut by 'hash:id', before by 'rows'",
        "column groups are ids: id; rest: x; they were id, x",
        "2 shards: 0 the same, 2 at another index, 0 changed or new",
    ]
    same = compare_versions(manifest(1, ["a"]), manifest(2, ["a"], groups=split))
    assert same.is_same and same.groups[0] != same.groups[1]


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=9), st.lists(st.sampled_from("abcd"), min_size=1, max_size=9))
def test_every_shard_is_counted_once_and_the_record_is_json(left: list[str], right: list[str]) -> None:
    found = compare_versions(manifest(1, left), manifest(2, right))
    assert found.shards_same == sum(a == b for a, b in zip(left, right, strict=False))
    assert found.shards_same + found.shards_moved + len(found.shards_changed) == len(right)
    assert found.shards_same + found.shards_moved == sum(min(left.count(each), right.count(each)) for each in "abcd")
    assert msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(found))), Difference) == found
