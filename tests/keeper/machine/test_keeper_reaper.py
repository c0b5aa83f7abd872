"""Containers and znodes with a time to live go when they should, and only then."""

from raw import OPEN
from world import SETTINGS, World, replayed

from muskox.keeper.disk.loading import Decoder
from muskox.keeper.disk.snapshot import encode_snapshot
from muskox.keeper.machine.database import Database
from muskox.keeper.machine.events import Instant
from muskox.keeper.machine.node import CONTAINER_OWNER, TTL_SHIFT, new_node
from muskox.keeper.machine.overlay import Overlay
from muskox.keeper.machine.reaper import DELETIONS_MAX, LOOKS_MAX, Reaper
from muskox.keeper.machine.settings import Settings
from muskox.keeper.machine.tree import new_tree
from muskox.keeper.wire.jute import codec
from muskox.keeper.wire.opcodes import EventType, OpCode
from muskox.keeper.wire.records import CreateRequest, CreateTtlRequest, WatcherEvent

CHECK_MS = 1_000
REAPING = SETTINGS._replace(extended_types=True, container_check_ms=CHECK_MS)


def reaping_world(settings: Settings = REAPING, database: Database | None = None) -> World:
    world = World(database, settings=settings)
    world.open(1)
    return world


def create_container(world: World, path: str) -> None:
    assert world.ask(1, OpCode.CREATE_CONTAINER, CreateRequest(path, b"", OPEN, 4))[-1].err == 0


def create_ttl(world: World, path: str, ttl_ms: int) -> None:
    assert world.ask(1, OpCode.CREATE_TTL, CreateTtlRequest(path, b"", OPEN, 5, ttl_ms))[-1].err == 0


def is_there(world: World, path: str) -> bool:
    return world.exists(1, path).err == 0


def live(world: World, ms: int) -> None:
    """Let time pass while the client says that it is there."""
    for _ in range(ms // SETTINGS.bucket_ms):
        world.wait(SETTINGS.bucket_ms)
        world.ask(1, OpCode.PING)


def test_a_container_goes_with_its_last_child_and_not_before_its_first() -> None:
    world = reaping_world()
    create_container(world, "/used")
    create_container(world, "/unused")
    world.create(1, "/used/child")
    live(world, 3 * CHECK_MS)
    assert is_there(world, "/used")
    world.delete(1, "/used/child")
    live(world, 2 * CHECK_MS)
    assert not is_there(world, "/used")
    assert is_there(world, "/unused")
    assert world.log()[-1].header.type == OpCode.DELETE_CONTAINER
    assert world.log()[-1].header.session_id == 0
    assert replayed(world.log()).tree.nodes == world.machine.database.tree.nodes


def test_a_container_that_nobody_uses_goes_if_that_is_wished() -> None:
    world = reaping_world(REAPING._replace(container_unused_ms_max=2 * CHECK_MS))
    create_container(world, "/unused")
    live(world, 2 * CHECK_MS)
    assert is_there(world, "/unused")
    live(world, 2 * CHECK_MS)
    assert not is_there(world, "/unused")


def test_a_time_to_live_starts_with_every_change_of_data_and_waits_for_children() -> None:
    world = reaping_world()
    for path in ("/left", "/written", "/parent"):
        create_ttl(world, path, 2 * CHECK_MS)
    world.create(1, "/parent/child")
    for _ in range(4):
        live(world, CHECK_MS)
        world.set(1, "/written", b"")
    assert not is_there(world, "/left")
    assert is_there(world, "/written")
    assert is_there(world, "/parent")
    world.delete(1, "/parent/child")
    live(world, 4 * CHECK_MS)
    assert not is_there(world, "/parent")
    assert not is_there(world, "/written")
    assert not world.machine.database.tree.mortal


def test_without_extended_types_nothing_dies_of_age() -> None:
    before = reaping_world()
    create_ttl(before, "/old", 1)
    world = reaping_world(REAPING._replace(extended_types=False), before.machine.database)
    live(world, 3 * CHECK_MS)
    assert is_there(world, "/old")
    assert world.ask(1, OpCode.CREATE_TTL, CreateTtlRequest("/new", b"", OPEN, 5, 1))[-1].err == -6


def test_a_znode_that_goes_by_itself_is_watched_like_any_other() -> None:
    world = reaping_world()
    create_ttl(world, "/old", 1)
    world.exists(1, "/old", watch=True)
    world.wait(2 * CHECK_MS)
    assert codec(WatcherEvent).decode(world.take(1)[0].body) == WatcherEvent(EventType.DELETED, 3, "/old")


def test_what_is_to_go_is_known_after_a_restart() -> None:
    world = reaping_world()
    create_container(world, "/box")
    world.create(1, "/box/child")
    create_ttl(world, "/old", 10)
    image = world.machine.image()
    loaded = Decoder("snapshot.1", b"".join(encode_snapshot(image))).load(image.zxid)
    for database in (replayed(world.log()), Database(loaded.tree, loaded.timeouts_ms, image.zxid)):
        assert set(database.tree.mortal) == {"/box", "/old"}
        again = reaping_world(database=database)
        again.delete(1, "/box/child")
        live(again, 3 * CHECK_MS)
        assert not database.tree.mortal


def test_a_child_that_is_on_its_way_saves_its_container() -> None:
    world = reaping_world()
    create_container(world, "/box")
    world.create(1, "/box/child")
    world.delete(1, "/box/child")
    world.syncs = False
    world.put(1, OpCode.CREATE, CreateRequest("/box/other", b"", OPEN, 0))
    world.wait(2 * CHECK_MS)
    world.sync()
    assert world.exists(1, "/box/other").err == 0


def many(count: int, per_minute: int) -> Reaper:
    tree = new_tree()
    overlay = Overlay(tree)
    for index in range(count):
        tree.install(f"/{index}", new_node(f"/{index}", b"", OPEN, -1 << TTL_SHIFT | 5, 1, 0))
    settings = Settings(extended_types=True, container_check_ms=CHECK_MS, containers_per_minute_max=per_minute)
    return Reaper(overlay, settings, Instant(0, 0))


def test_deletions_keep_their_pace() -> None:
    reaper = many(10, per_minute=60)
    went = [len(reaper.due(Instant(now_ms, now_ms))) for now_ms in range(0, 11_000, 100)]
    assert sum(went) == 10
    assert max(went) == 1
    assert went.index(1) == CHECK_MS // 100
    assert sum(went[: 50 + 1]) == 5


def test_the_work_of_one_call_is_bounded() -> None:
    count = LOOKS_MAX + 1
    reaper = many(count, per_minute=1_000_000)
    assert len(reaper.due(Instant(CHECK_MS, CHECK_MS))) == DELETIONS_MAX
    reaper = many(count, per_minute=1_000_000)
    now = Instant(3, CHECK_MS)  # nothing is old enough
    assert reaper.due(now) == []
    assert len(reaper.left) == 1


def test_a_container_is_marked_by_the_least_number() -> None:
    assert new_node("/c", b"", OPEN, CONTAINER_OWNER, 1, 0).ttl_ms is None
    assert new_node("/t", b"", OPEN, -1 << TTL_SHIFT | 5, 1, 0).ttl_ms == 5
    assert new_node("/p", b"", OPEN, 0, 1, 0).ttl_ms is None
