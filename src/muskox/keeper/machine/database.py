"""What is durable: the tree, the sessions and the zxid; what a snapshot holds and the log rebuilds.

Live requests draft a transaction first and settle it once it is on disk; replay does both at once. Same code, same tree.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from muskox.keeper.machine.effects import draft
from muskox.keeper.machine.node import Node, wrap_long
from muskox.keeper.machine.overlay import Overlay
from muskox.keeper.machine.quota import recount_all
from muskox.keeper.machine.tree import Change, Tree
from muskox.keeper.wire.transactions import DIGEST_VERSION, CloseSessionTxn, CreateSessionTxn, Entry, Txn


class Image(NamedTuple):
    """The database as it was after one transaction."""

    zxid: int
    digest: int
    timeouts_ms: dict[int, int]
    nodes: dict[str, Node]


class Database:
    """The tree and sessions after transaction `zxid`, and the pending changes over them."""

    def __init__(self, tree: Tree, timeouts_ms: dict[int, int], zxid: int) -> None:
        self.tree = tree
        self.timeouts_ms = timeouts_ms
        self.zxid = zxid
        self.overlay = Overlay(tree)
        if not self.overlay.is_plain:
            recount_all(self.overlay)
        self.settled_digest = self.digest

    def settle(self, transactions: Iterable[Sequence[Change]], zxid: int, digest: int) -> None:
        """Apply drafted transactions, the last of which has `zxid`; they settle in their order."""
        self.overlay.settle(transactions, zxid)
        self.zxid = zxid
        self.settled_digest = digest

    def settle_session(self, session_id: int, txn: Txn) -> None:
        """Take note that a session was opened or closed."""
        if isinstance(txn, CreateSessionTxn):
            self.timeouts_ms[session_id] = txn.timeout_ms
        elif isinstance(txn, CloseSessionTxn):
            self.timeouts_ms.pop(session_id, None)

    def replay(self, entry: Entry) -> bool:
        """Apply a transaction from the log; False if the tree's digest then differs from the one in the log.

        Raises
        ------
        PeerError
            If a multi in it does not decode.
        """
        self.overlay.begin(entry.header.zxid)
        draft(self.overlay, entry.header, entry.txn)
        self.settle((self.overlay.finish(),), entry.header.zxid, self.digest)
        self.settle_session(entry.header.session_id, entry.txn)
        known = entry.digest
        return known is None or known.version != DIGEST_VERSION or known.tree_digest == self.digest

    @property
    def digest(self) -> int:
        """The digest of the tree to be, as a Java long."""
        return wrap_long(self.overlay.digest)

    def ephemerals_of(self, session_id: int) -> list[str]:
        """Return the ephemeral znodes that a session has in the tree as it stands."""
        nodes, overlay = self.tree.nodes, self.overlay
        paths = dict.fromkeys((*overlay.ephemerals.get(session_id, ()), *overlay.pending))
        return [path for path in paths if path in nodes and nodes[path].owner == session_id]

    def image(self) -> Image:
        """Return the database as it stands: nothing is copied, so it holds until the next change."""
        return Image(self.zxid, self.settled_digest, self.timeouts_ms, self.tree.nodes)
