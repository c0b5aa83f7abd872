"""Which containers and znodes with a time to live are to go, a few at a time.

A container goes once its last child has; one that never had any stays. A znode with a time to live goes when its data have not
been set for so long, if it has no children. Apache looks at all of them at fixed times, then deletes one after the other at a
bounded rate; so does this.
"""

from muskox.keeper.machine.events import Instant
from muskox.keeper.machine.node import CONTAINER_OWNER, Node
from muskox.keeper.machine.overlay import Overlay
from muskox.keeper.machine.settings import Settings

MINUTE_MS = 60_000
LOOKS_MAX = 10_000  # at one call: it must not hold up requests
DELETIONS_MAX = 1_000


class Reaper:
    """Names what is due; whoever asks deletes it."""

    def __init__(self, overlay: Overlay, settings: Settings, now: Instant) -> None:
        self.overlay = overlay
        self.settings = settings
        self.pace_ms = MINUTE_MS // settings.containers_per_minute_max
        self.check_ms = now.steady_ms + settings.container_check_ms  # when all are looked at next
        self.free_ms = 0  # from when on the next may go
        self.left: list[str] = []  # what is still to be looked at, the next last

    def due(self, now: Instant) -> list[str]:
        """Return the paths that are to be deleted now."""
        if not self.left:
            if now.steady_ms < self.check_ms:
                return []
            self.check_ms = now.steady_ms + self.settings.container_check_ms
            self.free_ms = max(self.free_ms, now.steady_ms)
            self.left = list(reversed(self.overlay.tree.mortal))
        found: list[str] = []
        looks = LOOKS_MAX
        while self.left and looks and self.free_ms <= now.steady_ms and len(found) < DELETIONS_MAX:
            looks -= 1
            path = self.left.pop()
            node = self.overlay.find(path)
            if node is not None and self.is_due(node, now.wall_ms):
                found.append(path)
                self.free_ms += self.pace_ms
        return found

    def is_due(self, node: Node, wall_ms: int) -> bool:
        if node.child_count:
            return False
        age_ms = wall_ms - node.mtime
        if node.mark == CONTAINER_OWNER:
            unused_ms_max = self.settings.container_unused_ms_max
            return node.creates > 0 or 0 < unused_ms_max < age_ms
        return self.settings.extended_types and 0 < (node.ttl_ms or 0) < age_ms
