"""What a node does for the durability of a task job's results: it writes pieces, reads and clears them.

A piece is a blob on as many nodes as asked, and a znode that names it, made by one multi that checks the generation: nothing of
a worker that was put out passes. The pieces that it absorbs go with the same multi.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable

from muskox.coordination import Check, Create, Delete, layout
from muskox.errors import Corrupt, MuskoxError, Unavailable
from muskox.runtime.message import Message
from muskox.runtime.node_context import NodeContext
from muskox.runtime.tasks.messages import Piece, PieceRead, PieceWritten

log = logging.getLogger(__name__)

ATTEMPT_BYTES = 16  # a UUID before the bytes of a piece: no other blob is the same, so that it can be deleted at once
RESTORE_S_MAX = 60.0  # how long a piece that cannot be had is waited for before its tasks are run again

Answer = Callable[[Message, bytes], None]  # to the worker that asked


class TaskPieces:
    """The pieces of one job, as one node writes and reads them."""

    def __init__(self, node: NodeContext, job_id: str) -> None:
        self._node = node
        self._job = job_id
        self._unreachable_s: float | None = None  # since when a piece cannot be had
        self._handed = (0, 0)  # the newest generation that asked, and the last piece that its root was given so far
        self._writing = threading.Lock()
        self._is_over = False

    def keep(self, message: Piece, body: bytes, answer: Answer, *, is_last: bool = False) -> None:
        """Write a piece on a thread of its own: its worker waits for none. The last, before the worker ends, here and now."""
        if is_last:
            self._keep(message, body, answer)
        else:
            threading.Thread(target=self._keep, args=(message, body, answer), name="piece", daemon=True).start()

    def _keep(self, message: Piece, body: bytes, answer: Answer) -> None:
        try:
            with self._writing:
                self._write(message, body)
        except MuskoxError as error:
            log.warning("job %s: piece %d of its results is not written yet: %s", self._job, message.number, error)
            answer(PieceWritten(message.number, False), b"")
        else:
            answer(PieceWritten(message.number, True), b"")

    def _write(self, message: Piece, body: bytes) -> None:
        if self._is_over:
            raise Unavailable("its job is over")
        session, home, path = self._node.session, self._node.home, layout.piece(self._job, message.number)
        session.create(layout.pieces(self._job))
        absorbed = [(path, self._find(path)) for path in (layout.piece(self._job, number) for number in message.absorbs)]
        with home.writing() as lease:
            replicas = int(self._node.config()["replicas"])
            blob, nodes = home.put(uuid.uuid4().bytes + body, replicas, first=self._node.name)
            record = layout.CheckpointRecord(round=message.number, digest="", blob=blob, nodes=nodes)

            def is_kept() -> bool:
                return self._find(path) == record

            checks = [Check(layout.generation(self._job), message.generation), Check(layout.upload(lease), 0)]
            gone = [Delete(path) for path, found in absorbed if found is not None]
            session.commit([*checks, Create(path, record), *gone], is_kept)
        for _, found in absorbed:
            if found is not None:
                home.drop(found.blob, found.nodes)

    def _find(self, path: str) -> layout.CheckpointRecord | None:
        found = self._node.session.find(path, layout.CheckpointRecord)
        return None if found is None else found[0]

    def _numbers(self) -> list[int]:
        return sorted(map(int, self._node.session.children(layout.pieces(self._job))))

    def read(self, generation: int, answer: Answer) -> None:
        """Hand every piece to a worker, in order; asked again after a failure, go on with the one that could not be had.

        Who asks in an older generation than another did is a root no more, and given nothing.

        Raises
        ------
        Unavailable
            If one cannot be had just now, for at most `RESTORE_S_MAX`: nodes come back at different times.
        """
        newest, last = max(self._handed, (generation, 0))
        if generation < newest:
            return
        numbers = [number for number in self._numbers() if number > last]
        if not numbers:
            answer(PieceRead(generation, 0, 0), b"")
        for position, number in enumerate(numbers):
            record = self._find(layout.piece(self._job, number))
            body = b"" if record is None else self._read(record)
            answer(PieceRead(generation, number, len(numbers) - position - 1), body)
            self._handed = (generation, number)
        self._handed = (generation, 0)
        self._unreachable_s = None

    def _read(self, record: layout.CheckpointRecord) -> bytes:
        try:
            return self._node.home.get(record.blob, record.nodes)[ATTEMPT_BYTES:]
        except (Unavailable, Corrupt) as error:
            now = time.monotonic()
            self._unreachable_s = self._unreachable_s or now
            if now - self._unreachable_s < RESTORE_S_MAX:
                raise Unavailable(f"piece {record.round} of the results cannot be had: {error}") from error
            log.warning("job %s: piece %d of its results is lost: its tasks run again", self._job, record.round)
            return b""

    def clear(self) -> None:
        """Delete all pieces if the job is over; no more are written then."""
        state = self._node.session.find(layout.job_state(self._job), layout.JobState)
        if state is None or not state[0].phase.is_final:
            return
        with self._writing:
            self._is_over = True
            for number in self._numbers():
                path = layout.piece(self._job, number)
                record = self._find(path)
                self._node.session.delete(path)
                if record is not None:
                    self._node.home.drop(record.blob, record.nodes)
