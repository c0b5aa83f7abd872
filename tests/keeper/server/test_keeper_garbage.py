"""A server looks for cycles among young objects alone; so what it does for clients may leave none."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from raw import OPEN, connect_request, request

from muskox.keeper.disk.log import TransactionLog
from muskox.keeper.disk.names import folder_of
from muskox.keeper.disk.recovery import recover
from muskox.keeper.server.log_process import start_log
from muskox.keeper.server.options import Options
from muskox.keeper.server.ports import listen
from muskox.keeper.server.shell import Shell
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import CreateRequest, PathWatch

CLIENTS = 50
WELCOME_BYTES = 41


async def live(port: int, number: int) -> None:
    """Be a client: open a session, write, leave a watch, close or just go."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(connect_request())
    await reader.readexactly(WELCOME_BYTES)
    writer.write(request(1, OpCode.CREATE, CreateRequest(f"/n{number}", b"x", OPEN, 1)))
    writer.write(request(2, OpCode.GET_DATA, PathWatch("/", True)))
    for _ in range(2):
        await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
    if number % 2:
        writer.write(request(3, OpCode.CLOSE_SESSION))
        await reader.read()
    writer.close()
    await writer.wait_closed()


@contextmanager
def kept_garbage() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.enable()


def test_clients_leave_no_cycles_behind(tmp_path: Path) -> None:
    async def count() -> int:
        options = Options(data_dir=tmp_path, client_port=0)
        log = start_log(TransactionLog(folder_of(tmp_path)))
        shell = Shell(options, recover(tmp_path), log, asyncio.get_running_loop())
        ports = await listen(options, shell)
        for number in range(3):
            await live(ports.client_port, number)
        with kept_garbage():
            for number in range(3, CLIENTS):
                await live(ports.client_port, number)
            while shell.sockets:
                await asyncio.sleep(0)
            unreachable = gc.collect()
        shell.writer.end()
        await shell.writer.ended
        ports.close()
        return unreachable

    thresholds = gc.get_threshold()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert runner.run(count()) < CLIENTS
    finally:
        gc.set_threshold(*thresholds)
