"""What many commands share: options, the way from them to a cluster, and groups of commands one of which needs no name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from muskox.client import Cluster

WHERE = "Which cluster"

Dir = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="folder of `muskox up`, or MUSKOX_DIR, or ~/.muskox", rich_help_panel=WHERE),
]
Zk = Annotated[
    str | None,
    typer.Option("--zk", metavar="URL", help="zk://HOST:PORT/CHROOT instead, or MUSKOX_ZK", rich_help_panel=WHERE),
]
SecretFile = Annotated[
    Path | None,
    typer.Option(
        "--secret-file", metavar="FILE", help="its secret, or MUSKOX_SECRET_FILE, or DIR/secret", rich_help_panel=WHERE
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON for scripts")]
Workers = Annotated[int | None, typer.Option(metavar="N", min=1, help="at most so many workers; changes no bit of the result")]


@contextmanager
def connected(dir_: Path | None, zk: str | None, secret_file: Path | None) -> Iterator["Cluster"]:
    """Connect to the cluster that the shared options name, for the time of one command."""
    from muskox.client import connect

    cluster = connect(zk, secret_file=secret_file, dir=dir_)
    try:
        yield cluster
    finally:
        cluster.close()


def folder_of(dir_: Path | None) -> Path:
    """Return the folder that ``--dir`` or its default names."""
    from muskox.client import default_folder

    return default_folder() if dir_ is None else dir_


def names(text: str | None) -> list[str] | None:
    """Return the names in "A,B,C"; None for none given."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


class DefaultGroup(TyperGroup):
    """A group of commands; what begins with no command's name is for its `default`."""

    default = ""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


class NodeGroup(DefaultGroup):
    """A node is run, as long as nothing else is asked for."""

    default = "run"
