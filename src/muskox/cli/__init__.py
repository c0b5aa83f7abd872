"""The command line: people and scripts start, feed, watch and use a cluster by it. The front door is :func:`main`.

Rooms are imported inside the commands that need them, so that ``muskox --help`` and a usage error cost no NumPy and no gRPC.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

from muskox.errors import MuskoxError

FAILED = 1
DEBUG = "--debug"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 fine, 1 failed, 2 wrong use.

    An error of ours is one sentence on stderr; ``--debug`` anywhere on the line shows where it came from.
    """
    from muskox.cli.app import app

    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = DEBUG in words
    if debug:
        words = [word for word in words if word != DEBUG]
    try:
        app(words, prog_name="muskox")
    except MuskoxError as error:
        if debug:
            raise
        fail(str(error))
    except Exception as error:  # bulkhead: whoever types a command gets a sentence, and the rest by asking for it
        if debug:
            raise
        fail(f"an error that should not happen, {type(error).__name__}: {error}; run it again with {DEBUG} to see where")
    sys.exit(0)


def fail(sentence: str) -> NoReturn:
    print(f"muskox: {' '.join(sentence.split())}", file=sys.stderr)  # noqa: T201  # the command line speaks by printing
    sys.exit(FAILED)
