"""What is said between workers (the collective) and between a worker and its node (the pipe).

Both sides of each conversation stand next to each other. A frame is a 4-byte big-endian length, a 4-byte length of the head,
the head (one of the records here, msgpack) and a body of raw bytes (a packed record, or nothing). Bounds are checked before
anything is read into memory.
"""

import struct
from typing import Any

import msgspec

from muskox.errors import PeerError
from muskox.runtime.message import Buffer, Message
from muskox.runtime.tasks.messages import Piece, PieceRead, PiecesWanted, PieceWritten, TaskMessage

FRAME_BYTES_MAX = 1 << 31  # a state or a total of 2 GiB: beyond any model here, and small enough to refuse garbage
HEAD_BYTES_MAX = 1 << 24  # the paths of 100,000 shard files fit
LENGTHS = struct.Struct(">II")
LENT = 0x80  # in the first byte of the head's length
HEAD_MASK = 0x7FFFFFFF


class Adjustment(msgspec.Struct, frozen=True):
    """New values of some parameters for the state after `round` rounds; 0 where that is not decided. `request` names it."""

    request: str
    round: int
    values: dict[str, float]


# -- between workers of one job: up the tree, down the tree, or from each to each (collective/topology.py) --


class Hello(Message, frozen=True):
    """Up to the root, first in a generation: what `worker` holds. `round` is -1 for nothing; `is_done` if it is the result."""

    generation: int
    worker: str
    round: int
    digest: str
    is_done: bool


class Fetch(Message, frozen=True):
    """Down to the member that holds the furthest state: send it."""

    generation: int
    holder: str


class State(Message, frozen=True):
    """Up to the root: the state, in the body."""

    generation: int
    round: int
    digest: str
    is_done: bool


class Begin(Message, frozen=True):
    """Down to all: go on from here; the body is the state, or empty where the member holds it already.

    total_bytes : of the last round's total, 0 if unknown: all choose the form of the next reduction by it
    """

    generation: int
    round: int
    digest: str
    is_done: bool
    total_bytes: int


class Partial(Message, frozen=True):
    """What the sender, and whoever is below it in the tree, add to one slice of a round's total; the values in the body.

    digest : of the state they were computed from
    nodes : (level, index) of each subtree, in the order in which the body holds them
    sizes : bytes of each
    structure : the header of the records that slices are cut from; empty where the body holds whole packed records
    seconds : what members needed to compute their parts
    changes : of parameters, to be made to the state after this round: the root's word, recorded before it sends its part
    member : whose part this is, if the sender computed it in the stead of one that is late
    checks : (shard, member, digest of the shard's result as that member computed it) where results are audited
    """

    generation: int
    round: int
    digest: str
    nodes: list[tuple[int, int]]
    sizes: list[int]
    slice: int = 0
    structure: str = ""
    seconds: dict[str, float] = msgspec.field(default_factory=dict)
    changes: list[Adjustment] = msgspec.field(default_factory=list)
    member: str = ""
    checks: list[tuple[int, str, str]] = msgspec.field(default_factory=list)


class Total(Message, frozen=True):
    """One slice of the sum over all shards, in the body, from whoever merged it, by way of the tree. `changes`: see Partial."""

    generation: int
    round: int
    slice: int = 0
    structure: str = ""
    changes: list[Adjustment] = msgspec.field(default_factory=list)


class Race(Message, frozen=True):
    """Root to all: `late` keeps us waiting in this round; `helper` computes its part, too, and merges in its stead."""

    generation: int
    round: int
    late: str
    helper: str


class Moved(Message, frozen=True):
    """Either way, last on a link: I was told of a newer generation, so the end of this link is no death."""

    generation: int


class Near(Message, frozen=True):
    """Either way, first on a link: where you find a secret of mine, if you are a process of this machine.

    machine : what its processes have in common
    """

    machine: str
    pid: int
    descriptor: int


class Shown(Message, frozen=True):
    """Either way, answers Near: a proof that I have read the secret. Large bodies may lie in your memory from now on."""

    proof: bytes


class Beat(Message, frozen=True):
    """Either way, about once a second: I am alive, whatever I compute."""


Collective = Hello | Fetch | State | Begin | Partial | Total | Race | Moved | Near | Shown | Beat | TaskMessage


# -- from a node to its worker --


class Setup(Message, frozen=True):
    """The worker's first frame; the body is the program (a packed record).

    key : of the collective plane, hexadecimal
    columns, shard_rows : the dataset's manifest
    gpus : those that it may use, by the names that CUDA knows them by
    tls : paths of certificate, key and authority (PEM), or nothing on loopback
    audit : the share of results that is computed twice, to be compared
    memory_bytes : what the job asked for each worker; 0 if it did not
    """

    job: str
    worker: str
    host: str
    key: str
    columns: dict[str, str]
    shard_rows: list[int]
    rounds_max: int
    tls: list[str] = msgspec.field(default_factory=list)
    audit: float = 0.0
    gpus: list[str] = msgspec.field(default_factory=list)
    memory_bytes: int = 0


class Settings(Message, frozen=True):
    """The live settings that concern a worker; follows Setup, and comes again when they change."""

    silence_s: float
    checkpoint_interval_s: float


class Member(msgspec.Struct, frozen=True):
    """One worker of a generation as its peers need to know it."""

    worker: str
    address: str
    shards: str


class Formed(Message, frozen=True):
    """A generation that this worker belongs to, in rank order, and the files (one a column group) of the shards it owns.

    changes : those recorded so far
    """

    number: int
    members: list[Member]
    files: dict[int, list[str]]
    changes: list[Adjustment] = msgspec.field(default_factory=list)


class Restore(Message, frozen=True):
    """The state to begin from, in the body: the last checkpoint; empty if there is none. Answers `Wanted`."""

    generation: int
    round: int
    digest: str


class Leave(Message, frozen=True):
    """You will end, and the job goes on elsewhere: hand over the state that you hold, as a checkpoint, and say Left."""


class Adjust(Message, frozen=True):
    """To the root: everything that somebody wants changed. Answers `Adjusting` or `Unfit`, each once in a generation."""

    generation: int
    changes: list[Adjustment]


class Recorded(Message, frozen=True):
    """Answers `Adjusting`: these changes are recorded for that round; the others are not wanted any more."""

    generation: int
    round: int
    changes: list[Adjustment]


class Brought(Message, frozen=True):
    """The files (one a column group) of these shards. Answers `Lacking`; they stay until the worker asks for others."""

    files: dict[int, list[str]]


Answered = Restore | Brought | PieceWritten | PieceRead | Recorded  # what a worker has asked for
FromNode = Setup | Settings | Formed | Adjust | Leave | Answered


# -- from a worker to its node --


class Listening(Message, frozen=True):
    """The collective listens here."""

    address: str
    pid: int


class Wanted(Message, frozen=True):
    """No reachable worker holds a state: which checkpoint is there?"""

    generation: int


class Lacking(Message, frozen=True):
    """I need the files of these shards, which I do not own."""

    shards: list[int]


class Paced(Message, frozen=True):
    """How many seconds these workers need for a row: some persistently longer than others. Told by the root."""

    generation: int
    seconds: dict[str, float]


class Suspected(Message, frozen=True):
    """This peer broke its connection, fell silent, or holds another state."""

    generation: int
    worker: str
    reason: str


class Told(Message, frozen=True):
    """A finished round, told by the root; see :class:`muskox.program.RoundReport` for `phases`."""

    generation: int
    round: int
    metrics: dict[str, float]
    phases: dict[str, float] = msgspec.field(default_factory=dict)


class Checkpointed(Message, frozen=True):
    """The state after `round` rounds, in the body: keep it."""

    generation: int
    round: int
    digest: str


class Finished(Message, frozen=True):
    """The job's result, in the body, told by the root."""

    generation: int
    rounds: int
    digest: str


class Adjusting(Message, frozen=True):
    """The state after `round` rounds shall have these changes: record them. The root's part of that round waits for it."""

    generation: int
    round: int
    changes: list[Adjustment]


class Unfit(Message, frozen=True):
    """The program cannot have this change, and this sentence says why."""

    generation: int
    request: str
    reason: str


class Broken(Message, frozen=True):
    """The file of this shard is not what was written: it is to be fetched from another replica."""

    shard: int
    reason: str


class Left(Message, frozen=True):
    """All that I held was said."""


class Failed(Message, frozen=True):
    """The program refused: the job cannot finish, and this sentence says why."""

    generation: int
    reason: str


Answering = Wanted | Lacking | Piece | PiecesWanted | Adjusting  # what asks the node for an answer
FromWorker = Answering | Listening | Paced | Suspected | Told | Checkpointed | Finished | Unfit | Broken | Left | Failed

_ENCODER = msgspec.msgpack.Encoder()
_COLLECTIVE = msgspec.msgpack.Decoder(Collective)
_FROM_NODE = msgspec.msgpack.Decoder(FromNode)
_FROM_WORKER = msgspec.msgpack.Decoder(FromWorker)


def frame(head: Message, body: bytes = b"") -> bytes:
    """Return the frame of `head` and `body`."""
    return frame_head(head, len(body)) + body


def frame_head(head: Message, body_bytes: int) -> bytes:
    """Return what goes before a body of so many bytes."""
    encoded = _ENCODER.encode(head)
    return LENGTHS.pack(4 + len(encoded) + body_bytes, len(encoded)) + encoded


def is_lent(prefix: Buffer) -> bool:
    """Return whether the body of the frame that begins so is the place where it lies in its sender's memory."""
    return bool(prefix[4] & LENT)


def mark_lent(prefix: bytes) -> bytes:
    """Return the beginning of a frame whose body is such a place."""
    return prefix[:4] + bytes([prefix[4] | LENT]) + prefix[5:]


def check_lengths(prefix: Buffer) -> tuple[int, int]:
    """Return (head bytes, body bytes) of the frame that begins with these 8 bytes; PeerError if out of bounds."""
    total, head = LENGTHS.unpack(prefix)
    head &= HEAD_MASK
    if not 4 + head <= total <= FRAME_BYTES_MAX or head > HEAD_BYTES_MAX:
        raise PeerError(f"a frame of {total} bytes with a head of {head} is out of bounds")
    return head, total - 4 - head


def decode_collective(head: Buffer) -> Collective:
    message: Collective = _decode(_COLLECTIVE, head)
    return message


def decode_from_node(head: bytes) -> FromNode:
    message: FromNode = _decode(_FROM_NODE, head)
    return message


def decode_from_worker(head: bytes) -> FromWorker:
    message: FromWorker = _decode(_FROM_WORKER, head)
    return message


def _decode(decoder: "msgspec.msgpack.Decoder[Any]", head: Buffer) -> Any:
    try:
        return decoder.decode(head)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise PeerError(f"{len(head)} bytes are no message: {error}") from error
