"""Changes of a running job on the node of its root: from wishes to the root's worker, and from its word into the record.

The record of a change and the end of its wish are one multi that checks the generation; the root holds its part of the round
back until it stands. So whoever computes that round, in this generation or a later one, makes the change, and makes it once.
"""

import time
from collections.abc import Callable

from muskox.coordination import Check, Create, Delete, Notify, Operation, Refused, Set, course, layout
from muskox.errors import Unavailable
from muskox.runtime.messages import Adjust, Adjusting, Adjustment, Recorded, Unfit
from muskox.runtime.node_context import NodeContext


class Steering:
    """The changes of one job on one node."""

    def __init__(self, node: NodeContext, job_id: str) -> None:
        self._node = node
        self._job = job_id
        self._told: tuple[int, list[Adjustment]] = (0, [])  # in which generation, and what the root's worker was told of

    def recorded(self, record: layout.JobRecord) -> list[Adjustment]:
        """Return all changes so far: those that the job was submitted with, and those made since."""
        given = [Adjustment(f"given-{place}", round_, values) for place, (round_, values) in enumerate(record.changes)]
        return [*given, *(Adjustment(made.request, made.round, made.values) for made in self._read()[0].changes)]

    def news(self, generation: int, look: Notify) -> Adjust | None:
        """Return what is wished for, to be told to the root's worker, if that is news; `look` is called when it changes."""
        before, wishes = self._told, self._wished(look)
        self._told = (generation, wishes)
        return Adjust(generation, wishes) if wishes and self._told != before else None

    def _wished(self, look: Notify | None = None) -> list[Adjustment]:
        """Return the wishes, the oldest first."""
        found = []
        for request in self._node.session.children(layout.wishes(self._job), look):
            wish = self._node.session.find(layout.wish(self._job, request), course.WishRecord)
            if wish is not None:
                found.append(Adjustment(request, 0, wish[0].values))
        return found

    def hear(self, message: Adjusting | Unfit, answer: Callable[[Recorded], object]) -> None:
        """Do what the root's worker asks for."""
        if isinstance(message, Adjusting):
            self.record(message, answer)
        else:
            self.refuse(message)

    def record(self, message: Adjusting, answer: Callable[[Recorded], object]) -> None:
        """Record these changes at their round, and answer with what was recorded; not if the generation has passed.

        A wish that was withdrawn meanwhile is left out. And all are, to be asked for again, where a checkpoint of that round
        stands already: an earlier generation got there, lost its members, and who begins with its state makes no change to it.

        Raises
        ------
        Unavailable
            If the record, or a wish, changed in this very moment: to be tried again.
        """
        if self._is_past(message.round):
            self._told = (0, [])
            answer(Recorded(message.generation, message.round, []))
            return
        before, version = self._read()
        stands = {made.request for made in before.changes}
        still = {wish.request for wish in self._wished()} | stands
        changes = [change for change in message.changes if change.request in still]
        new = [change for change in changes if change.request not in stands]
        if len(before.changes) + len(new) > course.CHANGES_MAX:
            for change in new:
                self.refuse(Unfit(message.generation, change.request, f"a job takes at most {course.CHANGES_MAX} changes"))
            changes = new = []
        if not new or self._add(message, before, version, new):
            answer(Recorded(message.generation, message.round, changes))

    def _add(self, message: Adjusting, before: course.ChangesRecord, version: int | None, new: list[Adjustment]) -> bool:
        """Record these, too; return whether the generation still stood."""
        now_ms = time.time_ns() // 1_000_000
        made = [
            course.Change(round=message.round, values=change.values, request=change.request, made_ms=now_ms) for change in new
        ]
        after = course.ChangesRecord(changes=[*before.changes, *made], refused=before.refused)
        is_done = self._commit(message.generation, after, version, [change.request for change in new])
        self._node.figures.count("changes", len(new) if is_done else 0)
        return is_done

    def refuse(self, message: Unfit) -> None:
        """Tell whoever wished for it that it cannot be, and why; nobody, if the wish was withdrawn."""
        if self._node.session.version(layout.wish(self._job, message.request)) is None:
            return
        before, version = self._read()
        refused = {**before.refused, message.request: message.reason}
        kept = dict(list(refused.items())[-course.REFUSALS_KEPT :])
        after = course.ChangesRecord(changes=before.changes, refused=kept)
        self._commit(message.generation, after, version, [message.request])

    def _is_past(self, round_: int) -> bool:
        checkpoint = self._node.session.find(layout.checkpoint(self._job), layout.CheckpointRecord)
        return checkpoint is not None and checkpoint[0].round >= round_

    def _read(self) -> tuple[course.ChangesRecord, int | None]:
        found = self._node.session.find(layout.changes(self._job), course.ChangesRecord)
        return (course.ChangesRecord(), None) if found is None else found

    def _commit(self, generation: int, after: course.ChangesRecord, version: int | None, requests: list[str]) -> bool:
        """Write the record and end the wishes in one step; return whether the generation still stood."""
        session, path = self._node.session, layout.changes(self._job)
        write: Operation = Create(path, after) if version is None else Set(path, after, version)
        ends = [Delete(layout.wish(self._job, request)) for request in requests]
        checks: list[Operation] = [Check(layout.generation(self._job), generation)]
        try:
            session.commit([*checks, write, *ends], lambda: self._read()[0] == after)
        except Refused as error:
            if session.version(layout.generation(self._job)) != generation:
                return False
            raise Unavailable(f"the changes of job {self._job} were changed meanwhile: {error}") from error
        return True
