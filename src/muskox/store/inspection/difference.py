"""What differs between two versions of a dataset, by their manifests alone: no row is read.

It owns the comparison, its record and its sentences. Shards are compared by their content digests: equal digests are equal
rows in equal order. So a retyped column changes every shard, other column groups or other nodes change none.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from muskox.store.manifest import DatasetManifest

Change = tuple[int, int]  # before, after


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What is other in `right` than in `left`; `msgspec.to_builtins` makes JSON of it.

    left, right : the versions, as name@number
    is_same : whether they are the same dataset by digest: same columns, rule and rows. Groups may still differ
    columns_added, columns_removed : (name, type)
    columns_retyped : (name, type before, type after)
    is_reordered : whether the columns that are in both stand in another order
    rows, bytes, shards, by : (before, after)
    groups : (before, after), each by name the columns
    shards_same : how many shards have the same rows as the shard of the same index
    shards_moved : how many of the others have the rows of a shard of another index
    shards_changed : the indexes, in `right`, of those that have rows of no shard of `left`
    """

    left: str
    right: str
    is_same: bool
    columns_added: list[tuple[str, str]]
    columns_removed: list[tuple[str, str]]
    columns_retyped: list[tuple[str, str, str]]
    is_reordered: bool
    rows: Change
    bytes: Change
    shards: Change
    by: tuple[str, str]
    groups: tuple[dict[str, list[str]], dict[str, list[str]]]
    shards_same: int
    shards_moved: int
    shards_changed: list[int]

    def sentences(self) -> list[str]:
        """Return the difference for people, a sentence a line."""
        return [*self._column_sentences(), *self._shape_sentences(), self._shard_sentence()]

    def _column_sentences(self) -> list[str]:
        lines = [f"column {name!r} ({kind}) is new" for name, kind in self.columns_added]
        lines += [f"column {name!r} ({kind}) is gone" for name, kind in self.columns_removed]
        lines += [f"column {name!r} was {before} and is {after}" for name, before, after in self.columns_retyped]
        return [*lines, "the columns stand in another order"] if self.is_reordered else lines

    def _shape_sentences(self) -> list[str]:
        lines = []
        for what, (before, after) in (("rows", self.rows), ("bytes", self.bytes)):
            lines.append(f"{before:,} {what} in both" if before == after else f"{after:,} {what}, {after - before:+,}")
        if self.by[0] != self.by[1]:
            lines.append(f"cut by {self.by[1]!r}, before by {self.by[0]!r}")
        if self.groups[0] != self.groups[1]:
            lines.append(f"column groups are {_groups(self.groups[1])}; they were {_groups(self.groups[0])}")
        return lines

    def _shard_sentence(self) -> str:
        before, after = self.shards
        count = f"{after:,} {'shard' if after == 1 else 'shards'}" + (f", {after - before:+,}" if before != after else "")
        if self.shards_same == before == after:
            return f"{count}: all the same"
        moved = f", {self.shards_moved:,} at another index" if self.shards_moved else ""
        return f"{count}: {self.shards_same:,} the same{moved}, {len(self.shards_changed):,} changed or new"


def compare_versions(left: DatasetManifest, right: DatasetManifest) -> Difference:
    """Return what is other in the version `right` than in the version `left`."""
    before, after = left.types, right.types
    digests = [[entry.content_digest for entry in manifest.shards] for manifest in (left, right)]
    same, moved, changed = _compare_shards(digests[0], digests[1])
    return Difference(
        left=f"{left.name}@{left.version}",
        right=f"{right.name}@{right.version}",
        is_same=left.digest == right.digest,
        columns_added=_only(after, before),
        columns_removed=_only(before, after),
        columns_retyped=[(name, before[name], kind) for name, kind in after.items() if before.get(name, kind) != kind],
        is_reordered=[name for name in before if name in after] != [name for name in after if name in before],
        rows=(left.rows, right.rows),
        bytes=(left.bytes, right.bytes),
        shards=(len(left.shards), len(right.shards)),
        by=(left.by, right.by),
        groups=(dict(left.groups), dict(right.groups)),
        shards_same=same,
        shards_moved=moved,
        shards_changed=changed,
    )


def _only(here: Mapping[str, str], there: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, kind) for name, kind in here.items() if name not in there]


def _compare_shards(left: Sequence[str], right: Sequence[str]) -> tuple[int, int, list[int]]:
    """Return how many are the same by index, how many have moved, and the indexes of those that are new."""
    is_same = [index < len(left) and left[index] == digest for index, digest in enumerate(right)]
    unmatched = Counter(digest for index, digest in enumerate(left) if not (index < len(right) and is_same[index]))
    changed = []
    for index, digest in enumerate(right):
        if is_same[index]:
            continue
        if unmatched[digest]:
            unmatched[digest] -= 1  # each shard of the left is the origin of one on the right
        else:
            changed.append(index)
    same = sum(is_same)
    return same, len(right) - same - len(changed), changed


def _groups(groups: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(", ".join(columns) if not name else f"{name}: {', '.join(columns)}" for name, columns in groups.items())
