"""What happens to a worker and what it is to do: the events and actions of the machine in rounds.py, as plain values. Pure."""

from dataclasses import dataclass

from muskox.runtime.collective.values import Part
from muskox.runtime.message import Buffer
from muskox.runtime.messages import Adjustment, Begin, Collective, State


@dataclass(frozen=True, slots=True)
class Holding:
    """The state that a worker holds: after `round` rounds, or the result of the program."""

    round: int
    digest: str
    is_done: bool

    @property
    def rank(self) -> tuple[bool, int]:
        return (self.is_done, self.round)


NOTHING = Holding(-1, "", False)

# -- events --


@dataclass(frozen=True, slots=True)
class GenerationFormed:
    """We are the member of this rank. `shards` are the runs that each owns ("0-3,8"); by them trees are built.

    changes : of parameters, recorded so far
    """

    number: int
    members: tuple[str, ...]
    rank: int
    shards: tuple[str, ...]
    changes: tuple[Adjustment, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageArrived:
    peer: str
    message: Collective
    body: Buffer


@dataclass(frozen=True, slots=True)
class PeerLost:
    peer: str
    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class StateLoaded:
    """The shell now holds this state: adopted from a peer, or restored. `adds` if the program only adds in its round.

    state_bytes : of the state, packed
    """

    holding: Holding
    adds: bool = False
    state_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PartComputed:
    """The values of this worker's own subtrees, one part a slice, and the seconds that they took.

    checks : (shard, digest) of results that are audited, our own and others'
    """

    generation: int
    round: int
    parts: tuple[Part, ...]
    seconds: float = 0.0
    checks: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class HelpComputed:
    """What :class:`Help` asked for. `checks` as in :class:`PartComputed`, of the late member's own shards."""

    generation: int
    round: int
    late: str
    parts: tuple[Part, ...]
    checks: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Waited:
    """Some time has passed: is anybody late?

    root_rows : how many rows the root owns for each of ours, at least 1
    """

    root_rows: float = 1.0


@dataclass(frozen=True, slots=True)
class PartsMerged:
    """What :class:`Reduce` asked for."""

    slice: int
    part: Part


@dataclass(frozen=True, slots=True)
class StateUpdated:
    holding: Holding
    adds: bool = False
    state_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ChangesWished:
    """To the root: all that somebody wants changed now."""

    generation: int
    changes: tuple[Adjustment, ...]


@dataclass(frozen=True, slots=True)
class ChangesRecorded:
    """What :class:`RecordChanges` asked for: these stand for the state after that round."""

    generation: int
    round: int
    changes: tuple[Adjustment, ...]


Event = (
    GenerationFormed
    | MessageArrived
    | PeerLost
    | StateLoaded
    | PartComputed
    | HelpComputed
    | Waited
    | PartsMerged
    | StateUpdated
    | ChangesWished
    | ChangesRecorded
)

# -- actions --


@dataclass(frozen=True, slots=True)
class Expect:
    """A link with each of these will stand, whoever of us opens it: what is sent to them meanwhile waits."""

    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a link to this peer for this generation; what is sent meanwhile goes when it stands."""

    peer: str
    generation: int


@dataclass(frozen=True, slots=True)
class Send:
    peer: str
    message: Collective
    body: Buffer = b""


@dataclass(frozen=True, slots=True)
class SendState:
    """Send with the packed state as body."""

    peer: str
    message: Begin | State


@dataclass(frozen=True, slots=True)
class LoadState:
    """Take this packed state as ours; answer StateLoaded."""

    round: int
    is_done: bool
    body: Buffer


@dataclass(frozen=True, slots=True)
class RestoreState:
    """Take the last checkpoint, or the initial state; answer StateLoaded."""

    generation: int


@dataclass(frozen=True, slots=True)
class Compute:
    """Compute our subtrees of this round; answer PartComputed. Whatever was being computed is of no use any more.

    slices : into how many to cut them; 0 to leave records whole
    """

    generation: int
    round: int
    slices: int


@dataclass(frozen=True, slots=True)
class Help:
    """Compute the subtrees of this member, too, from the state we hold; answer HelpComputed."""

    generation: int
    round: int
    late: str
    slices: int


@dataclass(frozen=True, slots=True)
class Reduce:
    """Merge these parts of a slice, to the total or as far as that goes; answer PartsMerged. `is_sent` if others read it."""

    slice: int
    slices: int
    parts: tuple[Part, ...]
    is_total: bool
    is_sent: bool


@dataclass(frozen=True, slots=True)
class Update:
    """Compute the next state from ours and this total, given by slice, and make these changes to it; answer StateUpdated."""

    total: tuple[Part, ...]
    slices: int
    changes: tuple[Adjustment, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordChanges:
    """Have these changes recorded for the state after that round, but those that our state refuses; answer ChangesRecorded."""

    generation: int
    round: int
    changes: tuple[Adjustment, ...]


@dataclass(frozen=True, slots=True)
class Suspect:
    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Tell:
    """This round is finished: tell whoever watches. `phases` are its seconds as we, the root, saw them, `seconds` members'."""

    generation: int
    round: int
    phases: dict[str, float]
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class KeepCheckpoint:
    generation: int
    holding: Holding


@dataclass(frozen=True, slots=True)
class Finish:
    """We are the root and hold the result: have it committed."""

    generation: int
    holding: Holding


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The job cannot finish."""

    generation: int
    reason: str


Action = (
    Expect
    | Dial
    | Send
    | SendState
    | LoadState
    | RestoreState
    | Compute
    | Help
    | Reduce
    | Update
    | RecordChanges
    | Suspect
    | Tell
    | KeepCheckpoint
    | Finish
    | GiveUp
)
