"""The steps of one job on one node, one after the other: what failed a moment ago first, then what came, then a look.

What could not be reached is done again until it can be, for nobody else would do it.
"""

import logging
import queue
import time
from collections import deque
from collections.abc import Callable

from muskox.coordination import Refused
from muskox.errors import CallerError, Corrupt, Unavailable

log = logging.getLogger(__name__)

Step = Callable[[], None]

RETRY_S = 0.3  # after something was unavailable
RESYNC_S = 10.0  # between looks when no watch fires


class Steps:
    """See the head of this file. Any thread may :meth:`put`; one does them.

    look : what to do when nothing came for long, and when a step was refused: what it was about has changed
    give_up : is told why the job cannot go on
    """

    def __init__(self, job_id: str, look: Step, give_up: Callable[[str], None]) -> None:
        self._job = job_id
        self._look = look
        self._give_up = give_up
        self._came: queue.SimpleQueue[Step] = queue.SimpleQueue()
        self._again: deque[Step] = deque()  # bounded by what workers say once: results, suspicions, wants
        self._again_s = 0.0

    def put(self, step: Step) -> None:
        self._came.put(step)

    def do_next(self) -> None:
        """Wait for the next step, and do it."""
        step = self._next()
        try:
            step()
        except (Unavailable, Corrupt, Refused) as error:
            log.warning("job %s: %s; again in %g s", self._job, error, RETRY_S)
            step = self._look if isinstance(error, Refused) else step
            if step not in self._again:
                self._again.append(step)
            self._again_s = time.monotonic() + RETRY_S
        except CallerError as error:
            reason = str(error)
            self.put(lambda: self._give_up(reason))
        except Exception:  # bulkhead: one job's trouble is not the node's
            log.exception("job %s", self._job)

    def _next(self) -> Step:
        if self._again and time.monotonic() >= self._again_s:
            return self._again.popleft()
        try:
            return self._came.get(timeout=RETRY_S if self._again else RESYNC_S)
        except queue.Empty:
            return self._again.popleft() if self._again else self._look
