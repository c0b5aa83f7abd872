"""The worker's machine: which round of which generation it is in, what to send, and what to compute next. Pure.

A generation is a star around its root (rank 0), the reduction a fixed tree whoever computes which part of it:

1. every member tells the root what it holds (Hello); the furthest state wins, is fetched if the root lacks it, and goes to
   whoever lacks it (Begin). If nobody holds any, the root restores the last checkpoint;
2. members send the values of their subtrees (Partial), the root merges them and sends the sum (Total);
3. everybody updates: so everybody holds the state, and any survivor can begin the next generation.

The machine knows rounds, digests and names; states and sums stay with the shell. Every message carries its generation: what
belongs to another one is ignored, which is all that a fence needs to be between processes. `now` serves only to space
checkpoints, and so never changes a bit of the result.
"""

from enum import Enum, auto

from muskox.errors import PeerError
from muskox.runtime.messages import Begin, Collective, Fetch, Hello, Moved, Partial, State, Total
from muskox.runtime.round_events import (
    NOTHING,
    Action,
    Compute,
    Dial,
    Event,
    Finish,
    GenerationFormed,
    GiveUp,
    Holding,
    KeepCheckpoint,
    LinkOpened,
    LoadState,
    MessageArrived,
    PartComputed,
    PeerLost,
    Reduce,
    RestoreState,
    Send,
    SendState,
    StateLoaded,
    StateUpdated,
    SumReduced,
    Suspect,
    Tell,
    Update,
)
from muskox.tree import Node


class Phase(Enum):
    IDLE = auto()  # no generation, or one that is broken: waiting for the next
    JOINING = auto()  # a member until Begin
    GATHERING = auto()  # the root until every Hello is in
    LOADING = auto()  # until the shell holds the state that this generation begins with
    COMPUTING = auto()  # our own part
    COLLECTING = auto()  # the root until every Partial is in; a member until Total
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
        self._members: tuple[str, ...] = ()
        self._rank = 0
        self._hellos: dict[str, Hello] = {}
        self._parts: dict[str, dict[Node, bytes]] = {}
        self._checkpoint_s: float | None = None

    @property
    def is_root(self) -> bool:
        return self._rank == 0

    def unheard(self) -> list[str]:
        """Return the members that the root has not heard of in this generation, while it gathers them.

        A peer may have been told of a generation after ours already: its word of that one is kept, and does not count yet.
        """
        if self.phase is not Phase.GATHERING:
            return []
        heard = {peer for peer, hello in self._hellos.items() if hello.generation == self.generation}
        return [peer for peer in self._members[1:] if peer not in heard]

    def wants_state(self, generation: int) -> bool:
        """Return whether a state to begin `generation` with is still awaited: an answer may come too late."""
        return generation == self.generation and self.phase is Phase.LOADING

    def handle(self, event: Event, now: float) -> list[Action]:
        match event:
            case GenerationFormed():
                return self._form(event, now)
            case LinkOpened(generation):
                if generation != self.generation or self.phase is not Phase.JOINING:
                    return []
                return [Send(self._members[0], Hello(generation, *self._told()))]
            case MessageArrived(peer, message, body):
                return self._receive(peer, message, body)
            case PeerLost(peer, generation, reason):
                return self._lose(peer, generation, reason)
            case StateLoaded(holding):
                if self.phase is not Phase.LOADING:
                    return []
                self.holding = holding
                return self._begin()
            case PartComputed():
                return self._part(event)
            case SumReduced(total):
                self.phase = Phase.UPDATING
                message = Total(self.generation, self.holding.round)
                return [*(Send(peer, message, total) for peer in self._members[1:]), Update(total)]
            case StateUpdated(holding):
                return self._updated(holding, now)

    def _told(self) -> tuple[int, str, bool]:
        return (self.holding.round, self.holding.digest, self.holding.is_done)

    # -- a generation begins --

    def _form(self, event: GenerationFormed, now: float) -> list[Action]:
        if event.number <= self.generation:
            return []
        self.generation, self._members, self._rank = event.number, event.members, event.rank
        self._parts = {}
        if self._checkpoint_s is None:
            self._checkpoint_s = now
        if not self.is_root:
            self.phase = Phase.JOINING
            return [Dial(self._members[0], self.generation)]
        self.phase = Phase.GATHERING
        self._hellos = {peer: hello for peer, hello in self._hellos.items() if hello.generation >= self.generation}
        return self._choose()

    def _choose(self) -> list[Action]:
        """Once all have said what they hold, agree on the state to begin with."""
        if self.unheard():
            return []
        held = {self.worker: self.holding}
        for peer in self._members[1:]:
            hello = self._hellos[peer]
            held[peer] = Holding(hello.round, hello.digest, hello.is_done)
        self.phase = Phase.LOADING
        furthest = max(holding.rank for holding in held.values())
        if furthest == NOTHING.rank:
            return [RestoreState(self.generation)]
        digests = [holding.digest for holding in held.values() if holding.rank == furthest]
        agreed = max(digests, key=digests.count)  # the first of equals: the lowest rank
        odd = [peer for peer, holding in held.items() if holding.rank == furthest and holding.digest != agreed]
        if odd:
            self.phase = Phase.IDLE
            return [Suspect(peer, f"it holds another state after round {furthest[1]} than most") for peer in odd]
        if self.holding.rank == furthest:
            return self._begin()
        holder = next(peer for peer, holding in held.items() if holding.rank == furthest)
        return [Send(holder, Fetch(self.generation))]

    def _begin(self) -> list[Action]:
        actions: list[Action] = []
        if self.is_root:
            begin = Begin(self.generation, *self._told())
            for peer in self._members[1:]:
                hello = self._hellos[peer]
                same = (hello.round, hello.digest, hello.is_done) == self._told()
                actions.append(Send(peer, begin) if same else SendState(peer, begin))
        return [*actions, *self._go_on()]

    def _go_on(self) -> list[Action]:
        if self.holding.is_done:
            self.phase = Phase.FINISHED
            return [Finish(self.generation, self.holding)] if self.is_root else []
        if self.holding.round >= self._rounds_max:
            self.phase = Phase.IDLE
            reason = f"the program did not finish within {self._rounds_max} rounds"
            return [GiveUp(self.generation, reason)] if self.is_root else []
        self.phase = Phase.COMPUTING
        return [Compute(self.generation, self.holding.round)]

    # -- messages --

    def _receive(self, peer: str, message: Collective, body: bytes) -> list[Action]:
        match message:
            case Hello(generation=generation):
                if generation >= self.generation:  # a peer may hear of its generation before we do
                    self._hellos[peer] = message
                return self._choose() if self.phase is Phase.GATHERING else []
            case Fetch() if self._is_current(peer, message.generation, from_root=True) and self.phase is Phase.JOINING:
                return [SendState(peer, State(self.generation, *self._told()))]
            case State() if self._is_current(peer, message.generation) and self.phase is Phase.LOADING and self.is_root:
                return [LoadState(message.round, message.is_done, body)]
            case Begin() if self._is_current(peer, message.generation, from_root=True) and self.phase is Phase.JOINING:
                if body:
                    self.phase = Phase.LOADING
                    return [LoadState(message.round, message.is_done, body)]
                if (message.round, message.digest, message.is_done) != self._told():
                    raise PeerError(f"{peer} begins with round {message.round}; we said that we hold {self.holding}")
                return self._go_on()
            case Partial() if self._is_current(peer, message.generation) and self.is_root:
                return self._collect(peer, message, body)
            case Total() if self._is_current(peer, message.generation, from_root=True):
                if self.phase is not Phase.COLLECTING or message.round != self.holding.round:
                    raise PeerError(f"{peer} sends the total of round {message.round} in {self.phase.name}")
                self.phase = Phase.UPDATING
                return [Update(body)]
            case Moved() if self._is_current(peer, message.generation):
                self.phase = Phase.IDLE  # our own word of the newer generation is on its way
                return []
            case _:
                return []

    def _is_current(self, peer: str, generation: int, *, from_root: bool = False) -> bool:
        if generation != self.generation or peer not in self._members or self.phase is Phase.IDLE:
            return False
        return not from_root or peer == self._members[0]

    def _collect(self, peer: str, message: Partial, body: bytes) -> list[Action]:
        if self.phase not in (Phase.COMPUTING, Phase.COLLECTING) or message.round != self.holding.round:
            raise PeerError(f"{peer} sends its part of round {message.round} in round {self.holding.round}")
        if message.digest != self.holding.digest:
            return [Suspect(peer, f"it computes round {message.round} from another state")]
        if sum(message.sizes) != len(body) or len(message.sizes) != len(message.nodes):
            raise PeerError(f"{peer} sends {len(body)} bytes for subtrees of {sum(message.sizes)}")
        values, begin = {}, 0
        for node, size in zip(message.nodes, message.sizes, strict=True):
            values[node] = body[begin : begin + size]
            begin += size
        self._parts[peer] = values
        return self._reduce_when_whole()

    def _part(self, event: PartComputed) -> list[Action]:
        if event.generation != self.generation or self.phase is not Phase.COMPUTING or event.round != self.holding.round:
            return []
        self.phase = Phase.COLLECTING
        if self.is_root:
            self._parts[self.worker] = dict(zip(event.nodes, event.values, strict=True))
            return self._reduce_when_whole()
        sizes = [len(value) for value in event.values]
        head = Partial(self.generation, event.round, self.holding.digest, list(event.nodes), sizes)
        return [Send(self._members[0], head, b"".join(event.values))]

    def _reduce_when_whole(self) -> list[Action]:
        if self.phase is not Phase.COLLECTING or any(peer not in self._parts for peer in self._members):
            return []
        values = {node: value for peer in self._members for node, value in self._parts[peer].items()}
        self._parts = {}
        return [Reduce(values)]

    # -- a round ends --

    def _updated(self, holding: Holding, now: float) -> list[Action]:
        self.holding = holding
        if not self.is_root:
            return self._go_on()
        actions: list[Action] = [Tell(self.generation, holding.round)]
        assert self._checkpoint_s is not None, "a generation was formed"
        if not holding.is_done and now - self._checkpoint_s >= self.checkpoint_interval_s:
            self._checkpoint_s = now
            actions.append(KeepCheckpoint(self.generation, holding))
        return [*actions, *self._go_on()]

    def _lose(self, peer: str, generation: int, reason: str) -> list[Action]:
        concerns_us = generation == self.generation and peer in (self._members if self.is_root else self._members[:1])
        if not concerns_us or self.phase is Phase.IDLE or (self.phase is Phase.FINISHED and self.is_root):
            return []
        self.phase = Phase.IDLE
        return [Suspect(peer, reason)]
