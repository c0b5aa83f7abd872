"""One job on one node: keeps the assigned number of workers, tells them of generations, and commits what the root hands over.

Level-triggered: :meth:`JobAgent.look` only says "look again". A thread of its own, so that a slow fetch for one job delays no
other. What workers say is handled in the order in which it came; of rounds and checkpoints only the latest counts, and what
could not be reached is done again until it can.
"""

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from muskox.coordination import Check, Create, Refused, layout, parse_runs
from muskox.errors import Corrupt, Unavailable
from muskox.program import RoundReport
from muskox.runtime.commits import JobCommits
from muskox.runtime.deaths import Deaths
from muskox.runtime.messages import (
    Adjusting,
    Broken,
    Brought,
    Checkpointed,
    Failed,
    Finished,
    Formed,
    FromWorker,
    Lacking,
    Leave,
    Left,
    Listening,
    Member,
    Paced,
    Restore,
    Settings,
    Setup,
    Suspected,
    Told,
    Unfit,
    Wanted,
)
from muskox.runtime.node_context import NodeContext, Usage
from muskox.runtime.planning.places import demand
from muskox.runtime.pool import WorkerProcess
from muskox.runtime.shard_files import ShardFiles
from muskox.runtime.staffed import Staffed
from muskox.runtime.steering import Steering
from muskox.runtime.steps import Steps
from muskox.runtime.tasks.messages import Piece, PiecesWanted
from muskox.runtime.tasks.pieces import TaskPieces
from muskox.store import Dataset

log = logging.getLogger(__name__)

RESTORE_S_MAX = 60.0  # how long a checkpoint that cannot be had is waited for before a job begins anew
PART_S_MAX = 5.0  # for the root of a job that goes on elsewhere to hand over its state, and for that to be kept


@dataclass(frozen=True, slots=True)
class Assignment:
    """The job as its agent needs to know it, read once."""

    record: layout.JobRecord
    program: bytes
    dataset: Dataset
    files: ShardFiles


class JobAgent(threading.Thread):
    """See the head of this file."""

    def __init__(self, node: NodeContext, job_id: str, open_dataset: Callable[[str], Dataset]) -> None:
        super().__init__(name=f"job {job_id}", daemon=True)
        self._node = node
        self._job = job_id
        self._open_dataset = open_dataset
        self._wanted = 0
        self._commits = JobCommits(node, job_id)
        self._steps = Steps(job_id, self._reconcile, lambda reason: self._commits.fail(0, reason))
        self._is_looking = threading.Event()
        self._workers: dict[str, Staffed] = {}
        self._deaths = Deaths()
        self._parting: tuple[str, float] | None = None  # the root that is asked for its state, and until when
        self._assignment: Assignment | None = None
        self._latest = threading.Lock()  # over the two below: workers' threads put, ours takes
        self._told: Told | None = None
        self._told_s = -math.inf  # when one was last written
        self._checkpoint: tuple[Checkpointed, bytes] | None = None
        self._pieces = TaskPieces(node, job_id)
        self._steering = Steering(node, job_id)
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
            self._steps.put(self._reconcile)

    def run(self) -> None:
        self._node.progress.open(self._job)
        while not self._is_over:
            self._steps.do_next()
        self._node.progress.close(self._job)

    # -- what should be --

    def _reconcile(self) -> None:
        self._is_looking.clear()
        wanted = self._wanted  # once: it may become 0 meanwhile, and a root is not ended without a word
        if wanted == 0:
            self._part()
            return
        if self._assignment is None:
            self._assignment = self._read_assignment()
        self._tell_generation(self._assignment)  # first: everybody else waits for that
        self._put_out_suspects()
        while len(self._workers) < wanted and not self._deaths.is_pause and self._start_worker(self._assignment):
            continue
        self._end_workers(list(self._workers)[wanted:])  # the youngest, as the coordinator takes it
        for name, staffed in self._workers.items():
            if staffed.record is not None:
                self._register(name, staffed.record)
            staffed.warn_of_memory(self._assignment.record.memory_bytes)
            self._look_in(staffed.end_if_stopped(self._node.config()["silence_s"]))

    def _part(self) -> None:
        """End our workers. If one is the root of a job that goes on elsewhere, the state that it holds is kept before."""
        now = time.monotonic()
        if self._parting is None:
            root = self._find_root()
            self._parting = (root, now + PART_S_MAX)
            if root:
                self._workers[root].process.send(Leave())
                self._look_in(PART_S_MAX)
        root, until_s = self._parting
        if root not in self._workers or now >= until_s:
            self._end_workers(list(self._workers))
            self._pieces.clear()
            self._is_over = True

    def _find_root(self) -> str:
        """Return our worker that is the root of the present generation of a job that is not over, or ""."""
        session = self._node.session
        state = session.find(layout.job_state(self._job), layout.JobState)
        found = session.find(layout.generation(self._job), layout.GenerationRecord)
        if state is None or state[0].phase.is_final or found is None or not found[0].members:
            return ""
        root = found[0].members[0].worker
        return root if root in self._workers else ""

    def _end_workers(self, names: list[str]) -> None:
        for name in names:
            self._dismissed(name).process.stop()
        for name in names:
            self._node.session.delete(layout.worker(self._job, name))

    def _read_assignment(self) -> Assignment:
        record, _ = self._node.session.get(layout.job(self._job), layout.JobRecord, f"job {self._job}")
        program = self._node.home.get(record.program, record.program_nodes)
        dataset = self._open_dataset(record.dataset)
        return Assignment(record, program, dataset, ShardFiles(self._node, dataset, record.columns))

    def _put_out_suspects(self) -> None:
        for name in self._node.session.children(layout.suspects(self._job), self.look):
            if name in self._workers:
                self._look_in(self._deaths.count())
                self._node.figures.count("deaths")
                self._dismissed(name).process.kill()
                self._node.session.delete(layout.worker(self._job, name))

    def _start_worker(self, assignment: Assignment) -> bool:
        """Start one more worker; return whether there was room for it. If not, we are told to look when there may be."""
        name = f"{self._node.name}.{self._node.incarnation[:6]}.{next(self._node.starts)}"
        gpus = self._node.room.take(name, demand(assignment.record), self.look)
        if gpus is None:
            return False
        try:
            process = WorkerProcess(self._node.forkserver, name, self._on_message, self._on_gone)
        except OSError as error:
            self._node.room.give_back(name)
            raise Unavailable(f"no worker can be started on node {self._node.name}: {error}") from error
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
            audit=assignment.record.audit,
            gpus=gpus,
            memory_bytes=assignment.record.memory_bytes,
        )
        process.send(setup, assignment.program)
        process.send(self._settings())
        return True

    def _settings(self) -> Settings:
        config = self._node.config()
        return Settings(config["silence_s"], config["checkpoint_interval_s"])

    def configure(self) -> None:
        """Hand changed live settings to the workers."""
        self._steps.put(self._send_settings)

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
        changes = self._steering.recorded(assignment.record)  # after the generation was read: those of all before it
        is_news = False
        for member in generation.members:
            staffed = self._workers.get(member.worker)
            if staffed is not None and staffed.generation < generation.number:
                files, staffed.held = assignment.files.bring(parse_runs(member.shards), staffed.held)
                staffed.process.send(Formed(generation.number, members, files, changes))
                staffed.generation = generation.number
                is_news = True
        if is_news:
            self._node.figures.count("generations")
        root = self._workers.get(generation.members[0].worker) if generation.members else None
        wishes = None if root is None else self._steering.news(generation.number, self.look)
        if root is not None and wishes is not None:
            root.process.send(wishes)

    def _dismissed(self, name: str) -> Staffed:
        """Take a worker from the staff: its files in the cache may go."""
        staffed = self._workers.pop(name)
        staffed.held.close()
        staffed.lent.close()
        return staffed

    # -- what workers say; called on their reading threads --

    def _on_message(self, worker: WorkerProcess, message: FromWorker, body: bytes) -> None:
        """Of rounds and checkpoints only the latest counts, so that a ZooKeeper that is away makes no queue grow."""
        match message:
            case Told():
                report = RoundReport(message.round, message.metrics, message.generation, message.phases)
                rows = (
                    self._known().dataset.info.record.rows if "rows_per_s" in message.phases else 0
                )  # tasks read what they need
                self._node.figures.round_told(message.phases, rows)
                self._node.progress.add(self._job, report)  # at once: who follows a job must not wait for ZooKeeper
                with self._latest:
                    is_first, self._told = self._told is None, message
                if is_first:
                    self._steps.put(self._write_progress)
            case Checkpointed():
                with self._latest:
                    is_first, self._checkpoint = self._checkpoint is None, (message, body)
                if is_first:
                    self._steps.put(self._keep_checkpoint)
            case _:
                self._steps.put(lambda: self._hear(worker, message, body))

    def _on_gone(self, worker: WorkerProcess) -> None:
        self._node.room.give_back(worker.name)
        self._steps.put(lambda: self._bury(worker))

    def _bury(self, worker: WorkerProcess) -> None:
        """A worker ended unasked: say so, and start another."""
        if worker.name not in self._workers:
            return
        self._dismissed(worker.name)
        self._node.figures.count("deaths")
        self._look_in(self._deaths.count())
        self._steps.put(self._reconcile)
        self._suspect(0, worker.name, "its process ended")
        self._node.session.delete(layout.worker(self._job, worker.name))

    def _look_in(self, seconds: float) -> None:
        """Look once more after so long."""
        if seconds:
            timer = threading.Timer(seconds, self.look)
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

    def _hear(self, worker: WorkerProcess, message: FromWorker, body: bytes) -> None:  # noqa: PLR0912  # one case a message
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
                files, staffed.lent = self._known().files.bring(shards, staffed.lent)
                worker.send(Brought(files))
            case Paced(generation, seconds):
                self._commits.tell_pace(generation, seconds)
            case Piece():
                self._pieces.keep(message, body, worker.send, is_last=self._wanted == 0)
            case PiecesWanted(generation):
                self._pieces.read(generation, worker.send)
            case Suspected(generation, name, reason) if self._wanted:  # else it sees the others end, as we do
                self._suspect(generation, name, reason)
            case Suspected():
                return
            case Left():
                self._parting = ("", 0.0)
                self._steps.put(self._reconcile)
            case Adjusting() | Unfit():
                self._steering.hear(message, worker.send)
                self.look()  # wishes that were left out may stand still
            case Broken(shard, reason):
                self._known().files.doubt(shard, reason)
                worker.end()
            case Finished():
                self._commits.finish(self._known().record, self._known().program, message, body)
            case Failed(generation, reason):
                self._commits.fail(generation, reason)
            case Told() | Checkpointed():
                raise AssertionError("handled where it arrives")

    def _keep_checkpoint(self) -> None:
        with self._latest:
            kept, self._checkpoint = self._checkpoint, None
        if kept is not None:
            self._commits.keep_checkpoint(*kept, is_last=self._wanted == 0)

    def _known(self) -> Assignment:
        assert self._assignment is not None, "a worker of ours speaks, so it was read"
        return self._assignment

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
            self._commits.forget_checkpoint(generation, found[1])
            self._unreachable_s = None
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
