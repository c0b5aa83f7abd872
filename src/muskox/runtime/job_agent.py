"""One job on one node: keeps the assigned number of workers, tells them of generations, and commits what the root hands over.

Level-triggered: :meth:`JobAgent.look` only says "look again". A thread of its own, so that a slow fetch for one job delays no
other. What workers say is handled in the order in which it came; of rounds and checkpoints only the latest counts, and what
could not be reached is done again until it can.
"""

import contextlib
import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muskox.coordination import Check, Create, Refused, layout, parse_runs
from muskox.errors import CallerError, Corrupt, Unavailable
from muskox.program import RoundReport
from muskox.runtime.commits import JobCommits
from muskox.runtime.messages import (
    Broken,
    Brought,
    Checkpointed,
    Failed,
    Finished,
    Formed,
    FromWorker,
    Lacking,
    Listening,
    Member,
    Restore,
    Settings,
    Setup,
    Suspected,
    Told,
    Wanted,
)
from muskox.runtime.node_context import NodeContext
from muskox.runtime.pool import WorkerProcess
from muskox.runtime.tasks.messages import Piece, PiecesWanted
from muskox.runtime.tasks.pieces import TaskPieces
from muskox.store import Dataset

log = logging.getLogger(__name__)

Step = Callable[[], None]

RESTORE_S_MAX = 60.0  # how long a checkpoint that cannot be had is waited for before a job begins anew
LATELY_S = 30.0
PAUSE_S = 0.1  # before a second worker in a row is replaced; doubled for each further one
PAUSE_S_MAX = 5.0
DEATHS_MAX = 100  # that are remembered
RETRY_S = 0.3  # after something was unavailable
RESYNC_S = 10.0  # between looks when no watch fires


@dataclass(frozen=True, slots=True)
class Assignment:
    """The job as its agent needs to know it, read once."""

    record: layout.JobRecord
    program: bytes
    dataset: Dataset


@dataclass(frozen=True, slots=True)
class Usage:
    workers: int = 0
    cores: float = 0.0
    memory_bytes: int = 0


@dataclass(slots=True)
class Staffed:
    """A worker of ours, and the last generation that it was told of; `held` are its files in the cache, which stay there."""

    process: WorkerProcess
    generation: int = 0
    record: layout.WorkerRecord | None = None
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)


class JobAgent(threading.Thread):
    """See the head of this file."""

    def __init__(self, node: NodeContext, job_id: str, open_dataset: Callable[[str], Dataset]) -> None:
        super().__init__(name=f"job {job_id}", daemon=True)
        self._node = node
        self._job = job_id
        self._open_dataset = open_dataset
        self._wanted = 0
        self._steps: queue.SimpleQueue[Step] = queue.SimpleQueue()
        self._again: deque[Step] = deque()  # bounded by what workers say once: results, suspicions, wants
        self._again_s = 0.0
        self._is_looking = threading.Event()
        self._workers: dict[str, Staffed] = {}
        self._deaths_s: deque[float] = deque(maxlen=DEATHS_MAX)  # when workers ended unasked
        self._pause_until_s = 0.0
        self._assignment: Assignment | None = None
        self._files: dict[int, list[Path]] = {}  # those of each shard that a worker was told of last
        self._latest = threading.Lock()  # over the two below: workers' threads put, ours takes
        self._told: Told | None = None
        self._told_s = -math.inf  # when one was last written
        self._checkpoint: tuple[Checkpointed, bytes] | None = None
        self._commits = JobCommits(node, job_id)
        self._pieces = TaskPieces(node, job_id)
        self._unreachable_s: float | None = None  # since when the last checkpoint cannot be had
        self._is_over = False

    def want(self, workers: int) -> None:
        """Keep so many workers from now on; 0 ends the agent."""
        self._wanted = workers
        self.look()

    @property
    def usage(self) -> Usage:
        """What the workers that it should keep take of this node; nothing while the job is not known yet."""
        assignment, workers = self._assignment, self._wanted
        if assignment is None:
            return Usage()
        return Usage(workers, workers * assignment.record.cores, workers * assignment.record.memory_bytes)

    def look(self, _: Any = None) -> None:
        if not self._is_looking.is_set():
            self._is_looking.set()
            self._put(self._reconcile)

    def run(self) -> None:
        self._node.progress.open(self._job)
        while not self._is_over:
            self._do(self._next())
        self._node.progress.close(self._job)

    def _next(self) -> Step:
        """Return what to do now: first what failed a moment ago, then what came, then a look when nothing came for long."""
        if self._again and time.monotonic() >= self._again_s:
            return self._again.popleft()
        try:
            return self._steps.get(timeout=RETRY_S if self._again else RESYNC_S)
        except queue.Empty:
            return self._again.popleft() if self._again else self._reconcile

    def _do(self, step: Step) -> None:
        """Do it; what could not be reached is done again later, for nobody else would."""
        try:
            step()
        except (Unavailable, Corrupt, Refused) as error:
            log.warning("job %s: %s; again in %g s", self._job, error, RETRY_S)
            step = self._reconcile if isinstance(error, Refused) else step  # what was refused has changed: look first
            if step not in self._again:
                self._again.append(step)
            self._again_s = time.monotonic() + RETRY_S
        except CallerError as error:
            reason = str(error)
            self._put(lambda: self._commits.fail(0, reason))
        except Exception:  # bulkhead: one job's trouble is not the node's
            log.exception("job %s", self._job)

    def _put(self, step: Step) -> None:
        self._steps.put(step)

    # -- what should be --

    def _reconcile(self) -> None:
        self._is_looking.clear()
        if self._wanted == 0:
            self._is_over = True
            names = list(self._workers)
            for name in names:
                self._dismissed(name).process.stop()
            for name in names:
                self._node.session.delete(layout.worker(self._job, name))
            return
        if self._assignment is None:
            self._assignment = self._read_assignment()
        self._put_out_suspects()
        while len(self._workers) < self._wanted and time.monotonic() >= self._pause_until_s:
            self._start_worker(self._assignment)
        for name in sorted(self._workers)[self._wanted :]:
            self._dismissed(name).process.stop()
            self._node.session.delete(layout.worker(self._job, name))
        for name, staffed in self._workers.items():
            if staffed.record is not None:
                self._register(name, staffed.record)
        self._tell_generation(self._assignment)

    def _read_assignment(self) -> Assignment:
        record, _ = self._node.session.get(layout.job(self._job), layout.JobRecord, f"job {self._job}")
        program = self._node.home.get(record.program, record.program_nodes)
        return Assignment(record, program, self._open_dataset(record.dataset))

    def _put_out_suspects(self) -> None:
        for name in self._node.session.children(layout.suspects(self._job), self.look):
            if name in self._workers:
                self._pause()
                self._node.figures.count("deaths")
                self._dismissed(name).process.kill()
                self._node.session.delete(layout.worker(self._job, name))

    def _start_worker(self, assignment: Assignment) -> None:
        name = f"{self._node.name}.{self._node.incarnation[:6]}.{next(self._node.starts)}"
        process = WorkerProcess(self._node.forkserver, name, self._on_message, self._on_gone)
        self._workers[name] = Staffed(process)
        setup = Setup(
            job=self._job,
            worker=name,
            host=self._node.host,
            key=self._node.collective_key.hex(),
            columns=dict(assignment.dataset.columns),
            shard_rows=[shard.rows for shard in assignment.dataset.shards],
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
        self._put(self._send_settings)

    def _send_settings(self) -> None:
        for staffed in self._workers.values():
            staffed.process.send(self._settings())

    def _register(self, name: str, record: layout.WorkerRecord) -> None:
        path = layout.worker(self._job, name)
        while self._node.session.create(path, record, ephemeral=True) is None:
            found = self._node.session.find(path, layout.WorkerRecord)
            if found is not None and found[0] == record and self._node.session.owner(path) == self._node.session.id:
                return
            self._node.session.delete(path)  # of our own session before this one

    def _tell_generation(self, assignment: Assignment) -> None:
        found = self._node.session.find(layout.generation(self._job), layout.GenerationRecord, self.look)
        if found is None:
            return
        generation = found[0]
        members = [Member(member.worker, member.address, member.shards) for member in generation.members]
        is_news = False
        for member in generation.members:
            staffed = self._workers.get(member.worker)
            if staffed is not None and staffed.generation < generation.number:
                with contextlib.ExitStack() as held:
                    files = {index: self._bring(assignment, index, held) for index in parse_runs(member.shards)}
                    staffed.process.send(Formed(generation.number, members, files))
                    before, staffed.held = staffed.held, held.pop_all()
                before.close()
                staffed.generation = generation.number
                is_news = True
        if is_news:
            self._node.figures.count("generations")

    def _bring(self, assignment: Assignment, index: int, held: contextlib.ExitStack) -> list[str]:
        """Return the local files of a shard that hold what the job looks at, fetched where we have them not."""
        paths = assignment.dataset.bring(index, assignment.record.columns, self._node.blobs, self._node.cache, held)
        self._files[index] = paths
        return [str(path) for path in paths]

    def _dismissed(self, name: str) -> Staffed:
        """Take a worker from the staff: its files in the cache may go."""
        staffed = self._workers.pop(name)
        staffed.held.close()
        return staffed

    # -- what workers say; called on their reading threads --

    def _on_message(self, worker: WorkerProcess, message: FromWorker, body: bytes) -> None:
        """Of rounds and checkpoints only the latest counts, so that a ZooKeeper that is away makes no queue grow."""
        match message:
            case Told():
                report = RoundReport(message.round, message.metrics, message.generation, message.phases)
                self._node.figures.round_told(message.phases, self._known().dataset.info.record.rows)
                self._node.progress.add(self._job, report)  # at once: who follows a job must not wait for ZooKeeper
                with self._latest:
                    is_first, self._told = self._told is None, message
                if is_first:
                    self._put(self._write_progress)
            case Checkpointed():
                with self._latest:
                    is_first, self._checkpoint = self._checkpoint is None, (message, body)
                if is_first:
                    self._put(self._keep_checkpoint)
            case _:
                self._put(lambda: self._hear(worker, message, body))

    def _on_gone(self, worker: WorkerProcess) -> None:
        self._put(lambda: self._bury(worker))

    def _bury(self, worker: WorkerProcess) -> None:
        """A worker ended unasked: say so, and start another."""
        if worker.name not in self._workers:
            return
        self._dismissed(worker.name)
        self._node.figures.count("deaths")
        self._pause()
        self._put(self._reconcile)
        self._suspect(0, worker.name, "its process ended")
        self._node.session.delete(layout.worker(self._job, worker.name))

    def _pause(self) -> None:
        """Before yet another worker starts, wait the longer the more of them ended lately; the first is replaced at once."""
        now = time.monotonic()
        self._deaths_s.append(now)
        lately = sum(now - death_s < LATELY_S for death_s in self._deaths_s)
        pause_s = min(PAUSE_S * 2 ** (lately - 2), PAUSE_S_MAX) if lately > 1 else 0.0
        if pause_s:
            self._pause_until_s = now + pause_s
            timer = threading.Timer(pause_s, self.look)
            timer.daemon = True
            timer.start()

    def _suspect(self, generation: int, worker: str, reason: str) -> None:
        """Have a worker put out. Who accuses a peer must belong to the present generation; 0 is our own worker's end."""
        state = self._node.session.find(layout.job_state(self._job), layout.JobState)
        if state is None or state[0].phase.is_final:
            return  # workers end when their job does
        log.info("job %s: %s reported: %s", self._job, worker, reason)
        path, record = layout.suspect(self._job, worker), layout.SuspectRecord(reporter=self._node.name, reason=reason)
        checks = [Check(layout.generation(self._job), generation)] if generation else []
        with contextlib.suppress(Refused):  # somebody said so already, or the generation has passed
            self._node.session.commit([*checks, Create(path, record)], lambda: self._node.session.version(path) is not None)

    def _hear(self, worker: WorkerProcess, message: FromWorker, body: bytes) -> None:
        staffed = self._workers.get(worker.name)
        if staffed is None:
            return  # put out: nothing it says counts
        match message:
            case Listening(address, pid):
                staffed.record = layout.WorkerRecord(node=self._node.name, address=address, pid=pid)
                self._register(worker.name, staffed.record)
            case Wanted(generation):
                self._restore(worker, generation)
            case Lacking(shards):
                files = {index: self._bring(self._known(), index, staffed.held) for index in shards}
                worker.send(Brought(files))
            case Piece():
                self._pieces.keep(message, body, worker.send)
            case PiecesWanted(generation):
                self._pieces.read(generation, worker.send)
            case Suspected(generation, name, reason):
                self._suspect(generation, name, reason)
            case Broken(shard, reason):
                self._discard(shard, reason)
                worker.end()
            case Finished():
                self._commits.finish(self._known().record, self._known().program, message, body)
                self._pieces.clear()
            case Failed(generation, reason):
                self._commits.fail(generation, reason)
            case Told() | Checkpointed():
                raise AssertionError("handled where it arrives")

    def _keep_checkpoint(self) -> None:
        with self._latest:
            kept, self._checkpoint = self._checkpoint, None
        if kept is not None:
            self._commits.keep_checkpoint(*kept)

    def _known(self) -> Assignment:
        assert self._assignment is not None, "a worker of ours speaks, so it was read"
        return self._assignment

    def _discard(self, shard: int, reason: str) -> None:
        """Have our copy of a shard looked at that is not what was written; the next worker gets it from another replica."""
        log.warning("job %s: shard %d is fetched anew: %s", self._job, shard, reason)
        for path in self._files.get(shard, ()):
            if path == self._node.blobs.path(path.name):
                self._node.doubt(path.name)
            else:
                self._node.cache.recheck(path.name)

    def _restore(self, worker: WorkerProcess, generation: int) -> None:
        """Hand the last checkpoint to a root whose generation holds no state."""
        found = self._node.session.find(layout.checkpoint(self._job), layout.CheckpointRecord)
        if found is None:
            worker.send(Restore(generation, 0, ""))
            return
        checkpoint = found[0]
        try:
            body = self._commits.read_checkpoint(checkpoint)
        except (Unavailable, Corrupt) as error:
            now = time.monotonic()
            self._unreachable_s = self._unreachable_s or now
            if now - self._unreachable_s < RESTORE_S_MAX:  # nodes come back at different times
                raise Unavailable(f"the checkpoint of round {checkpoint.round} cannot be had: {error}") from error
            log.warning("job %s: the checkpoint of round %d is lost: from the start", self._job, checkpoint.round)
            self._commits.lost = checkpoint.blob
            worker.send(Restore(generation, 0, ""))
        else:
            self._unreachable_s = None
            worker.send(Restore(generation, checkpoint.round, checkpoint.digest), body)

    def _write_progress(self) -> None:
        """Write the last round to ZooKeeper unless one was written a moment ago."""
        with self._latest:
            told, self._told = self._told, None
        now = time.monotonic()
        if told is None or now - self._told_s < self._node.config()["progress_interval_s"]:
            return
        self._told_s = now
        path = layout.progress(self._job)
        record = layout.ProgressRecord(round=told.round, generation=told.generation, metrics=told.metrics, phases=told.phases)
        if self._node.session.create(path, record) is None:
            self._node.session.set(path, record)
