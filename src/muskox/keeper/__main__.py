"""``python -m muskox.keeper``: serve in the foreground."""

import argparse
import sys
from pathlib import Path

from muskox.errors import CallerError
from muskox.keeper import Options, serve


def parse(words: list[str]) -> Options:
    """Return the options that the command line `words` give."""
    parser = argparse.ArgumentParser(prog="muskox keeper", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="where log and snapshots lie")
    parser.add_argument("--client-port", type=int, default=2181, help="port for clients, 0 for any free one (default 2181)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default 127.0.0.1)")
    parser.add_argument("--tick-ms", type=int, default=2_000, help="ZooKeeper's tickTime (default 2000)")
    parser.add_argument("--min-session-timeout-ms", type=int, help="least session timeout granted (default 2 ticks)")
    parser.add_argument("--max-session-timeout-ms", type=int, help="largest session timeout granted (default 20 ticks)")
    parser.add_argument("--snap-count", type=int, default=100_000, help="transactions between snapshots (default 100000)")
    parser.add_argument("--four-letter-words", default="srvr", help="which are answered, with commas, or all (default srvr)")
    given = parser.parse_args(words)
    allowed = ("*",) if given.four_letter_words in ("all", "*") else tuple(given.four_letter_words.split(","))
    try:
        return Options(
            data_dir=given.data_dir,
            client_port=given.client_port,
            host=given.host,
            tick_ms=given.tick_ms,
            session_timeout_ms_min=given.min_session_timeout_ms,
            session_timeout_ms_max=given.max_session_timeout_ms,
            snap_count=given.snap_count,
            four_letter_words=allowed,
        )
    except CallerError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(serve(parse(sys.argv[1:])))
