"""One generation's rounds as messages: whose parts are in, what is to be merged, and to whom it goes. Pure.

Whatever the form (topology.py), each slice of a round goes one way: our own part and those of the members below us are merged;
the result goes up to our parent, or it is the total. A total goes down to all. In one exchange everybody's part comes straight
to us, and what we merge is the total.

A late member's part may come from a helper, who also stands in for it where it would have merged: whichever comes first counts,
for both have the same bits. Who is raced so may fall rounds behind: what comes for rounds ahead is kept, and it catches up.
Where not all have links with all, whoever is above a late member in the tree of slice 0 computes its part, and gives it to the
late member itself, which goes on with it.
"""

import statistics
from collections.abc import Sequence

from msgspec import structs

from muskox.errors import PeerError
from muskox.runtime.collective.audit import AUDITORS, find_odd
from muskox.runtime.collective.reduction import WHOLE
from muskox.runtime.collective.topology import SLICES_MAX, Form, Topology, slice_count
from muskox.runtime.collective.values import Part
from muskox.runtime.message import Buffer
from muskox.runtime.messages import Adjustment, Partial, Total
from muskox.runtime.round_events import Action, GiveUp, Help, Reduce, Send, Suspect

SECONDS_MAX = 64  # members whose seconds a part tells of: the slowest
AHEAD_ROUNDS_MAX = 1000  # who is further behind the others does better to join them anew


class Exchange:
    """See the head of this file. Methods return what is to be done; :meth:`find_total` says when a round is whole."""

    def __init__(self, generation: int, members: Sequence[str], rank: int, topology: Topology) -> None:
        self.seconds: dict[str, float] = {}  # that members needed to compute, as far as we were told
        self.changes: list[Adjustment] = []  # of parameters after this round: the root's word, which goes with its part
        self._generation = generation
        self._members = members
        self._worker = members[rank]
        self._topology = topology
        self._round = self._first = -1
        self._digest = ""
        self._form = Form.TREE
        self.slices = WHOLE
        self._arrived: dict[tuple[int, int], dict[str, tuple[Partial, Part]]] = {}  # by round and slice, then whose it is
        self._descended: dict[tuple[int, int], tuple[Total, Part]] = {}  # by round and slice
        self._own: tuple[Part, ...] = ()
        self._reduced: set[int] = set()
        self._totals: dict[int, Part] = {}
        self._checks: list[tuple[int, str, str]] = []  # of audited results: shard, member, digest
        self._helpers: dict[str, str] = {}  # of members that are late in this round
        self._helped: dict[str, tuple[tuple[Part, ...], list[tuple[int, str, str]]]] = {}  # what we computed in their stead
        self._pushed: set[str] = set()  # those below us whose parts we compute for themselves
        self._races: dict[int, dict[str, str]] = {}  # helpers in rounds that we have not begun
        self._were_late: set[str] = set()  # whose own parts of the round before never came

    def begin(self, round_: int, digest: str, form: Form, adds: bool, total_bytes: int) -> list[Action]:
        """Go on to a round: all hold the state of this digest. What is there already is merged."""
        self._were_late = set(self.find_overdue())
        self._round, self._digest, self._form = round_, digest, form
        self.slices = slice_count(len(self._members), total_bytes) if form is Form.SLICES else 1 if adds else WHOLE
        self._own, self._reduced, self._totals, self.seconds, self.changes = (), set(), {}, {}, []
        self._helpers, self._helped, self._pushed, self._checks = {}, {}, set(), []
        self._arrived = {key: parts for key, parts in self._arrived.items() if key[0] >= round_}
        self._descended = {key: total for key, total in self._descended.items() if key[0] >= round_}
        races = self._races.pop(round_, {})
        self._races = {ahead: helpers for ahead, helpers in self._races.items() if ahead > round_}
        actions: list[Action] = []
        for slice_ in range(max(self.slices, 1)):
            actions += self._take(slice_)
        for late, helper in races.items():
            actions += self.race(round_, late, helper)
        return actions

    def compute(self, parts: tuple[Part, ...], seconds: float, checks: Sequence[tuple[int, str]] = ()) -> list[Action]:
        """Our own parts are computed."""
        self._own = parts
        self._checks = [(shard, self._worker, digest) for shard, digest in checks]
        self.seconds[self._worker] = seconds
        actions: list[Action] = []
        if self._form is Form.EXCHANGE:
            actions += [Send(peer, self._partial(0, parts[0]), parts[0].body) for peer in self._members if peer != self._worker]
        for slice_, part in enumerate(parts):
            self._arrived.setdefault((self._round, slice_), {})[self._worker] = (self._partial(slice_, part), part)
            actions += self._advance(slice_)
        for late, helper in self._helpers.items():
            actions += self._stand_in(late, helper)
        return actions

    # -- races --

    @property
    def usual_s(self) -> float:
        """The median seconds of those who have computed, as far as we were told."""
        return statistics.median(self.seconds.values()) if self.seconds else 0.0

    def find_late(self) -> list[str]:
        """Return whose parts of slice 0 we wait for, and nobody was asked to compute in their stead."""
        arrived = self._arrived.get((self._round, 0), {})
        if 0 in self._reduced:
            return []
        return [peer for peer in self._sources(0) if not (peer in arrived or peer in self._helpers or peer in self._pushed)]

    def find_done(self) -> list[str]:
        """Return who has given its own part of slice 0."""
        arrived = self._arrived.get((self._round, 0), {})
        return [peer for peer in self._sources(0) if peer in arrived and not arrived[peer][0].member]

    def find_overdue(self) -> list[str]:
        """Return whose own parts of this round never came, though others computed in their stead."""
        return [late for late in (*self._helpers, *self._pushed) if not self._is_delivered(late)]

    def was_late(self, peer: str) -> bool:
        return peer in self._were_late

    def race(self, round_: int, late: str, helper: str) -> list[Action]:
        """Somebody is asked to compute the part of a member that is late, and to merge in its stead."""
        if round_ != self._round:
            if round_ > self._round and not self._is_far(round_):
                self._races.setdefault(round_, {})[late] = helper
            return []
        self._helpers[late] = helper
        actions: list[Action] = self._stand_in(late, helper) if self._own else []
        return [*actions, Help(self._generation, round_, late, self.slices)] if helper == self._worker else actions

    def push(self, round_: int, late: str) -> list[Action]:
        """Compute the part of a member below us that is late, for itself to go on with."""
        self._pushed.add(late)
        return [Help(self._generation, round_, late, self.slices)]

    def help(self, round_: int, late: str, parts: tuple[Part, ...], checks: Sequence[tuple[int, str]] = ()) -> list[Action]:
        """The part of a member that is late is computed: it goes where its own would have gone, and to itself."""
        if round_ != self._round:
            return []
        self._helped[late] = (parts, [(shard, self._worker, digest) for shard, digest in checks])
        actions: list[Action] = []
        for slice_, part in enumerate(parts):
            if late in self._pushed:
                actions.append(Send(late, self._partial_of(late, slice_, part), part.body))
                continue
            owner = self._owner(slice_)
            goals = {owner, self._helpers.get(owner, owner)} if self._form is not Form.EXCHANGE else set(self._members)
            message = self._partial_of(late, slice_, part)
            actions += [Send(peer, message, part.body) for peer in self._members if peer in goals and peer != self._worker]
            if self._worker in goals:
                self._deposit(late, slice_)
                actions += self._advance(slice_)
        return actions

    def _partial_of(self, late: str, slice_: int, part: Part) -> Partial:
        checks = self._helped[late][1] if slice_ == 0 else []
        return structs.replace(self._partial(slice_, part), member=late, seconds={}, changes=[], checks=checks)

    def _deposit(self, late: str, slice_: int) -> None:
        part = self._helped[late][0][slice_]
        self._arrived.setdefault((self._round, slice_), {}).setdefault(late, (self._partial_of(late, slice_, part), part))

    def _stand_in(self, late: str, helper: str) -> list[Action]:
        """Give whoever merges for a late member what we computed of it: our own part, and those of others that are late."""
        if self._form is not Form.SLICES:
            return []
        actions: list[Action] = []
        for slice_, own in enumerate(self._own):
            if self._owner(slice_) != late:
                continue
            if helper == self._worker:
                for other in self._helped:
                    self._deposit(other, slice_)
                actions += self._advance(slice_)
            else:
                actions.append(Send(helper, self._partial(slice_, own), own.body))
                for other, (parts, _) in self._helped.items():
                    part = parts[slice_]
                    actions.append(Send(helper, self._partial_of(other, slice_, part), part.body))
        return actions

    def _owner(self, slice_: int) -> str:
        """Return who merges a slice, in a form without intermediate members."""
        parent = self._topology.route(slice_, max(self.slices, 1)).parent
        return self._worker if parent is None else self._members[parent]

    def _merges(self, slice_: int) -> bool:
        """Return whether what we merge of a slice is its total, from everybody's parts."""
        return self._parent(slice_) is None or self._helpers.get(self._owner(slice_)) == self._worker

    def _is_delivered(self, peer: str) -> bool:
        if peer in self._pushed:  # with its own part it tells of its own seconds
            found = self._arrived.get((self._round, 0), {}).get(peer)
            return found is not None and peer in found[0].seconds
        return any(key[0] >= self._round and not parts[peer][0].member for key, parts in self._arrived.items() if peer in parts)

    # -- messages --

    def _is_far(self, round_: int) -> bool:
        """Return whether a round is too far ahead of ours, or, before we begin, of the first that we heard of."""
        if self._first < 0:
            self._first = round_
        return round_ - max(self._round, self._first) > AHEAD_ROUNDS_MAX

    def arrive(self, peer: str, message: Partial, body: Buffer) -> list[Action]:
        """A part came, perhaps for a round that we have not begun."""
        owner = message.member or peer
        if message.slice not in range(SLICES_MAX) or owner not in self._members:
            raise PeerError(f"{peer} sends slice {message.slice} of {owner}")
        if message.round < self._round:
            return []
        if self._is_far(message.round):
            return [Suspect(self._worker, f"it is more than {AHEAD_ROUNDS_MAX} rounds behind {peer}")]
        part = Part(tuple(message.nodes), tuple(message.sizes), body, message.structure)
        arrived = self._arrived.setdefault((message.round, message.slice), {})
        if owner not in arrived or not message.member:
            arrived[owner] = (message, part)
        return self._advance(message.slice) if message.round == self._round else []

    def merged(self, slice_: int, part: Part) -> list[Action]:
        """What we had merged is there."""
        if self._merges(slice_):
            return self._spread(slice_, part)
        parent = self._parent(slice_)
        assert parent is not None, "or it would be the total"
        return [Send(parent, self._partial(slice_, part), part.body)]

    def descend(self, peer: str, message: Total, body: Buffer) -> list[Action]:
        """A slice of the total came."""
        if message.slice not in range(SLICES_MAX):
            raise PeerError(f"{peer} sends slice {message.slice} of the total of round {message.round}")
        if message.round < self._round:
            return []
        if self._is_far(message.round):
            return [Suspect(self._worker, f"it is more than {AHEAD_ROUNDS_MAX} rounds behind {peer}")]
        part = Part((), (len(body),), body, message.structure)
        self._descended.setdefault((message.round, message.slice), (message, part))
        return self._take(message.slice) if message.round == self._round else []

    def _take(self, slice_: int) -> list[Action]:
        """Take the total of a slice if it came, or have it merged if its parts did."""
        if (self._round, slice_) not in self._descended:
            return self._advance(slice_)
        message, part = self._descended.pop((self._round, slice_))
        self.changes = message.changes or self.changes
        return self._spread(slice_, part)

    def find_total(self) -> tuple[Part, ...] | None:
        """Return the total by slice, if it is whole."""
        count = max(self.slices, 1)
        return tuple(self._totals[slice_] for slice_ in range(count)) if len(self._totals) == count else None

    def lacks(self, peer: str) -> bool:
        """Whether something that `peer` is to give is missing for the total."""
        for slice_ in range(max(self.slices, 1)):
            if slice_ in self._totals:
                continue
            parent = self._parent(slice_)
            if parent == peer or (parent is None and peer not in self._arrived.get((self._round, slice_), {})):
                return True
        return False

    @property
    def is_gathered(self) -> bool:
        """Whether every part that we wait for in slice 0 is in."""
        return 0 in self._reduced

    def _spread(self, slice_: int, part: Part) -> list[Action]:
        if slice_ in self._totals:
            return []
        self._totals[slice_] = part
        if self._form is Form.EXCHANGE:
            return []
        message = Total(self._generation, self._round, slice_, part.structure, self.changes)
        if self._merges(slice_) and self._helpers:
            below = [peer for peer in self._members if peer != self._worker]
        else:
            below = [self._members[rank] for rank in self._topology.route(slice_, max(self.slices, 1)).children]
        return [Send(peer, message, part.body) for peer in below]

    def _advance(self, slice_: int) -> list[Action]:
        """Have a slice merged once our own part and all that come to us are there."""
        if slice_ in self._reduced or slice_ in self._totals or slice_ >= max(self.slices, 1):
            return []
        arrived, sources = self._arrived.get((self._round, slice_), {}), self._sources(slice_)
        mine = arrived.get(self._worker)
        if mine is not None and mine[0].member and mine[0].digest != self._digest:
            del arrived[self._worker]  # computed for us from another state: whoever did so is found out by its own part
        if any(peer not in arrived for peer in (self._worker, *sources)):
            return []
        self._reduced.add(slice_)
        own = [peer for peer in sources if not arrived[peer][0].member]  # a helper has one voice
        odd = self._odd({peer: arrived[peer][0].digest for peer in own})
        if odd:
            return [Suspect(peer, f"it computes round {self._round} from another state") for peer in odd]
        if mine is not None and mine[0].member:
            self._checks += mine[0].checks
        for peer in sources:
            self.seconds |= arrived[peer][0].seconds
            self.changes = arrived[peer][0].changes or self.changes
            self._checks += arrived[peer][0].checks
        dispute = self._dispute() if slice_ == 0 and self._merges(0) else []  # on the way up not all are heard yet
        if dispute:
            return dispute
        parts = [arrived[peer][1] for peer in (self._worker, *sources)]
        is_total = self._merges(slice_)
        if not sources and not is_total:
            return self.merged(slice_, parts[0])
        is_sent = not is_total or self._form is not Form.EXCHANGE
        return [Reduce(slice_, self.slices, tuple(parts), is_total, is_sent)]

    def _dispute(self) -> list[Action]:
        """Look whether results that were audited differ."""
        found: dict[int, dict[str, str]] = {}
        for shard, peer, digest in self._checks:
            found.setdefault(shard, {})[peer] = digest
        for shard, said in sorted(found.items()):
            odd = find_odd(said)
            where = f"of shard {shard} in round {self._round + 1}"
            if odd:
                return [Suspect(odd, f"its result {where} is another than that of two others")]
            if odd is not None and len(said) < min(len(self._members), AUDITORS + 1):
                return [Suspect(self._worker, f"two results {where} differ, and it does not wait for a third, which is late")]
            if odd is not None:
                reason = f"{' and '.join(sorted(said))} have different results {where}, and there is no third worker to decide"
                return [GiveUp(self._generation, reason)]
        return []

    def _sources(self, slice_: int) -> list[str]:
        if self._form is Form.EXCHANGE or self._helpers.get(self._owner(slice_)) == self._worker:
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
            checks=self._checks if slice_ == 0 else [],
        )
