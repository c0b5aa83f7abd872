"""What happens to a worker and what it is to do: the events and actions of the machine in rounds.py, as plain values. Pure."""

from dataclasses import dataclass

from muskox.runtime.messages import Begin, Collective, State
from muskox.tree import Node


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
    number: int
    members: tuple[str, ...]
    rank: int


@dataclass(frozen=True, slots=True)
class LinkOpened:
    """The link to the root stands and both ends have proved themselves."""

    generation: int


@dataclass(frozen=True, slots=True)
class MessageArrived:
    peer: str
    message: Collective
    body: bytes


@dataclass(frozen=True, slots=True)
class PeerLost:
    peer: str
    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class StateLoaded:
    """The shell now holds this state: adopted from a peer, or restored."""

    holding: Holding


@dataclass(frozen=True, slots=True)
class PartComputed:
    """The values of this worker's own subtrees, as packed records, in the order of `nodes`."""

    generation: int
    round: int
    nodes: tuple[Node, ...]
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SumReduced:
    total: bytes


@dataclass(frozen=True, slots=True)
class StateUpdated:
    holding: Holding


Event = GenerationFormed | LinkOpened | MessageArrived | PeerLost | StateLoaded | PartComputed | SumReduced | StateUpdated

# -- actions --


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a link to this peer for this generation."""

    peer: str
    generation: int


@dataclass(frozen=True, slots=True)
class Send:
    peer: str
    message: Collective
    body: bytes = b""


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
    body: bytes


@dataclass(frozen=True, slots=True)
class RestoreState:
    """Take the last checkpoint, or the initial state; answer StateLoaded."""

    generation: int


@dataclass(frozen=True, slots=True)
class Compute:
    """Compute our subtrees of this round; answer PartComputed. Whatever was being computed is of no use any more."""

    generation: int
    round: int


@dataclass(frozen=True, slots=True)
class Reduce:
    """Merge these values of tree nodes to the root's; answer SumReduced."""

    values: dict[Node, bytes]


@dataclass(frozen=True, slots=True)
class Update:
    """Compute the next state from ours and this total; answer StateUpdated."""

    total: bytes


@dataclass(frozen=True, slots=True)
class Suspect:
    peer: str
    reason: str


@dataclass(frozen=True, slots=True)
class Tell:
    """This round is finished: tell whoever watches."""

    generation: int
    round: int


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
    Dial
    | Send
    | SendState
    | LoadState
    | RestoreState
    | Compute
    | Reduce
    | Update
    | Suspect
    | Tell
    | KeepCheckpoint
    | Finish
    | GiveUp
)
