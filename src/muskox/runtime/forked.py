"""Loaded by the forkserver, which outlives its node by a moment: it removes the folder in which its socket lies.

The node made that folder, and removes it when it ends by itself; one that is killed cannot.
"""

import atexit
import os
import shutil

FOLDER = "MUSKOX_FORKSERVER_DIR"  # set by the node before it starts the forkserver


def _remove(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)


if FOLDER in os.environ:
    atexit.register(_remove, os.environ.pop(FOLDER))  # runs in the forkserver only: what it forks ends without
