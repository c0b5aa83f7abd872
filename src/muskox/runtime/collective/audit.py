"""Audits: which shards' results are computed by others, too, in a round, by whom, and what follows where they differ. Pure.

All members choose alike, from a named stream, so nobody has to be told. Where there are enough members two others compute a
shard that is audited, so that the odd one among three is known at once; of two who differ nobody can say which is right.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from muskox.coordination import parse_runs
from muskox.streams import stream

AUDITORS = 2
SHARDS_MAX = 10_000  # audited in a round, by lot: what is told of them goes in the heads of messages


class Audit:
    """One generation's audits of a share of all shard results."""

    def __init__(self, share: float, members: Sequence[str], runs: Sequence[str]) -> None:
        self._share = share
        self._members = members
        self._owners = {shard: rank for rank, owned in enumerate(runs) for shard in parse_runs(owned)} if share else {}

    def duties(self, worker: str, round_: int) -> tuple[list[int], list[int]]:
        """Return the shards of its own that a member tells the digests of, and those of others that it computes, too."""
        if not self._share or len(self._members) < 2:
            return [], []
        draws = stream(0, "audit", round=round_).random(max(self._owners) + 1)
        drawn = [shard for shard in self._owners if draws[shard] < self._share]
        chosen = sorted(sorted(drawn, key=lambda shard: draws[shard])[:SHARDS_MAX])
        own = [shard for shard in chosen if self._members[self._owners[shard]] == worker]
        return own, [shard for shard in chosen if worker in self._auditors(shard, round_)]

    def _auditors(self, shard: int, round_: int) -> list[str]:
        """Return who else computes a shard: on other nodes than its owner's where there are such, by turns."""
        owner = self._members[self._owners[shard]]
        others = [peer for peer in self._members if peer != owner]
        first = (shard + round_) % len(others)
        turned = others[first:] + others[:first]
        return sorted(turned, key=lambda peer: node_of(peer) == node_of(owner))[:AUDITORS]


def node_of(worker: str) -> str:
    """Return the node of a worker, which its name begins with."""
    return worker.rsplit(".", 2)[0]


def find_odd(found: Mapping[str, str]) -> str | None:
    """Return whose digest of a shard's result is another than the others', "" if nobody can say; None if all agree.

    >>> find_odd({"a": "x", "b": "x"}), find_odd({"a": "x", "b": "y", "c": "x"}), find_odd({"a": "x", "b": "y"})
    (None, 'b', '')
    """
    digests = Counter(found.values())
    if len(digests) < 2:
        return None
    (most, count), *_ = digests.most_common()
    return next(peer for peer, said in sorted(found.items()) if said != most) if count > 1 else ""
