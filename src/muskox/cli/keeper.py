"""``muskox keeper``: serve in the foreground, and look at, mend or hand over what a keeper or Apache ZooKeeper has kept.

``muskox keeper [zoo.cfg] [FLAGS]`` is ``muskox keeper serve ...``: what is not the name of a command belongs to `serve`.
"""

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from muskox.cli import screen
from muskox.cli.options import DefaultGroup, Json
from muskox.errors import CallerError, Unavailable
from muskox.keeper import FLAGS, python

if TYPE_CHECKING:
    from muskox.keeper import FolderReport, Line, NodeLine, SessionLine, TransactionLine

SERVE = "serve"
DAMAGED = 1
DATA_SHOWN_BYTES = 60
PLACES = ("DIR", "FILE", "PEM")  # what flags call a path: the terminal completes it
# Fields whose names begin so, or end in zxid, are told as ZooKeeper writes them: 0x1f.
HEXADECIMAL = ("zxid", "truncate_at", "session_id", "owner", "digest")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="the data folder: what --data-dir or dataDir names")]
LogDir = Annotated[Path | None, typer.Option("--log-dir", metavar="DIR", help="where the log lies, if elsewhere (dataLogDir)")]


class KeeperGroup(DefaultGroup):
    """Commands on a keeper's files; whatever is none of them is for `serve`."""

    default = SERVE

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except OSError as error:  # Apache's files are often another user's
            raise Unavailable(f"{error.filename or 'a file'} cannot be used: {error.strerror or error}") from error


def make_serve() -> Callable[..., None]:
    """Return the command `serve`: it has the flags of ``python -m muskox.keeper``, from the same table."""
    config = typer.Argument(metavar="zoo.cfg", help="an Apache configuration; flags override it", show_default=False)
    types: dict[str, Any] = {"config": Annotated[Path | None, config]}
    for flag in FLAGS:
        names = [f"{flag.name}/{flag.opposite}"] if flag.is_switch else [flag.name]
        kind = flag.kind if flag.kind in (int, bool) else Path if flag.metavar in PLACES else str
        option = typer.Option(*names, metavar=flag.metavar or None, help=flag.help, rich_help_panel=flag.heading)
        types[flag.word] = Annotated[kind | None, option]

    def serve(**given: Any) -> None:
        """Run a ZooKeeper-compatible coordination server in the foreground, until SIGTERM or Ctrl-C."""
        path = given.pop("config")
        words = [] if path is None else [str(path)]
        words += [flag.said(given[flag.word]) for flag in FLAGS if given[flag.word] is not None]
        # The same process goes on as the keeper, so that signals, the parent's wait and the lifeline reach it directly.
        os.execv(sys.executable, [*python(), "-m", "muskox.keeper", *words])

    by_name = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(name, by_name, default=None, annotation=hint) for name, hint in types.items()]
    serve.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    serve.__annotations__ = types
    return serve


def check(dir_: Folder, log_dir: LogDir = None, json_: Json = False) -> None:
    """Say how the files of a keeper or of Apache ZooKeeper are; exit with 1 if any is damaged. Nothing is changed."""
    from muskox.keeper import check as look

    report = look(dir_, log_dir)
    if json_:
        screen.print_json({**plain(report), "whole": report.is_whole})
    else:
        print_report(report)
    if not report.is_whole:
        raise typer.Exit(DAMAGED)


def print_report(report: "FolderReport") -> None:
    rows = [
        (
            file.path.name,
            file.state.value,
            screen.size(file.size_bytes),
            "" if file.zxid_first is None else f"{file.zxid_first:#x}",
            "" if file.zxid_last is None else f"{file.zxid_last:#x}",
            screen.number(file.count),
            file.detail,
        )
        for file in report.files
    ]
    columns = ("file", "state", "size", "first zxid", "last zxid", "holds", "")
    screen.print_table(columns, rows, ("size", "holds"), empty="there are no snapshots and no logs")
    for sentence in report.problems:
        screen.say(f"damaged: {sentence}")
    for sentence in report.notes:
        screen.say(f"note: {sentence}")
    facts: list[tuple[str, Any]] = [("folder", report.data_dir)]
    if report.log_dir != report.data_dir:
        facts.append(("log", report.log_dir))
    if report.holder is not None:
        facts.append(("in use by", f"pid {report.holder}"))
    if report.zxid is not None:
        held = f"{screen.number(report.znodes)} znodes, {screen.number(report.sessions)} sessions"
        facts.append(("a start has", f"zxid {report.zxid:#x}, {held}, {screen.number(report.ephemerals)} ephemerals"))
        facts.append(("digest", report.digest))
    facts.append(("advice", report.advice))
    screen.print_facts(facts)


def dump(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="a log, a snapshot, or a data folder")],
    log_dir: LogDir = None,
    json_: Json = False,
) -> None:
    """Print what a log, a snapshot or a folder holds: transactions, or sessions and znodes; with --json an object a line."""
    from muskox.keeper import dump as lines

    try:
        for line in lines(path, log_dir):
            if json_:
                kind = type(line).__name__.removesuffix("Line").lower()
                screen.print_json_line({"line": kind, **plain(line)})
            else:
                sys.stdout.write(printable(describe(line)) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has seen enough: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def describe(line: "Line") -> str:
    from muskox.keeper import NodeLine, SessionLine

    if isinstance(line, SessionLine):
        return describe_session(line)
    return describe_node(line) if isinstance(line, NodeLine) else describe_transaction(line)


def describe_transaction(line: "TransactionLine") -> str:
    when = datetime.fromtimestamp(line.time_ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
    whom = f"session {line.session_id & 0xFFFFFFFFFFFFFFFF:#x} cxid {line.cxid:#x}"
    words = [f"{line.zxid:#x}", when, whom, line.kind, line.path, line.detail]
    return "\n    ".join([" ".join(word for word in words if word), *line.parts])


def describe_session(line: "SessionLine") -> str:
    return f"session {line.session_id & 0xFFFFFFFFFFFFFFFF:#x} timeout {line.timeout_ms} ms, {line.ephemerals} ephemerals"


def describe_node(line: "NodeLine") -> str:
    if line.data is None:
        data = "no data"
    else:
        more = "..." if len(line.data) > DATA_SHOWN_BYTES else ""
        data = f"{len(line.data)} bytes {line.data[:DATA_SHOWN_BYTES]!r}{more}"
    owner = f" of {line.owner & 0xFFFFFFFFFFFFFFFF:#x}" if line.owner > 0 else ""
    versions = f"version {line.version} cversion {line.cversion} aversion {line.aversion}"
    zxids = f"czxid {line.czxid:#x} mzxid {line.mzxid:#x} pzxid {line.pzxid:#x}"
    return f"{line.path} {line.kind}{owner} {versions} {zxids} acl {','.join(line.acl)} {data}"


def printable(text: str) -> str:
    """Return text that cannot steer a terminal: whoever wrote a path or an ACL may have meant to."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)


def repair(
    dir_: Folder,
    truncate_at: Annotated[str, typer.Option(metavar="ZXID", help="the last transaction to keep: 0x1f, or in decimal")],
    log_dir: LogDir = None,
    json_: Json = False,
) -> None:
    """Go back to an earlier transaction; what lies after is moved aside, not deleted. Ask `check` first."""
    from muskox.keeper import repair as mend

    try:
        zxid = int(truncate_at, 0)
    except ValueError:
        raise CallerError(f"--truncate-at is {truncate_at!r}; it is a zxid, as `muskox keeper check` tells it: 0x1f") from None
    done = mend(dir_, zxid, log_dir)
    if json_:
        screen.print_json(plain(done))
        return
    for path, at in done.cut:
        screen.say(f"cut {path} at byte {at}")
    for path in done.moved:
        screen.say(f"moved {path}")
    where = "nothing lay after it" if done.removed_to is None else f"what lay after it is in {done.removed_to}"
    screen.say(f"the last transaction in {dir_} is {done.zxid:#x}; {where}")


def handover(
    dir_: Folder,
    log_dir: LogDir = None,
    client_port: Annotated[int, typer.Option(metavar="PORT", min=1, max=65535, help="port of the zoo.cfg")] = 2181,
    tick_ms: Annotated[int, typer.Option(metavar="MS", min=1, help="tickTime of the zoo.cfg")] = 2_000,
    json_: Json = False,
) -> None:
    """Say whether Apache ZooKeeper can go on with a folder, with which zoo.cfg, and how to come back. Nothing is changed."""
    from muskox.keeper import plan_handover

    plan = plan_handover(dir_, log_dir, client_port, tick_ms)
    if json_:
        screen.print_json({**plain(plan), "ready": plan.is_ready})
    else:
        held = f"{screen.number(plan.report.znodes)} znodes up to zxid {plan.report.zxid or 0:#x}"
        screen.say(f"ready: Apache ZooKeeper 3.8 can start on {dir_}, with {held}" if plan.is_ready else "not yet:")
        for sentence in plan.blocks:
            screen.say(f"  {sentence}")
        screen.say("\nzoo.cfg for Apache:\n")
        screen.say("".join(f"  {line}\n" for line in plan.zoo_cfg.splitlines()))
        for title, steps in (("from the keeper to Apache", plan.to_apache), ("and back", plan.from_apache)):
            screen.say(f"{title}:")
            for number, step in enumerate(steps, 1):
                screen.say(f"  {number}. {step}")
    if not plan.is_ready:
        raise typer.Exit(DAMAGED)


def plain(value: Any, name: str = "") -> Any:
    """Return a record as JSON has it: paths and kinds as text, zxids and session ids as ZooKeeper writes them."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), field.name) for field in fields(value)}
    if isinstance(value, list | tuple):
        return [plain(each, name) for each in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, int) and not isinstance(value, bool) and (name.endswith("zxid") or name.startswith(HEXADECIMAL)):
        return f"{value & 0xFFFFFFFFFFFFFFFF:#x}"
    return value
