"""What a root does once it has heard all members: hand out, accept, fetch, make durable, settle disputes. Pure.

It speaks to its own worker as to any other: the machine keeps those messages in the house.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from muskox.runtime.message import Buffer
from muskox.runtime.tasks.disputes import Disputes
from muskox.runtime.tasks.events import Action, GiveUp, KeepPiece, KeepResult, Send, Suspect, Tell, Wake
from muskox.runtime.tasks.handout import Handout
from muskox.runtime.tasks.messages import Answer, Give, Ready, Take
from muskox.runtime.tasks.saving import LAST_BYTES_MAX, Piece, Saving


@dataclass(slots=True)
class Held:
    """The results that a worker holds: their digests and bytes by task. The shell has the results themselves."""

    digests: dict[int, str] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)

    def keep(self, task: int, digest: str, body: Buffer) -> KeepResult:
        self.digests[task], self.sizes[task] = digest, len(body)
        return KeepResult(task, digest, body)


class Leading:
    """`readies`: what each member, the root among them, holds and runs, in rank order."""

    def __init__(
        self, generation: int, tasks: int, held: Held, readies: Mapping[str, Ready], books: tuple[Saving, Disputes]
    ) -> None:
        self._generation = generation
        self._tasks = tasks
        self._held = held
        self._saving, self._disputes = books
        self._handout = Handout(tasks, held.digests, readies)
        self._is_to_wake = False

    @property
    def is_whole(self) -> bool:
        """Whether every result is there, and none to be found by another, too."""
        return len(self._held.digests) == self._tasks and self._disputes.is_settled

    def is_present(self, peer: str) -> bool:
        return peer in self._handout.present

    def begin(self, interval_s: float, now: float) -> list[Action]:
        self._saving.look()
        return [self._tell(), *self._go_on(), *self.save(interval_s, now)]

    def answered(self, peer: str, answer: Answer, body: Buffer) -> list[Action]:
        """Accept the first answer; hold any other against it."""
        task, digest = answer.task, answer.digest
        self._handout.answered(peer, task)
        actions: list[Action] = []
        accepted = self._held.digests.get(task)
        if task in self._disputes:
            actions += self._decide(peer, answer, body)
        elif accepted is None:
            self._disputes.accept(task, peer)
            self._saving.add(task)
            actions += [self._held.keep(task, digest, body), self._tell()]
        elif accepted != digest:
            self._disputes.object(task, accepted, peer, digest)
        else:
            self._disputes.confirm(task, peer)
        return [*actions, *self._go_on()]

    def _decide(self, peer: str, answer: Answer, body: Buffer) -> list[Action]:
        verdict = self._disputes.decide(answer.task, peer, answer.digest)
        if verdict is None:
            return []
        actions: list[Action] = []
        if self._held.digests[answer.task] != verdict.digest:
            self._saving.add(answer.task)
            actions.append(self._held.keep(answer.task, answer.digest, body))
        reason = f"it found another result for task {answer.task} than two others"
        for odd in filter(self.is_present, verdict.odd):
            self._handout.lose(odd)
            actions.append(Suspect(odd, reason))
        return actions

    def lose(self, peer: str) -> list[Action]:
        """Go on without `peer`; the next generation is on its way."""
        self._handout.lose(peer)
        return self._go_on()

    def _go_on(self) -> list[Action]:
        """Hand out and fetch what can be; give up if a dispute cannot be settled. An audit without anybody to do it is none."""
        for task, answered in self._disputes.open.items():
            if not self._handout.is_undecidable(task, answered):
                continue
            if task in self._disputes:
                return [GiveUp(self._generation, undecidable(task, len(answered)))]
            self._disputes.let_be(task)
        takes = [Send(peer, Take(self._generation, task)) for peer, task in self._handout.orders(self._disputes.open)]
        return [*takes, *(Send(peer, Give(self._generation, task)) for peer, task in self._handout.fetches())]

    def _tell(self) -> Tell:
        return Tell(self._generation, len(self._held.digests), self._handout.running)

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
        return KeepPiece(self._generation, piece.saved.number, piece.absorbs, piece.saved.tasks)

    def woken(self, interval_s: float, now: float) -> list[Action]:
        self._is_to_wake = False
        return self.save(interval_s, now)


def undecidable(task: int, workers: int) -> str:
    return (
        f"task {task} gave different results on {workers} workers, and there is no other to decide: "
        f"is run() pure, with its random numbers from mx.stream? If it is, run on more workers and see which machine is put out"
    )
