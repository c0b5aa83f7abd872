"""What went over a quota: how often writes were refused, and sentences about it, for whoever runs the server."""

from collections import deque

SENTENCES_MAX = 100
NAMESPACES_MAX = 1_000


class Excess:
    """Bounded, whatever clients do: the oldest sentences are dropped, and of first names only so many are counted."""

    def __init__(self) -> None:
        self.refused: dict[str, int] = {}  # by the first name of the path
        self.sentences: deque[str] = deque(maxlen=SENTENCES_MAX)

    def add(self, path: str, sentence: str, is_refused: bool) -> None:
        """Take note of a write at `path`."""
        self.sentences.append(sentence)
        namespace = path.split("/", 2)[1]
        if is_refused and (namespace in self.refused or len(self.refused) < NAMESPACES_MAX):
            self.refused[namespace] = self.refused.get(namespace, 0) + 1

    def take_sentences(self) -> list[str]:
        """Return what is still to be said."""
        sentences = list(self.sentences)
        self.sentences.clear()
        return sentences
