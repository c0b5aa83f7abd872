"""Ways to read a dataset's shards and add up every column: muskox's scan, and what else can read the same files.

Local readers map the files; remote ones take them over loopback by Flight from another process. Each gives the sums modulo
2**64, of text the lengths: whoever reads other rows is found out.
"""

import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import flight

from muskox.store import Dataset, Directory, Home, NodeHome, open_dataset

Sums = dict[str, int]


def add_up(batches: Iterable[Any]) -> Sums:
    """Return the sum of every column over all rows."""
    sums: Sums = {}
    for batch in batches:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            sums[name] = (sums.get(name, 0) + _sum(column)) % 2**64
    return sums


def _sum(column: Any) -> int:
    if pa.types.is_string(column.type):
        column = pc.binary_length(column)
    elif pa.types.is_timestamp(column.type):
        column = column.view(pa.int64())
    return int(pc.sum(column).as_py() or 0)


def mapped(paths: Sequence[Path]) -> Iterator[Any]:
    """Yield the batches of Arrow files mapped into memory, with nothing between."""
    for path in paths:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)


def arrow_dataset(paths: Sequence[Path]) -> Iterator[Any]:
    return iter(ds.dataset([str(path) for path in paths], format="ipc").to_batches())


class Elsewhere(Directory):
    """A directory for a machine on which no node runs, so that all comes over Flight."""

    def local_folders(self, _nodes: Sequence[str]) -> list[Path]:
        return []


def seen_from_elsewhere(home: Home, reference: str) -> Dataset:
    """Return the dataset as a client on another machine would open it."""
    away = NodeHome(home.session, home.client)
    away.directory = Elsewhere(home.session)
    return open_dataset(away, reference)


class BareServer(flight.FlightServerBase):
    """Arrow Flight and nothing else: no proof, no digests; the stream is left to Arrow's own code."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._table = pa.concat_tables(pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in paths)
        super().__init__("grpc://127.0.0.1:0")

    def do_get(self, _context: Any, _ticket: Any) -> Any:
        return flight.RecordBatchStream(self._table)


def bare_stream(client: Any) -> Iterator[Any]:
    reader = client.do_get(flight.Ticket(b""))
    while True:
        try:
            yield reader.read_chunk().data
        except StopIteration:
            return


@contextmanager
def bare_flight(paths: Sequence[Path]) -> Iterator[Any]:
    """A bare server in a process of its own, and a client connected to it."""
    command = [sys.executable, __file__, *map(str, paths)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        port = int(process.stdout.readline())
        with flight.FlightClient(f"grpc://127.0.0.1:{port}") as client:
            yield client
        process.stdin.close()


if __name__ == "__main__":
    server = BareServer([Path(word) for word in sys.argv[1:]])
    print(server.port, flush=True)
    sys.stdin.read()
    server.shutdown()
