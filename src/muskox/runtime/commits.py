"""What a node commits for a job: checkpoints, the result with its model, failures.

Each is one ZooKeeper multi that checks the generation, so that nothing of a worker that was put out passes; its blobs lie on as
many nodes as asked before any znode points at them, under a lease that the multi checks too: until it is committed nothing
names them, and a collection waits for leases. Equal results share their bytes, and go by collection alone. The checkpoints of a
job replace each other every few seconds: no two have the same bytes, so that the former one can go at once.
"""

import logging
import math
import threading
import time
import uuid
from collections.abc import Callable
from enum import Enum, auto

from muskox.coordination import Check, Create, Delete, Operation, Refused, Set, layout
from muskox.errors import MuskoxError, Unavailable
from muskox.program import Publishes, resolve
from muskox.records import Record, unpack
from muskox.runtime.lineage import model_record
from muskox.runtime.messages import Checkpointed, Finished
from muskox.runtime.node_context import NodeContext

log = logging.getLogger(__name__)

REASON_LENGTH_MAX = 10_000  # of a failure: a program may raise with all its data in the message
PACE_S = 10.0  # between two writes of how fast a job's workers are
ATTEMPT_BYTES = 16  # a UUID before the bytes of a checkpoint: no other blob is the same


class Fate(Enum):
    """What became of a final commit."""

    DONE = auto()
    TOO_LATE = auto()  # the job is final by another's hand, or the generation that speaks has passed


class JobCommits:
    """The commits of one job on one node."""

    def __init__(self, node: NodeContext, job_id: str) -> None:
        self._node = node
        self._job = job_id
        self._keeping: threading.Thread | None = None
        self._paced_s = -math.inf  # when a pace was last written

    def _replicate(self, data: bytes) -> tuple[str, list[str]]:
        return self._node.home.put(data, int(self._node.config()["replicas"]), first=self._node.name)

    def keep_checkpoint(self, message: Checkpointed, body: bytes, *, is_last: bool = False) -> None:
        """Keep a checkpoint on a thread of its own, one at a time: a round must not wait for a disk. The last: here and now."""
        if is_last:
            if self._keeping is not None:
                self._keeping.join()
            self._keep(message, body)
            return
        if self._keeping is None or not self._keeping.is_alive():
            self._keeping = threading.Thread(target=self._keep, args=(message, body), name="checkpoint", daemon=True)
            self._keeping.start()

    def _keep(self, message: Checkpointed, body: bytes) -> None:
        session, path = self._node.session, layout.checkpoint(self._job)

        def is_kept(blob: str) -> bool:
            found = session.find(path, layout.CheckpointRecord)
            return found is not None and found[0].blob == blob

        began = time.monotonic()
        try:
            before = session.find(path, layout.CheckpointRecord)
            state = session.find(layout.job_state(self._job), layout.JobState)
            if state is None or state[0].phase.is_final or (before is not None and before[0].round >= message.round):
                return  # it is over, or a later one stands
            with self._node.home.writing() as lease:
                blob, nodes = self._replicate(uuid.uuid4().bytes + body)
                record = layout.CheckpointRecord(round=message.round, digest=message.digest, blob=blob, nodes=nodes)
                write: Operation = Create(path, record) if before is None else Set(path, record, before[1])
                checks = [Check(layout.generation(self._job), message.generation), Check(layout.upload(lease), 0)]
                self._commit_of_unfinished([*checks, write], lambda: is_kept(blob))
            self._node.figures.checkpoint_kept(time.monotonic() - began, len(body))
            if before is not None:
                self._node.home.drop(before[0].blob, before[0].nodes)
        except MuskoxError as error:
            log.warning("job %s: the checkpoint of round %d is skipped: %s", self._job, message.round, error)
            self._node.figures.count("checkpoints_skipped")

    def _commit_of_unfinished(self, operations: list[Operation], was_done: Callable[[], bool]) -> None:
        """Commit unless the job is final: who ends a job has deleted its checkpoint already. One that waits now keeps it."""
        path = layout.job_state(self._job)
        while True:
            state, version = self._node.session.get(path, layout.JobState, f"state of job {self._job}")
            if state.phase.is_final:
                raise Refused(f"job {self._job} is {state.phase} already")
            try:
                return self._node.session.commit([Check(path, version), *operations], was_done)
            except Refused:
                if self._node.session.version(path) == version:
                    raise

    def forget_checkpoint(self, generation: int, version: int) -> None:
        """Forget a checkpoint that nobody has any more, so that earlier rounds count again; Refused if it is another by now."""
        path = layout.checkpoint(self._job)
        operations: list[Operation] = [Check(layout.generation(self._job), generation), Delete(path, version)]
        self._node.session.commit(operations, lambda: self._node.session.version(path) is None)

    def tell_pace(self, generation: int, seconds: dict[str, float]) -> None:
        """Write how fast the workers are, for the coordinator; at most every `PACE_S`, for what is persistent can wait."""
        now = time.monotonic()
        if now - self._paced_s < PACE_S:
            return
        path, record = layout.pace(self._job), layout.PaceRecord(generation=generation, seconds=seconds)
        exists = self._node.session.version(path) is not None
        write: Operation = Set(path, record) if exists else Create(path, record)
        self._node.session.commit([Check(layout.generation(self._job), generation), write], lambda: True)
        self._paced_s = now

    def read_checkpoint(self, checkpoint: layout.CheckpointRecord) -> bytes:
        """Return the state that was kept, packed; Unavailable or Corrupt if nobody can give it."""
        return self._node.home.get(checkpoint.blob, checkpoint.nodes)[ATTEMPT_BYTES:]

    def finish(self, record: layout.JobRecord, program: bytes, message: Finished, body: bytes) -> None:
        """Keep the result on as many nodes as asked, then commit model and job in one step."""
        with self._node.home.writing() as lease:
            if self._finish(record, unpack(program), message, body, lease) is Fate.TOO_LATE:
                return
        self._node.figures.count("results")
        self._publish(unpack(program), unpack(body))

    def _finish(self, record: layout.JobRecord, program: Record, message: Finished, body: bytes, lease: str) -> Fate:
        blob, nodes = self._replicate(body)
        done = layout.JobState(
            phase=layout.JobPhase.DONE,
            attempt=uuid.uuid4().hex,
            rounds=message.rounds,
            result=message.digest,
            result_blob=blob,
            result_nodes=nodes,
            finished_ms=time.time_ns() // 1_000_000,
        )
        operations: list[Operation] = [Check(layout.upload(lease), 0)]
        if record.model:
            session, path = self._node.session, layout.model(record.model)
            model = model_record(session, self._job, record, done, program, unpack(body))
            exists = session.version(path) is not None
            operations.append(Set(path, model) if exists else Create(path, model))
        return self._commit_final(message.generation, done, operations)

    def _publish(self, program: Record, result: Record) -> None:
        """Let one of our own programs show its committed result outside; a user's code is not run in the node."""
        if "code" in program:
            return
        built_in = resolve(program)
        if isinstance(built_in, Publishes):
            try:
                built_in.publish(result)
            except (MuskoxError, OSError) as error:
                log.warning("job %s: its result is committed, but not shown outside: %s", self._job, error)

    def fail(self, generation: int, reason: str) -> None:
        failed = layout.JobState(
            phase=layout.JobPhase.FAILED,
            reason=reason[:REASON_LENGTH_MAX],
            attempt=uuid.uuid4().hex,
            finished_ms=time.time_ns() // 1_000_000,
        )
        self._commit_final(generation, failed, [])

    def _commit_final(self, generation: int, state: layout.JobState, operations: list[Operation]) -> Fate:
        """Commit `state`, and the end of the checkpoint, unless the job is final already or the generation has passed: then its
        successor does it.

        Raises
        ------
        Unavailable
            If the job or the model was changed, or the lease lost, meanwhile: to be tried again, from what there is then.
        """
        session, path = self._node.session, layout.job_state(self._job)

        def was_done() -> bool:
            found = session.find(path, layout.JobState)
            return found is not None and found[0].attempt == state.attempt

        found = session.find(path, layout.JobState)
        if found is None:
            return Fate.TOO_LATE
        if found[0].phase.is_final:  # ours, if this is a second try after an error behind the commit
            return Fate.DONE if state.result and found[0].result == state.result else Fate.TOO_LATE
        checks: list[Operation] = [Check(layout.generation(self._job), generation)] if generation else []
        kept = session.find(layout.checkpoint(self._job), layout.CheckpointRecord)
        gone = [] if kept is None else [Delete(layout.checkpoint(self._job), kept[1])]
        try:
            session.commit([*checks, Set(path, state, found[1]), *gone, *operations], was_done)
        except Refused as error:
            if generation and session.version(layout.generation(self._job)) != generation:
                log.info("job %s: generation %d has passed: %s", self._job, generation, error)
                return Fate.TOO_LATE
            raise Unavailable(f"not committed, for the job, its model or its lease changed meanwhile: {error}") from error
        if kept is not None:
            self._node.home.drop(kept[0].blob, kept[0].nodes)
        return Fate.DONE
