"""A dataset of four times the memory that its worker may take trains to the same digest, and the memory stays under the
limit.

One worker trains a logistic regression twice: with as much memory as it likes, and with a limit of a quarter of the
dataset's bytes (`RunOptions(memory_bytes=...)`). What counts is the worker's own memory (anonymous pages; mapped files are
the system's, which takes their pages back), looked at after every round. The dataset is put as batches, so that this
process does not hold it either.

    python bench/memory.py [--limit-mb 256] [--json] [--tiny]
"""

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

import muskox as mx
from muskox.runtime.devices import resident_bytes

COLUMNS = 16
BATCH_ROWS = 1 << 16
ROUNDS = 6
TIMES = 4  # the limit


def batches(rows: int) -> Iterator[Any]:
    for first in range(0, rows, BATCH_ROWS):
        X = mx.stream(2026, "memory", first).random(size=(min(BATCH_ROWS, rows - first), COLUMNS))
        columns = {f"x{index}": X[:, index].copy() for index in range(COLUMNS)}
        yield pa.RecordBatch.from_pydict({**columns, "y": X[:, 0] + X[:, 1] * X[:, 2] > 0.75})


def train(cluster: mx.Cluster, dataset: Any, memory_bytes: int) -> dict[str, Any]:
    """Return the digest, the seconds, and the most that a worker held for itself after any round."""
    most = 0

    def look(_: mx.RoundReport) -> None:
        nonlocal most
        for worker in cluster.jobs()[0]["workers"]:
            most = max(most, resident_bytes(worker["pid"]))

    options = mx.RunOptions(workers=1, memory_bytes=memory_bytes, on_round=look)
    start_s = time.perf_counter()
    model = mx.LogisticRegression(max_rounds=ROUNDS, tol=0.0).fit(dataset, target="y", options=options)
    return {"digest": model.digest_, "seconds": time.perf_counter() - start_s, "bytes": most}


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    arguments.add_argument("--limit-mb", type=int, default=256)
    arguments.add_argument("--tiny", action="store_true", help="for the tests: a limit that leaves room for little")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    limit = (180 if options.tiny else options.limit_mb) << 20
    size = (40 << 20) if options.tiny else limit * TIMES
    rows = size // (8 * COLUMNS)
    with mx.local(nodes=1) as cluster:
        schema = next(batches(1)).schema
        reader = pa.RecordBatchReader.from_batches(schema, batches(rows))
        dataset = cluster.put("large", reader, shards=32)
        free, bound = train(cluster, dataset, 0), train(cluster, dataset, limit)
    found = {"dataset_bytes": size, "limit_bytes": limit, "free": free, "bound": bound}
    found |= {"same": free["digest"] == bound["digest"], "under": bound["bytes"] <= limit}
    if options.json:
        print(json.dumps(found))
        return
    print(f"dataset {size >> 20} MiB, {rows:,} rows; limit {limit >> 20} MiB; {ROUNDS} rounds on one worker")
    for name, told in (("as much as it likes", free), ("within the limit", bound)):
        print(f"{name:>20}: at most {told['bytes'] >> 20} MiB of its own, {told['seconds']:.1f} s, {told['digest'][:12]}")
    print(f"time within the limit: {bound['seconds'] / free['seconds']:.2f} of the other's")
    print("same digest" if found["same"] else "DIFFERENT DIGESTS", "and", "under the limit" if found["under"] else "OVER IT")


if __name__ == "__main__":
    main()
