"""The one thread in which a worker runs what a program's size may make slow, so that its event loop keeps answering.

Jobs run one after the other. A queue and a call into the loop: an executor with its futures costs as much as a small round.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any

Job = Callable[[], Any]
Then = Callable[[Any, BaseException | None], None]


class Thinker:
    """See the head of this file."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._jobs: queue.SimpleQueue[tuple[Job, Then]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="compute", daemon=True).start()

    def do(self, job: Job, then: Then) -> None:
        """Run `job` in the thread, and `then(result, None)` or `then(None, error)` on the loop."""
        self._jobs.put((job, then))

    def _run(self) -> None:
        while True:
            job, then = self._jobs.get()
            try:
                result, error = job(), None
            except BaseException as raised:  # noqa: BLE001  # bulkhead: whoever asked decides what it means
                result, error = None, raised
            self._loop.call_soon_threadsafe(then, result, error)
            del job, then, result, error  # what they hold is not kept until the next job comes
