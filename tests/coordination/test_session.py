"""One session: typed records, watches that fire, commits that check, and every failure a sentence."""

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from kazoo.exceptions import ConnectionLoss

from muskox.coordination import Address, Check, Create, Delete, Refused, Session, Set, layout, parse_url, stored
from muskox.errors import CallerError, Corrupt, Unavailable
from muskox.keeper import Keeper

SECRET = b"0123456789abcdef" * 4
BOUND_S = 20.0

Connect = Callable[..., Session]
RECORD = stored.DatasetRecord(latest=1)
PATH = layout.dataset("flights")


# -- addresses --


@pytest.mark.parametrize(
    ("url", "hosts", "chroot"),
    [
        ("zk://a:1", "a:1", "/muskox"),
        ("zk://a:1/", "a:1", "/muskox"),
        ("zk://a:1,b:2181/one/two", "a:1,b:2181", "/one/two"),
        ("zk://[::1]:2181/x/", "[::1]:2181", "/x"),
    ],
)
def test_a_url_names_hosts_and_chroot(url: str, hosts: str, chroot: str) -> None:
    assert parse_url(url) == Address(hosts, chroot)
    assert parse_url(str(parse_url(url))) == Address(hosts, chroot)


@pytest.mark.parametrize(
    "url", ["", "a:1", "http://a:1", "zk://", "zk://a", "zk://a:x", "zk://:1", "zk://a:1,", "zk://a:0", "zk://a:65536"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(CallerError, match=r"is no cluster address: write zk://host:port"):
        parse_url(url)


# -- connecting --


def test_nobody_there_is_unavailable_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(
        Unavailable, match=rf"no ZooKeeper answers at zk://127\.0\.0\.1:{port}/muskox within 0\.5 s: is the cluster up"
    ):
        Session(f"zk://127.0.0.1:{port}", SECRET).connect(timeout_s=0.5)
    assert threading.active_count() == before


def test_another_secret_does_not_open_the_cluster(session: Session) -> None:
    with pytest.raises(CallerError, match=r"the secret does not open the cluster at .*: use the secret file of that cluster"):
        Session(str(session.address), b"x" * 64).connect()


def test_a_chroot_of_several_levels_is_made_and_shared(url: str, connect: Connect) -> None:
    one, two = connect(), connect()
    assert one.create(PATH, RECORD) == PATH
    assert two.find(PATH, stored.DatasetRecord) == (RECORD, 0)
    assert parse_url(url).chroot.count("/") == 2
    assert two.children("/") == sorted(name.strip("/") for name in layout.ROOTS)


def test_two_clusters_on_one_server_do_not_see_each_other(keeper: Keeper) -> None:
    one, two = (f"zk://{keeper.hosts}/{uuid.uuid4().hex}" for _ in range(2))
    with Session(one, SECRET).connect() as ours, Session(two, b"another secret " * 5).connect() as theirs:
        ours.create(PATH, RECORD)
        assert theirs.find(PATH, stored.DatasetRecord) is None


# -- records --


def test_a_record_is_created_read_and_set_by_version(session: Session) -> None:
    assert session.find(PATH, stored.DatasetRecord) is None
    assert session.create(PATH, RECORD) == PATH
    assert session.create(PATH, stored.DatasetRecord(latest=9)) is None
    assert session.get(PATH, stored.DatasetRecord, "dataset") == (RECORD, 0)
    assert session.set(PATH, stored.DatasetRecord(latest=2), 0) == 1
    assert session.version(PATH) == 1
    with pytest.raises(Refused, match=rf"znode {PATH} is not at version 0"):
        session.set(PATH, stored.DatasetRecord(latest=3), 0)
    assert session.find(PATH, stored.DatasetRecord) == (stored.DatasetRecord(latest=2), 1)
    session.delete(PATH)
    session.delete(PATH)
    with pytest.raises(CallerError, match="there is no dataset 'flights'"):
        session.get(PATH, stored.DatasetRecord, "dataset 'flights'")
    with pytest.raises(Refused):
        session.set(PATH, RECORD)


def test_foreign_bytes_are_corrupt(session: Session) -> None:
    session.kazoo.create(PATH, b"\x00\x01")
    with pytest.raises(Corrupt, match=f"znode {PATH} holds no DatasetRecord"):
        session.find(PATH, stored.DatasetRecord)


def test_a_znode_without_data_is_no_record(session: Session) -> None:
    assert session.find(layout.CONFIG, layout.ConfigRecord) is None


def test_children_are_sorted_and_none_where_nothing_is(session: Session) -> None:
    for name in ("b", "a", "c"):
        session.create(layout.dataset(name), RECORD)
    assert session.children(layout.DATASETS) == ["a", "b", "c"]
    assert session.children("/datasets/nothing") == []


def test_an_ephemeral_is_owned_and_ends_with_its_session(session: Session, connect: Connect) -> None:
    other = connect()
    path = layout.member("ann")
    assert other.create(path, RECORD, ephemeral=True) == path
    assert session.owner(path) == other.id != session.id
    gone = threading.Event()
    session.version(path, lambda _: gone.set())
    other.close()
    assert gone.wait(BOUND_S)
    assert session.owner(path) is None


@pytest.mark.parametrize("read", ["find", "children", "version"])
def test_a_watch_on_what_is_not_there_fires_when_it_comes(session: Session, connect: Connect, read: str) -> None:
    fired = threading.Event()

    def notify(_: object) -> None:
        fired.set()

    match read:
        case "find":
            assert session.find(PATH, stored.DatasetRecord, notify) is None
        case "children":
            assert session.children(PATH, notify) == []
        case _:
            assert session.version(PATH, notify) is None
    assert not fired.is_set()
    connect().create(PATH, RECORD)
    assert fired.wait(BOUND_S)


def test_a_watch_set_twice_by_the_same_function_fires_once_a_change(session: Session, connect: Connect) -> None:
    calls: list[object] = []
    fired = threading.Event()

    def notify(event: object) -> None:
        calls.append(event)
        fired.set()

    session.create(PATH, RECORD)
    for _ in range(3):
        session.find(PATH, stored.DatasetRecord, notify)
    connect().set(PATH, stored.DatasetRecord(latest=2))
    assert fired.wait(BOUND_S)
    assert session.find(PATH, stored.DatasetRecord) == (stored.DatasetRecord(latest=2), 1)
    assert len(calls) == 1


# -- commits --


def never() -> bool:
    raise AssertionError("nothing was lost, so nothing is to be read back")


def test_a_commit_does_all_or_nothing(session: Session) -> None:
    upload = layout.upload("u1")
    session.create(upload, stored.UploadRecord(dataset="flights", started_ms=1))
    session.commit([Check(layout.FENCE, 0), Create(PATH, RECORD), Delete(upload)], never)
    assert session.version(upload) is None
    for broken in (
        [Set(PATH, stored.DatasetRecord(latest=2), 0), Check(layout.FENCE, 1)],
        [Set(PATH, stored.DatasetRecord(latest=2), 0), Delete(upload)],
        [Set(PATH, stored.DatasetRecord(latest=2), 0), Create(PATH, RECORD)],
        [Set(PATH, stored.DatasetRecord(latest=2), 1)],
    ):
        with pytest.raises(Refused, match=r"was refused: (BadVersion|NoNode|NodeExists)Error"):
            session.commit(broken, never)  # type: ignore[arg-type]
    assert session.find(PATH, stored.DatasetRecord) == (RECORD, 0)


class CuttingProxy(threading.Thread):
    """A relay to a server that, once armed, hands one more request on and then drops the connection before the reply."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(daemon=True)
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:{}".format(self._listener.getsockname()[1])  # noqa: UP032
        self.marker = b""
        self.cuts = 0
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._relays: list[threading.Thread] = []

    def run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._pairs.append((client, server))
            for pair in ((client, server), (server, client)):
                self._relays.append(threading.Thread(target=self.relay, args=(*pair, pair[0] is client), daemon=True))
                self._relays[-1].start()

    def relay(self, source: socket.socket, target: socket.socket, is_request: bool) -> None:
        while data := self.read(source):
            is_cut = is_request and self.marker != b"" and self.marker in data
            if is_cut:
                self.marker = b""
                source.shutdown(socket.SHUT_RDWR)  # the client is gone before the server has the request
                self.cuts += 1
            try:
                target.sendall(data)
            except OSError:
                break
            if is_cut:
                break
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_WR)
            except OSError:
                continue

    def read(self, source: socket.socket) -> bytes:
        try:
            return source.recv(1 << 16)
        except OSError:
            return b""

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for pair in self._pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
        for relay in self._relays:
            relay.join(BOUND_S)
        for pair in self._pairs:
            for end in pair:
                end.close()
        self.join(BOUND_S)


@contextmanager
def cutting(keeper: Keeper) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(keeper.host, keeper.port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


def test_a_commit_whose_reply_is_lost_happens_once(keeper: Keeper, url: str, session: Session) -> None:
    asked: list[bool] = []
    session.create(PATH, RECORD)
    with cutting(keeper) as proxy, Session(url.replace(keeper.hosts, proxy.address), SECRET).connect() as cut:

        def was_done() -> bool:
            found = cut.find(PATH, stored.DatasetRecord)
            asked.append(found is not None and found[0].latest == 777)
            return asked[-1]

        proxy.marker = b'{"latest":777}'
        cut.commit([Check(layout.FENCE, 0), Set(PATH, stored.DatasetRecord(latest=777), 0)], was_done)
    assert proxy.cuts == 1
    assert asked == [True]
    assert session.find(PATH, stored.DatasetRecord) == (stored.DatasetRecord(latest=777), 1)


def test_a_commit_that_was_not_done_is_tried_again(keeper: Keeper, url: str, session: Session) -> None:
    session.create(PATH, RECORD)
    with cutting(keeper) as proxy, Session(url.replace(keeper.hosts, proxy.address), SECRET).connect() as cut:
        proxy.marker = b'{"latest":777}'
        cut.commit([Set(PATH, stored.DatasetRecord(latest=777))], lambda: False)
    assert proxy.cuts == 1
    assert session.find(PATH, stored.DatasetRecord) == (stored.DatasetRecord(latest=777), 2)


def test_a_kept_ephemeral_whose_reply_is_lost_is_there_once(keeper: Keeper, url: str, session: Session) -> None:
    path = layout.hold("d@1-a")
    with cutting(keeper) as proxy, Session(url.replace(keeper.hosts, proxy.address), SECRET).connect() as cut:
        proxy.marker = b'"dataset":"d"'
        cut.keep_ephemeral(path, stored.HoldRecord(dataset="d", version=1))
        assert proxy.cuts == 1
        assert session.children(layout.HOLDS) == ["d@1-a"] and session.owner(path) == cut.id
        proxy.marker = b"d@1-a"  # now the order to delete it is lost
        cut.let_go(path)
        gone = threading.Event()
        while session.version(path, lambda _: gone.set()) is not None:
            assert gone.wait(BOUND_S)
            gone.clear()
        assert proxy.cuts == 2


def test_an_old_fence_is_refused(session: Session) -> None:
    fence = session.set(layout.FENCE, layout.FenceRecord(coordinator="ann"))
    session.commit([Check(layout.FENCE, fence), Create(PATH, RECORD)], never)
    session.set(layout.FENCE, layout.FenceRecord(coordinator="bob"))
    with pytest.raises(Refused, match=r"Check\(path='/fence', version=1\) was refused: BadVersionError"):
        session.commit([Check(layout.FENCE, fence), Set(PATH, stored.DatasetRecord(latest=2))], never)


# -- outages --


def test_an_outage_is_told_and_then_everything_goes_on(tmp_path: object) -> None:
    states: list[str] = []
    changed = threading.Condition()

    def listen(state: str) -> None:
        with changed:
            states.append(state)
            changed.notify_all()

    with Keeper() as keeper, Session(f"zk://{keeper.hosts}", SECRET).connect() as session:
        session.on_state(listen)
        session.create(PATH, RECORD, ephemeral=True)
        keeper.kill()
        with changed:
            assert changed.wait_for(lambda: "SUSPENDED" in states, BOUND_S)
        assert not session.is_connected
        assert not session.wait_connected(timeout_s=0.05)
        keeper.start()
        assert session.wait_connected(timeout_s=BOUND_S)
        assert session.find(PATH, stored.DatasetRecord) == (RECORD, 0)
        assert session.owner(PATH) == session.id


def test_a_closed_session_answers_at_once(keeper: Keeper) -> None:
    session = Session(f"zk://{keeper.hosts}/{uuid.uuid4().hex}", SECRET).connect()
    session.close()
    session.close()
    with pytest.raises(Unavailable, match="cannot be reached: ConnectionClosedError"):
        session.version(layout.FENCE)


# -- sizes --


def large(kilobytes: int) -> layout.ConfigRecord:
    return layout.ConfigRecord(values={"x": "y" * (kilobytes * 1000)})


def test_what_is_too_large_for_zookeeper_is_refused_at_once_and_the_rest_goes_through(session: Session) -> None:
    sentence = r"takes 1,000,000 bytes at once, not 1,\d+,\d+ for 1 znodes, 1,000,019 of them for /datasets/flights: use fewer"
    with pytest.raises(CallerError, match=sentence):
        session.create(PATH, large(1000))
    session.create(PATH, RECORD)
    with pytest.raises(CallerError, match=sentence):
        session.set(PATH, large(1000))
    parts: list[Create | Check] = [Create(layout.dataset(f"d{number}"), large(240)) for number in range(4)]
    session.commit(parts, never)  # the largest that passes here passes there
    many: list[Create | Check] = [Create(layout.dataset(f"e{number}"), large(190)) for number in range(5)]
    small: list[Create | Check] = [Check(PATH, 0) for _ in range(400)]
    with pytest.raises(CallerError, match=r"for 405 znodes, 190,019 of them for /datasets/e0: use fewer column groups"):
        session.commit([*many, *small], never)
    assert session.is_connected
    assert session.children(layout.DATASETS) == ["d0", "d1", "d2", "d3", "flights"]


def test_a_commit_that_fails_again_and_again_pauses_in_between(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some servers are reached, and then fail every commit."""
    tries: list[float] = []

    def fail(*_: object) -> None:
        tries.append(time.monotonic())
        raise ConnectionLoss

    monkeypatch.setattr(session, "_commit_once", fail)
    session.commit([Create(PATH, RECORD)], lambda: len(tries) == 6)
    pauses = [after - before for before, after in pairwise(tries)]
    assert all(pause >= least for pause, least in zip(pauses, (0.05, 0.1, 0.2, 0.4, 0.5), strict=True))
