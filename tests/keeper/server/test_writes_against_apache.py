"""Writes beside Apache ZooKeeper: times to live, containers, quotas, odd requests: the same answers, the same tree."""

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apache import JARS, QUICK_JVM, REASON, Apache, is_installed
from raw import OPEN, RawClient
from scripts import (
    CHILDREN,
    CHILDREN2,
    EXISTS,
    GET,
    READER,
    Step,
    Witness,
    create,
    create2,
    delete,
    look,
    multi,
    set_acl,
    set_data,
)
from test_apache_files import MISMATCH, dump

from muskox.keeper import Keeper
from muskox.keeper.disk.snapshot import write_snapshot
from muskox.keeper.machine.database import Database
from muskox.keeper.machine.node import new_node
from muskox.keeper.machine.tree import new_tree
from muskox.keeper.wire.jute import encode
from muskox.keeper.wire.multi import DONE
from muskox.keeper.wire.opcodes import ErrorCode, OpCode
from muskox.keeper.wire.records import (
    CreateRequest,
    CreateTtlRequest,
    MultiHeader,
    PathOnly,
    PathVersion,
    SetDataRequest,
)

pytestmark = pytest.mark.skipif(not is_installed(), reason=REASON)

REAPED_SECONDS_MAX = 30.0
POLL_SECONDS = 0.05
CHECK_MS = 300
TTL, SEQUENTIAL_TTL = 5, 6
HOUR_MS = 3_600_000
QUOTA = "/zookeeper/quota"
PROPERTIES = {
    "zookeeper.extendedTypesEnabled": "true",
    "zookeeper.enforceQuota": "true",
    "znode.container.checkIntervalMs": str(CHECK_MS),
}
CLI = "org.apache.zookeeper.ZooKeeperMain"
CLI_SECONDS_MAX = 60.0


def create_ttl(path: str, ttl_ms: int, flags: int = TTL, who: int = 0) -> Step:
    return who, OpCode.CREATE_TTL, CreateTtlRequest(path, b"x", OPEN, flags, ttl_ms)


def container(path: str, flags: int = 4) -> Step:
    return create(path, b"c", flags, kind=OpCode.CREATE_CONTAINER)


def new(path: str, data: bytes = b"", flags: int = 0, kind: int = OpCode.CREATE) -> tuple[int, Any]:
    """Return a part of a multi that creates a znode."""
    return kind, CreateRequest(path, data, OPEN, flags)


def new_ttl(path: str, ttl_ms: int, flags: int = TTL) -> tuple[int, Any]:
    return OpCode.CREATE_TTL, CreateTtlRequest(path, b"x", OPEN, flags, ttl_ms)


def quota(path: str, limits: bytes | None, stats: bytes | None = b"") -> list[Step]:
    """Set a quota as Apache's command line does."""
    names = path.split("/")[1:]
    steps = [create(f"{QUOTA}/{'/'.join(names[: depth + 1])}") for depth in range(len(names))]
    return [*steps, create(f"{QUOTA}{path}/zookeeper_limits", limits), create(f"{QUOTA}{path}/zookeeper_stats", stats)]


def told(path: str) -> list[Step]:
    """Look at a quota's count."""
    return [look(GET, f"{QUOTA}{path}/zookeeper_stats")]


SCRIPTS: dict[str, list[Step]] = {
    "times to live": [
        *(
            create_ttl(f"/ttl{index}", ttl_ms)
            for index, ttl_ms in enumerate((HOUR_MS, 0, -1, -HOUR_MS, (1 << 40) - 1, 1 << 40))
        ),
        create_ttl("/ttl-", HOUR_MS, SEQUENTIAL_TTL),
        *(create_ttl("/ttl-other", HOUR_MS, flags) for flags in (0, 1, 2, 3, 4, 7, -1)),
        create("/ttl-none", flags=TTL),
        create2("/ttl-none", flags=SEQUENTIAL_TTL),
        container("/ttl-none", TTL),
        create_ttl("/no/parent", HOUR_MS),
        create_ttl("nonsense", HOUR_MS),
        create_ttl("/ttl0", HOUR_MS),
        create("/ttl0/child"),
        create("/ttl0/ephemeral", flags=1),
        delete("/ttl0"),
        set_data("/ttl0", b"y", 0),
        *(look(kind, "/ttl0") for kind in (EXISTS, GET, CHILDREN2)),
        set_acl("/ttl0", (READER,)),
        delete("/ttl4"),
        (0, OpCode.CREATE_TTL, encode(CreateRequest("/short", b"", OPEN, TTL))),
        look(CHILDREN2, "/"),
    ],
    "times to live in a multi": [
        multi(new_ttl("/mt1", HOUR_MS), new_ttl("/mt-", HOUR_MS, SEQUENTIAL_TTL), (OpCode.DELETE, PathVersion("/mt1", 0))),
        multi(new_ttl("/mt2", HOUR_MS, 0), new_ttl("/mt2/a", HOUR_MS, 2), new_ttl("/mt3", -1, 4), new_ttl("/mt4", 5, 1)),
        multi(new("/mt5"), new_ttl("/mt6", 0), new("/mt7")),
        multi(new("/mt8"), new_ttl("/mt9", 1, 77)),
        multi(new("/mt10"), new("/mt11", flags=TTL)),
        multi(new("/mt2"), new("/mt11", flags=TTL)),
        multi(new("/mt12", flags=4, kind=OpCode.CREATE_TTL)),
        *(look(EXISTS, path) for path in ("/mt2", "/mt2/a0000000000", "/mt3", "/mt4", "/mt5", "/mt10", "/")),
    ],
    "containers": [
        *(container(f"/box{flags}", flags) for flags in (0, 1, 2, 3, 4, 9)),
        container("/box4"),
        create("/box4/child"),
        create("/box1/child"),
        look(GET, "/box4"),
        create("/box-plain", flags=4),
        create2("/box-plain2", flags=4),
        create("/box-plain/child"),
        multi(new("/box-m0", kind=OpCode.CREATE_CONTAINER), new("/box-m4", flags=4, kind=OpCode.CREATE2)),
        *(look(EXISTS, f"/box-m{flags}") for flags in (0, 4)),
        set_data("/box4", b"new"),
        *(
            (0, OpCode.DELETE_CONTAINER, body)
            for body in (b"", b"/box4", encode(PathOnly("/box0")), encode(PathVersion("/no", -1)))
        ),
        multi((OpCode.DELETE_CONTAINER, PathVersion("/box0", -1))),
        look(CHILDREN2, "/"),
        (0, OpCode.CLOSE_SESSION, b""),
        look(EXISTS, "/box1", who=1),
    ],
    "a quota counts": [
        create("/qa", b"123"),
        create("/qa/1", b"45"),
        create("/qa/1/2", None),
        *quota("/qa", b"count=10,bytes=100"),
        *told("/qa"),
        create("/qa/3", b"6789"),
        *told("/qa"),
        create2(
            "/qa/s-",
            b"6789",
            3,
        ),
        set_data("/qa", b"1"),
        set_data("/qa", None),
        set_data("/qa/1", b"012345678"),
        set_data("/qa/1", b"wrong", 77),
        *told("/qa"),
        delete("/qa/3"),
        *told("/qa"),
        multi(
            new("/qa/m", b"12"),
            (OpCode.SET_DATA, SetDataRequest("/qa/m", b"123", -1)),
            (OpCode.DELETE, PathVersion("/qa/1/2", -1)),
        ),
        multi(new("/qa/m2", b"12"), (OpCode.CHECK, PathVersion("/qa/m", 99))),
        *told("/qa"),
        create("/qab", b"not under it"),
        create("/qa/box", b"c", 4, kind=OpCode.CREATE_CONTAINER),
        *told("/qa"),
        (0, OpCode.CLOSE_SESSION, b""),
        *((1, *step[1:]) for step in told("/qa")),
        look(EXISTS, f"{QUOTA}/qa/zookeeper_stats", who=1),
        look(CHILDREN2, QUOTA, who=1),
    ],
    "no write but the count's own is heard of": [
        create("/qw"),
        *quota("/qw", b"count=10,bytes=100"),
        look(GET, f"{QUOTA}/qw/zookeeper_stats", watch=True),
        look(EXISTS, f"{QUOTA}/qw/zookeeper_stats", watch=True, who=1),
        create("/qw/1"),
        set_data(f"{QUOTA}/qw/zookeeper_stats", b"count=7,bytes=8"),
        *told("/qw"),
        create("/qw/2", b"12"),
        *told("/qw"),
        look(EXISTS, f"{QUOTA}/qw/zookeeper_stats", who=1),
    ],
    "a hard quota refuses": [
        create("/qh"),
        *quota("/qh", b"count=-1,bytes=-1=;byteHardLimit=20;countHardLimit=3"),
        create("/qh/1", b"0123456789"),
        create("/qh/2", b"0123456789a"),
        set_data("/qh/1", b"0123456789" * 2 + b"a"),
        set_data("/qh/1", b"0123456789" * 2 + b"a", 77),
        set_data("/qh/1", b"0123456789" * 2),
        set_data("/qh/1", b""),
        create("/qh/2", b""),
        create("/qh/3", b""),
        create("/qh/2", b""),
        create("/qh/s-", flags=2),
        create("/qh/no/deep"),
        create_ttl("/qh/ttl", HOUR_MS),
        container("/qh/box"),
        multi(new("/elsewhere"), new("/qh/4")),
        multi((OpCode.SET_DATA, SetDataRequest("/qh/1", b"x" * 21, -1)), (OpCode.CHECK, PathVersion("/qh/1", 0))),
        delete("/qh/2"),
        create("/qh/3", b""),
        *told("/qh"),
        set_data(f"{QUOTA}/qh/zookeeper_limits", b"count=9,bytes=-1"),
        create("/qh/5"),
        set_data(f"{QUOTA}/qh/zookeeper_limits", b"count=1,bytes=1"),
        create("/qh/6", b"soft limits only tell"),
        *told("/qh"),
    ],
    "what a limit says": [
        create("/ql"),
        *quota("/ql", b"count=5,bytes=5"),
        *(
            step
            for index, limits in enumerate(
                (
                    b"count=5=9;countHardLimit=1",
                    b"countHardLimit=1",
                    b"countHardLimit=,bytes=3",
                    b"",
                    b",",
                    b"count",
                    b"count=",
                    b"count==1",
                    b"count=x",
                    b"count= 1",
                    b"count=+9",
                    b",count=1",
                    b"count=1,,;bytes=9;",
                    b"count=99999999999999999999",
                    b"=5",
                    b"bytes=5=;byteHardLimit=0",
                )
            )
            for step in (set_data(f"{QUOTA}/ql/zookeeper_limits", limits), create(f"/ql/{index}", b"x"))
        ),
        set_data("/ql", b"x"),
        *told("/ql"),
    ],
    "quotas within quotas": [
        create("/qn"),
        create("/qn/a"),
        *quota("/qn", b"count=10,bytes=100"),
        *quota("/qn/a", b"count=10,bytes=100"),
        create("/qn/b", b"1"),
        create("/qn/a/b", b"12"),
        *(step for path in ("/qn", "/qn/a") for step in told(path)),
        delete(f"{QUOTA}/qn/a/zookeeper_limits"),
        create("/qn/a/c", b"123"),
        delete("/qn/a/b"),
        *(step for path in ("/qn", "/qn/a") for step in told(path)),
        delete(f"{QUOTA}/qn/zookeeper_stats"),
        create("/qn/c", b"123"),
        create(f"{QUOTA}/qn/zookeeper_stats"),
        *told("/qn"),
        delete(f"{QUOTA}/qn/zookeeper_limits"),
        create("/qn/d", b"123"),
        *told("/qn"),
        *quota("/not/there", b"countHardLimit=1"),
        *told("/not/there"),
        create("/not"),
        create("/not/there"),
        create("/not/there/child"),
        delete("/not/there"),
        *told("/not/there"),
    ],
    "a multi ends where its order says": [
        create("/mo", b"0"),
        multi(
            new("/mo/2", kind=OpCode.CREATE2),
            new("/mo/c", flags=4, kind=OpCode.CREATE_CONTAINER),
            (OpCode.SET_DATA, SetDataRequest("/mo/2", None, 0)),
            (OpCode.CHECK, PathVersion("/mo/2", 1)),
            (OpCode.DELETE, PathVersion("/mo/2", 1)),
            new("/mo/e-", flags=3),
        ),
        *(
            multi(*[new("/mo/2", kind=kind)] * index, (OpCode.CHECK, PathVersion("/mo", 9)), new("/mo/4", kind=kind))
            for kind in (OpCode.CREATE, OpCode.CREATE2)
            for index in range(3)
        ),
        multi((OpCode.DELETE, PathVersion("/mo", -1)), (OpCode.DELETE, PathVersion("/mo/c", -1))),
        multi((OpCode.DELETE, PathVersion("/mo/c", -1)), (OpCode.DELETE, PathVersion("/mo/e-0000000002", -1))),
        multi(new("nonsense"), new("/mo/x")),
        multi(new("/"), new("/mo/x")),
        multi((OpCode.SET_DATA, SetDataRequest("", b"", -1))),
        multi((OpCode.DELETE, PathVersion("/zookeeper", -1))),
        *(multi((kind, PathOnly("/mo"))) for kind in (OpCode.SET_ACL, OpCode.MULTI, OpCode.CLOSE_SESSION, OpCode.ERROR, 77, 0)),
        (0, OpCode.MULTI, encode(MultiHeader(OpCode.CREATE, True, 5)) + b"trailing"),
        (0, OpCode.MULTI, encode(MultiHeader(OpCode.DELETE, False, 5)) + encode(PathVersion("/mo/none", -1)) + DONE + b"more"),
        (0, OpCode.MULTI, encode(MultiHeader(OpCode.DELETE, False, -1)) + encode(PathVersion("/mo", -1))),
        multi(*(new(f"/mo/many{index}") for index in range(2_000))),
        multi(*(new(f"/mo/more{index}") for index in range(2_000)), new("/mo/many7")),
        look(EXISTS, "/mo"),
        look(CHILDREN, "/mo"),
    ],
    "what is special": [
        *(
            create(path, flags=flags)
            for path in ("/", "", "/zookeeper", "/zookeeper/quota", "/zookeeper/config")
            for flags in (0, 1, 2)
        ),
        *(create(path) for path in ("/zookeeper/x", "/zookeeper/quota/x", "/zookeeper/config/x")),
        *(
            delete(path)
            for path in ("/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/", "", "/zookeeper/", "/zookeeper/x")
        ),
        *(
            set_data(path, b"new")
            for path in ("/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/zookeeper/config/x")
        ),
        set_acl("/zookeeper/config", OPEN),
        set_acl("/", OPEN, 0),
        set_acl("/", OPEN, 7),
        create("/spe", flags=1),
        create("/spe/child"),
        create("/spe/child", flags=1),
        multi(new("/spe2", flags=1), new("/spe2/child")),
        multi(new("/spe3", flags=1), (OpCode.DELETE, PathVersion("/spe3", 0)), new("/spe3"), new("/spe3/child")),
        *(look(EXISTS, path) for path in ("/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota", "/spe2", "/spe3")),
        (0, OpCode.CHECK, PathVersion("/spe", 9)),
        (0, OpCode.CHECK, PathVersion("/none", -1)),
        (0, OpCode.CHECK, PathVersion("nonsense", -1)),
    ],
}


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Witness, Witness]]:
    """Two servers with times to live, enforced quotas, and containers looked at often."""
    keeper = Keeper(extended_types=True, enforce_quota=True, container_check_ms=CHECK_MS)
    with keeper, Apache(properties=PROPERTIES) as apache:
        yield Witness(keeper.port), Witness(apache.port)


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_same_writes_get_the_same_answers(name: str, both: tuple[Witness, Witness]) -> None:
    ours, theirs = (witness.tell(SCRIPTS[name]) for witness in both)
    for step, mine, apaches in zip(SCRIPTS[name], ours, theirs, strict=True):
        assert mine == apaches, step


def await_gone(client: RawClient, path: str) -> None:
    deadline = time.monotonic() + REAPED_SECONDS_MAX
    while client.exists(path).err == 0:
        assert time.monotonic() < deadline, f"{path} still stands"
        time.sleep(POLL_SECONDS)


def reaped(port: int) -> list[Any]:
    """Return what a server tells while it reaps."""
    with RawClient(port) as client:
        client.connect()
        for step in (
            container("/reap"),
            container("/reap/used"),
            container("/reap/unused"),
            container("/reap/full"),
            create("/reap/used/child"),
            create("/reap/full/child"),
            create_ttl("/reap/full/child/ttl", 1),
            create_ttl("/reap/long", HOUR_MS),
            create_ttl("/reap/parent", 1),
            create("/reap/parent/child"),
            delete("/reap/used/child"),
        ):
            assert client.ask(*step[1:])[-1].err == 0
        await_gone(client, "/reap/used")
        await_gone(client, "/reap/full/child/ttl")
        left = Witness(port).plain(client.ask(CHILDREN, *look(CHILDREN, "/reap")[2:])[-1], CHILDREN, {0: "none"}, 0)[-1]
        for path in ("/reap/full/child", "/reap/parent/child", "/reap/long", "/reap/unused"):
            assert client.delete(path).err == 0
        for path in ("/reap/full", "/reap/parent", "/reap"):
            await_gone(client, path)
        client.ask(OpCode.CLOSE_SESSION)
        return [left]


def test_what_is_empty_or_has_lived_long_enough_goes_by_itself(both: tuple[Witness, Witness]) -> None:
    ours, theirs = (reaped(witness.port) for witness in both)
    assert ours == theirs == [{"children": ["full", "long", "parent", "unused"]}]


QUOTA_COMMANDS = """create /cli 12345
setquota -N 3 /cli
listquota /cli
create /cli/1 x
listquota /cli
setquota -B 7 /cli
listquota /cli
setquota -n 5 /cli/1
create /cli/2 x
create /cli/3 x
set /cli longer
listquota /cli
delquota -N /cli
create /cli/3
listquota /cli
delquota /cli
listquota /cli
ls -R /zookeeper/quota
create -c /cli/box
create -t 3600000 /cli/ttl
quit
"""


def commanded(port: int) -> list[str]:
    """Return what Apache's command line says of our commands to a server."""
    words = ["java", *QUICK_JVM, "-cp", f"{JARS / 'zookeeper.jar'}", CLI, "-server", f"127.0.0.1:{port}"]
    done = subprocess.run(words, input=QUOTA_COMMANDS, capture_output=True, text=True, timeout=CLI_SECONDS_MAX, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if not re.search("SLF4J|Connecting|session id|Exiting", line)]


def test_apaches_command_line_sets_lists_and_deletes_quotas(both: tuple[Witness, Witness]) -> None:
    ours, theirs = (commanded(witness.port) for witness in both)
    assert ours == theirs
    assert "Output quota for /cli count=-1,bytes=-1=;byteHardLimit=7;countHardLimit=3" in ours
    assert "Output stat for /cli count=3,bytes=7" in ours


def busy_folder(folder: Path) -> Path:
    """Write a data folder whose parents have had more children than a Stat can tell, and almost as many as can be counted."""
    tree = new_tree()
    paths = {"/half": (1 << 30) - 2, "/wrapped": (1 << 30) + 5, "/full": (1 << 31) - 4}
    for path, creates in paths.items():
        tree.install(path, new_node(path, b"", OPEN, 0, 1, 1).with_children(path, creates, 0, 1))
    tree.install("/", tree.nodes["/"].with_children("/", len(paths), 1 + len(paths), 1))
    database = Database(tree, {}, 1)
    version_folder = folder / "version-2"
    version_folder.mkdir(parents=True)
    write_snapshot(version_folder, database.image())
    return folder


def test_creates_are_counted_as_far_as_apache_counts_them(tmp_path: Path) -> None:
    script = [
        step
        for path in ("/half", "/wrapped", "/full")
        for step in (
            *(create2(f"{path}/s-", flags=2) for _ in range(4)),
            set_data(path, b"new"),
            create(f"{path}/plain"),
            create(f"{path}/s-", flags=3),
            create(f"{path}/s-", flags=2),
            look(CHILDREN2, path),
            delete(f"{path}/plain"),
            multi(new(f"{path}/s-", flags=2), new(f"{path}/s-", flags=2)),
            look(CHILDREN2, path),
        )
    ]
    with Keeper(data_dir=busy_folder(tmp_path / "ours")) as keeper, Apache(busy_folder(tmp_path / "theirs")) as apache:
        ours, theirs = (Witness(server.port).tell(script) for server in (keeper, apache))
        for step, mine, apaches in zip(script, ours, theirs, strict=True):
            assert mine == apaches, step


def furnish(port: int) -> None:
    """Leave what goes by itself, what has gone by itself, and a quota."""
    with RawClient(port) as client:
        client.connect()
        for step in (
            container("/box"),
            create("/box/child"),
            create_ttl("/long", HOUR_MS),
            create_ttl("/short", 1),
            create("/app", b"12345"),
            *quota("/app", b"count=-1,bytes=-1=;countHardLimit=3"),
            create("/app/1", b"x"),
            set_data("/app", b"123"),
            multi(new("/app/2", b"y"), new_ttl("/multi", HOUR_MS), (OpCode.DELETE, PathVersion("/app/2", -1))),
        ):
            assert client.ask(*step[1:])[-1].err == 0, step
        await_gone(client, "/short")
        client.ask(OpCode.CLOSE_SESSION)


def check_furniture(port: int) -> None:
    """Check that a server that goes on keeps counting, refuses and reaps."""
    with RawClient(port) as client:
        client.connect()
        stats = client.get(f"{QUOTA}/app/zookeeper_stats").body
        assert b"count=2,bytes=4" in stats
        assert client.create("/app/2", b"12").err == 0
        assert client.create("/app/3").err == ErrorCode.QUOTA_EXCEEDED
        assert b"count=3,bytes=6" in client.get(f"{QUOTA}/app/zookeeper_stats").body
        assert client.delete("/box/child").err == 0
        await_gone(client, "/box")
        assert client.exists("/long").err == client.exists("/multi").err == 0
        assert client.delete("/app/2").err == 0
        client.ask(OpCode.CLOSE_SESSION)


@pytest.mark.parametrize("is_ours_first", [True, False], ids=["from ours", "from Apache's"])
def test_the_other_goes_on_with_quotas_and_what_goes_by_itself(tmp_path: Path, is_ours_first: bool) -> None:
    data_dir = tmp_path / "data"
    keeper = Keeper(data_dir=data_dir, extended_types=True, enforce_quota=True, container_check_ms=CHECK_MS)
    apache = Apache(data_dir, properties=PROPERTIES)
    before, after = (keeper, apache) if is_ours_first else (apache, keeper)
    try:
        before.start()
        furnish(before.port)
        tree = dump(before)
        before.kill()
        after.start()
        assert dump(after) == tree
        check_furniture(after.port)
        tree = dump(after)
        after.kill()
        before.start()
        assert dump(before) == tree
    finally:
        keeper.stop()
        apache.stop()
    assert MISMATCH not in (data_dir / "keeper.out").read_text(encoding="utf-8")
