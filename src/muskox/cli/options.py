"""What many commands share: options, the way from them to a cluster, and groups of commands one of which needs no name."""

import re
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

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="name, or name@version")]
Target = Annotated[str | None, typer.Option(metavar="COLUMN", help="the column to predict")]
Features = Annotated[str | None, typer.Option(metavar="A,B,...", help="columns to learn from (default: all but the target)")]
Weight = Annotated[str | None, typer.Option(metavar="COLUMN", help="a column of weights: a row of weight w counts as w rows")]
Scoring = Annotated[str | None, typer.Option(metavar="NAME", help="auc, accuracy, r2, ... (default: accuracy or R squared)")]

WorkersSpan = Annotated[
    str | None,
    typer.Option(
        "--workers", metavar="N or MIN:MAX", help="at most so many workers, and at least; changes no bit of the result"
    ),
]
ASKS = "What it takes, and whether it goes first"
Cores = Annotated[float, typer.Option("--cores", metavar="N", help="cores that each worker takes", rich_help_panel=ASKS)]
Memory = Annotated[
    str, typer.Option("--memory", metavar="SIZE", help="memory that each worker takes, such as 2GB", rich_help_panel=ASKS)
]
Gpus = Annotated[int, typer.Option("--gpus", metavar="N", help="GPUs that each worker takes", min=0, rich_help_panel=ASKS)]
Priority = Annotated[
    int, typer.Option("--priority", metavar="N", help="the higher runs first; lower ones make room", rich_help_panel=ASKS)
]
Audit = Annotated[
    str,
    typer.Option("--audit", metavar="SHARE", help="share of the results to compute twice, such as 1%", rich_help_panel=ASKS),
]

SIZE_UNITS = {
    "": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}


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


def span(text: str | None) -> tuple[int, int | None]:
    """Return (least, most) workers of "N", "MIN:MAX" or "MIN:"; 0 and None where nothing is said.

    >>> span("4"), span("2:4"), span("2:"), span(None)
    ((0, 4), (2, 4), (2, None), (0, None))
    """
    least, colon, most = (text or "").rpartition(":")
    try:
        found = int(least or 0), int(most) if most or not (colon or text is None) else None
    except ValueError as error:
        raise typer.BadParameter(f"--workers {text}: write N or MIN:MAX, such as 4 or 2:4") from error
    if found[0] < 0 or (found[1] is not None and found[1] < max(found[0], 1)):
        raise typer.BadParameter(f"--workers {text}: at least one worker, and MAX not below MIN")
    return found


def size(text: str) -> int:
    """Return the bytes that "2GB", "512 MiB" or "1000" mean.

    >>> size("2GB"), size("1.5 KiB"), size("0")
    (2000000000, 1536, 0)
    """
    spelt = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([KMGT]i?B)?", text.strip(), re.IGNORECASE)
    if spelt is None:
        raise typer.BadParameter(f"{text!r} is no size: write a number and a unit, such as 512MB or 2GB")
    return int(float(spelt[1]) * SIZE_UNITS[(spelt[2] or "").upper()])


def share(text: str) -> float:
    """Return the part of one that "1%" or "0.01" means.

    >>> share("1%"), share("0.25")
    (0.01, 0.25)
    """
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        found = -1.0
    if not 0.0 <= found <= 1.0:
        raise typer.BadParameter(f"{text!r} is no share: write 0% to 100%, or 0 to 1")
    return found


class DefaultGroup(TyperGroup):
    """A group of commands; what begins with no command's name is for its `default`."""

    default = ""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


class ConfigGroup(DefaultGroup):
    """Settings are shown, or changed by NAME=VALUE, without a command's name."""

    default = "show"


class NodeGroup(DefaultGroup):
    """A node is run, as long as nothing else is asked for."""

    default = "run"
