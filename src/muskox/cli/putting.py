"""``muskox put`` and ``register``: files and what comes by stdin into the cluster, or known to it where they lie."""

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from muskox.cli import screen
from muskox.cli.bars import Bars, bars
from muskox.cli.options import Dir, Json, SecretFile, Zk, connected, names
from muskox.errors import CallerError

if TYPE_CHECKING:
    from muskox.store import PutProgress, Reading

STDIN = Path("-")
INPUT, LAID_OUT = "How it is read", "How it is laid out"
UNITS = {"looking": "bytes", "reading": "rows", "storing": "shards"}
REGISTER_UNITS = {"surveying": "files", "reading": "shards"}
MARKS = {"tab": "\t", "\\t": "\t", "none": None, "": None}

Name = Annotated[str, typer.Argument(metavar="NAME", help="name of the dataset")]
Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE", help="files or folders of CSV (.gz, .zst), JSON lines, Parquet or Arrow; - for stdin"),
]
Shards = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="pieces to cut it into (default 12)", rich_help_panel=LAID_OUT)
]
By = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="rows | hash:COL[,COL] | sha256:COL | range:COL | random[:SEED]: which shard a row goes to",
        rich_help_panel=LAID_OUT,
    ),
]
Groups = Annotated[
    str | None,
    typer.Option(metavar="'NAME:COL,COL; ...'", help="columns that are read together; * is the rest", rich_help_panel=LAID_OUT),
]
Replicas = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="copies of each shard (default: the cluster's setting)", rich_help_panel=LAID_OUT),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="make a new version of an existing dataset")]
Append = Annotated[bool, typer.Option("--append", help="add these rows to the latest version, as a new version")]
Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type", metavar="COL=TYPE", help="int, float, bool, string or timestamp, not inferred", rich_help_panel=INPUT
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="FORMAT", help="csv, jsonl, parquet or arrow, if not to be guessed", rich_help_panel=INPUT
    ),
]
Delimiter = Annotated[
    str | None, typer.Option(metavar="CHAR", help="between values (default , or for .tsv tab)", rich_help_panel=INPUT)
]
Quote = Annotated[str, typer.Option(metavar="CHAR", help="around values; none for no quoting", rich_help_panel=INPUT)]
Escape = Annotated[str | None, typer.Option(metavar="CHAR", help="makes the next character plain", rich_help_panel=INPUT)]
Header = Annotated[
    str | None, typer.Option(metavar="A,B,...", help="the columns' names, where no line has them", rich_help_panel=INPUT)
]
NoHeader = Annotated[
    bool, typer.Option("--no-header", help="the first line is a row; columns are x0, x1, ...", rich_help_panel=INPUT)
]
Missing = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help="a spelling of a missing value; repeat for more", rich_help_panel=INPUT),
]
Tmp = Annotated[
    Path | None, typer.Option(metavar="DIR", help="for temporary files as large as the data", rich_help_panel=INPUT)
]
Memory = Annotated[
    int | None,
    typer.Option("--memory-mb", metavar="MB", help="memory that it may take (default 512)", rich_help_panel=INPUT),
]
Url = Annotated[str, typer.Argument(metavar="URL", help="Parquet: a folder or file at s3://, hdfs://, gs://, file://, ...")]
Pieces = Annotated[int | None, typer.Option("--shards", metavar="N", min=1, help="at most so many; row groups stay whole (12)")]
Digest = Annotated[str, typer.Option(metavar="stamp|content", help="told by the files' stamps, or by reading every row")]


def put(  # noqa: PLR0913, PLR0917  # typer: an option is a parameter
    name: Name,
    files: Files,
    overwrite: Overwrite = False,
    append: Append = False,
    shards: Shards = None,
    by: By = None,
    groups: Groups = None,
    replicas: Replicas = None,
    types: Types = None,
    format_: Format = None,
    delimiter: Delimiter = None,
    quote: Quote = '"',
    escape: Escape = None,
    header: Header = None,
    no_header: NoHeader = False,
    missing: Missing = None,
    tmp: Tmp = None,
    memory_mb: Memory = None,
    json_: Json = False,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """Store files as a new version of a dataset: sharded, replicated, immutable; whole or not at all."""
    if overwrite and append:
        raise typer.BadParameter("--overwrite and --append exclude each other")
    from muskox.store import Reading

    reading = Reading(
        format=format_,
        delimiter=mark(delimiter),
        quote=mark(quote),
        escape=mark(escape),
        header=tuple(names(header) or ()) or not no_header,
    )
    options: dict[str, Any] = {
        "types": pairs(types or [], "--type") or None,
        "reading": reading if missing is None else with_missing(reading, missing),
        "shards": shards,
        "by": by,
        "groups": groups,
        "replicas": replicas,
        "overwrite": overwrite,
        "append": append,
        "folder": tmp,
        **({} if memory_mb is None else {"memory_mb": memory_mb}),
    }
    with connected(dir_, zk, secret_file) as cluster, bars() as shown, input_files(files, tmp, shown) as paths:
        told = {"progress": put_progress(shown), "warn": lambda sentence: shown.tell(f"warning: {sentence}")}
        dataset = cluster.put(name, paths, **options, **told)
        view = cluster.describe_dataset(f"{dataset.name}@{dataset.version}")
    if json_:
        screen.print_json(view)
    else:
        screen.say(stored_sentence(view))


def stored_sentence(view: dict[str, Any]) -> str:
    where = f"{view['replicas']} replicas" if view["health"]["place"] == "nodes" else f"in the {view['health']['place']}"
    shape = f"{view['rows']:,} rows, {len(view['columns'])} columns, {view['shards']:,} shards, {where}"
    return f"{view['name']}@{view['version']}: {shape}, {screen.size(view['bytes'])}, digest {view['digest'][:12]}"


def register(  # noqa: PLR0913, PLR0917  # typer: an option is a parameter
    name: Name,
    url: Url,
    types: Types = None,
    shards: Pieces = None,
    digest: Digest = "stamp",
    overwrite: Overwrite = False,
    json_: Json = False,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """Make a Parquet dataset known where it lies: nothing is copied, and every read sees that no file has changed."""
    given = pairs(types or [], "--type")
    with connected(dir_, zk, secret_file) as cluster, bars() as shown:
        options = {"types": given or None, "shards": shards, "digest": digest, "overwrite": overwrite}
        dataset = cluster.register(name, url, **options, progress=put_progress(shown, REGISTER_UNITS))
        view = cluster.describe_dataset(f"{dataset.name}@{dataset.version}")
    if json_:
        screen.print_json(view)
    else:
        shape = f"{view['rows']:,} rows, {len(view['columns'])} columns, {view['shards']:,} shards"
        where = f"in place at {view['registered']}"
        screen.say(f"{view['name']}@{view['version']}: {shape}, {where}, digest {view['digest'][:12]}")


def mark(text: str | None) -> str | None:
    """Return the character that an option means: "tab" and "\\t" are one, "none" is none."""
    return None if text is None else MARKS.get(text, text)


def with_missing(reading: "Reading", spellings: Sequence[str]) -> "Reading":
    from dataclasses import replace

    return replace(reading, missing=tuple(spellings))


def pairs(words: list[str], option: str) -> dict[str, str]:
    """Return what "key=value" words say; wrong use if one does not."""
    split = [word.partition("=") for word in words]
    for (key, equals, _), word in zip(split, words, strict=True):
        if not key or not equals:
            raise typer.BadParameter(f"{option} takes KEY=VALUE, not {word!r}")
    return {key: value for key, _, value in split}


def put_progress(shown: Bars, units: Mapping[str, str] = UNITS) -> Any:
    """Return what a put or a registration calls: a bar for each of its phases, which count in `units`."""

    def show(at: "PutProgress") -> None:
        shown.show(at.phase, at.done, at.total, units.get(at.phase, ""))

    return show


@contextmanager
def input_files(files: Sequence[Path], tmp: Path | None, shown: Bars) -> Iterator[list[Path]]:
    """Yield the files to read; what comes by stdin is kept in a temporary file first: rows are read more than once."""
    if STDIN not in files:
        yield list(files)
        return
    if len(files) > 1:
        raise typer.BadParameter("- reads stdin: no other file goes with it")
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="muskox-stdin-", dir=tmp))
            path = Path(folder) / "stdin"
            with path.open("wb") as file:
                while chunk := sys.stdin.buffer.read(1 << 20):
                    file.write(chunk)
                    shown.show("receiving", file.tell(), 0, "bytes")
        except OSError as error:
            raise CallerError(
                f"what comes by stdin cannot be kept in {tmp or tempfile.gettempdir()}: {error.strerror}"
            ) from error
        yield [path]
