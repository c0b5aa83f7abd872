"""A stop ends, whatever the disk does."""

import asyncio
import gc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from muskox.errors import Unavailable
from muskox.keeper.disk.log import TransactionLog
from muskox.keeper.disk.names import folder_of
from muskox.keeper.disk.recovery import recover
from muskox.keeper.machine.events import AppendTransactions
from muskox.keeper.server import serve
from muskox.keeper.server.log_process import start_log
from muskox.keeper.server.options import Options
from muskox.keeper.server.serve import say_goodbye
from muskox.keeper.server.shell import Shell
from muskox.keeper.wire.opcodes import ErrorCode, OpCode
from muskox.keeper.wire.transactions import ErrorTxn, TxnHeader, encode_entry

SECONDS_MAX = 20.0


def goodbye(takes_the_last_writes: bool) -> None:
    async def run() -> None:
        ended = asyncio.get_running_loop().create_future()
        writer = SimpleNamespace(end=lambda: ended.set_result(None) if takes_the_last_writes else None, ended=ended)
        shell: Any = SimpleNamespace(
            writer=writer, write_orders=lambda: None, sockets={}, snapshots=SimpleNamespace(stop=lambda: None)
        )
        await asyncio.wait_for(say_goodbye(shell), SECONDS_MAX)

    asyncio.run(run())


def test_a_disk_that_hangs_does_not_hold_up_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "LOG_SECONDS_MAX", 0.05)
    with pytest.raises(Unavailable, match=r"the disk did not take the last writes within 0.05 s of a stop; they were not ack"):
        goodbye(takes_the_last_writes=False)


def test_a_disk_that_takes_the_last_writes_is_waited_for() -> None:
    goodbye(takes_the_last_writes=True)


def test_what_is_ordered_in_the_turn_of_a_stop_is_written_too(tmp_path: Path) -> None:
    header = TxnHeader(1, 0, 1, 0, OpCode.ERROR)
    order = AppendTransactions(1, 1, [encode_entry(header, ErrorTxn(ErrorCode.NO_NODE), 0)])

    async def run() -> None:
        recovered = recover(tmp_path)
        log = start_log(TransactionLog(folder_of(tmp_path)))
        shell = Shell(Options(data_dir=tmp_path), recovered, log, asyncio.get_running_loop())
        shell.order(order)
        await asyncio.wait_for(say_goodbye(shell), SECONDS_MAX)

    thresholds = gc.get_threshold()
    try:
        asyncio.run(run())
    finally:
        gc.set_threshold(*thresholds)
    assert recover(tmp_path).transactions == 1
