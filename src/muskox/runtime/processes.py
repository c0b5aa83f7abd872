"""Processes that outlive whoever started them, unless a lifeline ties them.

A lifeline is the reading end of a pipe on which nothing is ever written: at its end of file, whoever holds it ends. Its number
is handed down in the environment, so that what a node starts is tied too.
"""

import os
import signal
import subprocess
import threading
from pathlib import Path

LIFELINE = "MUSKOX_LIFELINE_FD"


def start_detached(command: list[str], log_file: Path) -> "subprocess.Popen[bytes]":
    """Start `command` in a session of its own, writing to `log_file`; a thread waits for it, so that it leaves no zombie."""
    lifeline = os.environ.get(LIFELINE)
    with log_file.open("ab") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            pass_fds=[int(lifeline)] if lifeline else [],
        )
    threading.Thread(target=process.wait, name=f"waiting for {process.pid}", daemon=True).start()
    return process


def hold_lifeline() -> None:
    """End this process when the one that started it does, if it asked for that."""
    descriptor = os.environ.get(LIFELINE)
    if descriptor is None:
        return

    def wait() -> None:
        while os.read(int(descriptor), 1):
            continue
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
