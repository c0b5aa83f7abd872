"""Leases: who has blobs on their way that no znode names yet. A collection waits for them.

A lease is an ephemeral znode; a put's commit checks it. On nodes a collection spares what is newer than its beginning. An
object store cannot delete "unless newer": there collection and writers take turns, and COLLECTING says whose turn it is.
"""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from muskox.coordination import Session, layout, stored
from muskox.errors import Unavailable

TURN_S_MAX = 600.0  # that a writer waits for a collection
LOOK_S = 0.25  # between looks whether a turn is still ours; a session times out after a second at the earliest


@contextmanager
def writing(session: Session, dataset: str) -> Iterator[str]:
    """Hold a lease for blobs on their way, taken when no collection runs; yield its id.

    Raises
    ------
    Unavailable
        If a collection runs for longer than TURN_S_MAX.
    """
    lease = uuid.uuid4().hex
    record = stored.UploadRecord(dataset=dataset, started_ms=time.time_ns() // 1_000_000)
    session.create(layout.upload(lease), record, ephemeral=True)
    try:
        await_turn(session)
        yield lease
    finally:
        session.delete(layout.upload(lease))


def await_turn(session: Session) -> None:
    """Wait until no collection runs; one that begins later sees our lease and waits for us."""
    changed = threading.Event()

    def wake(_: Any) -> None:
        changed.set()

    deadline_s = time.monotonic() + TURN_S_MAX
    while session.version(layout.COLLECTING, wake) is not None:
        if not changed.wait(max(deadline_s - time.monotonic(), 0.0)):
            raise Unavailable("the object store is being cleaned up for longer than usual: try again later")
        changed.clear()


class Turn:
    """The turn of a collection: no writer begins while it is held.

    is_free : whether no writer was at work when it was taken: only then may what no znode names be deleted
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seen_s = time.monotonic()
        self.is_free = session.owner(layout.COLLECTING) == session.id and not session.children(layout.UPLOADS)

    def check(self) -> None:
        """Make sure that it is ours still; call it before each deletion.

        It is asked for every LOOK_S seconds, less than a session lives: a process that was stopped for longer than that, and
        goes on when others may be writing again, asks before it deletes anything more.

        Raises
        ------
        Unavailable
            If it is not.
        """
        now_s = time.monotonic()
        if now_s - self._seen_s >= LOOK_S:
            if self._session.owner(layout.COLLECTING) != self._session.id:
                raise Unavailable("the collection lost its turn: what is left to be deleted is left to the next one")
            self._seen_s = now_s


@contextmanager
def collecting(session: Session) -> Iterator[Turn]:
    """Keep writers from beginning, and give the turn."""
    session.create(layout.COLLECTING, stored.HoldRecord(dataset="", version=0), ephemeral=True)
    try:
        yield Turn(session)
    finally:
        if session.owner(layout.COLLECTING) == session.id:
            session.delete(layout.COLLECTING)
