"""Watches: who is told what, how often, and that nothing stays behind; against a list that is looked through."""

from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from muskox.keeper.machine.watches import Watches, notification
from muskox.keeper.wire.jute import LENGTH, codec
from muskox.keeper.wire.opcodes import EventType, WatchesOf, WatchMode
from muskox.keeper.wire.records import ReplyHeader, WatcherEvent

STANDARD, PERSISTENT, RECURSIVE = WatchMode.STANDARD, WatchMode.PERSISTENT, WatchMode.RECURSIVE
CREATED, DELETED, DATA_CHANGED, CHILDREN_CHANGED = list(EventType)[1:]


class Watch(NamedTuple):
    is_on_children: bool
    connection: int
    path: str
    mode: WatchMode


class Model:
    """Watches in a list; every rule is a look through all of them."""

    def __init__(self) -> None:
        self.watches: list[Watch] = []

    def add(self, new: Watch) -> None:
        self.watches = [each for each in self.watches if each[:3] != new[:3]]
        self.watches.append(new)

    def remove(self, path: str, connection: int, kind: WatchesOf) -> bool:
        gone = [each for each in self.of_kind(kind) if (each.path, each.connection) == (path, connection)]
        self.watches = [each for each in self.watches if each not in gone]
        return bool(gone)

    def of_kind(self, kind: WatchesOf) -> list[Watch]:
        return [each for each in self.watches if kind in (WatchesOf.ANY, WatchesOf.CHILDREN if each[0] else WatchesOf.DATA)]

    def take(self, path: str, event: EventType) -> set[int]:
        kinds = {CHILDREN_CHANGED: WatchesOf.CHILDREN, DELETED: WatchesOf.ANY}
        told = [each for each in self.of_kind(kinds.get(event, WatchesOf.DATA)) if self.hears(each, path, event)]
        self.watches = [each for each in self.watches if each not in told or each.mode != STANDARD]
        return {each.connection for each in told}

    def hears(self, watch: Watch, path: str, event: EventType) -> bool:
        if watch.mode != RECURSIVE:
            return watch.path == path
        is_below = path == watch.path or path.startswith(watch.path.rstrip("/") + "/")
        return is_below and event != CHILDREN_CHANGED


PATHS = st.sampled_from(["/", "/a", "/a/b", "/a/b/c", "/ab", "/a/x"])
CONNECTIONS = st.integers(1, 3)
STEPS = st.one_of(
    st.tuples(st.just("read"), PATHS, CONNECTIONS, st.booleans()),
    st.tuples(st.just("add"), PATHS, CONNECTIONS, st.sampled_from([PERSISTENT, RECURSIVE])),
    st.tuples(st.just("remove"), PATHS, CONNECTIONS, st.sampled_from(WatchesOf)),
    st.tuples(st.just("take"), PATHS, st.sampled_from([CREATED, DELETED, DATA_CHANGED, CHILDREN_CHANGED])),
    st.tuples(st.just("close"), CONNECTIONS),
)


def run(watches: Watches, model: Model, step: tuple[Any, ...]) -> None:
    match step:
        case "read", path, connection, is_on_children:
            (watches.watch_children if is_on_children else watches.watch_data)(path, connection)
            model.add(Watch(is_on_children, connection, path, STANDARD))
        case "add", path, connection, mode:
            watches.watch(path, connection, mode)
            model.add(Watch(False, connection, path, mode))
            model.add(Watch(True, connection, path, mode))
        case "remove", path, connection, kind:
            assert watches.remove(path, connection, kind) == model.remove(path, connection, kind)
        case "take", path, event:
            assert set(watches.take(path, event)) == model.take(path, event)
        case "close", connection:
            watches.remove_connection(connection)
            model.watches = [each for each in model.watches if each.connection != connection]


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_watches_do_what_a_list_of_them_would(steps: list[tuple[Any, ...]]) -> None:
    watches, model = Watches(), Model()
    for step in steps:
        run(watches, model, step)
        on_data = [(each.path, each.connection) for each in model.of_kind(WatchesOf.DATA)]
        assert sorted(watches.listing()) == sorted(on_data)
        assert watches.path_count == len({path for path, _ in on_data})
        assert watches.count == len(model.watches)
        assert watches.is_empty == (not model.watches)
        for kind in WatchesOf:
            for path in ("/", "/a", "/a/b"):
                assert watches.is_watched(path, kind) == any(each.path == path for each in model.of_kind(kind))


def test_nothing_stays_behind_when_all_have_gone() -> None:
    watches = Watches()
    for connection in range(1, 4):
        watches.watch("/a", connection, PERSISTENT)
        watches.watch("/a/b", connection, RECURSIVE)
        watches.watch_data("/c", connection)
        watches.watch_children("/d", connection)
    assert set(watches.take("/c", DATA_CHANGED)) == {1, 2, 3}
    for connection in range(1, 4):
        watches.remove_connection(connection)
    for table in (watches.data, watches.children):
        assert (table.modes, table.near, table.far) == ({}, {}, {})


def test_a_connection_counts_until_it_has_gone_even_if_its_watches_have_fired() -> None:
    watches = Watches()
    watches.watch_data("/a", 1)
    watches.take("/a", CREATED)
    assert (watches.connection_count, watches.path_count, watches.count, watches.is_empty) == (1, 0, 0, True)
    watches.remove_connection(1)
    assert watches.connection_count == 0


def test_whoever_watches_is_told_in_the_order_of_coming() -> None:
    watches = Watches()
    for connection in (5, 3, 9, 1):
        watches.watch_data("/a", connection)
    watches.watch("/", 7, RECURSIVE)
    assert list(watches.take("/a", DATA_CHANGED)) == [5, 3, 9, 1, 7]


def test_a_read_that_watches_ends_a_persistent_watch_of_its_kind_as_in_apache() -> None:
    watches = Watches()
    watches.watch("/a", 1, PERSISTENT)
    watches.watch_data("/a", 1)
    assert list(watches.take("/a", DATA_CHANGED)) == [1]
    assert list(watches.take("/a", DATA_CHANGED)) == []
    assert list(watches.take("/a", CHILDREN_CHANGED)) == [1]
    assert list(watches.take("/a", DELETED)) == [1]


def test_what_a_take_returned_is_not_changed_by_what_comes_later() -> None:
    watches = Watches()
    for connection in (1, 2):
        watches.watch("/a", connection, PERSISTENT)
    told = watches.take("/a", DATA_CHANGED)
    watches.remove_connection(1)
    watches.watch_data("/a", 3)
    assert list(told) == [1, 2]


def test_a_notification_is_a_whole_frame_with_zxid_minus_one() -> None:
    data = notification("/é", CREATED)
    assert LENGTH.unpack_from(data)[0] == len(data) - 4
    header, at = codec(ReplyHeader).decode_from(data, 4)
    assert header == (-1, -1, 0)
    assert codec(WatcherEvent).decode_from(data, at) == ((CREATED, 3, "/é"), len(data))
