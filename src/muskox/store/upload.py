"""Bringing the shards of one put to the nodes that shall hold them, each durable on all of its replicas before it counts.

It owns where each part goes in the end: where placement wants its run, or on a stand-in if a node fails on the way. In the end
the shards of a run lie on the same nodes: what a stand-in lacks it fetches from whoever took it. It knows nothing of what the
parts hold.
"""

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from muskox.coordination import layout
from muskox.errors import MuskoxError, Unavailable
from muskox.store.home import preference
from muskox.store.placement.holders import Holders
from muskox.store.placement.runs import NodeView, place, run_level, stand_ins
from muskox.store.service.client import StoreClient
from muskox.store.service.directory import Directory
from muskox.store.service.handover import hand_over

BRING_S = 60.0  # how long a node is asked again that cannot fetch a part: repair may keep it busy
BRING_PAUSE_S = 0.1  # between the first two tries; doubled each time
BRING_PAUSE_S_MAX = 5.0

Part = tuple[int, int]  # column group, shard


class Uploads(Protocol):
    """The uploads of one put, safe to use from several threads."""

    def begin(self, groups: Sequence[str], shards: int, before: Sequence[Holders] = ()) -> None:
        """Decide where `shards` shards of these column groups go; where they lay `before`, if that is to be appended to."""

    def upload(self, part: Part, path: Path, digest: str) -> None:
        """Store a file durably on all of its replicas; Unavailable if there are too few that take it."""

    def adopt(self, part: Part, digest: str, size: int, nodes: Sequence[str]) -> None:
        """Count in a blob that is stored already: a shard that an append does not change. The last word on a part counts."""

    def settle(self) -> list[Holders]:
        """Return who holds what, by column group, once every run lies whole on the same nodes; none in an object store."""

    def keep(self, data: bytes, digest: str) -> list[str]:
        """Store a manifest durably, and return who holds it."""


def views(members: Mapping[str, layout.MemberRecord]) -> dict[str, NodeView]:
    """Return what placement wants to know of the nodes."""
    return {name: NodeView(weight=float(max(member.disk_bytes, 1)), rack=member.rack) for name, member in members.items()}


@dataclass(slots=True)
class _Stored:
    """A part: its blob, and who has it by now."""

    digest: str
    size: int
    nodes: list[str]
    is_adopted: bool = False


class NodeUploads:
    """Uploads to `replicas` nodes each; with fewer live nodes at the start, to as many as there are."""

    def __init__(self, directory: Directory, client: StoreClient, replicas: int) -> None:
        self._client = client
        self._directory = directory
        self._members = directory.open_to_shards()
        self._failed: dict[str, str] = {}
        self._lock = threading.Lock()
        self._wanted = replicas
        self._replicas = min(replicas, max(len(self._members), 1))
        self._shards = 0
        self._level = 0
        self._placement: list[list[list[str]]] = []
        self._stored: dict[Part, _Stored] = {}

    def begin(self, groups: Sequence[str], shards: int, before: Sequence[Holders] = ()) -> None:
        nodes = views(self._members)
        if not nodes:
            raise Unavailable("there is no live node to hold the data: start one")
        self._shards = shards
        self._level = before[0].level if before else run_level(shards, len(nodes))
        if before:
            self._placement = [[self._as_before(held, shard) for shard in range(shards)] for held in before]
        else:
            self._placement = [place(shards, nodes, self._replicas, salt=group) for group in groups]

    def _as_before(self, held: Holders, shard: int) -> list[str]:
        run = shard >> held.level
        live = [node for node in held.of(shard) if node in self._members]
        return [*live, *stand_ins(run, list(self._members), live)][: self._replicas]

    def upload(self, part: Part, path: Path, digest: str) -> None:
        group, shard = part
        holders = self._upload(shard, path, digest, self._placement[group][shard])
        self._stored[part] = _Stored(digest, path.stat().st_size, holders)

    def adopt(self, part: Part, digest: str, size: int, nodes: Sequence[str]) -> None:
        self._stored[part] = _Stored(digest, size, list(nodes), is_adopted=True)

    def keep(self, data: bytes, digest: str) -> list[str]:
        return self._upload(0, data, digest, preference(digest, self._members, ""))

    def settle(self) -> list[Holders]:
        return [self._settled(group) for group in range(len(self._placement))]

    def _settled(self, group: int) -> Holders:
        runs = []
        for first in range(0, self._shards, 1 << self._level):
            parts = [self._stored[group, shard] for shard in range(first, min(first + (1 << self._level), self._shards))]
            nodes = self._agreed(parts, self._placement[group][first])
            for part in parts:
                for node in nodes:
                    if node not in part.nodes:
                        self._bring(node, part)
            runs.append(tuple(nodes))
        return Holders(self._level, self._wanted, tuple(runs))

    def _agreed(self, parts: Sequence[_Stored], preferred: Sequence[str]) -> list[str]:
        """Return the nodes that shall hold all of `parts`: of those that answer the ones that have most of them already."""
        if all(part.is_adopted and part.nodes == parts[0].nodes for part in parts):
            return parts[0].nodes  # as it was: who of them is away now is not this put's concern
        count = Counter(node for part in parts for node in part.nodes)
        usable = [node for node in self._members if node not in self._failed]
        rank = {node: position for position, node in enumerate([*preferred, *stand_ins(0, usable, preferred)])}
        return sorted(usable, key=lambda node: (-count[node], rank[node]))[: self._replicas]

    def _bring(self, node: str, part: _Stored) -> None:
        """Let `node` fetch a part from those that have it; again for BRING_S, since it may be busy with others' fetches."""
        until_s, pause_s = time.monotonic() + BRING_S, BRING_PAUSE_S
        while True:
            try:
                sources = [address for other in part.nodes if (address := self._find_address(other)) is not None]
                self._client.fetch_to(self._address(node), part.digest, sources, part.size)
                break
            except MuskoxError as error:
                if not isinstance(error, Unavailable) or time.monotonic() + pause_s > until_s:
                    raise Unavailable(f"node {node} cannot fetch what lies on other nodes of its run: {error}") from error
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, BRING_PAUSE_S_MAX)
            self._look_again(node)
        part.nodes.append(node)

    def _find_address(self, node: str) -> str | None:
        """Return where a node is; one that has come since the beginning, too."""
        with self._lock:
            known = self._members.get(node)
        return self._directory.address(node) if known is None else known.address

    def _address(self, node: str) -> str:
        with self._lock:
            if node not in self._members:
                self._members = {**self._members, **self._directory.members()}
            if node not in self._members:
                raise Unavailable(f"node {node} is away")
            return self._members[node].address

    def _upload(self, seed: int, data: bytes | Path, digest: str, nodes: Sequence[str]) -> list[str]:
        """Store the blob on each of `nodes`, or on others in their stead; return those that hold it.

        Raises
        ------
        Unavailable
            If fewer than `replicas` live nodes took it; the message says why each other did not.
        """
        holders: list[str] = []
        queue = list(nodes)
        while len(holders) < self._replicas:
            if not queue:
                queue = stand_ins(seed, list(self._members), [*holders, *self._failed])[:1]
            if not queue:
                reasons = "; ".join(self._failed.values()) or "there are no others"
                raise Unavailable(f"{len(holders)} of {self._replicas} replicas could be stored: {reasons}")
            node = queue.pop(0)
            if node not in self._failed and self._store(node, data, digest):
                holders.append(node)
        return holders

    def _store(self, node: str, data: bytes | Path, digest: str) -> bool:
        """Try the node at its address, and once more if it has come back at another one meanwhile."""
        address = self._members[node].address
        if isinstance(data, Path) and self._hand_over(node, address, data, digest):
            return True
        try:
            self._client.put_blob(address, data, digest)
            return True
        except Unavailable as error:
            now = self._look_again(node)
            if now is not None and now != address:
                return self._store(node, data, digest)
            with self._lock:
                self._failed[node] = str(error)
            return False

    def _hand_over(self, node: str, address: str, path: Path, digest: str) -> bool:
        """Let a node of this machine take the file without a socket between; False if it is not, or cannot."""
        folders = self._directory.local_folders([node])
        return any(hand_over(self._client, address, folder, path, digest) for folder in folders)

    def _look_again(self, node: str) -> str | None:
        with self._lock:
            self._members = {**self._members, **self._directory.open_to_shards()}
            return self._members[node].address if node in self._members else None
