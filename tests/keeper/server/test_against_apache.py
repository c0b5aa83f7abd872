"""The keeper beside Apache ZooKeeper: the same requests, the same answers; and each goes on from the other's files."""

from random import Random
from typing import Any

import pytest
from apache import REASON, is_installed
from raw import OPEN, RawClient
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
    create2,
    delete,
    get_acl,
    look,
    multi,
    set_acl,
    set_data,
)

from muskox.keeper.wire.jute import LENGTH, encode
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import (
    Acl,
    CreateRequest,
    CreateTtlRequest,
    Id,
    MultiHeader,
    PathOnly,
    PathVersion,
    PathWatch,
    SetDataRequest,
    SetWatchesRequest,
)

pytestmark = pytest.mark.skipif(not is_installed(), reason=REASON)

SCRIPTS: dict[str, list[Step]] = {
    "a new tree": [
        *(
            look(kind, path)
            for path in ("/", "", "/zookeeper", "/zookeeper/config", "/no")
            for kind in (EXISTS, GET, CHILDREN2)
        ),
        *(get_acl(path) for path in ("/", "/zookeeper/config", "/no")),
    ],
    "create": [
        create("/a", b"1"),
        create("/a", b"1"),
        create("/n", None),
        create2("/b", b"2"),
        create("/b/c/d"),
        create("/a/x"),
        create2("/a/y", None),
        *(look(kind, path) for path in ("/a", "/n", "/b", "/") for kind in (EXISTS, GET, CHILDREN2)),
    ],
    "paths": [
        create(path, flags=flags)
        for path in (
            "",
            "/",
            "a",
            "/a/",
            "//",
            "//a",
            "/a//b",
            "/.",
            "/..",
            "/a/.",
            "/x/../y",
            "/...",
            "/.a",
            "/nul\0",
            "/tab\t",
        )
        for flags in (0, 2)
    ]
    + [create(path) for path in ("/é", "/\u2028", "/\u007f", "/\ue000", "/\ufff0", "/\U0001f600", "/z z", "/zookeeper/mine")]
    + [delete(path) for path in ("", "/", "a", "/a/", "//a", "/zookeeper", "/zookeeper/quota", "/nul\0", "/no")]
    + [set_data(path, b"") for path in ("", "/", "a", "/a/", "//", "/no")]
    + [look(kind, path) for path in ("a", "/a/", "//", "/nul\0") for kind in (EXISTS, GET, CHILDREN)]
    + [(0, OpCode.CHECK, PathVersion(path, 0)) for path in ("a", "/no", "")],
    "sequences count creates": [
        create("/q"),
        create("/q/s-", flags=2),
        create("/q/plain"),
        create("/q/s-", flags=3),
        delete("/q/plain"),
        create2("/q/s-", flags=2),
        create("/q/", flags=2),
        look(EXISTS, "/q"),
        look(CHILDREN, "/q"),
    ],
    "flags": [create(f"/f{flags}", flags=flags) for flags in (-1, 4, 5, 6, 7, 99)]
    + [
        create("/container", flags=4, kind=OpCode.CREATE_CONTAINER),
        look(EXISTS, "/container"),
        create("/container/child"),
        (0, OpCode.CREATE_TTL, CreateTtlRequest("/ttl", b"", OPEN, 5, 1000)),
        look(EXISTS, "/ttl"),
    ],
    "ephemerals": [
        create("/e", b"e", flags=1),
        create("/e/child"),
        create("/e", flags=1, who=1),
        create("/e2", flags=3, who=1),
        look(EXISTS, "/e", watch=True, who=1),
        look(CHILDREN, "/", watch=True, who=1),
        (0, OpCode.CLOSE_SESSION, b""),
        look(EXISTS, "/e", who=1),
        look(EXISTS, "/", who=1),
        (1, OpCode.PING, b""),
    ],
    "versions": [
        create("/v"),
        set_data("/v", b"1", 0),
        set_data("/v", b"2", 0),
        set_data("/v", None, 1),
        set_data("/v", b"3", 99),
        set_data("/v", b"4", -2),
        delete("/v", 0),
        delete("/v", 2),
        delete("/v", 2),
        create("/w"),
        create("/w/1"),
        delete("/w"),
        delete("/w/1"),
        look(EXISTS, "/w"),
        delete("/w"),
        look(EXISTS, "/"),
    ],
    "watches": [
        create("/w"),
        look(GET, "/w", watch=True),
        look(EXISTS, "/w", watch=True),
        look(CHILDREN, "/w", watch=True),
        set_data("/w", b"1"),
        set_data("/w", b"2"),
        create("/w/a"),
        create("/w/b"),
        look(EXISTS, "/new", watch=True),
        create("/new"),
        look(GET, "/w/a", watch=True),
        look(CHILDREN, "/w/a", watch=True),
        look(CHILDREN2, "/w", watch=True),
        delete("/w/a"),
        set_acl("/w", OPEN),
        look(GET, "/no", watch=True),
        look(GET, "/w", watch=True, who=1),
        set_data("/w", b"3"),
        look(EXISTS, "/w", who=1),
    ],
    "watches set again": [
        create("/s", b""),
        create("/gone"),
        create("/kids"),
        look(EXISTS, "/s"),
        set_data("/s", b"1"),
        create("/kids/1"),
        delete("/gone"),
        create("/born"),
        (0, OpCode.SET_WATCHES, SetWatchesRequest(5, ("/s", "/gone"), ("/born", "/later"), ("/kids", "/gone"))),
        (0, OpCode.SET_WATCHES, SetWatchesRequest(1 << 40, ("/s",), ("/later",), ("/kids",))),
        create("/later"),
        create("/kids/2"),
        set_data("/s", b"2"),
        (0, OpCode.SET_WATCHES, SetWatchesRequest(0, None, (), ())),
    ],
    "multi": [
        create("/m", b"0"),
        multi((OpCode.CREATE, CreateRequest("/m/a", b"", OPEN, 0)), (OpCode.SET_DATA, SetDataRequest("/m/a", b"1", 0))),
        multi((OpCode.CHECK, PathVersion("/m", 0)), (OpCode.DELETE, PathVersion("/m/a", 1))),
        multi(
            (OpCode.CREATE, CreateRequest("/m/b", b"", OPEN, 0)),
            (OpCode.CHECK, PathVersion("/m", 9)),
            (OpCode.CREATE, CreateRequest("/m/c", b"", OPEN, 0)),
        ),
        multi((OpCode.CREATE, CreateRequest("/m/s-", b"", OPEN, 2)), (OpCode.CREATE, CreateRequest("/m/s-", b"", OPEN, 2))),
        multi((OpCode.CREATE2, CreateRequest("/m/two", b"", OPEN, 0))),
        multi((OpCode.CREATE_CONTAINER, CreateRequest("/m/box", b"", OPEN, 4))),
        multi((OpCode.CREATE, CreateRequest("/m/box2", b"", OPEN, 4))),
        multi((OpCode.CREATE, CreateRequest("/m/t", b"", OPEN, 0)), (OpCode.DELETE, PathVersion("/m/t", 0))),
        multi(),
        multi((OpCode.GET_DATA, PathWatch("/m", False))),
        (0, OpCode.MULTI, encode(MultiHeader(77, False, -1))),
        look(CHILDREN2, "/m"),
        look(EXISTS, "/m/box"),
        look(EXISTS, "/"),
    ],
    "access": [
        create("/none", acl=()),
        create("/null", acl=None),
        create("/odd", acl=(Acl(31, Id("odd", "x")),)),
        create("/world", acl=(Acl(31, Id("world", "nobody")),)),
        create("/nameless", acl=(Acl(31, Id(None, None)),)),
        create("/auth", acl=(Acl(31, Id("auth", "")),)),
        *(
            create(f"/d{index}", acl=(Acl(31, Id("digest", text)),))
            for index, text in enumerate(("u", "u:", ":p", "u:p", "u:p:q"))
        ),
        *(
            create(f"/ip{index}", acl=(Acl(31, Id("ip", text)),))
            for index, text in enumerate(
                ("127.0.0.1", "127.0.0.0/8", "10.0.0.0/8", "::1", "1.2.3", "127.0.0.1/33", "127.0.0.300")
            )
        ),
        *(look(GET, path) for path in ("/ip0", "/ip1", "/ip2")),
        create("/locked", b"x", acl=(USER, READER)),
        set_data("/locked", b"y"),
        look(GET, "/locked"),
        create("/locked/a"),
        delete("/locked"),
        get_acl("/locked"),
        set_acl("/locked", OPEN),
        auth("digest", b"u:p"),
        auth("ip", b""),
        get_acl("/locked"),
        set_data("/locked", b"y"),
        create("/auth", acl=(Acl(31, Id("auth", "")), USER, USER)),
        get_acl("/auth"),
        set_acl("/locked", (READER,), 5),
        set_acl("/locked", (READER,), 0),
        get_acl("/locked"),
        look(EXISTS, "/locked", who=1),
        look(CHILDREN2, "/auth", who=1),
        get_acl("/auth", who=1),
        multi((OpCode.SET_DATA, SetDataRequest("/auth", b"", -1)), who=1),
        delete("/auth", who=1),
    ],
    "broken bodies": [
        (0, kind, body)
        for kind in (
            *(OpCode.CREATE, OpCode.DELETE, OpCode.EXISTS, OpCode.GET_DATA, OpCode.SET_DATA, OpCode.GET_ACL, OpCode.SET_ACL),
            *(OpCode.GET_CHILDREN, OpCode.SYNC, OpCode.GET_CHILDREN2, OpCode.MULTI, OpCode.SET_WATCHES, OpCode.CHECK),
        )
        for body in (b"", b"\0", LENGTH.pack(-1), LENGTH.pack(100) + b"/x", LENGTH.pack(-5) + b"/x")
    ]
    + [look(EXISTS, "/")],
    "unknown operations": [(0, 77, b""), look(EXISTS, "/", who=1)],
    "operation zero": [(0, 0, b""), look(EXISTS, "/", who=1)],
    "wrong proof": [auth("nothing", b"x"), look(EXISTS, "/", who=1)],
    "sync and ping": [(0, OpCode.SYNC, PathOnly("/")), (0, OpCode.SYNC, PathOnly("nonsense")), (0, OpCode.PING, b"")],
    "text that is no UTF-8": [
        (0, OpCode.CREATE, LENGTH.pack(2) + b"/\xff" + encode(CreateRequest("", b"", OPEN, 0))[4:]),
        (0, OpCode.GET_DATA, LENGTH.pack(2) + b"/\xff\0"),
    ],
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_same_requests_get_the_same_answers(name: str, both: tuple[Witness, Witness]) -> None:
    ours, theirs = (witness.tell(SCRIPTS[name]) for witness in both)
    for step, mine, apaches in zip(SCRIPTS[name], ours, theirs, strict=True):
        assert mine == apaches, step


def random_script(seed: int, count: int) -> list[Step]:
    """Return requests of two clients to a few paths, so that they meet each other's effects."""
    rng = Random(seed)
    top = f"/r{seed}"
    paths = [top, *(f"{top}/{name}" for name in ("a", "b", "a/x", "a/y", "b/s-", "a/x/deep"))]
    versions = [-1, -1, -1, 0, 1, 2]

    def change() -> tuple[int, Any]:
        path = rng.choice(paths)
        return rng.choice(
            [
                (OpCode.CREATE, CreateRequest(path, rng.choice([None, b"", b"data"]), OPEN, rng.choice([0, 0, 0, 1, 2, 3]))),
                (OpCode.DELETE, PathVersion(path, rng.choice(versions))),
                (OpCode.SET_DATA, SetDataRequest(path, b"x" * rng.randrange(9), rng.choice(versions))),
            ]
        )

    def step() -> Step:
        who, path = rng.randrange(2), rng.choice(paths)
        kind = rng.randrange(10)
        if kind < 5:
            return who, *change()
        if kind < 6:
            checks = [(OpCode.CHECK, PathVersion(path, rng.choice(versions)))] * rng.randrange(2)
            return multi(*checks, *(change() for _ in range(rng.randrange(4))), who=who)
        if kind < 7:
            return set_acl(path, rng.choice([OPEN, (READER,), (USER, READER)]), rng.choice(versions), who)
        if kind < 8:
            return get_acl(path, who)
        return look(rng.choice([EXISTS, GET, CHILDREN, CHILDREN2]), path, watch=rng.random() < 0.5, who=who)

    return [create(top), *(step() for _ in range(count))]


@pytest.mark.parametrize("seed", range(8))
def test_random_requests_get_the_same_answers(seed: int, both: tuple[Witness, Witness]) -> None:
    script = random_script(seed, 200)
    ours, theirs = (witness.tell(script) for witness in both)
    for step, mine, apaches in zip(script, ours, theirs, strict=True):
        assert mine == apaches, step


def test_connecting_is_answered_alike(both: tuple[Witness, Witness]) -> None:
    told = []
    for witness in both:
        answers: list[Any] = []
        for timeout_ms in (-1, 0, 1, 4_000, 5_555, 10_000_000):
            with RawClient(witness.port) as client:
                answers.append(without_session(client.connect(timeout_ms=timeout_ms)))
                with RawClient(witness.port) as again:
                    answers.append(without_session(again.connect(session_id=client.session_id, password=client.password)))
                    answers.append(client.receive())
                    with RawClient(witness.port) as wrong:
                        answers.append(without_session(wrong.connect(session_id=client.session_id, password=b"wrong")))
                        answers.append(wrong.receive())
                    answers.append(again.receive())
                witness.end_session(client)
        with RawClient(witness.port) as client:
            answers.append(without_session(client.connect(session_id=12345, password=bytes(16))))
        with RawClient(witness.port) as client:
            answers.append(client.connect(last_zxid=1 << 50))
        told.append(answers)
    assert told[0] == told[1]


def without_session(answer: Any) -> Any:
    """Return a connect response and its size, without what differs from session to session."""
    if answer is None:
        return None
    response, size = answer
    is_refusal = response.session_id == 0
    return response.timeout_ms, response.protocol_version, is_refusal, is_refusal and response.password, size
