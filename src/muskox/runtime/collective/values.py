"""Parts of a round as they travel: values of tree nodes as bytes, whole packed records or slices of their arrays. Pure.

Whole records are merged by the program. Records that a program only adds are cut, as one long vector, into slices at the same
places for everybody; an element's sum keeps the order of the fixed tree, so slices change no bit. A slice travels without
names and shapes: the header of the records (`structure`) goes beside it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from muskox.errors import CallerError, PeerError
from muskox.records import ALIGNMENT, TYPES, Array, Record, insert, pieces, unpack
from muskox.runtime.message import Buffer
from muskox.runtime.messages import HEAD_BYTES_MAX
from muskox.tree import Node, children, reduce, tops

CHUNK_BYTES = 1 << 18  # added at a time through the whole tree: what lies between stays in a core's own cache
STRUCTURE_BYTES_MAX = HEAD_BYTES_MAX // 16

Allocate = Callable[[int], memoryview]  # a buffer of so many bytes, kept whole until the round after the next


@dataclass(frozen=True, slots=True)
class Part:
    """The values of some nodes in one slice, one after the other in `body`; `structure` is empty for whole packed records."""

    nodes: tuple[Node, ...]
    sizes: tuple[int, ...]
    body: Buffer
    structure: str = ""

    def values(self) -> dict[Node, memoryview]:
        """Return each node's bytes.

        Raises
        ------
        PeerError
            If the body is not what nodes and sizes say.
        """
        if sum(self.sizes) != len(self.body) or len(self.sizes) != len(self.nodes):
            raise PeerError(f"{len(self.body)} bytes for {len(self.nodes)} subtrees of {sum(self.sizes)}")
        values, begin = {}, 0
        for node, size in zip(self.nodes, self.sizes, strict=True):
            values[node] = memoryview(self.body)[begin : begin + size]
            begin += size
        return values


# -- whole records --


def whole_part(values: Mapping[Node, Record], allocate: Allocate) -> Part:
    """Return the part that holds these records."""
    packed = [pieces(record) for record in values.values()]
    sizes = tuple(sum(len(piece) for piece in of_record) for of_record in packed)
    body, begin = allocate(sum(sizes)), 0
    for piece in (piece for of_record in packed for piece in of_record):
        body[begin : begin + len(piece)] = piece
        begin += len(piece)
    return Part(tuple(values), sizes, body)


def merge_whole(parts: Sequence[Part], shards: int, merge: Callable[[Record, Record], Record], allocate: Allocate) -> Part:
    """Return the part of the highest nodes that can be merged from `parts`."""
    records = {node: unpack(data) for part in parts for node, data in part.values().items()}
    return whole_part({node: reduce(records, node, shards, merge) for node in tops(records, shards)}, allocate)


# -- slices of sums --


@dataclass(frozen=True, slots=True)
class Run:
    """An array, or what of it lies in a slice: bytes `begin` to `end` of the vector."""

    dtype: str
    begin: int
    end: int
    path: str
    shape: tuple[int, ...]


class Structure:
    """Where the arrays of a record lie in its vector, known from the header that its packed form begins with."""

    def __init__(self, header: str) -> None:
        self.header = header
        told = json.loads(header)
        if json.loads(told.pop("__metadata__")["json"]):
            raise CallerError("a program that only adds has nothing but arrays in its partials")
        self.runs: list[Run] = []
        for path, array in sorted(told.items(), key=lambda item: tuple(item[1]["data_offsets"])):
            if not array["shape"]:
                raise CallerError(f"array {path!r} of a sum has no axis: make its shape (1,)")
            begin, end = array["data_offsets"]
            self.runs.append(Run(TYPES[array["dtype"]], begin, end, path, tuple(array["shape"])))
        self.size = self.runs[-1].end if self.runs else 0
        self._inside: dict[tuple[int, int], list[Run]] = {}  # by bounds: a few slices, asked for every round

    def bounds(self, slice_: int, slices: int) -> tuple[int, int]:
        """Return the bytes from and to which a slice goes: about equally many, cut between cache lines."""
        lines = -(-self.size // ALIGNMENT)
        return min(lines * slice_ // slices * ALIGNMENT, self.size), min(lines * (slice_ + 1) // slices * ALIGNMENT, self.size)

    def runs_in(self, begin: int, end: int) -> list[Run]:
        """Return the elements between two bytes at which slices are cut."""
        if (begin, end) not in self._inside:
            inside = [run for run in self.runs if run.begin < end and begin < run.end]
            cut = [replace(run, begin=max(run.begin, begin), end=min(run.end, end)) for run in inside]
            self._inside[begin, end] = cut
        return self._inside[begin, end]

    def record(self, vector: memoryview) -> Record:
        """Return the record whose vector this is; its arrays lie in it."""
        if len(vector) != self.size:
            raise PeerError(f"a total of {len(vector)} bytes where the arrays have {self.size}")
        record: Record = {}
        for run in self.runs:
            insert(record, run.path, np.frombuffer(vector[run.begin : run.end], run.dtype).reshape(run.shape))
        return record


@lru_cache(maxsize=16)
def structure_of(header: str) -> Structure:
    """Return the structure of this header; the same few come every round."""
    try:
        return Structure(header)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        if isinstance(error, CallerError):
            raise
        raise PeerError(f"{header!r:.200} is no header of records: {error}") from error


def sliced_parts(values: Mapping[Node, Record], slices: int, allocate: Allocate) -> tuple[Part, ...]:
    """Return the parts that hold these records, one a slice.

    Raises
    ------
    CallerError
        If they have anything but arrays, or not all the same.
    """
    if not values:
        return (Part((), (), b""),) * slices
    cut = {node: pieces(record) for node, record in values.items()}
    headers = {str(memoryview(of_record[0])[8:], "utf-8").rstrip() for of_record in cut.values()}
    if len(headers) > 1:
        raise CallerError("a program that only adds returned partials whose arrays differ in names, shapes or types")
    structure = structure_of(headers.pop())
    if len(structure.header) > STRUCTURE_BYTES_MAX:
        raise CallerError(f"a program that only adds returned partials of {len(structure.runs)} arrays: join some of them")
    nodes, body = tuple(cut), allocate(structure.size * len(cut))
    parts, at = [], 0
    for slice_ in range(slices):
        begin, end = structure.bounds(slice_, slices)
        first = at
        for of_record in cut.values():
            for run, piece in zip(structure.runs, of_record[1:], strict=True):
                low, high = max(run.begin, begin), min(run.end, end)
                if low < high:
                    body[at + low - begin : at + high - begin] = piece[low - run.begin : high - run.begin]
            at += end - begin
        parts.append(Part(nodes, (end - begin,) * len(nodes), body[first:at], structure.header))
    return tuple(parts)


def add_slices(parts: Sequence[Part], shards: int, structure: Structure, bounds: tuple[int, int], allocate: Allocate) -> Part:
    """Return the sums of a slice, at the highest nodes that can be added up from `parts`.

    Raises
    ------
    PeerError
        If a part is not of this structure.
    """
    begin, end = bounds
    values: dict[Node, memoryview] = {}
    for part in parts:
        if part.structure != structure.header or any(size != end - begin for size in part.sizes):
            raise PeerError("partials of a program that only adds differ in the names, shapes or types of their arrays")
        values.update(part.values())
    nodes = tops(values, shards)
    body = allocate((end - begin) * len(nodes))
    for run in structure.runs_in(begin, end):
        dtype = np.dtype(run.dtype)
        step = CHUNK_BYTES // dtype.itemsize * dtype.itemsize
        for low in range(run.begin - begin, run.end - begin, step):
            high = min(low + step, run.end - begin)
            adding = _Adding({node: np.frombuffer(data[low:high], dtype) for node, data in values.items()}, shards)
            for position, node in enumerate(nodes):
                start = position * (end - begin)
                adding.up_to(node, np.frombuffer(body[start + low : start + high], dtype))
    return Part(tuple(nodes), (end - begin,) * len(nodes), body, structure.header)


class _Adding:
    """The sums of one chunk, each written where it is wanted."""

    def __init__(self, values: Mapping[Node, Array], shards: int) -> None:
        self._values = values
        self._shards = shards

    def up_to(self, node: Node, out: Array) -> None:
        """Write the value of `node` to `out`."""
        value = self._value(node, out)
        if value is not out:
            out[:] = value

    def _value(self, node: Node, out: Array) -> Array:
        """Return the value of `node`, in `out` if it had to be added up."""
        if node in self._values:
            return self._values[node]
        below = children(node, self._shards)
        left = self._value(below[0], out)
        if len(below) == 1:
            return left
        right = self._value(below[1], np.empty_like(out))
        added: Array = np.add(left, right, out=out)
        return added
