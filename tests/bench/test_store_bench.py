"""The store's benchmark runs tiny here, so that it never rots; it ends with an error if rows are lost or digests differ."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parent.parent.parent / "bench" / "store.py"
WRITERS = ["muskox, 1 replica", "muskox, 2 replicas", "pyarrow to Arrow", "DuckDB to Parquet", "Dask shuffle"]


def run(*words: str) -> Any:
    return subprocess.run([sys.executable, str(BENCH), *words], capture_output=True, text=True, timeout=200, check=False)


def test_the_stores_bench_measures_every_race_and_all_agree_on_rows_and_digest() -> None:
    ended = run("--tiny", "--json", "--writers", ";".join(WRITERS))
    assert ended.returncode == 0, ended.stderr
    measured = json.loads(ended.stdout)
    races = {race["name"]: race for race in measured["races"]}
    assert list(races) == ["put csv", "put parquet", "scan here", "scan by Flight"]
    assert list(races["put csv"]["seconds"]) == WRITERS
    assert list(races["scan here"]["seconds"]) == ["muskox", "mapped Arrow", "pyarrow.dataset"]
    assert len({(race["rows"], race["digest"]) for race in races.values()}) == 1
    assert all(seconds > 0 for race in races.values() for taken in race["seconds"].values() for seconds in taken)


@pytest.mark.parametrize("words", [("--only", "speed"), ("--writers", "Hadoop")])
def test_an_unknown_group_or_writer_is_named(words: tuple[str, str]) -> None:
    ended = run(*words)
    assert ended.returncode == 2 and "put and scan" in ended.stderr and "Dask shuffle" in ended.stderr
