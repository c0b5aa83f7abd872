"""What a root does once it has heard all members: hand out, accept, fetch, make durable, settle disputes. Pure.

It speaks to its own worker as to any other: the machine keeps those messages in the house.
"""

from collections.abc import Mapping

from muskox.runtime.message import Buffer
from muskox.runtime.tasks.disputes import Disputes, Held
from muskox.runtime.tasks.events import Action, GiveUp, KeepPiece, Send, Suspect, Tell, Wake
from muskox.runtime.tasks.handout import Handout
from muskox.runtime.tasks.messages import Answer, Distrust, Give, Ready, Take
from muskox.runtime.tasks.saving import LAST_BYTES_MAX, Piece, Saving

NEWCOMER_S = 15.0  # who takes a dead worker's place joins the others within so long; then they decide among themselves

ODD = "it found another result for a task than two others"


class Leading:
    """`readies`: what each member, the root first, holds and runs, in rank order."""

    def __init__(
        self, generation: int, tasks: int, held: Held, readies: Mapping[str, Ready], books: tuple[Saving, Disputes]
    ) -> None:
        self._generation = generation
        self._tasks = tasks
        self._held = held
        self._members = tuple(readies)
        self._saving, self._disputes = books
        self._handout = Handout(tasks, held.digests, readies)
        self._close_s = 0.0  # from when on nobody else is waited for; set by begin()
        self._is_to_wake = False
        self._is_to_close = False

    @property
    def is_whole(self) -> bool:
        """Whether every result is there, and none to be found by another, too."""
        return len(self._held.digests) == self._tasks and self._disputes.is_settled

    def is_present(self, peer: str) -> bool:
        return peer in self._handout.present

    def begin(self, interval_s: float, now: float) -> list[Action]:
        self._disputes.begin()
        self._close_s = now + NEWCOMER_S
        if self._generation == 1 and len(self._members) == 1:
            self._disputes.close(self._members)  # a job of one worker waits for nobody
        self._saving.look(self._disputes)
        actions: list[Action] = [self._tell()]
        for odd in self._disputes.odd:  # newcomers do not know them
            actions += self._put_out(odd, ODD)
        return [*actions, *self._go_on(), *self.save(interval_s, now)]

    def answered(self, peer: str, answer: Answer, body: Buffer) -> list[Action]:
        """Accept the first answer, in place of one that rests on nobody's word any more; hold any other against it."""
        self._handout.answered(peer, answer.task)
        if self._held.finders.get(answer.task):
            return [*self._weigh(answer, body), *self._go_on()]
        kept = self._held.keep(answer.task, answer.digest, answer.finders, body)
        if self._disputes.accept(answer.task):
            self._saving.add(answer.task)
        return [kept, self._tell(), *self._go_on()]

    def _weigh(self, answer: Answer, body: Buffer) -> list[Action]:
        task = answer.task
        verdict = self._disputes.hear(task, answer.digest, answer.finders)
        if verdict is None:
            return []
        self._saving.add(task)
        actions: list[Action] = []
        if self._held.digests[task] == verdict.digest:
            self._held.finders[task] = verdict.finders
        else:
            assert verdict.digest == answer.digest, "who has just spoken has decided"
            actions.append(self._held.keep(task, verdict.digest, verdict.finders, body))
        for odd in verdict.odd:
            actions += self._put_out(odd, f"it found another result for task {task} than two others")
        return actions

    def _put_out(self, odd: str, reason: str) -> list[Action]:
        """Have `odd` leave, everybody know, and what it found found by others."""
        self._disputes.distrust(odd)
        told = [Send(peer, Distrust(self._generation, odd)) for peer in self._members[1:] if self.is_present(peer)]
        if not self.is_present(odd):
            return [*told]
        self._handout.lose(odd)
        return [*told, Suspect(odd, reason)]

    def distrust(self, odd: str) -> list[Action]:
        """An earlier root has told that `odd` was found out."""
        return [*self._put_out(odd, ODD), *self._go_on()]

    def lose(self, peer: str) -> list[Action]:
        """Go on without `peer`; the next generation is on its way."""
        self._handout.lose(peer)
        return self._go_on()

    def _go_on(self) -> list[Action]:
        """Hand out and fetch what can be; wait for newcomers if more words are wanted, and give up if none will come."""
        undecidable = self._disputes.find_undecidable()
        if undecidable is not None:
            return [GiveUp(self._generation, no_verdict(*undecidable))]
        takes = [Send(peer, Take(self._generation, task)) for peer, task in self._handout.orders(self._disputes.wanting)]
        gives = [Send(peer, Give(self._generation, task)) for peer, task in self._handout.fetches()]
        if self._disputes.is_settled or self._is_to_close:
            return [*takes, *gives]
        self._is_to_close = True
        return [*takes, *gives, Wake(self._generation, NEWCOMER_S)]

    def _tell(self) -> Tell:
        return Tell(self._generation, len(self._held.digests), self._handout.running)

    def woken(self, interval_s: float, now: float) -> list[Action]:
        self._is_to_wake = False
        if now < self._close_s:
            return self.save(interval_s, now)
        self._disputes.close(self._members)
        self._saving.look(self._disputes)
        return [*self._go_on(), *self.save(interval_s, now)]

    # -- what is made durable --

    def save(self, interval_s: float, now: float) -> list[Action]:
        """Have new results made durable if it is time, or come back when it is."""
        due_s = self._saving.due_s(interval_s)
        if due_s is None:
            return []
        if due_s > now:
            was_to_wake, self._is_to_wake = self._is_to_wake, True
            return [] if was_to_wake else [Wake(self._generation, due_s - now)]
        return [self._keep(self._saving.begin(now))]

    def save_last(self, now: float) -> list[Action]:
        """Have all new results made durable, whatever is on its way: nobody here will write another piece."""
        return [self._keep(self._saving.begin(now, LAST_BYTES_MAX))] if self._saving.is_new else []

    def _keep(self, piece: Piece) -> KeepPiece:
        results = {task: self._held.found(task) for task in piece.saved.tasks}
        return KeepPiece(self._generation, piece.saved.number, piece.absorbs, results)


def no_verdict(task: int, workers: int) -> str:
    return (
        f"task {task} gave different results on {workers} workers, and there is no other to decide: "
        f"is run() pure, with its random numbers from mx.stream? If it is, run on more workers and see which machine is put out"
    )
