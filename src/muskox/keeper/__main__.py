"""``python -m muskox.keeper``: serve in the foreground. ``muskox keeper`` ends here too."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from muskox.errors import CallerError
from muskox.keeper import Options, serve
from muskox.keeper.server.flags import EXAMPLES, FLAGS, Flag, options_of

DESCRIPTION = "Run a ZooKeeper-compatible coordination server in the foreground, from flags, an Apache zoo.cfg, or both."
WRONG_USE = 2


def parse(words: list[str]) -> tuple[Options, list[str]]:
    """Return the options that the command line `words` give, and what is to be said about them.

    Raises
    ------
    CallerError
        If a flag or the file breaks a rule.
    """
    parser = argparse.ArgumentParser(
        prog="muskox keeper",
        description=DESCRIPTION,
        epilog="\n  ".join(["Examples:", *EXAMPLES]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("config", type=Path, nargs="?", default=None, metavar="zoo.cfg", help="an Apache configuration")
    groups = {heading: parser.add_argument_group(heading) for heading in dict.fromkeys(flag.heading for flag in FLAGS)}
    for flag in FLAGS:
        group = groups[flag.heading]
        if flag.is_switch:
            group.add_argument(flag.name, dest=flag.option, action=argparse.BooleanOptionalAction, help=flag.help)
        else:
            group.add_argument(flag.name, dest=flag.option, type=reader(flag), metavar=flag.metavar, help=flag.help)
    given = vars(parser.parse_args(words))
    return options_of(given.pop("config"), given)


def reader(flag: Flag) -> Callable[[str], Any]:
    """Return how argparse reads a flag: with our sentence where there is one."""

    def read(text: str) -> Any:
        try:
            return flag.kind(text)
        except CallerError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from error

    return read


def main() -> int:
    try:
        options, notes = parse(sys.argv[1:])
    except CallerError as error:
        sys.stderr.write(f"muskox keeper: {error}\n")
        return WRONG_USE
    for note in notes:
        sys.stderr.write(f"muskox keeper: {note}\n")
    return serve(options)


if __name__ == "__main__":
    sys.exit(main())
