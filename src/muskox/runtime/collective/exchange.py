"""One generation's rounds as messages: whose parts are in, what is to be merged, and to whom it goes. Pure.

Whatever the form (topology.py), each slice of a round goes one way: our own part and those of the members below us are merged;
the result goes up to our parent, or it is the total. A total goes down to all. In one exchange everybody's part comes straight
to us, and what we merge is the total. Peers may be one round ahead of us; nobody can be two.
"""

from collections.abc import Sequence

from muskox.errors import PeerError
from muskox.runtime.collective.reduction import WHOLE
from muskox.runtime.collective.topology import SLICES_MAX, Form, Topology, slice_count
from muskox.runtime.collective.values import Part
from muskox.runtime.message import Buffer
from muskox.runtime.messages import Adjustment, Partial, Total
from muskox.runtime.round_events import Action, Reduce, Send, Suspect

SECONDS_MAX = 64  # members whose seconds a part tells of: the slowest


class Exchange:
    """See the head of this file. Methods return what is to be done; :meth:`find_total` says when a round is whole."""

    def __init__(self, generation: int, members: Sequence[str], rank: int, topology: Topology) -> None:
        self.seconds: dict[str, float] = {}  # that members needed to compute, as far as we were told
        self.changes: list[Adjustment] = []  # of parameters after this round: the root's word, which goes with its part
        self._generation = generation
        self._members = members
        self._worker = members[rank]
        self._topology = topology
        self._round = -1
        self._digest = ""
        self._form = Form.TREE
        self.slices = WHOLE
        self._arrived: dict[tuple[int, int], dict[str, tuple[Partial, Part]]] = {}  # by round and slice, then by sender
        self._own: tuple[Part, ...] = ()
        self._reduced: set[int] = set()
        self._totals: dict[int, Part] = {}

    def begin(self, round_: int, digest: str, form: Form, adds: bool, total_bytes: int) -> None:  # as topology.choose has it
        """Go on to a round: all hold the state of this digest."""
        self._round, self._digest, self._form = round_, digest, form
        self.slices = slice_count(len(self._members), total_bytes) if form is Form.SLICES else 1 if adds else WHOLE
        self._own, self._reduced, self._totals, self.seconds, self.changes = (), set(), {}, {}, []
        self._arrived = {key: parts for key, parts in self._arrived.items() if key[0] in (round_, round_ + 1)}

    def compute(self, parts: tuple[Part, ...], seconds: float) -> list[Action]:
        """Our own parts are computed."""
        self._own = parts
        self.seconds[self._worker] = seconds
        actions: list[Action] = []
        if self._form is Form.EXCHANGE:
            actions += [Send(peer, self._partial(0, parts[0]), parts[0].body) for peer in self._members if peer != self._worker]
        for slice_ in range(len(parts)):
            actions += self._advance(slice_)
        return actions

    def arrive(self, peer: str, message: Partial, body: Buffer) -> list[Action]:
        """A part came, perhaps for a round that we have not begun."""
        if message.slice not in range(SLICES_MAX) or (self._round >= 0 and message.round > self._round + 1):
            raise PeerError(f"{peer} sends slice {message.slice} of round {message.round} in round {self._round}")
        if self._round < 0:  # all who are ahead of us are so by the same round
            self._arrived = {key: parts for key, parts in self._arrived.items() if key[0] == message.round}
        elif message.round < self._round:
            return []
        part = Part(tuple(message.nodes), tuple(message.sizes), body, message.structure)
        self._arrived.setdefault((message.round, message.slice), {})[peer] = (message, part)
        return self._advance(message.slice) if message.round == self._round else []

    def merged(self, slice_: int, part: Part) -> list[Action]:
        """What we had merged is there."""
        parent = self._parent(slice_)
        return [Send(parent, self._partial(slice_, part), part.body)] if parent is not None else self._spread(slice_, part)

    def descend(self, peer: str, message: Total, body: Buffer) -> list[Action]:
        """A slice of the total came."""
        if self._form is Form.EXCHANGE or peer != self._parent(message.slice) or message.round != self._round:
            raise PeerError(f"{peer} sends the total of round {message.round}, slice {message.slice}, in round {self._round}")
        self.changes = message.changes or self.changes
        return self._spread(message.slice, Part((), (len(body),), body, message.structure))

    def find_total(self) -> tuple[Part, ...] | None:
        """Return the total by slice, if it is whole."""
        count = max(self.slices, 1)
        return tuple(self._totals[slice_] for slice_ in range(count)) if len(self._totals) == count else None

    @property
    def is_gathered(self) -> bool:
        """Whether every part that we wait for in slice 0 is in."""
        return 0 in self._reduced

    def _spread(self, slice_: int, part: Part) -> list[Action]:
        self._totals[slice_] = part
        if self._form is Form.EXCHANGE:
            return []
        message = Total(self._generation, self._round, slice_, part.structure, self.changes)
        children = self._topology.route(slice_, max(self.slices, 1)).children
        return [Send(self._members[rank], message, part.body) for rank in children]

    def _advance(self, slice_: int) -> list[Action]:
        """Have a slice merged once our own part and all that come to us are there."""
        if slice_ >= len(self._own) or slice_ in self._reduced:
            return []
        arrived, sources = self._arrived.get((self._round, slice_), {}), self._sources(slice_)
        if any(peer not in arrived for peer in sources):
            return []
        self._reduced.add(slice_)
        self._arrived.pop((self._round, slice_), None)
        odd = self._odd({peer: arrived[peer][0].digest for peer in sources})
        if odd:
            return [Suspect(peer, f"it computes round {self._round} from another state") for peer in odd]
        for peer in sources:
            self.seconds |= arrived[peer][0].seconds
            self.changes = arrived[peer][0].changes or self.changes
        parts = [self._own[slice_], *(arrived[peer][1] for peer in sources)]
        is_total = self._form is Form.EXCHANGE or self._parent(slice_) is None
        if not sources and not is_total:
            return self.merged(slice_, parts[0])
        return [Reduce(slice_, self.slices, tuple(parts), is_total)]

    def _sources(self, slice_: int) -> list[str]:
        if self._form is Form.EXCHANGE:
            return [peer for peer in self._members if peer != self._worker]
        return [self._members[rank] for rank in self._topology.route(slice_, max(self.slices, 1)).children]

    def _parent(self, slice_: int) -> str | None:
        if self._form is Form.EXCHANGE:
            return None
        parent = self._topology.route(slice_, max(self.slices, 1)).parent
        return None if parent is None else self._members[parent]

    def _odd(self, digests: dict[str, str]) -> list[str]:
        """Return who computed from another state than most; of equals those agree with whom the lowest rank does."""
        by_rank = [peer for peer in self._members if peer in digests or peer == self._worker]
        said = {peer: digests.get(peer, self._digest) for peer in by_rank}
        most = max(said.values(), key=list(said.values()).count)
        return [peer for peer in by_rank if said[peer] != most]

    def _partial(self, slice_: int, part: Part) -> Partial:
        slowest = sorted(self.seconds.items(), key=lambda item: -item[1])[:SECONDS_MAX]
        return Partial(
            self._generation,
            self._round,
            self._digest,
            list(part.nodes),
            list(part.sizes),
            slice_,
            part.structure,
            dict(slowest) if slice_ == 0 else {},
            self.changes,
        )
