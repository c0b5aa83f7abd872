"""A worker process: from its node's first frame to the end of its node's pipe.

It loads the program, takes up the kind of work that the program is (rounds: round_work.py; tasks: tasks/task_work.py) and hands
it what the node says. It ends when its node's pipe closes: an orphan would only warm the room. It never speaks to ZooKeeper.
"""

import asyncio
import contextlib
import os
import select
import signal
import socket
import threading
from pathlib import Path
from typing import assert_never

import uvloop

from muskox.errors import MuskoxError, PeerError
from muskox.program import Program
from muskox.records import unpack
from muskox.runtime.computing import load_program
from muskox.runtime.messages import (
    LENGTHS,
    Adjust,
    Brought,
    Failed,
    Formed,
    FromNode,
    Leave,
    Left,
    Listening,
    Recorded,
    Restore,
    Settings,
    Setup,
    check_lengths,
    decode_from_node,
)
from muskox.runtime.round_work import RoundWork
from muskox.runtime.shell import Shell, Work, on_loop_error
from muskox.runtime.tasks.messages import PieceRead, PieceWritten
from muskox.runtime.tasks.task_work import TaskWork
from muskox.task_list import TaskList
from muskox.trusted_code import trust_everything

ABANDONED_EXIT = 0
OOM_SCORE = 500  # of 1000: as if we had half of the machine's memory more than we have


def worker_main(pipe: socket.socket) -> None:
    """Run a worker until its node's pipe closes; the entry of the forked process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the node to decide
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(OSError):  # where memory is short, a worker goes before its node: its death costs nothing
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    threading.Thread(target=_end_with, args=(pipe.dup(),), name="node", daemon=True).start()
    uvloop.run(_serve(pipe))


def _end_with(pipe: socket.socket) -> None:
    """End this process when its node is gone, whatever the event loop is doing."""
    watch = select.poll()
    watch.register(pipe, select.POLLRDHUP | select.POLLHUP)
    watch.poll()
    os._exit(ABANDONED_EXIT)


async def _serve(pipe: socket.socket) -> None:
    asyncio.get_running_loop().set_exception_handler(on_loop_error)
    reader, writer = await asyncio.open_connection(sock=pipe)
    setup, program = await _read(reader)
    settings, _ = await _read(reader)
    assert isinstance(setup, Setup) and isinstance(settings, Settings), "the node sends these first"
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(setup.gpus)  # before anything that would look is loaded
    trust_everything()  # whoever gives us work has proved the cluster's secret
    shell = Shell(setup, settings, writer)
    try:
        shell.tell(Listening(await shell.listen(), os.getpid()))
        try:
            shell.work = work_of(shell, setup, settings, load_program(unpack(program)))
        except MuskoxError as error:
            shell.tell(Failed(0, str(error)))
        while True:
            hear(shell, *await _read(reader))
    except (asyncio.IncompleteReadError, OSError):
        os._exit(ABANDONED_EXIT)  # the node is gone; the thread that computes must not keep us


def work_of(shell: Shell, setup: Setup, settings: Settings, program: Program | TaskList) -> Work:
    """Return what a worker does for this kind of program."""
    if isinstance(program, TaskList):
        return TaskWork(shell, setup, settings, program)
    return RoundWork(shell, setup, settings, program)


async def _read(reader: asyncio.StreamReader) -> tuple[FromNode, bytes]:
    head_bytes, body_bytes = check_lengths(await reader.readexactly(LENGTHS.size))
    head = decode_from_node(await reader.readexactly(head_bytes))
    return head, await reader.readexactly(body_bytes)


def hear(shell: Shell, message: FromNode, body: bytes) -> None:
    """Hand on what the node says."""
    work = shell.work
    match message:
        case Settings():
            shell.settings = message
            if work is not None:
                work.configure(message)
        case Formed() if work is not None:
            shell.newest = message.number
            shell.put_first(lambda: _form(shell, message))  # what waits belongs to those before it
        case Restore() | Brought() | PieceWritten() | PieceRead() | Recorded() if work is not None:
            shell.put(lambda: work.answered(message, body))
        case Adjust() if work is not None:
            shell.put(lambda: work.adjust(message))
        case Leave():
            shell.put(lambda: _leave(shell))
        case Formed() | Restore() | Brought() | PieceWritten() | PieceRead() | Adjust() | Recorded():
            return  # there is nothing that we could do: our node was told so
        case Setup():
            raise PeerError("a second Setup")
        case _:
            assert_never(message)


def _leave(shell: Shell) -> None:
    """Hand over what we hold, before we are asked to end."""
    if shell.work is not None:
        shell.work.leave()
    shell.tell(Left())


def _form(shell: Shell, formed: Formed) -> None:
    """Leave the former generation for this one, unless a later one is here already."""
    if formed.number < shell.newest:
        return
    assert shell.work is not None, "or nobody would have asked"
    shell.lines.form(formed.number, {member.worker: member.address for member in formed.members})
    shell.work.form(formed)
