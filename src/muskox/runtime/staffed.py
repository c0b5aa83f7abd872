"""One worker of a job as its node keeps it: its process and what is seen of that, its files in the cache, what it was told."""

import contextlib
import logging
import time
from dataclasses import dataclass, field

from muskox.coordination import layout
from muskox.runtime.devices import is_stopped, resident_bytes
from muskox.runtime.pool import WorkerProcess

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Staffed:
    """A worker of ours.

    generation : the last one that it was told of
    held, lent : its files in the cache, which stay there: of the shards that it owns, and of those that it asked for last
    stopped_s : since when it was seen to be stopped (SIGSTOP)
    """

    process: WorkerProcess
    generation: int = 0
    is_large: bool = False  # it was said that it has more memory than was asked for
    stopped_s: float | None = None
    record: layout.WorkerRecord | None = None
    held: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    lent: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def warn_of_memory(self, asked_bytes: int) -> None:
        """Say once that it has more memory than was asked for. It is not ended: the system does that in need."""
        if asked_bytes and not self.is_large and (has_bytes := resident_bytes(self.process.pid)) > asked_bytes:
            self.is_large = True
            log.warning("%s has %d bytes of memory; its job asked for %d", self.process.name, has_bytes, asked_bytes)

    def end_if_stopped(self, after_s: float) -> float:
        """End it if it has been stopped for so long: peers miss one that is, but it may have none.

        Return in how many seconds to look again, 0 for no need.
        """
        now = time.monotonic()
        if not is_stopped(self.process.pid):
            self.stopped_s = None
        elif self.stopped_s is None:
            self.stopped_s = now
            return after_s
        elif now - self.stopped_s >= after_s:
            log.warning("%s has been stopped for %g s: it is ended", self.process.name, after_s)
            self.process.end()
        return 0.0
