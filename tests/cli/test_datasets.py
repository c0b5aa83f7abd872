"""What `muskox datasets NAME` prints of a version, however large it is."""

from typing import Any

import pytest

from muskox.cli.datasets import describe, list_datasets

NODES = 1_000
SHARDS = 100_000


def view(shards: int, nodes: int) -> dict[str, Any]:
    """Return what is told of a version whose shard i has i rows and lies on two nodes, the last of which is away."""
    names = [f"n{number}" for number in range(nodes)]
    return {
        "name": "flights",
        "version": 3,
        "digest": "d",
        "rows": shards * (shards - 1) // 2,
        "shards": shards,
        "bytes": 5,
        "by": "hash:tailnum",
        "skew": "even",
        "replicas": 2,
        "health": {"place": "nodes", "units": shards, "below": 1, "gone": 0},
        "registered": "",
        "versions": list(range(1, 9)),
        "groups": 1,
        "created": "",
        "shared_with": [],
        "needed_by": ["model late"],
        "column_groups": {"": ["a"]},
        "columns": {"a": "int"},
        "lies_on": {name: {"live": name != names[-1], "files": 1, "bytes": 1} for name in names},
        "placement": [
            {"shard": each, "rows": each, "bytes": 1, "nodes": [names[each % nodes], names[-1]]} for each in range(shards)
        ],
    }


def test_a_small_version_is_listed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    describe(view(3, 2), False, list_shards=False)
    out = capsys.readouterr().out
    assert "hash:tailnum" in out and "1 of 3 below" in out and "1, 2, 3, 4, 5 and 3 more (8)" in out
    assert "model late" in out and "a int" in out and "away" in out and "--shards" not in out


def test_a_hundred_thousand_shards_fit_on_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    described = view(SHARDS, NODES)
    describe(described, False, list_shards=False)
    out = capsys.readouterr().out
    assert len(out.splitlines()) < 30
    assert "it lies on 1,000 nodes, 1 of them away" in out and "n999" in out
    words = [line.split()[:3] for line in out.splitlines()]
    assert ["least", "0", "0"] in words and ["median", "50000", "50,000"] in words and ["largest", "99999", "99,999"] in words
    assert "100,000 shards; --shards lists them all" in out


def test_all_is_listed_if_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    describe(view(200, 100), False, list_shards=True)
    assert len(capsys.readouterr().out.splitlines()) > 300


def test_a_list_names_groups_where_there_are_any(capsys: pytest.CaptureFixture[str]) -> None:
    list_datasets([view(3, 2)], json_=False)
    assert "groups" not in capsys.readouterr().out
    list_datasets([{**view(3, 2), "groups": 4}], json_=False)
    assert "groups" in capsys.readouterr().out
    list_datasets([], json_=False)
    assert "no dataset yet: muskox put NAME FILE.csv makes one" in capsys.readouterr().out
