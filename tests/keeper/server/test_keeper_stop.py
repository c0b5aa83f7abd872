"""A stop ends, whatever the disk does."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from muskox.errors import Unavailable
from muskox.keeper.server import serve
from muskox.keeper.server.serve import say_goodbye

SECONDS_MAX = 20.0


def goodbye(takes_the_last_writes: bool) -> None:
    async def run() -> None:
        ended = asyncio.get_running_loop().create_future()
        writer = SimpleNamespace(end=lambda: ended.set_result(None) if takes_the_last_writes else None, ended=ended)
        shell: Any = SimpleNamespace(writer=writer, sockets={}, snapshots=SimpleNamespace(stop=lambda: None))
        await asyncio.wait_for(say_goodbye(shell), SECONDS_MAX)

    asyncio.run(run())


def test_a_disk_that_hangs_does_not_hold_up_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "LOG_SECONDS_MAX", 0.05)
    with pytest.raises(Unavailable, match=r"the disk did not take the last writes within 0.05 s of a stop; they were not ack"):
        goodbye(takes_the_last_writes=False)


def test_a_disk_that_takes_the_last_writes_is_waited_for() -> None:
    goodbye(takes_the_last_writes=True)
