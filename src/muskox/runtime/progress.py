"""The rounds that a node's root workers told of, kept in memory for whoever follows a job.

Fine progress goes by Flight from here; ZooKeeper gets about one record a second.
"""

import itertools
import json
import threading
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from muskox.program import RoundReport

if TYPE_CHECKING:
    import pyarrow as pa

ROUNDS_MAX = 10_000  # kept a job: more than a curve can show
JOBS_MAX = 100  # kept a node
WAIT_S = 0.2  # how long a follower waits for a round before it gets an empty batch and may look where the root is now


def stream_schema() -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([("round", pa.int64()), ("generation", pa.int64()), ("metrics", pa.string()), ("phases", pa.string())])


class ProgressLog:
    """Thread-safe; written by the job's agent, read by Flight's threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rounds: dict[str, deque[RoundReport]] = {}
        self._closed: dict[str, None] = {}

    def add(self, job: str, report: RoundReport) -> None:
        with self._changed:
            while job not in self._rounds and len(self._rounds) >= JOBS_MAX:
                del self._rounds[next(iter(self._rounds))]
            self._closed.pop(job, None)
            self._rounds.setdefault(job, deque(maxlen=ROUNDS_MAX)).append(report)
            self._changed.notify_all()

    def open(self, job: str) -> None:
        """Rounds of this job may come from this node again."""
        with self._changed:
            self._closed.pop(job, None)

    def close(self, job: str) -> None:
        """No further round of this job comes from this node, for now."""
        with self._changed:
            while len(self._closed) >= JOBS_MAX:
                del self._closed[next(iter(self._closed))]
            self._closed[job] = None
            self._changed.notify_all()

    def after(self, job: str, round_: int) -> list[RoundReport]:
        latest = itertools.takewhile(lambda report: report.round > round_, reversed(self._rounds.get(job, ())))
        return list(latest)[::-1]

    def stream(self, argument: bytes) -> "Iterator[pa.RecordBatch]":
        """Yield batches of the rounds after ``argument["after"]`` of ``argument["job"]`` until the job leaves this node.

        A batch may be empty: then nothing happened for a while, and the follower may look whether the root has moved.
        """
        import pyarrow as pa

        wanted = json.loads(argument)
        job, round_ = str(wanted["job"]), int(wanted["after"])
        while True:
            with self._changed:
                reports = self.after(job, round_)
                if not reports and job not in self._closed:
                    self._changed.wait(WAIT_S)
                    reports = self.after(job, round_)
                if not reports and job in self._closed:
                    return
            round_ = reports[-1].round if reports else round_
            columns = [
                pa.array([report.round for report in reports], pa.int64()),
                pa.array([report.generation for report in reports], pa.int64()),
                pa.array([json.dumps(dict(report.metrics)) for report in reports], pa.string()),
                pa.array([json.dumps(dict(report.phases)) for report in reports], pa.string()),
            ]
            yield pa.record_batch(columns, schema=stream_schema())
