"""What a worker holds, who found it, and where that is not enough: for audited tasks, and where two do not agree. Pure.

A result counts when enough workers have found the same. One is enough where nobody objects, two of an audited task; where
results differ it takes two, and more than have found any other. Who found one that does not count then is put out, and its word
counts nowhere any more. Workers are told apart by name: nobody's word counts twice for a task.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from muskox.runtime.message import Buffer
from muskox.runtime.tasks.events import Found, KeepResult

Words = dict[str, list[str]]  # of one task: who found which digest


@dataclass(slots=True)
class Held:
    """The results that a worker holds, by task: digest, bytes, and who found them. The shell has the results themselves."""

    digests: dict[int, str] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    finders: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def keep(self, task: int, digest: str, finders: Iterable[str], body: Buffer) -> KeepResult:
        self.put(task, Found(digest, len(body), tuple(finders)))
        return KeepResult(task, digest, body)

    def put(self, task: int, found: Found) -> None:
        self.digests[task], self.sizes[task], self.finders[task] = found.digest, found.size_bytes, found.finders

    def found(self, task: int) -> Found:
        return Found(self.digests[task], self.sizes[task], self.finders[task])


@dataclass(frozen=True, slots=True)
class Verdict:
    """The digest that enough agree on, who they are, and who found another."""

    digest: str
    finders: tuple[str, ...]
    odd: tuple[str, ...]


class Disputes:
    """Of one root, about what it holds.

    audited : the tasks whose results two workers are to find
    odd : live; whose word counts no more
    """

    def __init__(self, held: Held, audited: frozenset[int], odd: set[str]) -> None:
        self._held = held
        self._audited = audited
        self._odd = odd
        self._open: dict[int, Words] = {}
        self._voices: frozenset[str] | None = None  # all who can ever speak; None while others may come

    @property
    def is_settled(self) -> bool:
        return not self._open

    @property
    def odd(self) -> list[str]:
        return sorted(self._odd)

    def __contains__(self, task: object) -> bool:
        return task in self._open

    def begin(self) -> None:
        """A generation begins, others may yet come: open what takes more words than there are."""
        self._voices = None
        self._open_all()

    def _open_all(self) -> None:
        self._open = {task: words for task, words in self._open.items() if self._odd.isdisjoint(spoken(words))}
        for task in self._held.digests:
            if task not in self._open:
                self._open_if_wanting(task)

    def close(self, voices: Iterable[str]) -> None:
        """Nobody but these will come: an audit without anybody to do it is none."""
        self._voices = frozenset(voices)
        for task, words in list(self._open.items()):
            if self._winner(task, words) is not None:
                del self._open[task]

    def wanting(self, peer: str) -> Iterator[int]:
        """Return the tasks for which the word of `peer` is wanted."""
        return (task for task, words in self._open.items() if peer not in spoken(words))

    def find_undecidable(self) -> tuple[int, int] | None:
        """Return a task for which everybody has spoken to no end, and how many they are."""
        if self._voices is None:
            return None
        stuck = (task for task, words in self._open.items() if self._voices <= spoken(words).keys())
        task = next(stuck, None)
        return None if task is None else (task, len(spoken(self._open[task])))

    def restore(self, task: int, found: Found) -> None:
        """Hold what a piece has, unless more have found what we hold already."""
        held = self._held
        words: Words = {found.digest: self._trusted(found.finders, [])}
        if task in held.digests:
            ours = self._trusted(held.finders[task], words[found.digest])
            words.setdefault(held.digests[task], []).extend(ours)
        if self._winner(task, words) is None:
            self._open[task] = words
        if max(words, key=lambda digest: len(words[digest])) == found.digest:  # the first of those that most have found
            held.put(task, Found(found.digest, found.size_bytes, tuple(words[found.digest])))

    def accept(self, task: int) -> bool:
        """The first result of a task is held, or the first that rests on anybody's word: return whether that is enough."""
        self._open.pop(task, None)
        self._open_if_wanting(task)
        return task not in self._open

    def hear(self, task: int, digest: str, finders: Iterable[str]) -> Verdict | None:
        """Take the word of others on a task of which we hold a result; None if that settles nothing."""
        accepted = self._held.digests[task]
        if task not in self._open and digest == accepted:
            return None
        words = self._open.get(task) or {accepted: list(self._held.finders[task])}
        new = self._trusted(finders, spoken(words))
        if not new:
            return None
        words.setdefault(digest, []).extend(new)
        winner = self._winner(task, words)
        if winner is None:
            self._open[task] = words
            return None
        self._open.pop(task, None)
        return Verdict(winner, tuple(words[winner]), tuple(spoken({d: names for d, names in words.items() if d != winner})))

    def distrust(self, peer: str) -> None:
        """Have found again whatever rests on the word of `peer`."""
        self._odd.add(peer)
        self._open_all()

    def _open_if_wanting(self, task: int) -> None:
        finders = self._trusted(self._held.finders[task], [])
        self._held.finders[task] = tuple(finders)
        words = {self._held.digests[task]: finders}
        if self._winner(task, words) is None:
            self._open[task] = words

    def _trusted(self, finders: Iterable[str], others: Iterable[str]) -> list[str]:
        return [name for name in finders if name not in self._odd and name not in others]

    def _winner(self, task: int, words: Words) -> str | None:
        """Return the digest that enough workers have found."""
        ranked = sorted(words, key=lambda digest: len(words[digest]), reverse=True)
        most, next_ = ([len(words[digest]) for digest in ranked] + [0])[:2]
        is_last_word = self._voices is not None and self._voices <= spoken(words).keys()
        wanted = 2 if next_ or (task in self._audited and not is_last_word) else 1
        return ranked[0] if most >= wanted and most > next_ else None


def spoken(words: Words) -> dict[str, None]:
    """Return who has found a result, whichever, in order."""
    return {name: None for names in words.values() for name in names}
