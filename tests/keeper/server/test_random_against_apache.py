"""Programs of random requests, good and bad, told to the keeper and to Apache ZooKeeper: the same answers, events and trees.

Every program plays under a path of its own, on one pair of servers, so that Hypothesis can shrink one that tells them apart.

Left out is what stops Apache 3.8.0 or makes it silent: a check outside a multi that succeeds, a negative time to live in a way
of creating that has none, and counts of a quota that are no numbers. Deliberately different, and left out too: a hard quota and
a multi, whose parts Apache looks at one by one; and characters beyond 16 bits, which Apache says in an encoding of its own.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import pytest
from apache import REASON, Apache, is_installed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw import OPEN, RawClient, Reply
from scripts import READER, USER, Witness

from muskox.keeper import Keeper
from muskox.keeper.wire.jute import codec, encode
from muskox.keeper.wire.multi import DONE
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import (
    Acl,
    AuthPacket,
    ChildrenStatReply,
    CreateRequest,
    CreateTtlRequest,
    Id,
    MultiHeader,
    PathKind,
    PathOnly,
    PathVersion,
    PathWatch,
    ReconfigRequest,
    SetAclRequest,
    SetDataRequest,
    SetWatches2Request,
    SetWatchesRequest,
)

pytestmark = pytest.mark.skipif(not is_installed(), reason=REASON)

EXAMPLES_MAX = 40
STEPS_MAX = 25
CLIENTS = 3
SUPER = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="  # of "super:test", the example that Apache's documents give
HOUR_MS = 3_600_000
NEVER = 99  # a version that no znode reaches

TOP = "~"  # stands for the path that a program has to itself
PATHS = st.sampled_from([TOP, *(TOP + name for name in ("/a", "/b", "/a/x", "/a/y", "/b/s-", "/a/x/deep", "/é"))])
BAD_PATHS = st.sampled_from(
    [
        "",
        "~/",
        "~//a",
        "~/.",
        "~/../a",
        "~/a/",
        "~/\0",
        "~/\x7f",
        "~/\ue000",
        "nope",
        "/zookeeper/none",
        "/none/a",
    ]
)
ANY_PATHS = st.one_of(PATHS, PATHS, PATHS, PATHS, BAD_PATHS)
VERSIONS = st.sampled_from([-1, -1, -1, 0, 1, 2, -2])
DATA = st.sampled_from([None, b"", b"x", b"data", b"y" * 50])
ACL_ENTRIES = st.sampled_from(
    [
        *OPEN,
        USER,
        READER,
        Acl(4, Id("world", "anyone")),
        Acl(8, Id("ip", "127.0.0.0/8")),
        Acl(31, Id("ip", "10.0.0.1")),
        Acl(31, Id("auth", "")),
        Acl(31, Id("digest", "no")),
        Acl(31, Id("odd", "x")),
        Acl(31, Id(None, None)),
        Acl(0, Id("world", "anyone")),
        Acl(16, Id("world", "nobody")),
    ]
)
ACLS = st.one_of(*[st.just(OPEN)] * 4, st.just((USER, READER)), st.none(), st.lists(ACL_ENTRIES, max_size=3).map(tuple))
FLAGS = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, -1])
PLAIN_KINDS = st.sampled_from([OpCode.CREATE, OpCode.CREATE, OpCode.CREATE2, OpCode.CREATE_CONTAINER])


class Ask(NamedTuple):
    """A request, with its body as it should be, or cut off at a byte, or with another byte there."""

    who: int
    kind: int
    record: Any  # of a multi, its parts
    fault: tuple[int, bytes] | None = None  # where, and the other byte; none if the body ends there


class Reopen(NamedTuple):
    """Drop the connection; open a session anew, or come back to the old one."""

    who: int
    is_back: bool
    knows_password: bool


class Program(NamedTuple):
    """Steps, with a quota over them or none."""

    limits: bytes | None
    steps: list[Ask | Reopen]


Part = tuple[int, Any]

CHANGES: st.SearchStrategy[Part] = st.one_of(
    *[st.tuples(PLAIN_KINDS, st.builds(CreateRequest, ANY_PATHS, DATA, ACLS, FLAGS))] * 3,
    st.tuples(
        st.just(OpCode.CREATE_TTL),
        st.builds(CreateTtlRequest, ANY_PATHS, DATA, ACLS, FLAGS, st.sampled_from([HOUR_MS, 0, 1 << 40])),
    ),
    *[st.tuples(st.just(OpCode.DELETE), st.builds(PathVersion, ANY_PATHS, VERSIONS))] * 2,
    *[st.tuples(st.just(OpCode.SET_DATA), st.builds(SetDataRequest, ANY_PATHS, DATA, VERSIONS))] * 2,
)
CHECKS: st.SearchStrategy[Part] = st.tuples(st.just(OpCode.CHECK), st.builds(PathVersion, ANY_PATHS, VERSIONS))
MULTIS: st.SearchStrategy[Part] = st.tuples(
    st.just(OpCode.MULTI),
    st.lists(st.one_of(CHANGES, CHANGES, CHECKS, st.tuples(st.just(OpCode.GET_DATA), st.builds(PathOnly, PATHS))), max_size=4),
)
READS: st.SearchStrategy[Part] = st.one_of(
    *[
        st.tuples(
            st.sampled_from([OpCode.EXISTS, OpCode.GET_DATA, OpCode.GET_CHILDREN, OpCode.GET_CHILDREN2]),
            st.builds(PathWatch, ANY_PATHS, st.booleans()),
        )
    ]
    * 3,
    st.tuples(
        st.sampled_from([OpCode.GET_ACL, OpCode.SYNC, OpCode.GET_ALL_CHILDREN_NUMBER, OpCode.GET_EPHEMERALS]),
        st.builds(PathOnly, ANY_PATHS),
    ),
    st.tuples(st.sampled_from([OpCode.PING, OpCode.WHO_AM_I]), st.just(b"")),
    st.tuples(
        st.just(OpCode.MULTI_READ),
        st.lists(
            st.tuples(st.sampled_from([OpCode.GET_DATA, OpCode.GET_CHILDREN]), st.builds(PathWatch, ANY_PATHS, st.just(False))),
            max_size=3,
        ),
    ),
)
SOME_PATHS = st.lists(PATHS, max_size=2).map(tuple)
WATCHES: st.SearchStrategy[Part] = st.one_of(
    st.tuples(st.just(OpCode.ADD_WATCH), st.builds(PathKind, ANY_PATHS, st.sampled_from([0, 1, 1, 2]))),
    st.tuples(
        st.sampled_from([OpCode.CHECK_WATCHES, OpCode.REMOVE_WATCHES]),
        st.builds(PathKind, ANY_PATHS, st.sampled_from([1, 2, 3, 3, 4])),
    ),
    st.tuples(
        st.just(OpCode.SET_WATCHES),
        st.builds(SetWatchesRequest, st.integers(-1, STEPS_MAX), SOME_PATHS, SOME_PATHS, SOME_PATHS),
    ),
    st.tuples(
        st.just(OpCode.SET_WATCHES2),
        st.builds(SetWatches2Request, st.integers(-1, STEPS_MAX), *[SOME_PATHS] * 5),
    ),
)
SET_ACLS = st.tuples(st.just(OpCode.SET_ACL), st.builds(SetAclRequest, ANY_PATHS, ACLS, VERSIONS))
ODD: st.SearchStrategy[Part] = st.one_of(
    st.tuples(
        st.just(OpCode.AUTH),
        st.builds(AuthPacket, st.just(0), st.sampled_from(["digest", "ip"]), st.sampled_from([b"u:p", b"v:", b""])),
    ),
    st.tuples(st.just(OpCode.AUTH), st.builds(AuthPacket, st.just(0), st.just("odd"), st.just(b"x"))),
    st.tuples(st.just(OpCode.CHECK), st.builds(PathVersion, ANY_PATHS, st.just(NEVER))),
    st.tuples(st.just(OpCode.CLOSE_SESSION), st.just(b"")),
    st.tuples(st.just(OpCode.DELETE_CONTAINER), st.builds(PathOnly, ANY_PATHS)),
    st.tuples(st.just(OpCode.RECONFIG), st.just(ReconfigRequest(None, None, "server.1=x", -1))),
    st.tuples(st.sampled_from([77, 108, -2, -1]), st.just(b"")),
)
PARTS = st.one_of(*[CHANGES] * 5, MULTIS, MULTIS, *[READS] * 3, *[WATCHES] * 2, SET_ACLS, ODD)
# Broken, the first two might be what stops Apache; the third takes no zxid there, as no other broken write does.
UNHARMED = (OpCode.CHECK, OpCode.CREATE_TTL, OpCode.RECONFIG)


def ask(who: int, part: Part, fault: tuple[int, bytes] | None) -> Ask:
    return Ask(who, *part, None if part[0] in UNHARMED else fault)


ASKS = st.builds(
    ask,
    st.integers(0, CLIENTS - 1),
    PARTS,
    st.one_of(*[st.none()] * 9, st.tuples(st.integers(0, 60), st.binary(max_size=1))),
)
STEPS = st.one_of(
    *[ASKS] * 12, st.builds(Reopen, st.integers(0, CLIENTS - 1), st.booleans(), st.sampled_from([True, True, False]))
)
LIMITS = st.sampled_from(
    [b"count=3,bytes=20", b"count=-1,bytes=-1=;countHardLimit=4", b"count=-1,bytes=-1=;byteHardLimit=20;countHardLimit=99"]
)


def without_multis(steps: list[Ask | Reopen]) -> list[Ask | Reopen]:
    return [step for step in steps if isinstance(step, Reopen) or step.kind != OpCode.MULTI]


STEP_LISTS = st.lists(STEPS, min_size=1, max_size=STEPS_MAX)
PROGRAMS = st.one_of(
    *[st.builds(Program, st.none(), STEP_LISTS)] * 4,
    st.builds(Program, LIMITS, STEP_LISTS.map(without_multis)),
)


class Player:
    """Plays programs on one server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.witness = Witness(port)

    def play(self, program: Program, top: str) -> list[Any]:
        """Return all that the server tells, and the tree in the end; leave none of it behind."""
        with RawClient(self.port) as ruler:
            ruler.connect()
            ruler.ask(OpCode.AUTH, AuthPacket(0, "digest", b"super:test"))
            ruler.create(top)
            if program.limits is not None:
                ruler.create(f"/zookeeper/quota{top}")
                ruler.create(f"/zookeeper/quota{top}/zookeeper_limits", program.limits)
                ruler.create(f"/zookeeper/quota{top}/zookeeper_stats")
            game = Game(self.witness, top)
            told = [game.step(step) for step in program.steps]
            closes = any(isinstance(step, Ask) and step.kind == OpCode.CLOSE_SESSION for step in program.steps)
            if closes:  # in which order one end deletes several znodes is nobody's business
                told = [sorted(each, key=repr) for each in told]
            for root in (top, f"/zookeeper/quota{top}"):
                told.append(game.tree(ruler, root))
            game.end()
            for root in (top, f"/zookeeper/quota{top}"):
                self.delete(ruler, root)
            self.witness.end_session(ruler)
            return told

    def delete(self, ruler: RawClient, path: str) -> None:
        for name in names_at(ruler, path):
            self.delete(ruler, f"{path}/{name}")
        ruler.delete(path)


class Game:
    """One program under way: its clients and their sessions."""

    def __init__(self, witness: Witness, top: str) -> None:
        self.witness = witness
        self.top = top
        self.names: dict[int, str] = {0: "none"}
        self.clients = [self.open(who) for who in range(CLIENTS)]
        self.ended: list[RawClient] = []
        self.gone: set[int] = set()  # clients whose connection the server has closed
        self.base = self.clients[-1].exists("/").zxid

    def open(self, who: int) -> RawClient:
        client = RawClient(self.witness.port)
        client.connect()
        self.names[client.session_id] = f"session {who}, {len(self.names)}"
        return client

    def step(self, step: Ask | Reopen) -> list[Any]:
        if isinstance(step, Reopen):
            return self.reopen(step)
        if step.who in self.gone:
            return ["gone"]
        client = self.clients[step.who]
        replies = client.ask(step.kind, self.body(step))
        if not replies or step.kind == OpCode.CLOSE_SESSION or replies[-1].zxid == -1 or is_expelled(step, replies[-1]):
            self.gone.add(step.who)  # if not yet, then any moment
        return [self.witness.plain(reply, step.kind, self.names, self.base) for reply in replies]

    def body(self, step: Ask) -> bytes:
        record = step.record
        if isinstance(record, list):
            parts = [encode(MultiHeader(kind, False, -1)) + encode(self.placed(part)) for kind, part in record]
            body = b"".join(parts) + DONE
        else:
            body = record if isinstance(record, bytes) else encode(self.placed(record))
        if step.fault is None:
            return body
        at, byte = step.fault
        return body[:at] + byte + body[at + 1 :] if byte and at < len(body) else body[:at]

    def placed(self, record: Any) -> Any:
        """Return a record with its paths under the program's own, and its zxid counted from the beginning."""
        if isinstance(record, SetWatchesRequest | SetWatches2Request):
            record = record._replace(relative_zxid=record.relative_zxid + self.base)
        fields = {name: self.put(value) for name, value in record._asdict().items() if "path" in name or "watches" in name}
        return record._replace(**fields)

    def put(self, value: Any) -> Any:
        return tuple(self.put(each) for each in value) if isinstance(value, tuple) else value.replace(TOP, self.top)

    def reopen(self, step: Reopen) -> list[Any]:
        was = self.clients[step.who]
        was.close()
        self.gone.discard(step.who)
        if not step.is_back:
            self.ended.append(was)
            self.clients[step.who] = self.open(step.who)
            return []
        client = self.clients[step.who] = RawClient(self.witness.port)
        client.connect(session_id=was.session_id, password=was.password if step.knows_password else b"wrong")
        is_refused = client.session_id == 0
        if is_refused:
            self.gone.add(step.who)
        client.session_id, client.password = was.session_id, was.password
        return [is_refused]

    def tree(self, ruler: RawClient, path: str) -> list[Any]:
        """Return all that stands at and under `path`, with data, Stats and ACLs."""
        told = [
            self.witness.plain(ruler.ask(kind, record)[-1], kind, self.names, self.base)[2:]
            for kind, record in ((OpCode.GET_DATA, PathWatch(path, False)), (OpCode.GET_ACL, PathOnly(path)))
        ]
        return [path.replace(self.top, TOP), *told, *(self.tree(ruler, f"{path}/{name}") for name in names_at(ruler, path))]

    def end(self) -> None:
        for client in [*self.clients, *self.ended]:
            self.witness.end_session(client)


def is_expelled(step: Ask, reply: Reply) -> bool:
    """Return whether a server closes the connection after this reply."""
    return reply.err != 0 and step.kind == OpCode.AUTH


def names_at(client: RawClient, path: str) -> list[str]:
    reply = client.ask(OpCode.GET_CHILDREN2, PathWatch(path, False))[-1]
    return sorted(codec(ChildrenStatReply).decode(reply.body).children or ()) if reply.err == 0 else []


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Player, Player]]:
    properties = {
        "zookeeper.extendedTypesEnabled": "true",
        "zookeeper.enforceQuota": "true",
        "zookeeper.DigestAuthenticationProvider.superDigest": SUPER,
        "znode.container.checkIntervalMs": str(HOUR_MS),
    }
    keeper = Keeper(
        extended_types=True, enforce_quota=True, super_digest=SUPER, container_check_ms=HOUR_MS, max_client_connections=0
    )
    with keeper, Apache(settings={"maxClientCnxns": 0}, properties=properties) as apache:
        yield Player(keeper.port), Player(apache.port)


TOPS = count()


@settings(max_examples=EXAMPLES_MAX, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=PROGRAMS)
def test_random_programs_are_told_the_same(both: tuple[Player, Player], program: Program) -> None:
    top = f"/h{next(TOPS)}"
    ours, theirs = (player.play(program, top) for player in both)
    names = [*program.steps, "the tree", "the quota"]
    for step, mine, apaches in zip(names, ours, theirs, strict=True):
        assert mine == apaches, step
