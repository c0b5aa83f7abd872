"""Ways to cut a table by a key into twelve parts on disk: muskox's put, and what else people use for it.

Each is a context manager over a folder of its own that gives `write(source, place)`; what it needs beforehand (a cluster, a
scheduler's threads) is there by then. `source` is a file of CSV or Parquet whose last column, `bucket`, is the part of each
row, reckoned beforehand for those that cannot hash themselves. A writer returns where its parts are to be counted.

    python bench/tables/writers.py NAME FOLDER WARM_UP SOURCE
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

KEY = "tailnum"
PARTS = 12

Write = Callable[[Path, Path], "Written"]


class Written:
    """What was written: how many rows, how many bytes on disk; the dataset's digest where there is one."""

    def __init__(self, rows: int, size: int, digest: str = "") -> None:
        self.rows = rows
        self.bytes = size
        self.digest = digest


@contextmanager
def muskox(replicas: int, folder: Path) -> Iterator[Write]:
    """Three nodes, each a process; the bytes are digested, checked and synced on every replica before the put returns."""
    import muskox as mx

    with mx.local(nodes=3, dir=folder / "cluster") as cluster:

        def write(source: Path, place: Path) -> Written:
            dataset = cluster.put(place.name, source, shards=PARTS, by=f"hash:{KEY}", replicas=replicas)
            told = cluster.describe_dataset(dataset.name)
            return Written(told["rows"], told["bytes"] * replicas, told["digest"])

        yield write


@contextmanager
def arrow(kind: str, _folder: Path) -> Iterator[Write]:
    import pyarrow.dataset as ds

    def write(source: Path, place: Path) -> Written:
        rows = ds.dataset(source, format=source.suffix[1:])
        by = ds.partitioning(rows.schema.empty_table().select(["bucket"]).schema, flavor="hive")
        ds.write_dataset(rows, place, format=kind, partitioning=by)
        return counted(place, kind)

    yield write


@contextmanager
def synced_arrow(kind: str, folder: Path) -> Iterator[Write]:
    """The same, and its files brought to the disk: what durability alone costs."""
    with arrow(kind, folder) as plain:

        def write(source: Path, place: Path) -> Written:
            written = plain(source, place)
            for path in files_of(place):
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            return written

        yield write


@contextmanager
def duckdb(_folder: Path) -> Iterator[Write]:
    import duckdb as db

    connection = db.connect()

    def write(source: Path, place: Path) -> Written:
        read = "read_csv('{}', nullstr='NA')" if source.suffix == ".csv" else "read_parquet('{}')"
        query = f"SELECT * EXCLUDE (bucket), hash({KEY}) % {PARTS} AS bucket FROM {read.format(source)}"
        connection.execute(f"COPY ({query}) TO '{place}' (FORMAT parquet, PARTITION_BY (bucket))")
        return counted(place, "parquet")

    yield write
    connection.close()


@contextmanager
def dask(way: str, _folder: Path) -> Iterator[Write]:
    """Pandas' readers in threads, a shuffle on disk; `way` is "shuffle" (by hash, as we do) or "set_index" (sorted)."""
    import dask.dataframe as dd

    def write(source: Path, place: Path) -> Written:
        frame = dd.read_csv(source, assume_missing=True) if source.suffix == ".csv" else dd.read_parquet(source)
        cut = frame.shuffle if way == "shuffle" else frame.set_index
        cut(KEY, npartitions=PARTS).to_parquet(place)
        return counted(place, "parquet")

    yield write


def files_of(place: Path) -> list[Path]:
    return [path for path in sorted(place.rglob("*")) if path.is_file()]


def counted(place: Path, kind: str) -> Written:
    """Return the size of what lies in `place`; its rows are counted later, outside the time."""
    import pyarrow.dataset as ds

    sizes = sum(path.stat().st_size for path in files_of(place))
    return Written(ds.dataset(place, format=kind, partitioning="hive").count_rows(), sizes)


WRITERS: dict[str, Callable[[Path], AbstractContextManager[Write]]] = {
    "muskox, 1 replica": partial(muskox, 1),
    "muskox, 2 replicas": partial(muskox, 2),
    "pyarrow to Arrow": partial(arrow, "feather"),
    "pyarrow to Arrow, synced": partial(synced_arrow, "feather"),
    "pyarrow to Parquet": partial(arrow, "parquet"),
    "DuckDB to Parquet": duckdb,
    "Dask shuffle": partial(dask, "shuffle"),
    "Dask set_index": partial(dask, "set_index"),
}


def main(name: str, folder: Path, warm_up: Path, source: Path) -> None:
    """Write once for warmth, then once for the clock, and print what came of it as JSON."""
    with WRITERS[name](folder) as write:
        write(warm_up, folder / "warm")
        os.sync()  # nobody pays for pages that somebody else left dirty
        start = time.perf_counter()
        written = write(source, folder / "written")
        seconds = time.perf_counter() - start
    shutil.rmtree(folder)
    print(json.dumps({"seconds": seconds, "rows": written.rows, "bytes": written.bytes, "digest": written.digest}))


if __name__ == "__main__":
    main(sys.argv[1], *(Path(word) for word in sys.argv[2:]))
