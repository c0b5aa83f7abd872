"""What is durable: the tree, the sessions and the zxid; what a snapshot holds and the log rebuilds.

Live requests draft a transaction first and settle it once it is on disk; replay does both at once. Same code, same tree.
"""

from typing import NamedTuple

from muskox.keeper.machine.effects import draft
from muskox.keeper.machine.node import Node
from muskox.keeper.machine.overlay import Overlay
from muskox.keeper.machine.tree import Change, Tree
from muskox.keeper.wire.transactions import DIGEST_VERSION, CloseSessionTxn, CreateSessionTxn, Entry, Txn, TxnHeader

LONG_HALF = 1 << 63


class Image(NamedTuple):
    """The database as it was after one transaction; nothing changes it any more."""

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
        self.settled_digest = self.digest

    def settle(self, header: TxnHeader, txn: Txn, changes: list[Change], digest: int) -> None:
        """Apply a drafted transaction; they settle in their order."""
        self.overlay.settle(header.zxid, changes)
        if isinstance(txn, CreateSessionTxn):
            self.timeouts_ms[header.session_id] = txn.timeout_ms
        elif isinstance(txn, CloseSessionTxn):
            self.timeouts_ms.pop(header.session_id, None)
        self.zxid = header.zxid
        self.settled_digest = digest

    def replay(self, entry: Entry) -> bool:
        """Apply a transaction from the log; False if the tree's digest then differs from the one in the log.

        Raises
        ------
        PeerError
            If a multi in it does not decode.
        """
        self.overlay.begin(entry.header.zxid)
        draft(self.overlay, entry.header, entry.txn)
        self.settle(entry.header, entry.txn, self.overlay.finish(), self.digest)
        known = entry.digest
        return known is None or known.version != DIGEST_VERSION or known.tree_digest == self.digest

    @property
    def digest(self) -> int:
        """The digest of the tree to be, as a Java long."""
        digest = self.overlay.digest
        if -LONG_HALF <= digest < LONG_HALF:
            return digest
        return (digest + LONG_HALF) % (2 * LONG_HALF) - LONG_HALF

    def image(self) -> Image:
        """Return the database as it stands: one copy of a dict, since znodes never change."""
        return Image(self.zxid, self.settled_digest, self.timeouts_ms.copy(), self.tree.nodes.copy())
