"""How soon a job's worker that ended unasked is replaced on its node: the first at once, more in a row ever later."""

import time
from collections import deque

LATELY_S = 30.0
PAUSE_S = 0.1  # before a second worker in a row is replaced; doubled for each further one
PAUSE_S_MAX = 5.0
REMEMBERED_MAX = 100


class Deaths:
    """The deaths of one job's workers on one node."""

    def __init__(self) -> None:
        self._times_s: deque[float] = deque(maxlen=REMEMBERED_MAX)
        self._until_s = 0.0

    @property
    def is_pause(self) -> bool:
        """Whether nobody is to be replaced yet."""
        return time.monotonic() < self._until_s

    def count(self) -> float:
        """Count one more, and return for how many seconds nobody is replaced now."""
        now = time.monotonic()
        self._times_s.append(now)
        lately = sum(now - time_s < LATELY_S for time_s in self._times_s)
        pause_s = min(PAUSE_S * 2 ** (lately - 2), PAUSE_S_MAX) if lately > 1 else 0.0
        self._until_s = max(self._until_s, now + pause_s)
        return pause_s
