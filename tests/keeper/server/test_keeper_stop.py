"""A stop ends, whatever the disk does."""

import asyncio
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from muskox.errors import Unavailable
from muskox.keeper.server import serve
from muskox.keeper.server.serve import say_goodbye

SECONDS_MAX = 20.0


class HangingLog:
    """A writer whose disk does not come back until it is let go."""

    def __init__(self) -> None:
        self.is_let_go = Event()

    def end(self) -> None:
        """As a writer's, it only orders."""

    def join(self) -> None:
        self.is_let_go.wait(SECONDS_MAX)


def goodbye(writer: Any) -> None:
    async def run() -> None:
        shell: Any = SimpleNamespace(writer=writer, sockets={}, snapshots=SimpleNamespace(stop=lambda: None))
        await asyncio.wait_for(say_goodbye(shell), SECONDS_MAX)

    asyncio.run(run())


def test_a_disk_that_hangs_does_not_hold_up_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "LOG_SECONDS_MAX", 0.05)
    log = HangingLog()
    with pytest.raises(Unavailable, match=r"the disk did not take the last writes within 0.05 s of a stop; they were not ack"):
        goodbye(log)
    log.is_let_go.set()


def test_a_disk_that_takes_the_last_writes_is_waited_for() -> None:
    log = HangingLog()
    log.is_let_go.set()
    goodbye(log)
