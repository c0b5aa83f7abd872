"""What lies in ZooKeeper as this session last read it, read again only where a watch has said that it changed.

For whoever looks at much again and again, while little of it changes between two looks: the coordinator. A lost connection
makes everything doubtful; so does, for its path, a write of our own, since its watch may come later than our next look.
"""

import threading
from collections.abc import Callable
from typing import Any, cast

from muskox.coordination.layout import Payload
from muskox.coordination.session import Session


class Mirror:
    """Reads through what it remembers. `look` is called, on a thread of kazoo's, when something may have changed."""

    def __init__(self, session: Session, look: Callable[[], None]) -> None:
        self._session = session
        self._look = look
        self._lock = threading.Lock()  # over the doubts: watches add, readers take away
        self._doubted: set[tuple[str, str]] = set()
        self._is_all_doubted = False
        self._records: dict[str, Any] = {}
        self._children: dict[str, list[str]] = {}

    def find(self, path: str, kind: type[Payload]) -> Payload | None:
        """Return the record at `path`, or None."""
        if self._is_known(self._records, "data", path):
            return cast("Payload | None", self._records[path])
        found = self._session.find(path, kind, self._changed)
        record = self._records[path] = None if found is None else found[0]
        return record

    def children(self, path: str) -> list[str]:
        """Return the sorted names of the children; none where `path` is missing."""
        if not self._is_known(self._children, "children", path):
            self._children[path] = self._session.children(path, self._changed)
        return self._children[path]

    def doubt(self, *paths: str) -> None:
        """Read these again next time: they were written, made or deleted."""
        with self._lock:
            for path in paths:
                self._doubted |= {("data", path), ("children", path.rpartition("/")[0])}

    def forget(self, path: str) -> None:
        """Remember nothing any more of `path` and what lies below it: it is looked at no longer."""
        for known in (self._records, self._children):
            for name in [name for name in known if name == path or name.startswith(f"{path}/")]:
                del known[name]

    def clear(self) -> None:
        """Remember nothing."""
        self._records.clear()
        self._children.clear()

    def _is_known(self, known: dict[str, Any], what: str, path: str) -> bool:
        """Return whether what we remember holds; if not, a change that comes from now on is one after the reading."""
        with self._lock:
            is_all_doubted, self._is_all_doubted = self._is_all_doubted, False
        if is_all_doubted:
            self.clear()
        with self._lock:
            if (what, path) in self._doubted:
                self._doubted.discard((what, path))
                known.pop(path, None)
        return path in known

    def _changed(self, event: Any) -> None:
        """A watch fired; without a path the connection was lost, and every watch with it."""
        with self._lock:
            if event.path is None:
                self._is_all_doubted = True
            else:
                self._doubted |= {("data", event.path), ("children", event.path)}
        self._look()
