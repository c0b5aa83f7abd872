"""What a worker does with the bytes of a round: its own parts from records, merged parts from parts, the total's record."""

from collections.abc import Callable, Mapping, Sequence

from muskox.errors import PeerError
from muskox.records import Record, unpack
from muskox.runtime.collective.values import (
    Allocate,
    Part,
    add_slices,
    merge_whole,
    sliced_parts,
    structure_of,
    whole_part,
)
from muskox.tree import Node

WHOLE = 0  # slices of a round in which records are merged whole, by the program


class Reduction:
    """One worker's reductions over so many shards. `slices` says of every call how its round is cut.

    `allocate` gives the memory of what others may read. The total's record lies in memory of our own: a program may do with it
    what it likes until its update ends.
    """

    def __init__(self, shards: int, merge: Callable[[Record, Record], Record], allocate: Allocate) -> None:
        self._shards = shards
        self._merge = merge
        self._allocate = allocate
        self._own = memoryview(b"")

    def parts(self, values: Mapping[Node, Record], slices: int) -> tuple[Part, ...]:
        """Return our own parts of a round, one a slice.

        Raises
        ------
        CallerError
            If the records cannot be cut.
        """
        return (whole_part(values, self._allocate),) if slices == WHOLE else sliced_parts(values, slices, self._allocate)

    def merged(self, slice_: int, slices: int, parts: Sequence[Part], *, is_sent: bool) -> Part:
        """Return `parts` merged as far as that goes, which for a total is to one value; `is_sent` if others read it.

        Raises
        ------
        PeerError
            If they do not fit each other.
        """
        if slices == WHOLE:
            return merge_whole(parts, self._shards, self._merge, self._allocate)
        filled = [part for part in parts if part.nodes]
        if not filled:
            return parts[0]  # members may own no shard
        structure = structure_of(filled[0].structure)
        allocate = self._allocate if is_sent or slices > 1 else self._vector
        return add_slices(filled, self._shards, structure, structure.bounds(slice_, slices), allocate)

    def total(self, totals: Sequence[Part], slices: int) -> Record:
        """Return the total, given by slice."""
        if slices == WHOLE:
            return unpack(totals[0].body)
        structure = structure_of(totals[0].structure)
        body = totals[0].body
        if slices == 1 and isinstance(body, memoryview) and body.obj is self._own.obj:
            return structure.record(body)
        vector = self._vector(structure.size)
        for slice_, part in enumerate(totals):
            begin, end = structure.bounds(slice_, slices)
            if part.structure != structure.header or len(part.body) != end - begin:
                raise PeerError("the slices of a total do not fit each other")
            vector[begin:end] = part.body
        return structure.record(vector)

    def _vector(self, size: int) -> memoryview:
        """Return memory of our own, that of the last round if it is large enough: fresh pages cost more than sums."""
        if len(self._own) < size:
            self._own = memoryview(bytearray(size))
        return self._own[:size]
