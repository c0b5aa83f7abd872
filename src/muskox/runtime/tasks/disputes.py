"""Where two workers found different results for one task: who found what, until a third one decides. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

UNKNOWN = ""  # who gave an accepted answer, where that is forgotten: it came from a piece, or by way of an earlier root


@dataclass(frozen=True, slots=True)
class Verdict:
    """The digest that two workers agree on, and those who found another."""

    digest: str
    odd: tuple[str, ...]


class Disputes:
    """Of one root: it remembers whose answers it accepted."""

    def __init__(self) -> None:
        self._givers: dict[int, str] = {}
        self._found: dict[int, dict[str, list[str]]] = {}  # by task: who found which digest

    def __bool__(self) -> bool:
        return bool(self._found)

    def __iter__(self) -> Iterator[int]:
        return iter(self._found)

    def __contains__(self, task: int) -> bool:
        return task in self._found

    def accept(self, task: int, peer: str) -> None:
        self._givers[task] = peer

    def object(self, task: int, accepted: str, peer: str, digest: str) -> None:
        """`peer` has found another result for `task` than the accepted one."""
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
