"""Election of the coordinator, with a fence; and the line of nodes in which each looks after the one before it.

Every node keeps an ephemeral, sequential candidate znode. The lowest leads; each other one watches only the one before it, so
a death wakes one node. Who leads first bumps the version of the fence znode, which every decision then checks: what an
earlier coordinator still sends is refused. Level-triggered: :meth:`Candidacy.look` may be called at any time, any often.

Whoever knows by other means that the node before it has died need not wait for the end of its session (:meth:`Candidacy.bury`).
Should that node live after all, nothing is lost: it is shut out by the fence, and stands again at the end of the line.
"""

import contextlib
from dataclasses import dataclass

from muskox.coordination import layout
from muskox.coordination.session import Delete, Notify, Refused, Session

SEQUENCE_DIGITS = 10  # what ZooKeeper appends


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate znode: `name` is used once only, `incarnation` is a process's."""

    name: str
    node: str
    incarnation: str
    address: str


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

    def __init__(self, session: Session, node: str, incarnation: str, address: str = "") -> None:
        self._session = session
        self._record = layout.CandidateRecord(node=node, incarnation=incarnation, address=address)
        self._leading_as: str | None = None
        self._buried: set[str] = set()
        self.fence: int | None = None
        self.is_next = False  # we lead as soon as the one who leads now is gone
        self.before: Candidate | None = None  # the one before us in the line; for the first, the last

    def look(self, notify: Notify) -> int | None:
        """Return the fence if this node leads now, else None; `notify` is called once when that may change."""
        mine = self._candidate(notify)
        candidates = self._session.children(layout.CANDIDATES)
        if mine not in candidates:
            return self.look(notify)  # the session ended between the two reads
        before = predecessor(candidates, mine)
        self.is_next = before is not None and predecessor(candidates, before) is None
        self._look_after(before or max(candidates, key=lambda name: name[-SEQUENCE_DIGITS:]), mine)
        if before is not None:
            self.fence = self._leading_as = None
            if self._session.version(f"{layout.CANDIDATES}/{before}", notify) is None:
                return self.look(notify)
            return None
        if self._leading_as != mine:
            self.fence = self._take_fence()
            self._leading_as = mine
        return self.fence

    def _look_after(self, name: str, mine: str) -> None:
        if self.before is None or self.before.name != name:
            found = None if name == mine else self._session.find(f"{layout.CANDIDATES}/{name}", layout.CandidateRecord)
            record = None if found is None else found[0]
            self.before = None if record is None else Candidate(name, record.node, record.incarnation, record.address)

    def bury(self, dead: Candidate) -> bool:
        """Take a dead process out of the line and out of the members; return whether that was done.

        No process is buried twice: one that stood again was alive, and from then on only the end of its session counts.
        """
        if dead.incarnation in self._buried:
            return False
        self._buried.add(dead.incarnation)
        path = layout.member(dead.node)
        found = self._session.find(path, layout.MemberRecord)
        if found is not None and found[0].incarnation == dead.incarnation:
            with contextlib.suppress(Refused):  # it has gone, or has come back as another process, meanwhile
                self._session.commit([Delete(path, found[1])], lambda: True)
        self._session.delete(f"{layout.CANDIDATES}/{dead.name}")
        return True

    def _candidate(self, notify: Notify) -> str:
        """Return the name of this session's candidate znode, made if missing; an older session's is removed."""
        mine = None
        for name in self._session.children(layout.CANDIDATES):
            if name.startswith(self._record.incarnation):
                path = f"{layout.CANDIDATES}/{name}"
                if mine is None and self._session.owner(path) == self._session.id:
                    mine = name
                else:
                    self._session.delete(path)
        if mine is None:
            made = self._session.create(
                layout.candidate_prefix(self._record.incarnation), self._record, ephemeral=True, sequence=True
            )
            assert made is not None, "a sequential create never meets an existing znode"
            mine = made.rpartition("/")[2]
        self._session.version(f"{layout.CANDIDATES}/{mine}", notify)
        return mine

    def _take_fence(self) -> int:
        record = layout.FenceRecord(coordinator=self._record.node, incarnation=self._record.incarnation)
        while True:
            version = self._session.version(layout.FENCE)
            assert version is not None, "connect() made the fence"
            try:
                return self._session.set(layout.FENCE, record, version)
            except Refused:
                continue  # a lost reply, or an earlier leader's last write: its number is used up either way
