"""Reads and watches beside Apache ZooKeeper: the same requests, the same answers, the same events."""

import re
import subprocess
from random import Random
from typing import Any

import pytest
from apache import JARS, REASON, is_installed
from raw import OPEN
from scripts import (
    CHILDREN,
    CHILDREN2,
    EXISTS,
    GET,
    READER,
    USER,
    Step,
    Witness,
    auth,
    create,
    delete,
    look,
    multi,
    set_acl,
    set_data,
)

from muskox.keeper.wire.jute import LENGTH, encode
from muskox.keeper.wire.multi import DONE
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import (
    Acl,
    CreateRequest,
    Id,
    MultiHeader,
    PathKind,
    PathOnly,
    PathVersion,
    PathWatch,
    ReconfigRequest,
    SetDataRequest,
    SetWatches2Request,
    SetWatchesRequest,
)

pytestmark = pytest.mark.skipif(not is_installed(), reason=REASON)

ADD, CHECK, REMOVE = OpCode.ADD_WATCH, OpCode.CHECK_WATCHES, OpCode.REMOVE_WATCHES
PERSISTENT, RECURSIVE = 0, 1
ON_CHILDREN, ON_DATA, ON_ANY = 1, 2, 3
LOCKED = (Acl(31, Id("digest", "v:x")),)


def watching(kind: int, path: str, which: int, who: int = 0) -> Step:
    return who, kind, PathKind(path, which)


def count(path: str, who: int = 0) -> Step:
    return who, OpCode.GET_ALL_CHILDREN_NUMBER, PathOnly(path)


def ephemerals(prefix: str | None, who: int = 0) -> Step:
    return who, OpCode.GET_EPHEMERALS, PathOnly(prefix)


def multi_read(*parts: tuple[int, Any], end: bytes = DONE) -> Step:
    body = b"".join(encode(MultiHeader(kind, False, -1)) + encode(record) for kind, record in parts)
    return 0, OpCode.MULTI_READ, body + end


def changes(top: str, who: int = 0) -> list[Step]:
    """Return every kind of change at `top` and below it, made and undone again."""
    return [
        set_data(top, b"1", who=who),
        create(f"{top}/a", who=who),
        set_data(f"{top}/a", b"2", who=who),
        create(f"{top}/a/b", who=who),
        set_data(f"{top}/a/b", b"3", who=who),
        delete(f"{top}/a/b", who=who),
        delete(f"{top}/a", who=who),
        set_acl(top, OPEN, who=who),
        (who, OpCode.PING, b""),
        look(EXISTS, "/", who=1 - who),
    ]


def checks(path: str, who: int = 0) -> list[Step]:
    return [watching(CHECK, path, which, who) for which in (ON_CHILDREN, ON_DATA, ON_ANY)]


def watch_script(top: str, *first: Step) -> list[Step]:
    """Return a script that leaves watches and then changes all they could tell of, twice, and once more from outside."""
    return [
        create(top),
        *first,
        *checks(top),
        *changes(top),
        *checks(top),
        *changes(top),
        *changes(top, who=1),
        delete(top),
        create(top),
        delete(top),
        *checks(top),
    ]


SCRIPTS: dict[str, list[Step]] = {
    "a persistent watch": watch_script("/wp", watching(ADD, "/wp", PERSISTENT)),
    "a recursive watch": watch_script("/wr", watching(ADD, "/wr", RECURSIVE)),
    "a recursive watch on the root": [
        *watch_script("/wroot", watching(ADD, "/", RECURSIVE)),
        watching(REMOVE, "/", ON_ANY),
        create("/wroot"),
        delete("/wroot"),
    ],
    "a recursive watch above": watch_script("/wa", create("/wa/deep"), watching(ADD, "/wa", RECURSIVE), delete("/wa/deep")),
    "both kinds that stay, of one session": watch_script(
        "/wb", watching(ADD, "/wb", PERSISTENT), watching(ADD, "/wb", RECURSIVE), watching(ADD, "/wb/a", PERSISTENT)
    ),
    "a recursive watch made persistent": watch_script(
        "/wm", watching(ADD, "/wm", RECURSIVE), watching(ADD, "/wm", PERSISTENT), watching(ADD, "/wm/a", RECURSIVE)
    ),
    "watches of two sessions": watch_script(
        "/w2",
        watching(ADD, "/w2", RECURSIVE),
        watching(ADD, "/w2", PERSISTENT, who=1),
        look(GET, "/w2", watch=True),
        look(CHILDREN, "/w2", watch=True, who=1),
        look(EXISTS, "/w2/a", watch=True, who=1),
    ),
    "a read that watches over a persistent watch": watch_script(
        "/wo", watching(ADD, "/wo", PERSISTENT), look(GET, "/wo", watch=True)
    ),
    "a read that watches over a recursive watch": watch_script(
        "/wor", watching(ADD, "/wor", RECURSIVE), look(GET, "/wor", watch=True), look(EXISTS, "/wor/a", watch=True)
    ),
    "a list that watches over a recursive watch": watch_script(
        "/wol", watching(ADD, "/wol", RECURSIVE), look(CHILDREN2, "/wol", watch=True)
    ),
    "a persistent watch over those of reads": watch_script(
        "/wov",
        look(GET, "/wov", watch=True),
        look(CHILDREN, "/wov", watch=True),
        look(GET, "/wov", watch=True, who=1),
        watching(ADD, "/wov", PERSISTENT),
    ),
    **{
        f"watches removed, {which} of mode {mode}": watch_script(
            f"/rem{which}{mode}",
            watching(REMOVE, f"/rem{which}{mode}", which),
            watching(ADD, f"/rem{which}{mode}", mode),
            watching(ADD, f"/rem{which}{mode}", mode, who=1),
            *checks(f"/rem{which}{mode}/a"),
            watching(REMOVE, f"/rem{which}{mode}/a", which),
            watching(REMOVE, f"/rem{which}{mode}", which),
            watching(REMOVE, f"/rem{which}{mode}", which),
        )
        for which in (ON_CHILDREN, ON_DATA, ON_ANY)
        for mode in (PERSISTENT, RECURSIVE)
    },
    "watches of reads removed": [
        create("/rr"),
        *(look(GET, path, watch=True) for path in ("/rr", "/zookeeper")),
        look(EXISTS, "/rr/none", watch=True),
        look(CHILDREN, "/rr", watch=True),
        *checks("/rr"),
        *checks("/rr", who=1),
        *checks("/rr/none"),
        watching(REMOVE, "/rr", ON_DATA, who=1),
        watching(REMOVE, "/rr", ON_DATA),
        set_data("/rr", b"1"),
        create("/rr/none"),
        watching(REMOVE, "/rr", ON_CHILDREN),
        watching(REMOVE, "/rr/none", ON_ANY),
        watching(REMOVE, "/zookeeper", ON_ANY),
    ],
    "watches on what is no path": [
        *(watching(ADD, path, mode) for path in ("", "a", "a/b", "/a/", "//", "/nul\0") for mode in (0, 1)),
        *(step for path in ("", "b", "a/b", "/a/", "//", "/nul\0") for step in checks(path)),
        *(watching(REMOVE, path, ON_ANY) for path in ("", "a", "a/b", "/a/", "//", "/nul\0")),
        create("/wn"),
    ],
    "odd modes and kinds": [
        *(watching(ADD, "/odd", mode) for mode in (-1, 2, 3, 1 << 30)),
        *(watching(kind, "/odd", which) for kind in (CHECK, REMOVE) for which in (-1, 0, 4)),
        create("/odd"),
    ],
    "a watch set on what is not there": [
        watching(ADD, "/later", PERSISTENT),
        watching(ADD, "/later", RECURSIVE, who=1),
        create("/later"),
        (1, OpCode.PING, b""),
        look(EXISTS, "/", who=1),
        create("/later/x", flags=1, who=1),
        (1, OpCode.CLOSE_SESSION, b""),
        look(EXISTS, "/later/x"),
    ],
    "a multi that many watches see": [
        create("/mw"),
        watching(ADD, "/mw", RECURSIVE),
        watching(ADD, "/mw", PERSISTENT, who=1),
        look(CHILDREN, "/mw", watch=True),
        multi(
            (OpCode.CREATE, CreateRequest("/mw/a", b"", OPEN, 0)),
            (OpCode.SET_DATA, SetDataRequest("/mw/a", b"1", -1)),
            (OpCode.CREATE, CreateRequest("/mw/a/b", b"", OPEN, 0)),
            (OpCode.DELETE, PathVersion("/mw/a/b", -1)),
            (OpCode.DELETE, PathVersion("/mw/a", -1)),
        ),
        look(EXISTS, "/mw", who=1),
    ],
    "watches set again, those that stay too": [
        create("/s2", b""),
        create("/s2/kid"),
        (0, OpCode.SET_WATCHES2, SetWatches2Request(1 << 40, ("/s2",), ("/s2/none",), ("/s2",), ("/s2/p",), ("/s2",))),
        *checks("/s2"),
        *checks("/s2/p"),
        *checks("/s2/none"),
        create("/s2/p"),
        create("/s2/none"),
        set_data("/s2/p", b"1"),
        set_data("/s2", b"1"),
        delete("/s2/p"),
        (0, OpCode.SET_WATCHES2, SetWatches2Request(0, ("/s2", "/s2/gone"), ("/s2/kid",), ("/s2", "/s2/gone"), (), ())),
        (0, OpCode.SET_WATCHES2, SetWatches2Request(0, ("/s2",), None, ("/s2",), (), ())),
        (0, OpCode.SET_WATCHES2, SetWatches2Request(0, (), (), ("/s2",), None, ())),
        (0, OpCode.SET_WATCHES2, SetWatches2Request(0, (), (), ("/s2",), ("/s2/q",), None)),
        (0, OpCode.SET_WATCHES, SetWatchesRequest(-5, ("/s2",), (), ("/s2",))),
        *checks("/s2/q"),
    ],
    "negative counts": [
        (0, OpCode.SET_WATCHES, bytes(8) + LENGTH.pack(-7) + LENGTH.pack(0) + LENGTH.pack(-2)),
        (0, OpCode.SET_WATCHES2, bytes(8) + LENGTH.pack(-7) * 5),
        (0, OpCode.SET_WATCHES2, bytes(8) + LENGTH.pack(1000) * 5),
        (0, OpCode.CREATE, LENGTH.pack(3) + b"/nc" + LENGTH.pack(0) + LENGTH.pack(-9) + LENGTH.pack(0)),
    ],
    "all children": [
        create("/all"),
        create("/all/a"),
        create("/all/a/b"),
        create("/all/a/c"),
        create("/allthesame"),
        *(count(path) for path in ("/all", "/all/a", "/all/a/b", "/all/", "/no", "a", "/zookeeper")),
        count("/"),
        count(""),
        create("/all/locked", acl=LOCKED),
        count("/all/locked"),
        count("/all"),
    ],
    "ephemerals of a session": [
        create("/ep"),
        create("/ep/a", flags=1),
        create("/ep/ab", flags=1),
        create("/ep/b", flags=1, who=1),
        create("/ep/s-", flags=3),
        create("/ep/normal"),
        *(
            ephemerals(prefix)
            for prefix in ("/", "", None, " ", " / \t", "\0", "/ep", "/ep/a", "/ep/ab", "/ep/b", "/no", "ep", "/ep/ ")
        ),
        ephemerals("/", who=1),
        multi((OpCode.CREATE, CreateRequest("/ep/m", b"", OPEN, 1)), (OpCode.DELETE, PathVersion("/ep/ab", -1))),
        ephemerals(None),
        delete("/ep/a", who=1),
        ephemerals("/ep"),
        (1, OpCode.CLOSE_SESSION, b""),
        ephemerals("/ep"),
    ],
    "who am I": [
        (0, OpCode.WHO_AM_I, b""),
        auth("digest", b"u:p"),
        auth("digest", b"u:p"),
        (0, OpCode.WHO_AM_I, b"what follows is ignored"),
        auth("digest", b"other:secret:more"),
        auth("digest", b":nobody"),
        auth("digest", b"alone"),
        auth("digest", b""),
        auth("ip", b""),
        (0, OpCode.WHO_AM_I, b""),
        (1, OpCode.WHO_AM_I, b""),
    ],
    "multiRead": [
        create("/mr", b"data"),
        create("/mr/null", None),
        create("/mr/locked", b"secret", acl=LOCKED),
        create("/mr/list", acl=(USER, READER)),
        multi_read(),
        multi_read((GET, PathWatch("/mr", False)), (CHILDREN, PathWatch("/mr", False)), (GET, PathWatch("/mr/null", False))),
        multi_read((GET, PathWatch("/mr/no", False)), (GET, PathWatch("/mr/locked", False)), (GET, PathWatch("/mr", True))),
        multi_read(
            (CHILDREN, PathWatch("/mr/locked", True)), (CHILDREN, PathWatch("/mr/list", True)), (CHILDREN, PathWatch("", True))
        ),
        multi_read((GET, PathWatch("", False)), (GET, PathWatch("nonsense", False)), (CHILDREN, PathWatch("/mr/", False))),
        multi_read((CHILDREN2, PathWatch("/mr", False))),
        multi_read((EXISTS, PathWatch("/mr", False))),
        multi_read((GET, PathWatch("/mr", False)), (OpCode.CHECK, PathVersion("/mr", -1))),
        multi_read((GET, PathWatch("/mr", False)), end=b""),
        multi_read((GET, PathWatch("/mr", False)), end=b"\0"),
        set_data("/mr", b"no watch was left"),
        look(EXISTS, "/mr/null"),
    ],
    "reconfig": [
        (0, OpCode.RECONFIG, ReconfigRequest(None, None, None, -1)),
        (0, OpCode.RECONFIG, ReconfigRequest("server.1=localhost:1:2", None, None, 0)),
        create("/reconfigured"),
    ],
    "broken bodies": [
        (0, kind, body)
        for kind in (
            *(ADD, CHECK, REMOVE, OpCode.GET_EPHEMERALS, OpCode.GET_ALL_CHILDREN_NUMBER, OpCode.MULTI_READ),
            *(OpCode.SET_WATCHES2, OpCode.WHO_AM_I),
        )
        for body in (b"", b"\0", LENGTH.pack(-5) + b"/x", LENGTH.pack(100) + b"/x", LENGTH.pack(2) + b"/x")
    ]
    + [(0, kind, LENGTH.pack(-1)) for kind in (OpCode.GET_ALL_CHILDREN_NUMBER, ADD, CHECK, REMOVE)]
    + [create("/whole")],
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_same_reads_get_the_same_answers(name: str, both: tuple[Witness, Witness]) -> None:
    ours, theirs = (witness.tell(SCRIPTS[name]) for witness in both)
    for step, mine, apaches in zip(SCRIPTS[name], ours, theirs, strict=True):
        assert mine == apaches, step


def random_script(seed: int, length: int) -> list[Step]:
    """Return watches of three clients, and changes, on few paths."""
    rng = Random(seed)
    top = f"/rw{seed}"
    paths = [top, *(f"{top}/{name}" for name in ("a", "b", "a/x", "a/y", "a/x/deep"))]

    def step() -> Step:
        who, path = rng.randrange(3), rng.choice(paths)
        kind = rng.randrange(16)
        if kind < 3:
            return watching(ADD, path, rng.randrange(2), who)
        if kind < 5:
            return watching(rng.choice([CHECK, REMOVE]), path, rng.choice([1, 2, 3]), who)
        if kind < 6:
            lists = (tuple(rng.sample(paths, rng.randrange(2))) for _ in range(5))
            return who, OpCode.SET_WATCHES2, SetWatches2Request(rng.choice([0, 1 << 40]), *lists)
        if kind < 9:
            return look(rng.choice([EXISTS, GET, CHILDREN, CHILDREN2]), path, watch=True, who=who)
        if kind < 12:
            return create(path, flags=rng.choice([0, 0, 1]), who=who)
        if kind < 14:
            return delete(path, who=who)
        return set_data(path, b"x", who=who)

    return [create(top), *(step() for _ in range(length)), *(look(EXISTS, "/", who=who) for who in range(3))]


@pytest.mark.parametrize("seed", range(6))
def test_random_watches_tell_the_same(seed: int, both: tuple[Witness, Witness]) -> None:
    script = random_script(seed, 250)
    ours, theirs = (witness.tell(script) for witness in both)
    for step, mine, apaches in zip(script, ours, theirs, strict=True):
        assert mine == apaches, step


SHELL_SCRIPT = """create /j data
create -e /j/e1
create /j/k
addWatch -m PERSISTENT /j
addWatch -m PERSISTENT_RECURSIVE /j/k
set /j x
create /j/k/deep
ls -w /j
get -w /j/k
stat -w /j/none
set /j/k y
create /j/none
removewatches /j
removewatches /j
getEphemerals
getEphemerals /no
getAllChildrenNumber /j
whoami
addauth digest bob:secret
whoami
config
reconfig -remove 1
ls -R /j
deleteall /j
quit
"""


NOISE = re.compile("INFO|WARN|SLF4J|Connecting|WATCHER|WatchedEvent")  # events are printed by a thread of its own, at any time


def test_apaches_own_shell_sees_no_difference(both: tuple[Witness, Witness]) -> None:
    said = []
    for witness in both:
        words = ["java", "-cp", f"{JARS / 'zookeeper.jar'}", "org.apache.zookeeper.ZooKeeperMain"]
        words += ["-server", f"127.0.0.1:{witness.port}"]
        done = subprocess.run(words, input=SHELL_SCRIPT, capture_output=True, text=True, timeout=60, check=True)
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line and not NOISE.search(line)]
        said.append(lines)
    assert said[0] == said[1]
    for line in ("No such watcher for /j", "digest: bob", "Reconfig is disabled", "[/j/e1]"):
        assert any(line in each for each in said[0]), (line, said[0])
