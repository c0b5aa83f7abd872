"""One job on one node: keeps the assigned number of workers, tells them of generations, and commits what the root hands over.

Level-triggered: :meth:`JobAgent.look` only says "look again". A thread of its own, so that a slow fetch for one job delays no
other. What workers report is handled in the order in which it came.
"""

import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from muskox.coordination import Check, Config, Create, Operation, Refused, Session, Set, layout, live_members
from muskox.errors import CallerError, Corrupt, MuskoxError, Unavailable
from muskox.program import Manifest, RoundReport
from muskox.records import unpack
from muskox.runtime.messages import (
    Checkpointed,
    Failed,
    Finished,
    Formed,
    FromWorker,
    Listening,
    Member,
    Restore,
    Settings,
    Setup,
    Suspected,
    Told,
    Wanted,
)
from muskox.runtime.pool import WorkerProcess
from muskox.runtime.progress import ProgressLog
from muskox.runtime.replicas import put_replicated
from muskox.store import BlobStore, ShardEntry, StoreClient

log = logging.getLogger(__name__)

RETRY_S = 0.3  # after something was unavailable
RESYNC_S = 10.0  # between looks when no watch fires


@dataclass(frozen=True, slots=True)
class NodeContext:
    """What the jobs of a node share."""

    name: str
    incarnation: str
    host: str
    tls: list[str]
    collective_key: bytes
    session: Session
    client: StoreClient
    blobs: BlobStore
    cache: BlobStore
    forkserver: ForkServerContext
    progress: ProgressLog
    config: Callable[[], Config]


@dataclass(frozen=True, slots=True)
class Assignment:
    """The job as its agent needs to know it, read once."""

    record: layout.JobRecord
    program: bytes
    manifest: Manifest
    shards: Sequence[ShardEntry]


@dataclass(slots=True)
class Staffed:
    """A worker of ours, and the last generation that it was told of."""

    process: WorkerProcess
    generation: int = 0
    record: layout.WorkerRecord | None = None


@dataclass(slots=True)
class Progress:
    """What is to be written to ZooKeeper about the last told round, and when it was last written."""

    told: Told | None = None
    written_s: float = field(default=-1e9)


class JobAgent(threading.Thread):
    """See the head of this file."""

    def __init__(
        self, node: NodeContext, job_id: str, describe: Callable[[str], tuple[Manifest, Sequence[ShardEntry]]]
    ) -> None:
        super().__init__(name=f"job {job_id}", daemon=True)
        self._node = node
        self._job = job_id
        self._describe = describe
        self._wanted = 0
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._is_looking = threading.Event()
        self._workers: dict[str, Staffed] = {}
        self._starts = 0
        self._assignment: Assignment | None = None
        self._progress = Progress()
        self._keeping: Future[None] | None = None
        self._background = ThreadPoolExecutor(1, f"checkpoints of {job_id}")
        self._is_over = False

    def want(self, workers: int) -> None:
        """Keep so many workers from now on; 0 ends the agent."""
        self._wanted = workers
        self.look()

    def look(self, _: Any = None) -> None:
        if not self._is_looking.is_set():
            self._is_looking.set()
            self._events.put(self._reconcile)

    def run(self) -> None:
        wait_s = RESYNC_S
        while not self._is_over:
            try:
                event = self._events.get(timeout=wait_s)
            except queue.Empty:
                event = self._reconcile
            wait_s = RESYNC_S
            try:
                event()
            except (Unavailable, Refused, Corrupt) as error:
                log.warning("job %s: %s", self._job, error)
                wait_s = RETRY_S
            except CallerError as error:
                self._fail(0, str(error))
            except Exception:  # bulkhead: one job's trouble is not the node's
                log.exception("job %s", self._job)
                wait_s = RESYNC_S
        self._background.shutdown(wait=False)
        self._node.progress.close(self._job)

    # -- what should be --

    def _reconcile(self) -> None:
        self._is_looking.clear()
        if self._wanted == 0:
            for staffed in self._workers.values():
                staffed.process.stop()
            self._is_over = True
            return
        if self._assignment is None:
            self._assignment = self._read_assignment()
        self._put_out_suspects()
        while len(self._workers) < self._wanted:
            self._start_worker(self._assignment)
        for name in sorted(self._workers)[self._wanted :]:
            self._workers.pop(name).process.stop()
            self._node.session.delete(layout.worker(self._job, name))
        for name, staffed in self._workers.items():
            if staffed.record is not None:
                self._register(name, staffed.record)
        self._tell_generation(self._assignment)

    def _read_assignment(self) -> Assignment:
        record, _ = self._node.session.get(layout.job(self._job), layout.JobRecord, f"job {self._job}")
        manifest, shards = self._describe(record.dataset)
        program = self._node.client.get_blob(self._addresses(record.program_nodes), record.program)
        return Assignment(record, program, manifest, shards)

    def _addresses(self, nodes: list[str]) -> list[str]:
        members = live_members(self._node.session)
        return [members[name].address for name in nodes if name in members]

    def _put_out_suspects(self) -> None:
        for name in self._node.session.children(layout.suspects(self._job), self.look):
            if name in self._workers:
                self._workers.pop(name).process.kill()
                self._node.session.delete(layout.worker(self._job, name))

    def _start_worker(self, assignment: Assignment) -> None:
        self._starts += 1
        name = f"{self._node.name}.{self._node.incarnation[:6]}.{self._starts}"
        process = WorkerProcess(self._node.forkserver, name, self._on_message, self._on_gone)
        self._workers[name] = Staffed(process)
        setup = Setup(
            job=self._job,
            worker=name,
            host=self._node.host,
            key=self._node.collective_key.hex(),
            columns=dict(assignment.manifest.columns),
            shard_rows=list(assignment.manifest.shard_rows),
            rounds_max=assignment.record.rounds_max,
            tls=self._node.tls,
        )
        process.send(setup, assignment.program)
        process.send(self._settings())

    def _settings(self) -> Settings:
        config = self._node.config()
        return Settings(config["silence_s"], config["checkpoint_interval_s"])

    def configure(self) -> None:
        """Hand changed live settings to the workers."""
        self._events.put(self._send_settings)

    def _send_settings(self) -> None:
        for staffed in self._workers.values():
            staffed.process.send(self._settings())

    def _register(self, name: str, record: layout.WorkerRecord) -> None:
        path = layout.worker(self._job, name)
        while self._node.session.create(path, record, ephemeral=True) is None:
            if self._node.session.owner(path) == self._node.session.id:
                return
            self._node.session.delete(path)  # of our own session before this one

    def _tell_generation(self, assignment: Assignment) -> None:
        found = self._node.session.find(layout.generation(self._job), layout.GenerationRecord, self.look)
        if found is None:
            return
        generation = found[0]
        members = [Member(member.worker, member.address, member.shards) for member in generation.members]
        for member in generation.members:
            staffed = self._workers.get(member.worker)
            if staffed is not None and staffed.generation < generation.number:
                files = {index: str(self._file(assignment, index)) for index in layout.parse_runs(member.shards)}
                staffed.process.send(Formed(generation.number, members, files))
                staffed.generation = generation.number

    def _file(self, assignment: Assignment, index: int) -> Path:
        """Return the local file of a shard, fetched from a node that has it if we have not."""
        shard = assignment.shards[index]
        for store in (self._node.blobs, self._node.cache):
            if store.has(shard.file_digest):
                return store.path(shard.file_digest)
        self._node.client.fetch_blob(self._addresses(list(shard.nodes)), shard.file_digest, self._node.cache)
        return self._node.cache.path(shard.file_digest)

    # -- what workers say; called on their reading threads --

    def _on_message(self, worker: WorkerProcess, message: FromWorker, body: bytes) -> None:
        if isinstance(message, Told):  # at once: who follows a job must not wait for ZooKeeper
            report = RoundReport(message.round, message.metrics, message.generation)
            self._node.progress.add(self._job, report)
        self._events.put(lambda: self._hear(worker, message, body))

    def _on_gone(self, worker: WorkerProcess) -> None:
        self._events.put(lambda: self._bury(worker))

    def _bury(self, worker: WorkerProcess) -> None:
        """A worker ended unasked: say so, and start another."""
        if self._workers.pop(worker.name, None) is None:
            return
        self._suspect(worker.name, "its process ended")
        self._node.session.delete(layout.worker(self._job, worker.name))
        self._reconcile()

    def _suspect(self, worker: str, reason: str) -> None:
        state = self._node.session.find(layout.job_state(self._job), layout.JobState)
        if state is None or state[0].phase.is_final:
            return  # workers end when their job does
        log.info("job %s: %s reported: %s", self._job, worker, reason)
        self._node.session.create(
            layout.suspect(self._job, worker), layout.SuspectRecord(reporter=self._node.name, reason=reason)
        )

    def _hear(self, worker: WorkerProcess, message: FromWorker, body: bytes) -> None:
        match message:
            case Listening(address, pid):
                staffed = self._workers.get(worker.name)
                if staffed is not None:
                    staffed.record = layout.WorkerRecord(node=self._node.name, address=address, pid=pid)
                    self._register(worker.name, staffed.record)
            case Wanted():
                self._restore(worker)
            case Suspected(name, reason):
                self._suspect(name, reason)
            case Told():
                self._write_progress(message)
            case Checkpointed():
                if self._keeping is None or self._keeping.done():
                    self._keeping = self._background.submit(self._keep_checkpoint, message, body)
            case Finished():
                self._finish(message, body)
            case Failed(generation, reason):
                self._fail(generation, reason)

    def _restore(self, worker: WorkerProcess) -> None:
        found = self._node.session.find(layout.checkpoint(self._job), layout.CheckpointRecord)
        if found is None:
            worker.send(Restore(0, ""))
            return
        checkpoint = found[0]
        try:
            body = self._node.client.get_blob(self._addresses(checkpoint.nodes), checkpoint.blob)
        except (Unavailable, Corrupt) as error:
            log.warning("job %s: checkpoint %d cannot be had (%s): from the start", self._job, checkpoint.round, error)
            worker.send(Restore(0, ""))
        else:
            worker.send(Restore(checkpoint.round, checkpoint.digest), body)

    def _write_progress(self, told: Told) -> None:
        """Write the round to ZooKeeper unless one was written a moment ago."""
        now = time.monotonic()
        if now - self._progress.written_s < self._node.config()["progress_interval_s"]:
            return
        self._progress.written_s = now
        path = layout.progress(self._job)
        record = layout.ProgressRecord(round=told.round, generation=told.generation, metrics=told.metrics)
        if self._node.session.create(path, record) is None:
            self._node.session.set(path, record)

    # -- commits: one multi each, that checks the generation --

    def _replicate(self, data: bytes) -> tuple[str, list[str]]:
        return put_replicated(
            self._node.session, self._node.client, data, int(self._node.config()["replicas"]), first=self._node.name
        )

    def _keep_checkpoint(self, message: Checkpointed, body: bytes) -> None:
        path = layout.checkpoint(self._job)
        try:
            blob, nodes = self._replicate(body)
            record = layout.CheckpointRecord(round=message.round, digest=message.digest, blob=blob, nodes=nodes)
            exists = self._node.session.version(path) is not None
            write: Operation = Set(path, record) if exists else Create(path, record)
            check = Check(layout.generation(self._job), message.generation)
            self._node.session.commit([check, write], lambda: True)  # if lost, the next checkpoint replaces it
        except MuskoxError as error:
            log.warning("job %s: the checkpoint of round %d is skipped: %s", self._job, message.round, error)

    def _finish(self, message: Finished, body: bytes) -> None:
        """Keep the result on as many nodes as asked, then commit model and job in one step."""
        assert self._assignment is not None, "a worker finished"
        blob, nodes = self._replicate(body)
        record = self._assignment.record
        done = layout.JobState(
            phase=layout.JobPhase.DONE,
            attempt=uuid.uuid4().hex,
            rounds=message.rounds,
            result=message.digest,
            result_blob=blob,
            result_nodes=nodes,
            finished_ms=time.time_ns() // 1_000_000,
        )
        operations: list[Operation] = []
        if record.model:
            path, model = layout.model(record.model), self._model(done, unpack(body))
            exists = self._node.session.version(path) is not None
            operations.append(Set(path, model) if exists else Create(path, model))
        self._commit_final(message.generation, done, operations)

    def _model(self, done: layout.JobState, result: dict[str, Any]) -> layout.ModelRecord:
        assert self._assignment is not None, "a worker finished"
        record = self._assignment.record
        return layout.ModelRecord(
            digest=done.result,
            blob=done.result_blob,
            nodes=done.result_nodes,
            kind=str(result.get("kind", record.kind)),
            dataset=record.dataset,
            rounds=done.rounds,
            job=self._job,
            metrics={name: value for name, value in result.items() if isinstance(value, float)},
            lineage=record.lineage,
            created_ms=done.finished_ms,
        )

    def _fail(self, generation: int, reason: str) -> None:
        failed = layout.JobState(
            phase=layout.JobPhase.FAILED, reason=reason, attempt=uuid.uuid4().hex, finished_ms=time.time_ns() // 1_000_000
        )
        self._commit_final(generation, failed, [])

    def _commit_final(self, generation: int, state: layout.JobState, operations: list[Operation]) -> None:
        """Commit `state` unless the job is final already or the generation has passed: then its successor does it."""
        session, path = self._node.session, layout.job_state(self._job)

        def was_done() -> bool:
            found = session.find(path, layout.JobState)
            return found is not None and found[0].attempt == state.attempt

        found = session.find(path, layout.JobState)
        if found is None or found[0].phase.is_final:
            return
        checks: list[Operation] = [Check(layout.generation(self._job), generation)] if generation else []
        try:
            session.commit([*checks, Set(path, state, found[1]), *operations], was_done)
        except Refused as error:
            log.info("job %s: %s", self._job, error)
            if session.version(layout.generation(self._job)) == generation:
                self._events.put(lambda: self._commit_final(generation, state, operations))
