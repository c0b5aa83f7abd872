"""A job's rounds as they finish, for whoever follows it: a stream from the node of the present root, wherever that moves.

A node that is stopped or cut off breaks no connection. It would say at least that nothing happened; so a follower that hears
not even that looks again where the root is.
"""

import json
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

from muskox.coordination import layout
from muskox.errors import MuskoxError, Unavailable
from muskox.program import RoundReport
from muskox.runtime.jobs import JobSpec, job_state, submit, wait
from muskox.store import Home

LOOK_S = 1.0  # a follower looks at least so often where the root is, whatever watches do
SILENCE_S = 2.0  # of a node that tells ten times in it at least that nothing happened
HEARD_MAX = 4  # batches that wait for a slow follower


def follow(home: Home, job_id: str) -> Iterator[RoundReport]:
    """Yield the job's rounds as they finish, each once and in order, until it is final; CallerError if there is no such job.

    Streams from the node of the generation's root and moves with it; rounds told by a node that died may be missing.
    """
    seen = 0
    changed = threading.Event()

    def look(_: Any) -> None:
        changed.set()

    is_final = False
    while not is_final:
        is_final = job_state(home.session, job_id).phase.is_final  # then look once more: the last rounds may have come since
        changed.clear()
        for report in _from_root(home, job_id, seen, (changed, look)):
            if report.round > seen:
                seen = report.round
                yield report
        if not is_final:
            changed.wait(LOOK_S)


def run(home: Home, spec: JobSpec, on_round: Callable[[RoundReport], None] | None) -> tuple[str, layout.JobState]:
    """Submit, follow and wait; return the job's id and its final state. An interrupt leaves the job running."""
    job_id = submit(home, spec)
    if on_round is not None:
        for report in follow(home, job_id):
            on_round(report)
    return job_id, wait(home.session, job_id)


def _from_root(
    home: Home, job_id: str, after: int, watch: tuple[threading.Event, Callable[[Any], None]]
) -> Iterator[RoundReport]:
    """Yield what the present root's node tells, until the root moves, the job is final or the node is not heard of."""
    changed, look = watch
    session = home.session
    found = session.find(layout.generation(job_id), layout.GenerationRecord, look)
    state = session.find(layout.job_state(job_id), layout.JobState, look)
    if found is None or not found[0].members:
        return
    address = home.directory.address(found[0].members[0].node)
    if address is None:
        return
    is_final = state is not None and state[0].phase.is_final
    argument = json.dumps({"job": job_id, "after": after}).encode()
    told = _Told(home.client.stream(address, "progress", argument))
    try:
        while (batch := told.next()) is not None:
            yield from (_report(row) for row in batch.to_pylist())
            if (changed.is_set() and session.is_connected) or (is_final and batch.num_rows == 0):
                return  # to look again; while ZooKeeper is away there is nothing to see, and rounds go on
    finally:
        told.leave()


class _Told:
    """The batches of a stream, read by a thread of its own: so that a stream on which nothing comes can be left."""

    def __init__(self, stream: Iterator[Any]) -> None:
        self._heard: queue.Queue[Any] = queue.Queue(HEARD_MAX)
        self._is_left = threading.Event()
        threading.Thread(target=self._read, args=(stream,), name="following", daemon=True).start()

    def next(self) -> Any:
        """Return the next batch; None if the stream has ended or nothing came for too long."""
        try:
            heard = self._heard.get(timeout=SILENCE_S)
        except queue.Empty:
            return None
        if isinstance(heard, MuskoxError):
            raise heard
        return heard

    def leave(self) -> None:
        self._is_left.set()
        while not self._heard.empty():  # who waits to put one must see it
            self._heard.get_nowait()

    def _read(self, stream: Iterator[Any]) -> None:
        end: MuskoxError | None = None
        try:
            for batch in stream:
                self._heard.put(batch)
                if self._is_left.is_set():
                    return
        except Unavailable:
            pass  # the node is gone: as good as an end
        except MuskoxError as error:
            end = error
        if not self._is_left.is_set():
            self._heard.put(end)


def _report(row: dict[str, Any]) -> RoundReport:
    return RoundReport(row["round"], json.loads(row["metrics"]), row["generation"], json.loads(row["phases"]))
