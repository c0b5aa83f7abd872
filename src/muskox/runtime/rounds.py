"""The worker's machine: which round of which generation it is in, what to send, and what to compute next. Pure.

The members of a generation are a tree around its root (rank 0; of few members a star), the reduction another, fixed tree
whoever computes which part of it:

1. every member tells the root what it holds (Hello, up the tree); the furthest state wins, is fetched if the root lacks it, and
   comes down to whoever lacks it (Begin). If nobody holds any, the root restores the last checkpoint;
2. the values of members' subtrees (Partial) are merged to the sum (Total), in one of the forms that collective/topology.py
   knows: which one follows from what all hold alike, and changes no bit. collective/exchange.py does it;
3. everybody updates: so everybody holds the state, and any survivor can begin the next generation.

The machine knows rounds, digests and names; states and sums stay with the shell. Every message carries its generation: what
belongs to another one is ignored, which is all that a fence needs to be between processes. `now` serves only to space
checkpoints and to tell how long a round's phases took, and so never changes a bit of the result.
"""

from enum import Enum, auto

from muskox.errors import PeerError
from muskox.runtime.adjustments import Adjustments
from muskox.runtime.agreement import agree
from muskox.runtime.collective.exchange import Exchange
from muskox.runtime.collective.reduction import WHOLE
from muskox.runtime.collective.topology import Topology, choose, order_of
from muskox.runtime.message import Buffer
from muskox.runtime.messages import Adjustment, Begin, Collective, Fetch, Hello, Moved, Partial, Race, State, Total
from muskox.runtime.round_events import (
    NOTHING,
    Action,
    ChangesRecorded,
    ChangesWished,
    Compute,
    Dial,
    Event,
    Expect,
    Finish,
    GenerationFormed,
    GiveUp,
    HelpComputed,
    Holding,
    KeepCheckpoint,
    LoadState,
    MessageArrived,
    PartComputed,
    PartsMerged,
    PeerLost,
    RecordChanges,
    RestoreState,
    Send,
    SendState,
    StateLoaded,
    StateUpdated,
    Suspect,
    Tell,
    Update,
    Waited,
)
from muskox.runtime.round_times import RoundTimes


class Phase(Enum):
    IDLE = auto()  # no generation, or one that is broken: waiting for the next
    JOINING = auto()  # a member until Begin
    GATHERING = auto()  # the root until every Hello is in
    LOADING = auto()  # until the shell holds the state that this generation begins with
    COMPUTING = auto()  # our own part
    COLLECTING = auto()  # until the total is whole
    UPDATING = auto()
    FINISHED = auto()


class RoundMachine:
    """See the head of this file. One door: :meth:`handle`."""

    def __init__(self, worker: str, *, checkpoint_interval_s: float, rounds_max: int) -> None:
        self.worker = worker
        self.checkpoint_interval_s = checkpoint_interval_s
        self.holding = NOTHING
        self.generation = 0
        self.phase = Phase.IDLE
        self._rounds_max = rounds_max
        self._members: tuple[str, ...] = (worker,)
        self._rank = 0
        self._join(("",))
        self._hellos: dict[str, Hello] = {}
        self._adds = False
        self._total_bytes = 0  # of the last round's total, or as much as the state where rounds of another kind begin
        self._times = RoundTimes()
        self._checkpoint_s: float | None = None
        self._adjustments = Adjustments()
        self._made: set[str] = set()  # the changes that our state has, or will have when their rounds come
        self._awaited: tuple[str, str] | None = None  # whose state we load, and the digest that it told of
        self._held: PartComputed | None = None  # our part, while changes are being recorded

    def _join(self, shards: tuple[str, ...]) -> None:
        """Take our place in the present generation."""
        self._topology = Topology(order_of(shards), self._rank)
        self._exchange = Exchange(self.generation, self._members, self._rank, self._topology)
        self.neighbours: tuple[str, ...] = ()  # with whom a link stands, or will
        self._linked: set[int] = set()  # the numbers of slices for which there are links
        self._peers = frozenset(self._members) - {self.worker}

    @property
    def is_root(self) -> bool:
        return self._rank == 0

    @property
    def is_watchful(self) -> bool:
        """Whether we are to be told from time to time that time has passed."""
        return self._rank <= 1 or bool(self._topology.route().children)

    def unheard(self) -> list[str]:
        """Return the members whose silence keeps the root from beginning; not those that only have such a one above them.

        A peer may have been told of a generation after ours already: its word of that one is kept, and does not count yet.
        """
        if self.phase is not Phase.GATHERING:
            return []
        heard = {rank for rank, peer in enumerate(self._members) if rank == 0 or self._said(peer)}
        silent = [rank for rank in range(len(self._members)) if rank not in heard]
        return [self._members[rank] for rank in silent if self._topology.parent_of(rank) in heard]

    def _said(self, peer: str) -> bool:
        return peer in self._hellos and self._hellos[peer].generation == self.generation

    def wants_state(self, generation: int) -> bool:
        """Return whether a state to begin `generation` with is still awaited: an answer may come too late."""
        return generation == self.generation and self.phase is Phase.LOADING

    def handle(self, event: Event, now: float) -> list[Action]:
        match event:
            case GenerationFormed():
                return self._form(event, now)
            case MessageArrived(peer, message, body):
                return self._receive(peer, message, body, now)
            case PeerLost(peer, generation, reason):
                return self._lose(peer, generation, reason)
            case StateLoaded(holding, adds, state_bytes):
                if self.phase is not Phase.LOADING:
                    return []
                peer, digest = self._awaited or ("", holding.digest)
                if holding.digest != digest:
                    self.phase, self.holding = Phase.IDLE, NOTHING
                    return [Suspect(peer, "the state that it sent is not the one that it told of")]
                self.holding, self._adds = holding, adds
                self._total_bytes = self._total_bytes or state_bytes
                return self._begin(now)
            case PartComputed():
                return self._part(event, now)
            case HelpComputed():
                return self._helped(event, now)
            case Waited(root_rows):
                return [*self._race(now), *self._watch(root_rows, now)]
            case PartsMerged(slice_, part):
                return self._progress(self._exchange.merged(slice_, part), now)
            case StateUpdated(holding, adds, state_bytes):
                if adds is not self._adds:
                    self._adds, self._total_bytes = adds, state_bytes
                return self._updated(holding, now)
            case ChangesWished(generation, changes):
                return self._wish(changes) if generation == self.generation else []
            case ChangesRecorded():
                return self._recorded(event, now)

    def _told(self) -> tuple[int, str, bool]:
        return (self.holding.round, self.holding.digest, self.holding.is_done)

    # -- a generation begins --

    def _form(self, event: GenerationFormed, now: float) -> list[Action]:
        if event.number <= self.generation:
            return []
        self.generation, self._members, self._rank = event.number, event.members, event.rank
        self._join(event.shards)
        self._adjustments, self._held, self._awaited = Adjustments(event.changes), None, None
        if self._adjustments.are_missing(self.holding.round, self._made):
            self.holding = NOTHING  # we were left out for a while, and others went another way from an earlier state
        self._made = self._adjustments.requests
        if self._checkpoint_s is None:
            self._checkpoint_s = now
        self._hellos = {peer: hello for peer, hello in self._hellos.items() if hello.generation >= self.generation}
        links = self._link(WHOLE)
        if self.is_root:
            self.phase = Phase.GATHERING
            return [*links, *self._choose(now)]
        self.phase = Phase.JOINING
        hellos = [Hello(self.generation, self.worker, *self._told())]
        hellos += [hello for hello in self._hellos.values() if hello.generation == self.generation]
        return [*links, *(Send(self._parent(), hello) for hello in hellos)]

    def _link(self, slices: int) -> list[Action]:
        """Have links with all to whom a round of so many slices leads; of two the one of higher rank opens it."""
        if slices in self._linked:
            return []
        self._linked.add(slices)
        more = [rank for rank in self._topology.neighbours(slices) if self._members[rank] not in self.neighbours]
        if not more:
            return []
        peers = tuple(self._members[rank] for rank in more)
        self.neighbours += peers
        return [Expect(peers), *(Dial(self._members[rank], self.generation) for rank in more if rank < self._rank)]

    def _parent(self) -> str:
        parent = self._topology.route().parent
        assert parent is not None, "asked of a member that is not the root"
        return self._members[parent]

    def _choose(self, now: float) -> list[Action]:
        """Once all have said what they hold, agree on the state to begin with."""
        if not all(self._said(peer) for peer in self._members[1:]):
            return []
        held = {self.worker: self.holding}
        for peer in self._members[1:]:
            hello = self._hellos[peer]
            held[peer] = Holding(hello.round, hello.digest, hello.is_done)
        self.phase = Phase.LOADING
        agreed = agree(held)
        if agreed.holding == NOTHING:
            return [RestoreState(self.generation)]
        if agreed.odd:
            self.phase = Phase.IDLE
            reason = f"it holds another state after round {agreed.holding.round} than most"
            return [Suspect(peer, reason) for peer in agreed.odd]
        if self.holding == agreed.holding:
            return self._begin(now)
        self._awaited = (agreed.holder, agreed.holding.digest)
        return [Send(self._towards(agreed.holder), Fetch(self.generation, agreed.holder))]

    def _towards(self, peer: str) -> str:
        return self._members[self._topology.towards(self._members.index(peer))]

    def _begin(self, now: float) -> list[Action]:
        """Have those below us begin, with our state where they lack it, and begin."""
        begin = Begin(self.generation, *self._told(), self._total_bytes)
        actions: list[Action] = []
        for rank in self._topology.route().children:
            hello = self._hellos[self._members[rank]]
            same = (hello.round, hello.digest, hello.is_done) == self._told()
            actions.append(Send(hello.worker, begin) if same else SendState(hello.worker, begin))
        return [*actions, *self._go_on(now)]

    def _go_on(self, now: float) -> list[Action]:
        if self.holding.is_done:
            self.phase = Phase.FINISHED
            return [Finish(self.generation, self.holding)] if self.is_root else []
        if self.holding.round >= self._rounds_max:
            self.phase = Phase.IDLE
            reason = f"the program did not finish within {self._rounds_max} rounds"
            return [GiveUp(self.generation, reason)] if self.is_root else []
        self.phase = Phase.COMPUTING
        self._times = RoundTimes(now)
        form = choose(len(self._members), self._total_bytes, self._adds)
        there = self._exchange.begin(self.holding.round, self.holding.digest, form, self._adds, self._total_bytes)
        slices = self._exchange.slices
        compute = Compute(self.generation, self.holding.round, slices)
        return [*self._link(slices), compute, *self._record(), *self._progress(there, now)]

    # -- messages --

    def _receive(self, peer: str, message: Collective, body: Buffer, now: float) -> list[Action]:
        if isinstance(message, Hello):
            return self._hear(message, now)
        if isinstance(message, Moved):
            if self._is_current(peer, message.generation):
                self.phase = Phase.IDLE  # our own word of the newer generation is on its way
            return []
        match message:
            case Fetch(holder=holder) if self._is_awaited(peer, message.generation):
                if holder != self.worker:
                    return [Send(self._towards(holder), message)]
                return [SendState(self._parent(), State(self.generation, *self._told()))]
            case State() if self._is_current(peer, message.generation):
                if not self.is_root:
                    return [Send(self._parent(), message, body)]
                return [LoadState(message.round, message.is_done, body)] if self.phase is Phase.LOADING else []
            case Begin() if self._is_awaited(peer, message.generation):
                self._total_bytes = message.total_bytes
                self.phase = Phase.LOADING
                if body:
                    self._awaited = (peer, message.digest)
                    return [LoadState(message.round, message.is_done, body)]
                if (message.round, message.digest, message.is_done) != self._told():
                    raise PeerError(f"{peer} begins with round {message.round}; we said that we hold {self.holding}")
                return self._begin(now)
            case Partial() if self._is_current(peer, message.generation) and self.phase is not Phase.FINISHED:
                return self._progress(self._exchange.arrive(peer, message, body), now)
            case Total() if self._is_current(peer, message.generation):
                return self._progress(self._exchange.descend(peer, message, body), now)
            case Race() if self._is_current(peer, message.generation) and peer == self._members[0]:
                return self._raced(message, now)
            case _:
                return []

    def _is_current(self, peer: str, generation: int) -> bool:
        return generation == self.generation and peer in self._peers and self.phase is not Phase.IDLE

    def _is_awaited(self, peer: str, generation: int) -> bool:
        """Return whether this comes from above to a member that joins."""
        return self._is_current(peer, generation) and self.phase is Phase.JOINING and peer == self._parent()

    def _hear(self, hello: Hello, now: float) -> list[Action]:
        """Keep and pass on what a member holds; a peer may hear of its generation before we do."""
        kept = self._hellos.get(hello.worker, hello)
        if hello.generation < max(self.generation, kept.generation):  # another way up may be slower
            return []
        self._hellos[hello.worker] = hello
        if self.phase is Phase.GATHERING:
            return self._choose(now)
        is_ours = hello.generation == self.generation and self.phase is Phase.JOINING
        return [Send(self._parent(), hello)] if is_ours else []

    # -- a round --

    def _part(self, event: PartComputed, now: float) -> list[Action]:
        if event.generation != self.generation or self.phase is not Phase.COMPUTING or event.round != self.holding.round:
            return []
        if self._adjustments.is_recording:
            self._held = event  # without our part nobody has the total
            return []
        self.phase = Phase.COLLECTING
        self._times.computed_s = now
        return [*self._progress(self._exchange.compute(event.parts, event.seconds, event.checks), now), *self._race(now)]

    def _race(self, now: float) -> list[Action]:
        """Have computed what late members are to give, if we are done ourselves: where all have links with all the root sees to
        that, else whoever is above them."""
        is_asked = self.phase is Phase.COLLECTING and (self.is_root or not self._topology.is_mesh)
        is_long = self._times.is_late(self._exchange.usual_s, now)
        late = [peer for peer in (self._exchange.find_late() if is_asked else []) if is_long or self._exchange.was_late(peer)]
        if not self._topology.is_mesh:
            return [action for peer in late for action in self._exchange.push(self.holding.round, peer)]
        done = self._exchange.find_done() if late else []
        actions: list[Action] = []
        for number, peer in enumerate(late):
            helper = done[number % len(done)] if done else self.worker
            race = Race(self.generation, self.holding.round, peer, helper)
            actions += [Send(other, race) for other in self._members[1:]]
            actions += self._progress(self._exchange.race(race.round, peer, helper), now)
        return actions

    def _raced(self, race: Race, now: float) -> list[Action]:
        if self.phase not in (Phase.COMPUTING, Phase.COLLECTING) and race.round <= self.holding.round:
            return []  # we have that round's total, and perhaps another state already
        return self._progress(self._exchange.race(race.round, race.late, race.helper), now)

    def _helped(self, event: HelpComputed, now: float) -> list[Action]:
        if event.generation != self.generation or self.phase is not Phase.COLLECTING or event.round != self.holding.round:
            return []
        if not self._topology.is_mesh:  # in a mesh the root knows by itself
            self._exchange.seconds.setdefault(event.late, now - self._times.began_s)  # it needs longer than that
        return self._progress(self._exchange.help(event.round, event.late, event.parts, event.checks), now)

    def _watch(self, root_rows: float, now: float) -> list[Action]:
        """Report a root whose connections live but whose computing hangs, if we are the next in rank: it helps others only."""
        root, own_s = self._members[0], self._exchange.seconds.get(self.worker, 0.0)
        is_asked = self._rank == 1 and self.phase is Phase.COLLECTING and self._topology.is_mesh
        if not is_asked or not self._times.is_hung(own_s * root_rows, now) or not self._exchange.lacks(root):
            return []
        self.phase = Phase.IDLE
        reason = f"it has not given its part of round {self.holding.round + 1} within {now - self._times.began_s:.0f} s"
        return [Suspect(root, reason)]

    def _progress(self, actions: list[Action], now: float) -> list[Action]:
        """Look whether the round is broken, or whole."""
        if any(isinstance(action, Suspect | GiveUp) for action in actions):
            self.phase = Phase.IDLE
            return actions
        if self._exchange.is_gathered and not self._times.gathered_s:
            self._times.gathered_s = now
        is_open = self.phase in (Phase.COMPUTING, Phase.COLLECTING)  # who is late may have the total before its own part
        total = self._exchange.find_total() if is_open else None
        if total is None:
            return actions
        self.phase = Phase.UPDATING
        self._times.merged_s = now
        self._total_bytes = sum(len(part.body) for part in total)
        changes = self._adjustments.due(self.holding.round + 1, self._exchange.changes)
        self._made.update(change.request for change in changes)
        return [*actions, Update(total, self._exchange.slices, changes)]

    # -- changes of parameters --

    def _wish(self, changes: tuple[Adjustment, ...]) -> list[Action]:
        self._adjustments.wish(changes)
        return self._record() if self.phase is Phase.COMPUTING else []

    def _record(self) -> list[Action]:
        """Have what is wished for recorded, if we are the root and our part of the round is not given yet."""
        changes = self._adjustments.take(self.holding.round + 1) if self.is_root else ()
        return [RecordChanges(self.generation, self.holding.round + 1, changes)] if changes else []

    def _recorded(self, event: ChangesRecorded, now: float) -> list[Action]:
        if event.generation != self.generation or not self._adjustments.is_recording:
            return []
        self._adjustments.stand(event.changes)
        self._exchange.changes = [*self._exchange.changes, *event.changes]
        held, self._held = self._held, None
        return [] if held is None else self._part(held, now)

    def _updated(self, holding: Holding, now: float) -> list[Action]:
        self.holding = holding
        if not self.is_root:
            return self._go_on(now)
        seconds = self._exchange.seconds
        overdue = dict.fromkeys(self._exchange.find_overdue(), now - self._times.began_s)  # they need longer than that
        phases = self._times.phases(seconds, now)
        actions: list[Action] = [Tell(self.generation, holding.round, phases, overdue | seconds)]
        assert self._checkpoint_s is not None, "a generation was formed"
        if not holding.is_done and now - self._checkpoint_s >= self.checkpoint_interval_s:
            self._checkpoint_s = now
            actions.append(KeepCheckpoint(self.generation, holding))
        return [*actions, *self._go_on(now)]

    def _lose(self, peer: str, generation: int, reason: str) -> list[Action]:
        concerns_us = generation == self.generation and peer in self._peers
        is_over = self.phase is Phase.FINISHED and (self.is_root or peer != self._members[0])
        if not concerns_us or self.phase is Phase.IDLE or is_over:
            return []
        self.phase = Phase.IDLE
        return [Suspect(peer, reason)]
