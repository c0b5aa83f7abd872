"""The coordinator: the elected node's loop that sees, plans and has its orders committed under its fence.

Every node runs this thread; it acts only while its candidacy leads, and decides nothing while its session is suspended. All
state is in ZooKeeper, so a new coordinator needs nothing from the one before it.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from muskox.coordination import Candidacy, Candidate, Check, Create, Delete, Mirror, Operation, Refused, Session, Set, layout
from muskox.errors import CallerError, Corrupt, MuskoxError, Unavailable
from muskox.runtime.course import with_course
from muskox.runtime.planning.picture import Abort, Assign, Explain, Form, JobView, Order, Picture, Replicas
from muskox.runtime.planning.plan import plan
from muskox.runtime.pulse import Pulse

log = logging.getLogger(__name__)

RESYNC_S = 10.0  # between looks when no watch fires: nothing depends on it but our own bugs
PATIENCE_S = 1.5  # newcomers wait so long for each other
PATIENCE_S_MAX = 24.0  # for those who find a job that was broken up for newcomers again and again: doubled each time
CALM_S = 60.0  # without that, and newcomers are welcome again
REST_S = 3.0  # a job that made room begins again only after so long, so that urgent little ones do not make it go to and fro
RETRY_S = 0.3  # after an error
REPLICAS_S = 60.0  # how long it is taken as known where the shards lie

FindReplicas = Callable[[str], Sequence[Sequence[str]]]


@dataclass(slots=True)
class Memory:
    """What this coordinator remembers of a job, and a new one need not know: since when it is as it is.

    generation, since_s : the present one, and when we first saw it
    joins, joined_s : how often of late it was broken up for newcomers alone, and when last
    suspended_s : when we had it make room
    round, suspects : the round last told of, and who was reported by then
    """

    generation: int
    since_s: float
    joins: int = 0
    joined_s: float = 0.0
    suspended_s: float | None = None
    round: int = -1
    suspects: frozenset[str] = frozenset()

    def patient_until_s(self) -> float:
        return self.since_s + PATIENCE_S

    def weary_until_s(self) -> float:
        """Return until when newcomers wait who find a generation that has just been formed for others."""
        return self.since_s + min(PATIENCE_S * 2**self.joins, PATIENCE_S_MAX) if self.joins else 0.0

    def resting_until_s(self) -> float:
        return 0.0 if self.suspended_s is None else self.suspended_s + REST_S


class Coordinator(threading.Thread):
    """See the head of this file. `replicas`: which nodes hold each shard of "name@version"; `on_lead` hears of a new fence."""

    def __init__(
        self, session: Session, candidacy: Candidacy, replicas: FindReplicas, on_lead: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(name="coordinator", daemon=True)
        self._session = session
        self._candidacy = candidacy
        self._replicas = replicas
        self._on_lead = on_lead
        self._pulse = Pulse(self._bury)
        self._changed = threading.Event()
        self._mirror = Mirror(session, self._changed.set)
        self._known_replicas: dict[str, tuple[float, Replicas]] = {}
        self._final: set[str] = set()
        self._memory: dict[str, Memory] = {}
        self.fence: int | None = None  # while we lead
        self.waiting = 0  # jobs that wait, as seen last

    def look(self, _: Any = None) -> None:
        """Look again: a watch fired, or the connection changed."""
        self._changed.set()

    def end(self) -> None:
        """Feel nobody's pulse any more: a store that is asked to stop waits until the last one has hung up."""
        self._pulse.end()

    def run(self) -> None:
        self._pulse.start()
        wait_s = 0.0
        while True:
            self._changed.wait(wait_s)
            self._changed.clear()
            try:
                wait_s = self._act() if self._session.is_connected else RESYNC_S
            except MuskoxError as error:
                log.warning("coordinator: %s", error)
                wait_s = RETRY_S
            except Exception:  # bulkhead: one job's broken record must not leave the cluster without a coordinator
                log.exception("coordinator")
                wait_s = RESYNC_S

    def _act(self) -> float:
        """See, plan, order; return how long to wait if nothing changes."""
        before, fence = self.fence, self._candidacy.look(self.look)
        self.fence = fence
        self._pulse.feel(self._candidacy.before)
        if fence != before:
            self._mirror.clear()
            self._memory.clear()
            self._on_lead()
        if fence is None:
            self.waiting = 0
            if self._candidacy.is_next:
                self._learn_final()
            return RESYNC_S
        picture = self._see(fence)
        self.waiting = sum(job.state.phase is layout.JobPhase.WAITING for job in picture.jobs)
        orders = plan(picture)
        was_refused = False
        for order in orders:
            log.info("coordinator %d: %s", fence, order)
            try:
                self._perform(order, fence)
            except (Refused, CallerError, Corrupt) as error:  # what it was about has changed, or one job's record is no good
                log.info("coordinator %d: %s", fence, error)
                was_refused = True
        if was_refused or picture.unseen:
            return RETRY_S
        return 0.0 if orders else self._until_time_tells()

    def _bury(self, dead: Candidate) -> None:
        """Do not wait for the end of a dead node's session."""
        if self._candidacy.bury(dead):
            log.info("node %s has died: it is taken out of the line before its session ends", dead.node)
        self.look()

    def _learn_final(self) -> None:
        """Know which jobs are over before we lead: there may be thousands, and who takes over must not read them all first."""
        for job_id in self._session.children(layout.JOBS):
            if job_id not in self._final:
                state = self._session.find(layout.job_state(job_id), layout.JobState)
                if state is not None and state[0].phase.is_final:
                    self._final.add(job_id)

    def _until_time_tells(self) -> float:
        """Return how long until the mere passing of time changes what is to be done."""
        now = time.monotonic()
        ends = [
            end
            for known in self._memory.values()
            for end in (known.patient_until_s(), known.weary_until_s(), known.resting_until_s())
            if end > now
        ]
        return min(min(ends, default=now + RESYNC_S) - now + 0.001, RESYNC_S)

    # -- seeing --

    def _see(self, fence: int) -> Picture:
        members, assignments = {}, {}
        for name in self._mirror.children(layout.MEMBERS):
            member = self._mirror.find(layout.member(name), layout.MemberRecord)
            if member is not None:
                members[name] = member
        for node in self._mirror.children(layout.ASSIGNMENTS):
            assignment = self._mirror.find(layout.assignment(node), layout.AssignmentRecord)
            assignments[node] = {} if assignment is None else assignment.jobs
        jobs: list[JobView] = []
        unseen: dict[str, layout.JobRecord | None] = {}
        self._final.intersection_update(self._mirror.children(layout.JOBS))
        for job_id in self._mirror.children(layout.JOBS):
            if job_id in self._final:
                continue
            try:
                view = self._see_job(job_id, fence)
            except CallerError as error:  # its dataset is gone, say: it can never run
                self._give_up(job_id, str(error), fence)
                unseen[job_id] = self._record_of(job_id)
            except (Unavailable, Corrupt, Refused) as error:  # one job's trouble must not stop the others
                log.warning("job %s cannot be seen: %s", job_id, error)
                unseen[job_id] = self._record_of(job_id)
            else:
                if view is None:
                    self._final.add(job_id)
                    self._memory.pop(job_id, None)
                    self._mirror.forget(layout.job(job_id))
                else:
                    jobs.append(view)
        return Picture(members, assignments, jobs, unseen, self._mirror.children(layout.DRAINS))

    def _record_of(self, job_id: str) -> layout.JobRecord | None:
        """Return what an unseen job asks for, if that much can be read."""
        with contextlib.suppress(MuskoxError):
            return self._mirror.find(layout.job(job_id), layout.JobRecord)
        return None

    def _give_up(self, job_id: str, reason: str, fence: int) -> None:
        try:
            self._perform(Abort(job_id, reason), fence)
        except CallerError as error:
            log.warning("job %s can neither be seen nor given up: %s", job_id, error)

    def _see_job(self, job_id: str, fence: int) -> JobView | None:
        """Return the job as it stands, admitted first if it is new; None if it is final or gone."""
        mirror = self._mirror
        state = mirror.find(layout.job_state(job_id), layout.JobState)
        if state is not None and state.phase.is_final:
            return None
        record = mirror.find(layout.job(job_id), layout.JobRecord)
        if record is None:
            return None
        if state is None:
            self._admit(job_id, fence)
            return self._see_job(job_id, fence)
        generation = mirror.find(layout.generation(job_id), layout.GenerationRecord) or layout.GenerationRecord(number=0)
        workers = {}
        for name in mirror.children(layout.workers(job_id)):
            worker = mirror.find(layout.worker(job_id, name), layout.WorkerRecord)
            if worker is not None:
                workers[name] = worker
        suspects = mirror.children(layout.suspects(job_id))
        pace = mirror.find(layout.pace(job_id), layout.PaceRecord)
        now, known = time.monotonic(), self._known(job_id, generation)
        return JobView(
            id=job_id,
            record=record,
            state=state,
            replicas=self._replicas_of(record.dataset),
            generation=generation,
            workers=workers,
            suspects=suspects,
            fruitless=self._fruitless(job_id, suspects, known),
            pace={} if pace is None else pace.seconds,
            is_patient=now < known.patient_until_s(),
            is_weary=now < known.weary_until_s(),
            is_resting=now < known.resting_until_s(),
        )

    def _replicas_of(self, dataset: str) -> Replicas:
        """Return which nodes hold each shard, as known of late: it changes when replicas are repaired or moved."""
        known = self._known_replicas.get(dataset)
        now = time.monotonic()
        if known is None or now - known[0] > REPLICAS_S:
            self._known_replicas[dataset] = known = (now, Replicas.count(self._replicas(dataset)))
        return known[1]

    def _known(self, job_id: str, generation: layout.GenerationRecord) -> Memory:
        """Return what we remember of a job, with the time at which its generation was first seen."""
        now = time.monotonic()
        known = self._memory.get(job_id)
        if known is None:
            known = self._memory[job_id] = Memory(generation.number, now)
        elif known.generation != generation.number:
            known.generation, known.since_s = generation.number, now
        if now - known.joined_s > CALM_S:
            known.joins = 0
        return known

    def _fruitless(self, job_id: str, suspects: Sequence[str], known: Memory) -> list[str]:
        """Return those of `suspects` that came since a new round was last told of; a new coordinator forgives all before it."""
        if known.suspects.issuperset(suspects):
            return []
        progress = self._session.find(layout.progress(job_id), layout.ProgressRecord)
        round_ = 0 if progress is None else progress[0].round
        if round_ > known.round:  # a round less is no progress: it began anew from its checkpoint
            known.round, known.suspects = round_, frozenset(suspects)
        return [name for name in suspects if name not in known.suspects]

    # -- ordering --

    def _admit(self, job_id: str, fence: int) -> None:
        self._commit(
            fence,
            Create(layout.job_state(job_id), layout.JobState(phase=layout.JobPhase.WAITING)),
            Create(layout.generation(job_id), layout.GenerationRecord(number=0)),
            Create(layout.workers(job_id)),
            Create(layout.suspects(job_id)),
        )

    def _perform(self, order: Order, fence: int) -> None:
        match order:
            case Assign(node, jobs):
                path, record = layout.assignment(node), layout.AssignmentRecord(jobs=dict(jobs))
                exists = self._session.version(path) is not None
                self._commit(fence, Set(path, record) if exists else Create(path, record))
            case Form(job_id, generation):
                told = with_course(self._session, job_id, generation)
                form = Set(layout.generation(job_id), told, generation.number - 1)
                self._commit(fence, form, self._state(job_id, layout.JobPhase.RUNNING, generation.reason))
                self._remember(order)
            case Explain(job_id, reason):
                self._commit(fence, self._state(job_id, layout.JobPhase.WAITING, reason))
                known = self._memory[job_id]
                if known.generation and known.suspended_s is None:
                    known.suspended_s = time.monotonic()
            case Abort(job_id, reason):
                kept = self._session.version(layout.checkpoint(job_id))
                gone = [] if kept is None else [Delete(layout.checkpoint(job_id), kept)]
                self._commit(fence, self._state(job_id, layout.JobPhase.FAILED, reason), *gone)
            case _:
                assert_never(order)

    def _remember(self, form: Form) -> None:
        """Count how often a generation is broken up for newcomers alone."""
        known = self._memory[form.job]
        known.suspended_s = None
        if form.is_for_newcomers:
            known.joins += 1
            known.joined_s = time.monotonic()

    def _state(self, job_id: str, phase: layout.JobPhase, reason: str) -> Set:
        path = layout.job_state(job_id)
        state, version = self._session.get(path, layout.JobState, f"state of job {job_id}")
        if state.phase.is_final:
            raise Refused(f"job {job_id} is {state.phase} already")
        finished_ms = time.time_ns() // 1_000_000 if phase.is_final else 0
        return Set(path, layout.JobState(phase=phase, reason=reason, finished_ms=finished_ms), version)

    def _commit(self, fence: int, *operations: Operation) -> None:
        """Commit under the fence. After a lost reply nothing is read back here: the next look sees whether it went through.

        That is safe, for every order can be given twice: a generation goes from one number to the next, a state from its
        version, and an assignment says the same the second time.
        """
        try:
            self._session.commit([Check(layout.FENCE, fence), *operations], lambda: True)
        finally:
            self._mirror.doubt(*(operation.path for operation in operations))
