"""What happens to a worker of a task job and what it is to do: the machine's events and actions, as plain values. Pure."""

from dataclasses import dataclass

from muskox.runtime.message import Buffer
from muskox.runtime.tasks.messages import Answer, Hold, TaskMessage


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a task's result: the digest, the bytes, and the workers that found it, each itself."""

    digest: str
    size_bytes: int
    finders: tuple[str, ...]


# -- events --


@dataclass(frozen=True, slots=True)
class GenerationFormed:
    """We are the member of this rank."""

    number: int
    members: tuple[str, ...]
    rank: int


@dataclass(frozen=True, slots=True)
class MessageArrived:
    peer: str
    message: TaskMessage
    body: Buffer


@dataclass(frozen=True, slots=True)
class PeerMoved:
    """A peer was told of a newer generation: our own word of it is on its way."""

    peer: str
    generation: int


@dataclass(frozen=True, slots=True)
class PeerLost:
    peer: str
    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class TaskDone:
    """The task that we ran has this result, a packed record."""

    task: int
    digest: str
    body: Buffer


@dataclass(frozen=True, slots=True)
class Saved:
    """Results that are durable: the piece of this number."""

    number: int
    tasks: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ResultsRestored:
    """The shell keeps all durable results now, beside those that it kept. `pieces`: which holds which."""

    generation: int
    results: dict[int, Found]
    pieces: tuple[Saved, ...]


@dataclass(frozen=True, slots=True)
class PieceKept:
    """The node has tried to make a piece durable."""

    number: int
    is_kept: bool


@dataclass(frozen=True, slots=True)
class Collected:
    """The job's result is there, made as was ordered in this generation."""

    generation: int
    digest: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """This worker is about to end, and the job goes on elsewhere, or later."""


@dataclass(frozen=True, slots=True)
class Woken:
    """The time that `Wake` asked for has passed."""

    generation: int


Event = (
    GenerationFormed
    | MessageArrived
    | PeerMoved
    | PeerLost
    | TaskDone
    | ResultsRestored
    | PieceKept
    | Collected
    | Leaving
    | Woken
)

# -- actions --


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a link to this peer for this generation; what is sent before it stands waits for it."""

    peer: str
    generation: int


@dataclass(frozen=True, slots=True)
class Send:
    peer: str
    message: TaskMessage


@dataclass(frozen=True, slots=True)
class SendResult:
    """Send with the kept result of this task and digest as body."""

    peer: str
    message: Answer | Hold


@dataclass(frozen=True, slots=True)
class RunTask:
    """Run this task; answer TaskDone. Nothing else runs meanwhile, and no generation ends it."""

    task: int


@dataclass(frozen=True, slots=True)
class KeepResult:
    """Keep this result until the job ends, beside any other of the task."""

    task: int
    digest: str
    body: Buffer


@dataclass(frozen=True, slots=True)
class RestoreResults:
    """Keep all results that are durable; answer ResultsRestored."""

    generation: int


@dataclass(frozen=True, slots=True)
class KeepPiece:
    """Make these kept results durable as one piece, in place of those that it absorbs; answer PieceKept."""

    generation: int
    number: int
    absorbs: tuple[int, ...]
    results: dict[int, Found]


@dataclass(frozen=True, slots=True)
class Collect:
    """Make the job's result of the results with these digests, one a task; answer Collected."""

    generation: int
    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suspect:
    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Tell:
    """So many tasks are finished, and so many run: tell whoever watches."""

    generation: int
    done: int
    running: int


@dataclass(frozen=True, slots=True)
class Finish:
    """We are the root and hold the job's result: have it committed."""

    generation: int
    digest: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The job cannot finish."""

    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Wake:
    """Answer Woken after so many seconds."""

    generation: int
    after_s: float


Action = (
    Dial
    | Send
    | SendResult
    | RunTask
    | KeepResult
    | RestoreResults
    | KeepPiece
    | Collect
    | Suspect
    | Tell
    | Finish
    | GiveUp
    | Wake
)
