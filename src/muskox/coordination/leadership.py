"""Election of the coordinator, with a fence.

Every node keeps an ephemeral, sequential candidate znode. The lowest leads; each other one watches only the one before it, so
a death wakes one node. Who leads first bumps the version of the fence znode, which every decision then checks: what an
earlier coordinator still sends is refused. Level-triggered: :meth:`Candidacy.look` may be called at any time, any often.
"""

from muskox.coordination import layout
from muskox.coordination.session import Notify, Refused, Session

SEQUENCE_DIGITS = 10  # what ZooKeeper appends


def predecessor(candidates: list[str], mine: str) -> str | None:
    """Return the candidate right before `mine` in order of sequence, or None if mine is the first.

    >>> predecessor(["b-0000000007", "a-0000000009"], "a-0000000009"), predecessor(["b-0000000007"], "b-0000000007")
    ('b-0000000007', None)
    """
    ordered = sorted(candidates, key=lambda name: name[-SEQUENCE_DIGITS:])
    position = ordered.index(mine)
    return ordered[position - 1] if position else None


class Candidacy:
    """One node's standing for coordinator. `fence` is the number to check while it leads, None while it does not."""

    def __init__(self, session: Session, node: str, incarnation: str) -> None:
        self._session = session
        self._node = node
        self._incarnation = incarnation
        self._leading_as: str | None = None
        self.fence: int | None = None

    def look(self, notify: Notify) -> int | None:
        """Return the fence if this node leads now, else None; `notify` is called once when that may change."""
        mine = self._candidate(notify)
        candidates = self._session.children(layout.CANDIDATES)
        if mine not in candidates:
            return self.look(notify)  # the session ended between the two reads
        before = predecessor(candidates, mine)
        if before is not None:
            self.fence = self._leading_as = None
            if self._session.version(f"{layout.CANDIDATES}/{before}", notify) is None:
                return self.look(notify)
            return None
        if self._leading_as != mine:
            self.fence = self._take_fence()
            self._leading_as = mine
        return self.fence

    def _candidate(self, notify: Notify) -> str:
        """Return the name of this session's candidate znode, made if missing; an older session's is removed."""
        mine = None
        for name in self._session.children(layout.CANDIDATES):
            if name.startswith(self._incarnation):
                path = f"{layout.CANDIDATES}/{name}"
                if mine is None and self._session.owner(path) == self._session.id:
                    mine = name
                else:
                    self._session.delete(path)
        if mine is None:
            made = self._session.create(layout.candidate_prefix(self._incarnation), ephemeral=True, sequence=True)
            assert made is not None, "a sequential create never meets an existing znode"
            mine = made.rpartition("/")[2]
        self._session.version(f"{layout.CANDIDATES}/{mine}", notify)
        return mine

    def _take_fence(self) -> int:
        record = layout.FenceRecord(coordinator=self._node, incarnation=self._incarnation)
        while True:
            version = self._session.version(layout.FENCE)
            assert version is not None, "connect() made the fence"
            try:
                return self._session.set(layout.FENCE, record, version)
            except Refused:
                continue  # a lost reply, or an earlier leader's last write: its number is used up either way
