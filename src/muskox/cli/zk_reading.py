"""The commands of the shell that look: ls, tree, get, stat, config, ephemerals, whoami, sync, cd."""

import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kazoo.exceptions import NoNodeError
from kazoo.protocol.states import ZnodeStat
from rich.cells import cell_len
from rich.text import Text

from muskox.cli import zk_text
from muskox.cli.keeper import printable
from muskox.cli.zk_client import GetEphemerals, WhoAmI, ask
from muskox.cli.zk_command import AHEAD_MAX, PATH, PATH_OR_HERE, Answer, Command, Place, word
from muskox.errors import CallerError

CONFIG = "/zookeeper/config"
LABEL_COLUMNS = 16
GAP = 2  # between two columns
SECONDS_END = len("2026-01-31 12:59:59")


def facts(pairs: Iterable[tuple[str, str]]) -> Iterator[Text]:
    for name, value in pairs:
        yield Text.assemble((f"{name:{LABEL_COLUMNS}}", "bold"), printable(value))


def ls(place: Place, given: Any) -> Answer:
    path = place.resolve(given.path)
    if given.recursive:
        paths = place.walk(path)
        return Answer({"path": path, "znodes": paths}, paths)
    names = sorted(place.client.get_children(place.full(path)))
    value: dict[str, Any] = {"path": path, "children": names}
    lines: Iterable[str | Text] = in_columns(names) if sys.stdout.isatty() else names
    if given.long:
        rows = list(look(place, path, names))
        value["children"] = [{"name": name, **zk_text.plain_stat(stat)} for name, stat in rows]
        lines = long_lines(rows)
    if given.stat:
        stat = place.client.exists(place.full(path))
        if stat is None:
            raise NoNodeError
        value["stat"] = zk_text.plain_stat(stat)
        lines = [*lines, *facts(zk_text.stat_facts(stat))]
    return Answer(value, lines)


def in_columns(names: list[str]) -> Iterator[str]:
    """Yield names side by side, as many as the terminal has room for, sorted down the columns."""
    shown = [printable(name) for name in names]
    width = max(map(cell_len, shown), default=0) + GAP
    count = max(1, (shutil.get_terminal_size().columns + GAP) // width)
    rows = -(-len(shown) // count)
    for row in range(rows):
        yield "".join(name + " " * (width - cell_len(name)) for name in shown[row::rows]).rstrip()


def look(place: Place, parent: str, names: list[str]) -> Iterator[tuple[str, ZnodeStat]]:
    """Yield each child and its Stat; those that are gone meanwhile are left out."""
    below = parent.rstrip("/")
    for start in range(0, len(names), AHEAD_MAX):
        some = names[start : start + AHEAD_MAX]
        for name, answer in [(name, place.client.exists_async(place.full(f"{below}/{name}"))) for name in some]:
            stat = answer.get()
            if stat is not None:
                yield name, stat


HEADS = ("version", "children", "bytes", "changed", "ephemeral of", "name")
NUMBERS = (0, 1, 2)  # columns set to the right


def long_lines(rows: list[tuple[str, ZnodeStat]]) -> Iterator[Text]:
    """Yield a table of names and what their Stats tell."""
    cells = [HEADS] if rows else []
    for name, stat in rows:
        counts = (f"{stat.version:,}", f"{stat.numChildren:,}", f"{stat.dataLength:,}")
        owner = zk_text.hexadecimal(stat.ephemeralOwner) if stat.ephemeralOwner else "-"
        cells.append((*counts, zk_text.when(stat.mtime)[:SECONDS_END], owner, printable(name)))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = [
            cell.rjust(width) if column in NUMBERS else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield Text("  ".join(padded).rstrip(), "bold" if row is HEADS else "")


def tree(place: Place, given: Any) -> Answer:
    top = place.resolve(given.path)
    levels = place.levels(top)
    return Answer({"path": top, "znodes": (path for path, _ in levels)}, tree_lines(levels, top))


def tree_lines(levels: Iterator[tuple[str, tuple[bool, ...]]], top: str) -> Iterator[str | Text]:
    count = 0
    for path, lasts in levels:
        count += 1
        if not lasts:
            yield top
            continue
        stems = "".join("    " if last else "│   " for last in lasts[:-1])
        yield f"{stems}{'└── ' if lasts[-1] else '├── '}{path.rpartition('/')[2]}"
    yield Text(f"{count:,} znode{'s' if count != 1 else ''}", "dim")


def get(place: Place, given: Any) -> Answer | None:
    path = place.resolve(given.path)
    data, stat = place.client.get(place.full(path))
    if given.output is not None:
        try:
            Path(given.output).write_bytes(data or b"")
        except OSError as error:
            raise CallerError(f"cannot write {given.output}: {error.strerror}") from error
        return Answer({"path": path, "file": given.output, "bytes": len(data or b"")})
    if given.raw:
        sys.stdout.flush()
        sys.stdout.buffer.write(data or b"")
        sys.stdout.buffer.flush()
        return None
    value: dict[str, Any] = {"path": path, **zk_text.plain_data(data)}
    lines: list[str | Text] = list(zk_text.data_lines(data))
    if given.stat or given.json:
        value["stat"] = zk_text.plain_stat(stat)
    if given.stat:
        lines += facts(zk_text.stat_facts(stat))
    return Answer(value, lines)


def stat_(place: Place, given: Any) -> Answer:
    path = place.resolve(given.path)
    stat = place.client.exists(place.full(path))
    if stat is None:
        raise NoNodeError
    return Answer({"path": path, **zk_text.plain_stat(stat)}, facts(zk_text.stat_facts(stat)))


def config(place: Place, _given: Any) -> Answer:
    data, _ = place.client.get(CONFIG)
    shown = list(zk_text.data_lines(data)) if data else ["none: this server stands alone"]
    return Answer({"path": CONFIG, **zk_text.plain_data(data)}, shown)


def sync(place: Place, given: Any) -> Answer:
    path = place.resolve(given.path)
    place.client.sync(place.full(path))
    return Answer({"path": path})


def ephemerals(place: Place, given: Any) -> Answer:
    path = place.resolve(given.path)
    found = sorted(place.local(each) for each in ask(place.client, GetEphemerals(place.full(path))))
    return Answer({"path": path, "ephemerals": found}, found)


def whoami(place: Place, _given: Any) -> Answer:
    identities = ask(place.client, WhoAmI())
    session = zk_text.hexadecimal(place.client.client_id[0] if place.client.client_id else 0)
    rows = [("server", place.name), ("session", session)]
    rows += [("identity", f"{scheme}:{user}") for scheme, user in identities]
    plain = [{"scheme": scheme, "user": user} for scheme, user in identities]
    return Answer({"server": place.name, "session": session, "identities": plain}, facts(rows))


def cd(place: Place, given: Any) -> Answer:
    path = place.resolve(given.path or "/")
    if place.client.exists(place.full(path)) is None:
        raise NoNodeError
    place.here = path
    return Answer({"path": path})


STAT = word("-s", "--stat", action="store_true", help="and its Stat")

READING = (
    Command(
        "ls",
        ls,
        "list the children of a znode",
        (
            PATH_OR_HERE,
            word("-R", "--recursive", action="store_true", help="everything below, a path a line"),
            word("-l", "--long", action="store_true", help="with version, size, time and session"),
            STAT,
        ),
        ("ls /", "ls -l /brokers/ids", "ls -R /brokers --json"),
    ),
    Command("tree", tree, "draw everything below a znode", (PATH_OR_HERE,), ("tree /", "tree /brokers")),
    Command(
        "get",
        get,
        "show the data of a znode: text as it is, anything else as a hex dump",
        (
            PATH,
            STAT,
            word("--raw", action="store_true", help="the bytes as they are"),
            word("-o", "--output", metavar="FILE", help="write the bytes into a file"),
        ),
        ("get /a", "get -s /a", "get /a --json", "get /a -o a.bin"),
    ),
    Command("stat", stat_, "show the Stat of a znode", (PATH_OR_HERE,), ("stat /a", "stat /a --json")),
    Command("cd", cd, "let relative paths begin at a znode", (PATH_OR_HERE,), ("cd /brokers/ids", "cd ..")),
    Command("sync", sync, "wait until this server knows what its leader knew", (PATH_OR_HERE,), ("sync /a",)),
    Command("ephemerals", ephemerals, "list the ephemerals of this session", (PATH_OR_HERE,), ("ephemerals", "ephemerals /a")),
    Command("whoami", whoami, "show the session and who the server takes it for", (), ("whoami",)),
    Command("config", config, "show the configuration of the ensemble", (), ("config",)),
)
