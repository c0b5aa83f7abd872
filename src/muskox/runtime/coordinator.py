"""The coordinator: the elected node's loop that sees, plans and has its orders committed under its fence.

Every node runs this thread; it acts only while its candidacy leads, and decides nothing while its session is suspended. All
state is in ZooKeeper, so a new coordinator needs nothing from the one before it.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, assert_never

from muskox.coordination import Candidacy, Check, Create, Operation, Refused, Session, Set, layout, live_members
from muskox.errors import CallerError, Corrupt, MuskoxError, Unavailable
from muskox.runtime.course import with_course
from muskox.runtime.plan import Abort, Assign, Explain, Form, JobView, Order, Picture, plan

log = logging.getLogger(__name__)

RESYNC_S = 10.0  # between looks when no watch fires: nothing depends on it but our own bugs
PATIENCE_S = 1.5  # newcomers wait so long for each other
RETRY_S = 0.3  # after an error
REPLICAS_S = 60.0  # how long it is taken as known where the shards lie

Replicas = Callable[[str], Sequence[Sequence[str]]]


class Coordinator(threading.Thread):
    """See the head of this file. `replicas`: which nodes hold each shard of "name@version"; `on_lead` hears of a new fence."""

    def __init__(
        self, session: Session, candidacy: Candidacy, replicas: Replicas, on_lead: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(name="coordinator", daemon=True)
        self._session = session
        self._candidacy = candidacy
        self._replicas = replicas
        self._on_lead = on_lead
        self._changed = threading.Event()
        self._final: set[str] = set()
        self._known_replicas: dict[str, tuple[float, Sequence[Sequence[str]]]] = {}
        self.fence: int | None = None  # while we lead
        self.waiting = 0  # jobs that wait, as seen last
        self._since: dict[str, tuple[int, float]] = {}
        self._fruit: dict[str, tuple[int, frozenset[str]]] = {}

    def look(self, _: Any = None) -> None:
        """Look again: a watch fired, or the connection changed."""
        self._changed.set()

    def run(self) -> None:
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
        if fence != before:
            self._on_lead()
        if fence is None:
            self._final.clear()
            self.waiting = 0
            return RESYNC_S
        picture = self._see(fence)
        self.waiting = sum(job.phase is layout.JobPhase.WAITING for job in picture.jobs)
        orders = plan(picture)
        for order in orders:
            log.info("coordinator %d: %s", fence, order)
            self._perform(order, fence)
        if orders:
            return 0.0
        if picture.unseen:
            return RETRY_S
        return PATIENCE_S if any(job.is_patient for job in picture.jobs) else RESYNC_S

    # -- seeing --

    def _see(self, fence: int) -> Picture:
        members = live_members(self._session, self.look)
        assignments = {}
        for node in self._session.children(layout.ASSIGNMENTS):
            found = self._session.find(layout.assignment(node), layout.AssignmentRecord)
            assignments[node] = {} if found is None else found[0].jobs
        jobs, unseen = [], []
        for job_id in self._session.children(layout.JOBS, self.look):
            if job_id in self._final:
                continue
            try:
                view = self._see_job(job_id, fence)
            except CallerError as error:  # its dataset is gone, say: it can never run
                self._give_up(job_id, str(error), fence)
                unseen.append(job_id)
            except (Unavailable, Corrupt) as error:  # one job's trouble must not stop the others
                log.warning("job %s cannot be seen: %s", job_id, error)
                unseen.append(job_id)
            else:
                if view is None:
                    self._final.add(job_id)
                else:
                    jobs.append(view)
        return Picture(members, assignments, jobs, unseen)

    def _give_up(self, job_id: str, reason: str, fence: int) -> None:
        try:
            self._perform(Abort(job_id, reason), fence)
        except CallerError as error:
            log.warning("job %s can neither be seen nor given up: %s", job_id, error)

    def _see_job(self, job_id: str, fence: int) -> JobView | None:
        """Return the job as it stands, admitted first if it is new; None if it is final."""
        record, _ = self._session.get(layout.job(job_id), layout.JobRecord, f"job {job_id}")
        state = self._session.find(layout.job_state(job_id), layout.JobState, self.look)
        if state is None:
            self._admit(job_id, fence)
            return self._see_job(job_id, fence)
        if state[0].phase.is_final:
            self._since.pop(job_id, None)
            self._fruit.pop(job_id, None)
            return None
        found = self._session.find(layout.generation(job_id), layout.GenerationRecord)
        workers = {}
        for name in self._session.children(layout.workers(job_id), self.look):
            worker = self._session.find(layout.worker(job_id, name), layout.WorkerRecord)
            if worker is not None:
                workers[name] = worker[0]
        suspects = self._session.children(layout.suspects(job_id), self.look)
        return JobView(
            id=job_id,
            phase=state[0].phase,
            fingerprint=record.fingerprint,
            workers_max=record.workers,
            submitted_ms=record.submitted_ms,
            replicas=self._replicas_of(record.dataset),
            generation=layout.GenerationRecord(number=0) if found is None else found[0],
            workers=workers,
            suspects=suspects,
            reason=state[0].reason,
            fruitless=self._fruitless(job_id, suspects),
            is_patient=self._is_patient(job_id, 0 if found is None else found[0].number),
        )

    def _replicas_of(self, dataset: str) -> Sequence[Sequence[str]]:
        """Return which nodes hold each shard, as known of late: it changes when replicas are repaired or moved."""
        known = self._known_replicas.get(dataset)
        now = time.monotonic()
        if known is None or now - known[0] > REPLICAS_S:
            self._known_replicas[dataset] = known = (now, self._replicas(dataset))
        return known[1]

    def _is_patient(self, job_id: str, generation: int) -> bool:
        """Return whether this generation was formed less than `PATIENCE_S` ago, as far as we have seen."""
        now = time.monotonic()
        before = self._since.get(job_id)
        if before is None or before[0] != generation:
            self._since[job_id] = before = (generation, now)
        return now - before[1] < PATIENCE_S

    def _fruitless(self, job_id: str, suspects: Sequence[str]) -> list[str]:
        """Return those of `suspects` that came since a new round was last told of; a new coordinator forgives all before it."""
        found = self._session.find(layout.progress(job_id), layout.ProgressRecord)
        round_ = 0 if found is None else found[0].round
        before = self._fruit.get(job_id)
        if before is None or before[0] != round_:
            self._fruit[job_id] = before = (round_, frozenset(suspects))
        return [name for name in suspects if name not in before[1]]

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
            case Explain(job_id, reason):
                self._commit(fence, self._state(job_id, layout.JobPhase.WAITING, reason))
            case Abort(job_id, reason):
                self._commit(fence, self._state(job_id, layout.JobPhase.FAILED, reason))
            case _:
                assert_never(order)

    def _state(self, job_id: str, phase: layout.JobPhase, reason: str) -> Set:
        path = layout.job_state(job_id)
        state, version = self._session.get(path, layout.JobState, f"state of job {job_id}")
        if state.phase.is_final:
            raise Refused(f"job {job_id} is {state.phase} already")
        return Set(path, layout.JobState(phase=phase, reason=reason), version)

    def _commit(self, fence: int, *operations: Operation) -> None:
        # A lost reply needs no reading back here: the next look sees whether the order went through.
        self._session.commit([Check(layout.FENCE, fence), *operations], lambda: True)
