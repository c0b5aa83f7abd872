"""What went over a quota: how often writes were refused, and the last sentence about it, for whoever runs the server."""

NAMESPACES_MAX = 1_000


class Excess:
    """Bounded, whatever clients do: one sentence is kept, and of first names only so many are counted."""

    def __init__(self) -> None:
        self.refused: dict[str, int] = {}  # by the first name of the path
        self.sentence = ""
        self.count = 0  # of writes since the last was told

    def add(self, path: str, sentence: str, is_refused: bool) -> None:
        """Take note of a write at `path`."""
        self.sentence = sentence
        self.count += 1
        namespace = path.split("/", 2)[1]
        if is_refused and (namespace in self.refused or len(self.refused) < NAMESPACES_MAX):
            self.refused[namespace] = self.refused.get(namespace, 0) + 1

    def take(self) -> str:
        """Return what is to be said, nothing if nothing is."""
        count, self.count = self.count, 0
        return f"{self.sentence} ({count} writes since this was last said)" if count > 1 else self.sentence * count
