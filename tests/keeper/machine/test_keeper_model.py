"""The machine against a small and obvious model, over millions of random requests: every byte of every reply.

The model is a dict of paths and does one request after the other. The machine gets them in batches from several clients, and
is told now and then that all is on disk. After every batch both must have said the same; from time to time both must hold the
same tree, the log must give that tree again, and nothing may be left over.
"""

from random import Random
from struct import Struct, pack

import pytest
from raw import connect_request

from muskox.keeper.machine.database import Database
from muskox.keeper.machine.events import (
    AppendTransactions,
    ConnectionLost,
    ConnectionOpened,
    Event,
    FramesArrived,
    Instant,
    Send,
    TransactionsSynced,
)
from muskox.keeper.machine.machine import Machine
from muskox.keeper.machine.node import wrap_long
from muskox.keeper.machine.settings import Settings
from muskox.keeper.machine.tree import new_tree
from muskox.keeper.wire.records import OPEN_ACL_BYTES
from muskox.keeper.wire.transactions import decode_entry

STEPS = 500_000  # of each seed
BATCH_MAX = 64
BATCHES_PER_CHECK = 400
CLIENTS = 3
WALL_MS = 1_700_000_000_000
STAT = Struct(">qqqqiiiqiiq")

CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, SET_ACL, CHECK, MULTI, CREATE2, CLOSE = 1, 2, 3, 4, 5, 7, 13, 14, 15, -11
GET_CHILDREN, GET_CHILDREN2 = 8, 12
OK, BAD_ARGUMENTS, NO_NODE, BAD_VERSION, NO_CHILDREN, EXISTED, NOT_EMPTY = 0, -8, -101, -103, -108, -110, -111
AFTER_FAILURE = -2
WRITES = (CREATE, DELETE, SET_DATA, SET_ACL, MULTI, CREATE2)
SPECIAL = ("/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config")

Request = tuple[int, ...] | tuple[object, ...]


class Thing:
    """A znode of the model."""

    def __init__(self, data: bytes, owner: int, zxid: int, now: int) -> None:
        self.data = data
        self.owner = owner
        self.czxid = self.mzxid = self.pzxid = zxid
        self.ctime = self.mtime = now
        self.version = self.aversion = self.creates = self.deletes = 0
        self.children: dict[str, None] = {}

    def stat(self) -> bytes:
        return STAT.pack(
            *(self.czxid, self.mzxid, self.ctime, self.mtime, self.version, self.creates + self.deletes, self.aversion),
            *(self.owner, len(self.data), len(self.children), self.pzxid),
        )


class Refused(Exception):
    """A request is not done."""


def text(value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return pack(">i", len(data)) + data


class Model:
    """What a ZooKeeper holds, and what it answers."""

    def __init__(self) -> None:
        self.zxid = 0
        self.now = WALL_MS
        self.things: dict[str, Thing] = {}
        for path in SPECIAL:
            self.things[path] = Thing(b"", 0, 0, 0)
        self.things["/"].children["zookeeper"] = self.things["/zookeeper"].children["quota"] = None
        self.things["/zookeeper"].children["config"] = None
        self.things["/"].deletes, self.things["/zookeeper"].deletes = -1, -2  # children that nobody ever created
        self.things["/zookeeper/config"].aversion = -1

    def answer(self, session: int, request: tuple[object, ...]) -> tuple[int, bytes]:
        """Return code and body of the reply."""
        kind = request[0]
        if kind not in WRITES and kind != CLOSE:
            try:
                return OK, self.read(request)
            except Refused as refusal:
                return refusal.args[0], b""
        self.zxid += 1
        if kind == CLOSE:
            for path in [path for path, thing in self.things.items() if thing.owner == session]:
                self.remove(path)
            return OK, b""
        if kind == MULTI:
            return OK, self.multi(session, request[1])
        try:
            return OK, self.write(session, request)
        except Refused as refusal:
            return refusal.args[0], b""

    def thing(self, path: str) -> Thing:
        if path not in self.things:
            raise Refused(NO_NODE)
        return self.things[path]

    def read(self, request: tuple[object, ...]) -> bytes:
        kind, path = request
        thing = self.thing(path)
        if kind == EXISTS:
            return thing.stat()
        if kind == GET_DATA:
            return text(thing.data) + thing.stat()
        names = pack(">i", len(thing.children)) + b"".join(text(name) for name in thing.children)
        return names + (thing.stat() if kind == GET_CHILDREN2 else b"")

    def write(self, session: int, request: tuple[object, ...]) -> bytes:
        kind, path = request[:2]
        if kind in (CREATE, CREATE2):
            return self.create(session, *request)
        if kind == DELETE:
            if path in SPECIAL:
                raise Refused(BAD_ARGUMENTS)
            self.thing(parent_of(path))
            self.expect(self.thing(path).version, request[2])
            if self.thing(path).children:
                raise Refused(NOT_EMPTY)
            self.remove(path)
            return b""
        thing = self.thing(path)
        if kind == CHECK:
            self.expect(thing.version, request[2])
            return b""
        if kind == SET_ACL:
            self.expect(thing.aversion, request[2])
            thing.aversion += 1
            return thing.stat()
        self.expect(thing.version, request[3])
        thing.data, thing.mzxid, thing.mtime = request[2], self.zxid, self.now
        thing.version += 1
        return thing.stat()

    def create(self, session: int, kind: int, path: str, data: bytes, flags: int) -> bytes:
        parent = self.thing(parent_of(path))
        if flags & 2:
            path += f"{parent.creates:010d}"
        if path.endswith("/"):
            raise Refused(BAD_ARGUMENTS)
        if path in self.things:
            raise Refused(EXISTED)
        if parent.owner:
            raise Refused(NO_CHILDREN)
        thing = self.things[path] = Thing(data, session if flags & 1 else 0, self.zxid, self.now)
        parent.children[path.rpartition("/")[2]] = None
        parent.creates += 1
        parent.pzxid = self.zxid
        return text(path) + (thing.stat() if kind == CREATE2 else b"")

    def remove(self, path: str) -> None:
        del self.things[path]
        parent = self.things[parent_of(path)]
        del parent.children[path.rpartition("/")[2]]
        parent.deletes += 1
        parent.pzxid = self.zxid

    def expect(self, version: int, expected: object) -> None:
        if expected not in (-1, version):
            raise Refused(BAD_VERSION)

    def multi(self, session: int, parts: list[tuple[object, ...]]) -> bytes:
        touched = {path for _, path, *_ in parts} | {parent_of(path) for _, path, *_ in parts}
        before = [(path, self.things[path], vars(self.things[path]).copy()) for path in touched & self.things.keys()]
        children = [list(thing.children) for _, thing, _ in before]
        told = []
        for index, part in enumerate(parts):
            try:
                body = self.write(session, part)
            except Refused as refusal:
                for path in [path for path, thing in self.things.items() if thing.czxid == self.zxid]:
                    del self.things[path]
                for (path, thing, fields), names in zip(before, children, strict=True):
                    vars(thing).update(fields, children=dict.fromkeys(names))
                    self.things[path] = thing
                codes = [OK] * index + [refusal.args[0]] + [AFTER_FAILURE] * (len(parts) - index - 1)
                return b"".join(pack(">i?ii", -1, False, code, code) for code in codes) + pack(">i?i", -1, True, -1)
            # In a multi the flags decide what a create is, so that a create2 is answered as a create.
            kind = CREATE if part[0] == CREATE2 else part[0]
            told.append(pack(">i?i", kind, False, 0) + (body[: -STAT.size] if part[0] == CREATE2 else body))
        return b"".join(told) + pack(">i?i", -1, True, -1)


def parent_of(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def encoded(request: tuple[object, ...]) -> bytes:
    """Return the body of a request."""
    kind = request[0]
    if kind == MULTI:
        return b"".join(pack(">i?i", part[0], False, -1) + encoded(part) for part in request[1]) + pack(">i?i", -1, True, -1)
    if kind == CLOSE:
        return b""
    path = text(request[1])
    if kind in (CREATE, CREATE2):
        return path + text(request[2]) + OPEN_ACL_BYTES + pack(">i", request[3])
    if kind == SET_DATA:
        return path + text(request[2]) + pack(">i", request[3])
    if kind == SET_ACL:
        return path + OPEN_ACL_BYTES + pack(">i", request[2])
    return path + (pack(">i", request[2]) if kind in (DELETE, CHECK) else b"\0")


class Chooser:
    """Makes random requests to few enough paths that they meet."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        names = [f"/{letter}" for letter in "abcdef"]
        self.paths = names + [parent + name for parent in names[:4] for name in names] + ["/a/b/c", "/a/b/c/d", "/zookeeper/x"]

    def change(self) -> tuple[object, ...]:
        rng = self.rng
        path, draw, version = rng.choice(self.paths), rng.random(), rng.choice((-1, -1, -1, 0, 1))
        if draw < 0.4:
            flags = rng.choice((0, 0, 0, 0, 1, 2, 3))
            return rng.choice((CREATE, CREATE, CREATE2)), path, bytes(rng.randrange(9)), flags
        if draw < 0.7:
            return DELETE, path if rng.random() < 0.97 else rng.choice(SPECIAL), version
        return SET_DATA, path, b"x" * rng.randrange(9), version

    def sequential(self, model: Model) -> tuple[object, ...]:
        """Delete what else would grow without end."""
        for path in ("/", *self.paths):
            thing = model.things.get(path)
            if thing is not None and len(thing.children) > 20:
                return DELETE, f"{path if path != '/' else ''}/{self.rng.choice(list(thing.children))}", -1
        return self.change()

    def write(self, model: Model) -> tuple[object, ...]:
        draw = self.rng.random()
        if draw < 0.03:
            checks = [(CHECK, self.rng.choice(self.paths), -1)] * self.rng.randrange(2)
            return MULTI, [*checks, *(self.change() for _ in range(self.rng.randrange(4)))]
        if draw < 0.06:
            return SET_ACL, self.rng.choice(self.paths), self.rng.choice((-1, 0))
        return self.sequential(model) if draw < 0.3 else self.change()

    def read(self) -> tuple[object, ...]:
        path = self.rng.choice(self.paths) if self.rng.random() < 0.9 else self.rng.choice(SPECIAL)
        return self.rng.choice((EXISTS, GET_DATA, GET_DATA, GET_CHILDREN, GET_CHILDREN2)), path


class Trial:
    """A machine and the model, living through the same."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.chooser = Chooser(self.rng)
        self.model = Model()
        self.machine = Machine(Database(new_tree(), {}, 0), Settings(), 1, self.now)
        self.shadow = Database(new_tree(), {}, 0)  # what the log makes of a new tree
        self.entries: list[bytes] = []
        self.said: dict[int, list[bytes]] = {}
        self.expected: dict[int, list[bytes]] = {}
        self.sessions: dict[int, int] = {}  # by connection
        self.last = 0  # session and connection alike
        self.xid = 0
        for _ in range(CLIENTS):
            self.open()

    @property
    def now(self) -> Instant:
        return Instant(self.model.now if hasattr(self, "model") else WALL_MS, 0)

    def tell(self, event: Event) -> None:
        for action in self.machine.handle(event, self.now):
            if isinstance(action, Send):
                self.said.setdefault(action.connection, []).append(action.data)
            elif isinstance(action, AppendTransactions):
                self.entries += action.entries

    def sync(self) -> None:
        self.tell(TransactionsSynced(self.machine.pipeline.zxid))

    def open(self) -> None:
        self.last += 1
        self.tell(ConnectionOpened(self.last, "127.0.0.1"))
        self.tell(FramesArrived(self.last, [connect_request()[4:]]))
        self.sync()
        assert len(self.said.pop(self.last)) == 1
        self.model.zxid += 1
        self.sessions[self.last] = self.last

    def batch(self, connection: int, requests: list[tuple[object, ...]]) -> None:
        frames = []
        for request in requests:
            self.xid += 1
            frames.append(pack(">ii", self.xid, request[0]) + encoded(request))
            code, body = self.model.answer(self.sessions[connection], request)
            said = pack(">iqi", self.xid, self.model.zxid, code) + body
            self.expected.setdefault(connection, []).append(text(said))
        self.tell(FramesArrived(connection, frames))

    def round(self) -> int:
        """Let all clients write, then one read and write by turns; return how many requests that was."""
        self.model.now += 7
        before = self.xid
        for connection in list(self.sessions):
            self.batch(connection, [self.chooser.write(self.model) for _ in range(self.rng.randrange(BATCH_MAX))])
        self.sync()
        connection = self.rng.choice(list(self.sessions))
        self.batch(
            connection,
            [
                self.chooser.read() if self.rng.random() < 0.7 else self.chooser.write(self.model)
                for _ in range(self.rng.randrange(BATCH_MAX))
            ],
        )
        self.sync()
        if self.rng.random() < 0.02:
            self.batch(connection, [(CLOSE,)])
            self.sync()
            self.compare()
            del self.sessions[connection]
            self.tell(ConnectionLost(connection))
            self.open()
        self.compare()
        return self.xid - before

    def compare(self) -> None:
        said = {number: b"".join(parts) for number, parts in self.said.items()}
        expected = {number: b"".join(parts) for number, parts in self.expected.items() if parts}
        assert said == expected
        self.said, self.expected = {}, {}

    def check(self) -> None:
        """Check all that must hold between requests."""
        database = self.machine.database
        tree, overlay = database.tree, database.overlay
        assert {path: (node.stat_bytes, node.data) for path, node in tree.nodes.items()} == {
            path: (thing.stat(), thing.data) for path, thing in self.model.things.items()
        }
        assert {path: list(names) for path, names in tree.children.items()} == {
            path: list(thing.children) for path, thing in self.model.things.items() if thing.children
        }
        assert not overlay.pending
        assert not overlay.tree.mortal
        assert not self.machine.pipeline.in_flight
        assert self.machine.pipeline.outstanding == 0
        assert database.digest == database.settled_digest == wrap_long(tree.digest())
        owned = [(node.owner, path) for path, node in tree.nodes.items() if node.owner]
        assert sorted(owned) == sorted((owner, path) for owner, paths in overlay.ephemerals.items() for path in paths)
        assert set(database.timeouts_ms) == set(self.sessions.values())
        for entry in self.entries:
            assert self.shadow.replay(decode_entry(entry))
        self.entries = []
        assert self.shadow.tree.nodes == tree.nodes
        assert (self.shadow.zxid, self.shadow.digest) == (database.zxid, database.digest)


@pytest.mark.parametrize("seed", range(4))
def test_the_machine_does_what_the_model_does(seed: int) -> None:
    trial = Trial(seed)
    done = rounds = 0
    while done < STEPS:
        done += trial.round()
        rounds += 1
        if rounds % BATCHES_PER_CHECK == 0:
            trial.check()
    trial.check()
