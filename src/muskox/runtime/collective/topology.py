"""Who sends what to whom in a reduction: a pure function of the members, alike for all of them.

Three forms. EXCHANGE: each sends its part to each, and each merges: one hop, for few members and small vectors. TREE: parts go
up a tree of bounded fan-in, each member on the way merging what it can, and the total comes down. SLICES: a vector that is
summed is cut, and each slice goes up and down a tree of its own, the same tree turned on by an equal part of the members: so
everybody sends and receives about as much as in a ring. Slices are large, so that their trees may be flat: with at most
SLICES_MAX + 1 members each is a star. The tree of small messages is one with at most FANIN_MAX + 1 members.

Trees are built over the members in the order of their first shards, each subtree a run of neighbours: neighbours hold
neighbouring shards, whose values merge into one on the way. The root of all is rank 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from muskox.coordination import parse_runs

FANIN_MAX = 16  # 1,000 members are three levels; the root reads 16 parts
MESH_MEMBERS_MAX = FANIN_MAX + 1  # up to so many, each has a link with each from the start
EXCHANGE_MEMBERS_MAX = 8
EXCHANGE_BYTES_MAX = 1 << 21  # that each receives: beyond, the work done by all alike costs more than a second hop
SLICES_MAX = 128  # also the fan-in of their trees: 1,000 members are two levels
SLICE_BYTES_MIN = 1 << 14  # below, a message costs more than what it carries


class Form(Enum):
    EXCHANGE = auto()
    TREE = auto()
    SLICES = auto()


@dataclass(frozen=True, slots=True)
class Route:
    """One member's place in the tree of one slice: the ranks it sends its part to, and receives parts from."""

    parent: int | None
    children: tuple[int, ...]


def choose(members: int, total_bytes: int, adds: bool) -> Form:  # three facts, all positional
    """Return the form of a round whose total will have about so many bytes; `adds` if it may be cut into slices."""
    if members <= EXCHANGE_MEMBERS_MAX and total_bytes * (members - 1) <= EXCHANGE_BYTES_MAX:
        return Form.EXCHANGE
    return Form.SLICES if adds and slice_count(members, total_bytes) > 1 else Form.TREE


def slice_count(members: int, total_bytes: int) -> int:
    """Return into how many slices a total is cut: one a member, if they are not too small."""
    return max(min(members, SLICES_MAX, total_bytes // SLICE_BYTES_MIN), 1)


def order_of(shards: Sequence[str]) -> list[int]:
    """Return the ranks in the order in which trees are built: 0, then by first shard. `shards` are runs ("0-3,8") by rank."""

    def place(rank: int) -> tuple[bool, int, int]:
        runs = shards[rank]
        return (not runs, parse_runs(runs)[0] if runs else 0, rank)

    return [0, *sorted(range(1, len(shards)), key=place)]


class Topology:
    """One member's view of all trees over `order` (ranks)."""

    def __init__(self, order: Sequence[int], rank: int) -> None:
        self._order = order
        self._rank = rank
        self._position = order.index(rank)
        self._routes: dict[tuple[int, int], Route] = {}

    @property
    def is_mesh(self) -> bool:
        """Whether each has a link with each, and every tree is a star."""
        return len(self._order) <= MESH_MEMBERS_MAX

    def route(self, slice_: int = 0, slices: int = 1) -> Route:
        """Return our place in the tree of slice `slice_` of so many; slice 0 has rank 0 as its root."""
        key = (slice_, slices)
        if key not in self._routes:
            members = len(self._order)
            shift = turn(slice_, slices, members)
            parent, children = _place((self._position - shift) % members, members, FANIN_MAX if slices == 1 else SLICES_MAX)
            at = [self._order[(position + shift) % members] for position in children]
            self._routes[key] = Route(None if parent is None else self._order[(parent + shift) % members], tuple(at))
        return self._routes[key]

    def neighbours(self, slices: int = 0) -> list[int]:
        """Return the ranks that we have a link with if vectors are cut into so many slices (0: not at all), in rank order."""
        members = len(self._order)
        if members <= MESH_MEMBERS_MAX:
            return [rank for rank in range(members) if rank != self._rank]
        found: set[int] = set()
        for route in (self.route(), *(self.route(slice_, slices) for slice_ in range(slices))):
            found.update(route.children, [] if route.parent is None else [route.parent])
        return sorted(found)

    def parent_of(self, rank: int) -> int | None:
        """Return the parent of a member in the tree of slice 0."""
        parent, _ = _place(self._order.index(rank), len(self._order), FANIN_MAX)
        return None if parent is None else self._order[parent]

    def towards(self, rank: int) -> int:
        """Return our child in the tree of slice 0 under which `rank` lies."""
        target, members = self._order.index(rank), len(self._order)
        _, children = _place(self._position, members, FANIN_MAX)
        return self._order[max(child for child in children if child <= target)]


def turn(slice_: int, slices: int, members: int) -> int:
    """Return by how many positions the tree of a slice is turned on: by its share of the members, and a little more, so that
    those who merge in one tree are leaves in most others."""
    return slice_ * members // slices + slice_ % max(members // slices, 1)


def _place(position: int, members: int, fanin: int) -> tuple[int | None, list[int]]:
    """Return parent and children of a position in the tree over 0..members-1 with root 0, found by going down from the root.

    >>> _place(0, 5, 16), _place(3, 5, 16), _place(1, 40, 16)
    ((None, [1, 2, 3, 4]), (0, []), (0, [2]))
    """
    parent, first, end = None, 0, members
    while True:
        count = min(fanin, end - first - 1)
        starts = [first + 1 + (end - first - 1) * child // count for child in range(count)]
        if position == first:
            return parent, starts
        parent = first
        child = max(start for start in starts if start <= position)
        index = starts.index(child)
        first, end = child, starts[index + 1] if index + 1 < count else end
