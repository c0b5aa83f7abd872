"""What workers of a task job say to each other. Members speak to the root, the root to each of them.

First in a generation each member says what it holds and runs (Ready), and is silent until the root has heard all (Go). From
then on the root hands out tasks (Take) and fetches results that it lacks (Give); both are answered by the result (Answer).
What the root finds itself it gives to the next in rank (Hold). Whose results are wrong all are told (Distrust).
"""

from muskox.runtime.message import Message


class Ready(Message, frozen=True):
    """Member to root, first in a generation: the tasks whose results I hold, and those that I run or am about to."""

    generation: int
    held: list[int]
    running: list[int]


class Go(Message, frozen=True):
    """Root to member: all are heard; send what you finished since, and take tasks."""

    generation: int


class Take(Message, frozen=True):
    """Root to member: run this task, after those that you have."""

    generation: int
    task: int


class Give(Message, frozen=True):
    """Root to member: send the result of this task, which you hold."""

    generation: int
    task: int


class Answer(Message, frozen=True):
    """Member to root: a task's result in the body, the digest of what it is, and who found it: not always who sends it."""

    generation: int
    task: int
    digest: str
    finders: list[str]


class Hold(Message, frozen=True):
    """Root to the next in rank: keep this result of mine, in the body, so that it outlives me."""

    generation: int
    task: int
    digest: str
    finders: list[str]


class Distrust(Message, frozen=True):
    """Root to member: this worker found another result than two others; if you ever lead, its word does not count."""

    generation: int
    worker: str


TaskMessage = Ready | Go | Take | Give | Answer | Hold | Distrust

# -- between a worker and its node --


class Piece(Message, frozen=True):
    """Worker to node: make the results in the body durable, in place of these pieces. Answered by `PieceWritten`."""

    generation: int
    number: int
    absorbs: list[int]


class PieceWritten(Message, frozen=True):
    """Node to worker: what became of a `Piece`."""

    number: int
    is_kept: bool


class PiecesWanted(Message, frozen=True):
    """Worker to node: which results are durable? Answered by a `PieceRead` for each piece."""

    generation: int


class PieceRead(Message, frozen=True):
    """Node to worker: a piece, in the body; empty if nobody can give it any more, or, with number 0, if there is none.

    left : how many are still to come
    """

    generation: int
    number: int
    left: int
