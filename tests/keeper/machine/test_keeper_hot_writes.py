"""The short way of writes beside the long one: the same log, the same replies, the same tree, whatever is asked."""

from random import Random

import pytest
from raw import OPEN
from world import World

from muskox.keeper.machine import machine as machine_module
from muskox.keeper.machine.events import Action, FramesArrived
from muskox.keeper.machine.hot_writes import HOT, set_data
from muskox.keeper.machine.overlay import Overlay
from muskox.keeper.wire.jute import LENGTH, encode
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import Acl, AuthPacket, CreateRequest, Id, PathVersion, PathWatch, SetAclRequest, SetDataRequest

NAMES = ("a", "b", "a/b", "a/b/c", "s-", "a/s-", "zookeeper/x", "a//b", "a/.", "..", "ü", "a\x00", "", "zookeeper", "\ufffd")
OTHERS = (Acl(31, Id("digest", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=")),)
BYTES = (b"", b"x", bytes(100), None)


def random_request(random: Random) -> bytes:
    """Return one request's frame, mostly an ordinary one."""
    path = "/" + random.choice(NAMES[:6] if random.random() < 0.7 else NAMES)
    version = random.choice((-1, -1, -1, 0, 1, 2))
    data = random.choice(BYTES)
    kind, record = random.choice(
        [
            (OpCode.CREATE, CreateRequest(path, data, random.choice((OPEN, OPEN, OPEN, OTHERS)), random.choice(range(6)))),
            (OpCode.CREATE2, CreateRequest(path, data, OPEN, random.choice((0, 1, 2, 3)))),
            (OpCode.CREATE, CreateRequest(path, data, OPEN, 0)),
            (OpCode.SET_DATA, SetDataRequest(path, data, version)),
            (OpCode.SET_DATA, SetDataRequest(path, data, -1)),
            (OpCode.DELETE, PathVersion(path, version)),
            (OpCode.SET_ACL, SetAclRequest(path, random.choice((OPEN, OTHERS)), version)),
            (OpCode.GET_DATA, PathWatch(path, random.random() < 0.2)),
            (OpCode.AUTH, AuthPacket(0, "digest", b"u:p")),
        ]
    )
    frame = LENGTH.pack(random.randrange(1 << 20)) + LENGTH.pack(kind) + encode(record)
    if random.random() < 0.05:
        frame = frame[: random.randrange(8, len(frame) + 1)] + bytes(random.randrange(3))
    if random.random() < 0.03 and len(frame) > 8:
        at = random.randrange(8, len(frame))
        frame = frame[:at] + bytes([random.randrange(256)]) + frame[at + 1 :]
    return frame


def history(seed: int) -> tuple[list[Action], int, dict[str, object]]:
    """Return all that a machine orders in a random history, the digest of its tree, and the tree."""
    random = Random(seed)
    world = World(syncs=False)
    for number in (1, 2):
        world.open(number)
        world.sync()
    actions: list[Action] = []
    for _ in range(60):
        frames = [random_request(random) for _ in range(random.randrange(1, 12))]
        actions += world.tell(FramesArrived(random.choice((1, 2)), frames))
        if random.random() < 0.5:
            world.sync()
    world.sync()
    database = world.machine.database
    assert not database.overlay.pending
    assert Overlay(database.tree).digest == database.overlay.digest
    assert Overlay(database.tree).ephemerals == database.overlay.ephemerals
    return [*actions, *world.orders], database.digest, dict(database.tree.nodes)


@pytest.mark.parametrize("seed", range(150))
def test_the_short_way_does_what_the_long_one_does(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    short = history(seed)
    monkeypatch.setattr(machine_module, "HOT", {})
    monkeypatch.setattr(machine_module, "set_data", lambda *_: 0)
    assert history(seed) == short


def test_random_histories_take_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test before this one would compare the long way with itself."""
    taken: dict[int, int] = {}

    def counted(kind: int):  # type: ignore[no-untyped-def]
        def draft(*arguments):  # type: ignore[no-untyped-def]
            drafted = set_data(*arguments) if kind == OpCode.SET_DATA else HOT[kind](*arguments)
            taken[kind] = taken.get(kind, 0) + bool(drafted)
            return drafted

        return draft

    monkeypatch.setattr(machine_module, "HOT", {kind: counted(kind) for kind in HOT})
    monkeypatch.setattr(machine_module, "set_data", counted(OpCode.SET_DATA))
    for seed in range(10):
        history(seed)
    assert set(taken) == {*HOT, OpCode.SET_DATA} and min(taken.values()) > 20


def test_a_series_of_writes_is_drafted_up_to_the_first_that_is_out_of_the_ordinary() -> None:
    world = World()
    world.open(1)
    world.create(1, "/a")
    records = [SetDataRequest("/a", b"1", -1), SetDataRequest("/a", b"2", 1), SetDataRequest("/a", b"3", 7)]
    frames = [LENGTH.pack(index) + LENGTH.pack(OpCode.SET_DATA) + encode(each) for index, each in enumerate(records)]
    world.take(1)
    world.tell(FramesArrived(1, [*frames, frames[0]]))
    assert [reply.err for reply in world.take(1)] == [0, 0, -103, 0]
    assert world.get(1, "/a").body[4:5] == b"1"
