"""Kill -9 in a loop, with a recorder of every acknowledgement: nothing acknowledged is lost, nothing appears by half."""

from pathlib import Path
from threading import Thread

import pytest
from raw import OPEN, RawClient, request

from muskox.keeper import Keeper, check
from muskox.keeper.wire.jute import codec, encode
from muskox.keeper.wire.multi import DONE
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import ChildrenReply, CreateRequest, DataReply, MultiHeader, PathWatch

KILLS = 5
WRITERS = 3
IN_FLIGHT = 20
ACKNOWLEDGED_BEFORE_A_KILL = 300


class Recorder:
    """One client that makes pairs of nodes, each pair in a multi, with many under way; it notes what is acknowledged."""

    def __init__(self, port: int, name: str) -> None:
        self.port = port
        self.name = name
        self.sent = 0
        self.acknowledged: set[int] = set()
        self.session_id = 0
        self.password = bytes(16)

    def pair(self, number: int) -> bytes:
        parts = [CreateRequest(f"/{self.name}-{number}-{half}", b"", OPEN, 0) for half in ("left", "right")]
        body = b"".join(encode(MultiHeader(OpCode.CREATE, False, -1)) + encode(part) for part in parts) + DONE
        return request(number, OpCode.MULTI, body)

    def run(self) -> None:
        """Write until the server is gone; the session goes on from one server to the next."""
        try:
            with RawClient(self.port) as client:
                client.connect(session_id=self.session_id, password=self.password, timeout_ms=40_000)
                assert client.session_id, "the session was not resumed"
                self.session_id, self.password = client.session_id, client.password
                for _ in range(IN_FLIGHT):
                    self.send_next(client)
                while reply := client.receive():
                    assert reply.err == 0
                    self.acknowledged.add(reply.xid)
                    self.send_next(client)
        except (ConnectionError, TimeoutError):
            return

    def send_next(self, client: RawClient) -> None:
        self.sent += 1
        client.send(self.pair(self.sent))


def find_pairs(port: int) -> dict[str, set[int]]:
    """Return the numbers of the pairs of each writer; assert that none is there by half."""
    with RawClient(port) as client:
        client.connect()
        (reply,) = client.ask(OpCode.GET_CHILDREN, PathWatch("/", False))
    names = set(codec(ChildrenReply).decode(reply.body).children or ()) - {"zookeeper"}
    found: dict[str, set[int]] = {}
    for name in names:
        writer, number, half = name.split("-")
        assert f"{writer}-{number}-{'left' if half == 'right' else 'right'}" in names
        found.setdefault(writer, set()).add(int(number))
    return found


@pytest.mark.parametrize("snap_count", [1_000, 20], ids=["", "amid snapshots and new logs"])
def test_nothing_acknowledged_is_lost_over_many_kills(snap_count: int) -> None:
    with Keeper(snap_count=snap_count) as keeper:
        recorders = [Recorder(keeper.port, f"w{index}") for index in range(WRITERS)]
        for _ in range(KILLS):
            before = sum(len(each.acknowledged) for each in recorders)
            threads = [Thread(target=each.run, daemon=True) for each in recorders]
            for thread in threads:
                thread.start()
            while sum(len(each.acknowledged) for each in recorders) < before + ACKNOWLEDGED_BEFORE_A_KILL:
                threads[0].join(0.005)
                assert any(thread.is_alive() for thread in threads)
            keeper.kill()
            for thread in threads:
                thread.join()
            keeper.start()
            found = find_pairs(keeper.port)
            for each in recorders:
                assert each.acknowledged <= found[each.name]
                assert found[each.name] <= set(range(1, each.sent + 1))


class Cramped(Keeper):
    """A keeper whose files may not grow beyond some 512-byte blocks, for as long as `blocks` is not 0."""

    blocks = 0

    def command(self) -> list[str]:
        limit = ["sh", "-c", f'ulimit -f {self.blocks} && exec "$@"', "sh"] if self.blocks else []
        return [*limit, *super().command()]


def test_a_disk_that_is_full_ends_the_server_and_no_promise(tmp_path: Path) -> None:
    keeper = Cramped(data_dir=tmp_path, preallocated_bytes=1 << 16)
    recorder = Recorder(0, "w0")
    try:
        keeper.blocks = 400
        keeper.start()
        recorder.port = keeper.port
        recorder.run()
        assert keeper.await_end() == 1
        said = (tmp_path / "keeper.out").read_text(encoding="utf-8")
        assert "the disk refuses" in said and "File too large" in said
        assert recorder.acknowledged
        keeper.blocks = 0
        keeper.start()
        assert recorder.acknowledged <= find_pairs(keeper.port)["w0"]
        assert check(tmp_path).is_whole
    finally:
        keeper.stop()


def test_a_session_and_its_ephemerals_live_through_a_kill() -> None:
    with Keeper() as keeper:
        with RawClient(keeper.port) as client:
            client.connect(timeout_ms=20_000)
            assert client.create("/mine", b"x", flags=1).err == 0
        keeper.kill()
        keeper.start()
        with RawClient(keeper.port) as again:
            again.connect(session_id=client.session_id, password=client.password, timeout_ms=20_000)
            assert again.session_id == client.session_id
            assert codec(DataReply).decode(again.get("/mine").body).stat.ephemeral_owner == client.session_id
        with RawClient(keeper.port) as stranger:
            stranger.connect(session_id=client.session_id, password=bytes(16))
            assert stranger.session_id == 0
