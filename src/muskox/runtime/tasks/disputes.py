"""Results that one worker's word is not enough for: of audited tasks, and those on which two do not agree. Pure."""

from dataclasses import dataclass

UNKNOWN = ""  # who gave an accepted answer, where that is forgotten: it came from a piece, or by way of an earlier root


@dataclass(frozen=True, slots=True)
class Verdict:
    """The digest that two workers agree on, and those who found another."""

    digest: str
    odd: tuple[str, ...]


class Disputes:
    """Of one root: it remembers whose answers it accepted. `audited`: tasks whose results a second worker is to find, too."""

    def __init__(self, audited: frozenset[int]) -> None:
        self._audited = audited
        self._givers: dict[int, str] = {}
        self._unconfirmed: dict[int, str] = {}  # audited tasks of which there is one answer, and who gave it
        self._found: dict[int, dict[str, list[str]]] = {}  # by task: who found which digest

    @property
    def is_settled(self) -> bool:
        return not self._found and not self._unconfirmed

    @property
    def open(self) -> dict[int, list[str]]:
        """The tasks that others are to run, too, and who has answered already."""
        return {task: [peer] for task, peer in self._unconfirmed.items()} | {task: self.involved(task) for task in self._found}

    def __contains__(self, task: int) -> bool:
        return task in self._found

    def accept(self, task: int, peer: str) -> None:
        self._givers[task] = peer
        if task in self._audited:
            self._unconfirmed[task] = peer

    def confirm(self, task: int, peer: str) -> None:
        """`peer` has found the accepted result, too."""
        if self._unconfirmed.get(task, peer) != peer:
            del self._unconfirmed[task]

    def let_be(self, task: int) -> None:
        """There is nobody who could audit this task."""
        del self._unconfirmed[task]

    def object(self, task: int, accepted: str, peer: str, digest: str) -> None:
        """`peer` has found another result for `task` than the accepted one."""
        self._unconfirmed.pop(task, None)
        self._found[task] = {accepted: [self._givers.get(task, UNKNOWN)], digest: [peer]}

    def involved(self, task: int) -> list[str]:
        """Return who has answered already."""
        return [peer for peers in self._found[task].values() for peer in peers]

    def decide(self, task: int, peer: str, digest: str) -> Verdict | None:
        """Take the word of one more worker; None if it found yet another result."""
        found = self._found[task]
        if digest not in found:
            found[digest] = [peer]
            return None
        del self._found[task]
        odd = [peer for other, peers in found.items() if other != digest for peer in peers if peer != UNKNOWN]
        self._givers[task] = peer
        return Verdict(digest, tuple(odd))
