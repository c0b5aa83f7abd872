"""What every kind of work in a worker process stands on: the pipe to the node, lines to peers, one thread, one queue of steps.

A *work* (rounds here, tasks elsewhere) is a pure machine with what performs its actions. Events reach it one after the other,
as steps; while the thread thinks for it, they wait.
"""

import asyncio
import os
import traceback
from collections import deque
from collections.abc import Callable
from typing import Protocol

from muskox.runtime.collective.lines import Lines
from muskox.runtime.collective.links import LinkOptions, tls_contexts
from muskox.runtime.collective.memory import Arena
from muskox.runtime.message import Buffer
from muskox.runtime.messages import Adjust, Answered, Collective, Formed, FromWorker, Settings, Setup, frame
from muskox.runtime.thinking import Job, Then, Thinker

Step = Callable[[], None]


class Work(Protocol):
    """What a worker does. Each method is called on the event loop; `form`, `answered`, `adjust` and `leave` as steps."""

    def configure(self, settings: Settings) -> None: ...

    def form(self, formed: Formed) -> None: ...

    def answered(self, message: Answered, body: bytes) -> None: ...

    def adjust(self, message: Adjust) -> None:
        """Take what somebody wants changed, if this worker is the root."""

    def leave(self) -> None:
        """Tell the node what would be lost if this worker ended now, as a checkpoint."""

    def heard(self, peer: str, message: Collective, body: Buffer) -> None: ...

    def lost(self, peer: str, generation: int, reason: str) -> None: ...


class Shell:
    """See the head of this file."""

    def __init__(self, setup: Setup, settings: Settings, pipe: asyncio.StreamWriter) -> None:
        self.settings = settings
        self.work: Work | None = None  # once its program is loaded
        self.newest = 0  # the generation that our node told of last, whether or not its turn has come
        self._host = setup.host
        server_tls, client_tls = tls_contexts(setup.tls)
        key, silence_s = bytes.fromhex(setup.key), lambda: self.settings.silence_s
        options = LinkOptions(setup.job, setup.worker, key, silence_s, server_tls, client_tls)
        self.arena = Arena()
        self.lines = Lines(options, self.arena, self._heard, self._lost)
        self._pipe = pipe
        self._thinker = Thinker(asyncio.get_running_loop())
        self._steps: deque[Step] = deque()
        self._pauses = 0
        self._is_running = False

    async def listen(self) -> str:
        """Accept links; return the address."""
        return f"{self._host}:{await self.lines.listen(self._host)}"

    def tell(self, message: FromWorker, body: bytes = b"") -> None:
        """Tell our node."""
        self._pipe.write(frame(message, body))

    # -- steps --

    def put(self, step: Step) -> None:
        """Do this after all that waits."""
        self._steps.append(step)
        self._run()

    def put_first(self, step: Step) -> None:
        """Do this before all that waits."""
        self._steps.appendleft(step)
        self._run()

    def pause(self) -> None:
        """Have steps wait until :meth:`resume` was called as often."""
        self._pauses += 1

    def resume(self) -> None:
        self._pauses -= 1
        self._run()

    def _run(self) -> None:
        if self._is_running:
            return
        self._is_running = True
        try:
            while self._steps and not self._pauses:
                self._steps.popleft()()
        finally:
            self._is_running = False

    def do(self, job: Job, then: Then) -> None:
        """Have the thread do it; `then` is called on the loop, steps or no steps."""
        self._thinker.do(job, then)

    # -- peers --

    def _heard(self, peer: str, message: Collective, body: Buffer) -> None:
        if self.work is not None:
            self.work.heard(peer, message, body)

    def _lost(self, peer: str, generation: int, reason: str) -> None:
        if self.work is not None:
            self.work.lost(peer, generation, reason)


def crash(error: BaseException) -> None:
    """Our own bug, or a broken disk: end; the node starts another worker, and bounds how often."""
    traceback.print_exception(error)
    os._exit(1)


def on_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """End for whatever no code of ours expected; a connection that broke, or a stranger without TLS, harms nobody."""
    error = context.get("exception")
    if isinstance(error, BaseException) and not isinstance(error, OSError):
        crash(error)
