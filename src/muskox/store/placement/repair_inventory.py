"""Who has which blob, as far as the repair machine knows: what is recorded, less what is missing, plus what was copied since.

It owns the machine's picture of units and nodes, and how a new picture changes it: what is older of a unit (by its revision)
is passed over; a copy on a node that went away is not believed in. What should be done is
muskox.store.placement.repair_plan's. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from muskox.store.placement.repair_events import Blob, Node, Pair, Seen, Unit

FORMER_MAX = 200_000  # copies to be dropped that are remembered; the garbage collection of the nodes finds the others


class Inventory:
    """See the head of this file."""

    def __init__(self) -> None:
        self.nodes: Mapping[str, Node] = {}
        self.units: dict[str, Unit] = {}
        self.changes = 0  # of `units`: a number that tells one state of them from another
        self._keys: dict[str, tuple[str, ...]] = {}
        self._arrived: dict[Pair, None] = {}
        self._gone: dict[str, float] = {}
        self._last: dict[str, Node] = {}
        self._unconfirmed: dict[str, None] = {}
        self._former: dict[Pair, None] = {}  # (key, node): holds blobs of the unit and is not recorded to

    # -- news --

    def see(self, seen: Seen, now_s: float) -> None:
        """Take in a whole picture."""
        self.nodes = seen.nodes
        self._see_units(seen.units)
        holders = dict.fromkeys(name for unit in self.units.values() for name in unit.holders)
        self._gone = {name: self._gone.get(name, now_s) for name in holders if name not in self.nodes}
        self._last = {**{name: self._last[name] for name in self._gone if name in self._last}, **self.nodes}
        for digest, name in list(self._arrived):
            node = self.nodes.get(name)
            if node is None:
                self._leave(digest, name)
            elif digest in node.missing or self.is_recorded(name, digest):
                del self._arrived[digest, name]

    def arrive(self, pair: Pair) -> None:
        """Take in that a copy is there now."""
        self._arrived[pair] = None

    def record(self, key: str, holders: tuple[str, ...], revision: int) -> None:
        """Take in that the holders of a unit were committed."""
        unit = self.units.get(key)
        if unit is not None and (not revision or revision >= unit.revision):
            self._replace(unit, replace(unit, holders=holders, revision=revision or unit.revision))
            self._unconfirmed[key] = None

    def doubt(self, unit: Unit, name: str) -> None:
        """Take in that the copies of the unit on a node may be gone."""
        for digest, _ in unit.blobs:
            if self._arrived.pop((digest, name), False) is None:
                self._remember(unit.key, name)

    def give_up(self, pair: Pair) -> None:
        """Take in that nobody wants this copy: it is to be dropped."""
        self._leave(*pair)

    def drop(self, key: str, name: str, digests: Iterable[str] = ()) -> None:
        """Take in that the node was told to delete these blobs of the unit, or needs not."""
        self._former.pop((key, name), None)
        for digest in digests:
            self._arrived.pop((digest, name), None)

    # -- questions --

    def keys(self, digest: str) -> tuple[str, ...]:
        """Return the units that the blob is part of."""
        return self._keys.get(digest, ())

    def is_recorded(self, name: str, digest: str) -> bool:
        return any(name in self.units[key].holders for key in self.keys(digest))

    def has(self, name: str, digest: str) -> bool:
        """Return whether the node is live and holds the blob."""
        node = self.nodes.get(name)
        if node is None:
            return False
        return (digest, name) in self._arrived or (digest not in node.missing and self.is_recorded(name, digest))

    def lacks(self, unit: Unit, name: str) -> list[Blob]:
        """Return the blobs of the unit that the live node does not hold; once each."""
        node = self.nodes[name]
        if name in unit.holders and not node.missing:
            return []
        return list(dict.fromkeys(blob for blob in unit.blobs if not self.has(name, blob[0])))

    def is_whole(self, unit: Unit, name: str) -> bool:
        return name in self.nodes and not self.lacks(unit, name)

    def whole(self, unit: Unit) -> int:
        """Return how many of the recorded holders are live and hold all of the unit."""
        return sum(self.is_whole(unit, name) for name in unit.holders)

    def sources(self, digest: str) -> list[str]:
        """Return the live nodes that hold the blob: the recorded first, at last those that should have dropped it by now."""
        names: dict[str, None] = {}
        for key in self.keys(digest):
            names.update(dict.fromkeys(name for name in self.units[key].holders if self.has(name, digest)))
        return list(names)

    def other_sources(self) -> dict[str, list[str]]:
        """Return, by digest, live nodes that hold it without being recorded: just copied to, or about to drop it."""
        names: dict[str, list[str]] = {}
        for digest, name in self._arrived:
            if name in self.nodes:
                names.setdefault(digest, []).append(name)
        for key, name in self._former:
            if name in self.nodes and key in self.units:
                for digest, _ in self.units[key].blobs:
                    if name not in names.setdefault(digest, []) and digest not in self.nodes[name].missing:
                        names[digest].append(name)
        return names

    def is_confirmed(self, key: str) -> bool:
        """Return whether a picture has shown the holders that were recorded last, and so what they lack."""
        return key not in self._unconfirmed

    def absent(self) -> Iterable[str]:
        """Return the holders of units that are not live."""
        return self._gone

    def away_s(self, name: str, now_s: float) -> float:
        """Return for how long the node has been away, 0 if it is live."""
        return 0.0 if name in self.nodes else now_s - self._gone.get(name, now_s)

    def last_seen(self, name: str) -> Node | None:
        return self._last.get(name)

    def arrived(self) -> Iterator[Pair]:
        """Yield the copies that are there without being recorded."""
        yield from list(self._arrived)

    def former(self) -> Iterator[Pair]:
        """Yield (key, node) where a node holds blobs of a unit without being recorded to."""
        yield from list(self._former)

    # -- changing the picture --

    def _see_units(self, units: Sequence[Unit]) -> None:
        seen = {unit.key for unit in units}
        for key in [key for key in self.units if key not in seen]:
            self.changes += 1
            self._unindex(self.units.pop(key))
            self._unconfirmed.pop(key, None)
        for unit in units:
            before = self.units.get(unit.key)
            if before is None or (before.holders == unit.holders and before.revision <= unit.revision):
                self._unconfirmed.pop(unit.key, None)
            if before is None:
                self.changes += 1
                self.units[unit.key] = unit
                self._index(unit)
            elif before.revision <= unit.revision and before != unit:
                if before.blobs != unit.blobs:
                    self._unindex(before)
                    self._index(unit)
                self._replace(before, unit)
        for key, name in [pair for pair in self._former if pair[0] not in self.units]:
            del self._former[key, name]

    def _replace(self, before: Unit, unit: Unit) -> None:
        self.changes += 1
        self.units[unit.key] = unit
        for name in before.holders:
            if name not in unit.holders:
                self._remember(unit.key, name)
        for name in unit.holders:
            self._former.pop((unit.key, name), None)

    def _leave(self, digest: str, name: str) -> None:
        self._arrived.pop((digest, name), None)
        for key in self.keys(digest):
            if name not in self.units[key].holders:
                self._remember(key, name)

    def _remember(self, key: str, name: str) -> None:
        while len(self._former) >= FORMER_MAX:
            self._former.pop(next(iter(self._former)))
        self._former[key, name] = None

    def _index(self, unit: Unit) -> None:
        for digest, _ in unit.blobs:
            keys = self._keys.get(digest, ())
            if unit.key not in keys:
                self._keys[digest] = (*keys, unit.key)

    def _unindex(self, unit: Unit) -> None:
        for digest in dict.fromkeys(digest for digest, _ in unit.blobs):
            keys = tuple(key for key in self._keys[digest] if key != unit.key)
            if keys:
                self._keys[digest] = keys
            else:
                del self._keys[digest]
