"""Serve in the foreground, from lock to stop."""

import asyncio
import os
import signal
import time
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from muskox.errors import MuskoxError, Unavailable
from muskox.keeper.disk.lock import lock_folder
from muskox.keeper.disk.log import TransactionLog
from muskox.keeper.disk.names import folder_of
from muskox.keeper.disk.recovery import recover
from muskox.keeper.server.log_process import LogProcess, start_log
from muskox.keeper.server.options import Options
from muskox.keeper.server.ports import listen
from muskox.keeper.server.shell import Shell, say

if TYPE_CHECKING:
    from muskox.keeper.server.http import Door

LIFELINE = "MUSKOX_LIFELINE_FD"  # a pipe from whoever started this; at its end this server ends too
READY = "MUSKOX_READY_FD"  # a pipe to whoever started this; it gets the port, in decimal, once clients are served
LOG_SECONDS_MAX = 8.0  # how long a stop waits for the disk; less than those who start a keeper wait before they kill it
FAREWELL_SECONDS_MAX = 1.0  # how long a stop waits for last replies to leave


def serve(options: Options) -> int:
    """Serve until SIGTERM, SIGINT or the end of the lifeline; return the exit status, with the reason on stderr.

    Parameters
    ----------
    options : how to serve

    Returns
    -------
    int : 0 after a stop that was asked for, 1 if the server could not start or go on
    """
    try:
        import uvloop

        folders = dict.fromkeys(folder.resolve() for folder in (options.data_dir, options.log_dir) if folder is not None)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the loop takes it, a Ctrl-C ends this at once, as SIGTERM does
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever started this may have ignored it; snapshots wait for a child
        locks = [hold_folder(folder) for folder in folders]
        log = start_log(
            TransactionLog(folder_of(options.log_dir or options.data_dir), options.preallocated_bytes, options.force_sync),
            [int(os.environ[name]) for name in (LIFELINE, READY) if name in os.environ],
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(options, log))
        for lock in locks:
            os.close(lock)
    except MuskoxError as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"the disk refuses: {error}; nothing after the last acknowledgement was promised")
        return 1
    return 0


def hold_folder(folder: Path) -> int:
    """Lock the folder; one that cannot be made or written is told before anything was promised."""
    try:
        return lock_folder(folder)
    except OSError as error:
        raise Unavailable(f"{folder} cannot be used: {error.strerror}; give a folder that you may write to") from error


async def run(options: Options, log: LogProcess) -> None:
    """Recover, serve, stop.

    Raises
    ------
    Unavailable
        If a port is in use.
    CallerError
        If certificates or users are not right.
    Corrupt
        If the files are damaged.
    OSError
        If the disk fails.
    """
    loop = asyncio.get_running_loop()
    since = time.monotonic()
    recovered = recover(options.data_dir, options.log_dir)
    for note in recovered.notes:
        say(note)
    if not options.force_sync:
        say("force_sync is off: what is acknowledged is not on disk yet, and a power cut may lose it")
    shell = Shell(options, recovered, log, loop)
    shell.figures.starts.add((time.monotonic() - since) * 1000)
    shell.figures.replayed.add(recovered.transactions)
    ports = await listen(options, shell)
    shell.status.client_port, shell.status.secure_port = ports.client_port, ports.secure_port
    doors = await open_http(options, shell)
    shell.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, shell.stop)
    if options.tls is not None:
        loop.add_signal_handler(signal.SIGHUP, ports.read_certificates_again, options.tls)
    hold_lifeline(loop, shell)
    say("; ".join([f"serving on {', '.join(ports.names)}, data in {options.data_dir}", *doors]))
    tell_ready(ports.client_port if ports.client_port >= 0 else ports.secure_port)
    error = await shell.stopping
    ports.close()
    for door in doors.values():
        door.close()
    shell.snapshots.stop()
    if error is not None:
        raise error
    await say_goodbye(shell)
    if shell.failure is not None:
        raise shell.failure


async def open_http(options: Options, shell: Shell) -> "dict[str, Door]":
    """Open the ports for people and monitors, if any were asked for."""
    if options.http.admin_port is None and options.http.metrics_port is None:
        return {}
    from muskox.keeper.server.doors import open_doors  # a server that needs no HTTP starts without it

    return await open_doors(options.http, shell.status)


def hold_lifeline(loop: asyncio.AbstractEventLoop, shell: Shell) -> None:
    """End with the process that started this one, if it gave a lifeline."""
    if LIFELINE not in os.environ:
        return
    handle = int(os.environ[LIFELINE])

    def wait() -> None:
        while os.read(handle, 1):
            pass
        loop.call_soon_threadsafe(shell.stop)

    Thread(target=wait, name="keeper-lifeline", daemon=True).start()


def tell_ready(port: int) -> None:
    if READY in os.environ:
        handle = int(os.environ[READY])
        os.write(handle, f"{port}\n".encode())
        os.close(handle)


async def say_goodbye(shell: Shell) -> None:
    """Make durable and answer what was under way, then close."""
    is_written = await finish_log(shell)
    await asyncio.sleep(0)  # what the log has synced was told before its process ended; nothing else may be acknowledged
    for socket in list(shell.sockets.values()):
        socket.close()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + FAREWELL_SECONDS_MAX
    while shell.sockets and loop.time() < deadline:
        await asyncio.sleep(0.01)
    for socket in list(shell.sockets.values()):
        socket.transport.abort()
    if not is_written:
        raise Unavailable(
            f"the disk did not take the last writes within {LOG_SECONDS_MAX:g} s of a stop; they were not acknowledged"
        )


async def finish_log(shell: Shell) -> bool:
    """Return whether the log's process came to its end: a disk that hangs would hold up a stop for ever."""
    shell.write_orders()  # of this turn of the loop
    shell.writer.end()
    try:
        await asyncio.wait_for(asyncio.shield(shell.writer.ended), LOG_SECONDS_MAX)
    except TimeoutError:
        return False
    return True
