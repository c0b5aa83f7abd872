"""What a server tells of itself, looked up in the machine when it is asked."""

from pathlib import Path

import pytest
from operators import joined, lived_in
from raw import OPEN

from muskox.keeper.server import status as status_room
from muskox.keeper.server.status import folder_bytes, java_host
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import CreateRequest


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "[0:0:0:0:0:0:0:1]"),
        ("fe80::a:1%eth0", "[fe80:0:0:0:0:0:a:1%eth0]"),
        ("", ""),
    ],
)
def test_addresses_are_written_as_java_writes_them(host: str, told: str) -> None:
    assert java_host(host) == told


def test_connections_are_told_with_their_sessions(tmp_path: Path) -> None:
    world, status = lived_in(tmp_path)
    joined(status.figures, 9)  # it has opened nothing
    first, second, third = status.connections(asker=9)
    assert [each.session_id for each in (first, second, third)] == [
        world.sessions[1].session_id,
        world.sessions[2].session_id,
        0,
    ]
    assert (first.address, first.interest, third.interest) == ("127.0.0.1:5001", 1, 0)
    assert (first.is_secure, second.is_secure) == (False, True)
    assert (first.operation, first.cxid) == ("NA", -1)  # no shell counted here


def test_what_waits_for_the_disk_is_queued(tmp_path: Path) -> None:
    world, status = lived_in(tmp_path)
    world.syncs = False
    for index in range(3):
        world.put(1, OpCode.CREATE, CreateRequest(f"/q{index}", b"", OPEN, 0))
    world.put(1, OpCode.EXISTS, b"\0\0\0\1/\0")
    world.put(2, OpCode.CREATE, CreateRequest("/q", b"", OPEN, 0))
    assert [each.queued for each in status.connections()] == [4, 1]
    assert status.outstanding == 4
    world.sync()
    assert [each.queued for each in status.connections()] == [0, 0]
    assert status.outstanding == 0


def test_sessions_ephemerals_and_watches_are_listed(tmp_path: Path) -> None:
    world, status = lived_in(tmp_path)
    first, second = (world.sessions[number].session_id for number in (1, 2))
    assert sorted(session for due in status.sessions_due().values() for session in due) == [first, second]
    assert status.ephemerals() == {first: ["/e"]}
    assert status.watches_by_session() == {first: ["/a"], second: ["/a"]}
    assert status.watches_by_path() == {"/a": [first, second]}
    assert status.watch_summary() == (2, 1, 2)
    connections = [each for due in status.connections_due().values() for each in due]
    assert sorted(connections) == [("127.0.0.1:5001", first), ("127.0.0.1:5002", second)]
    world.lose(1)
    assert status.watches_by_path() == {"/a": [second]}


def test_the_root_counts_twice_as_it_does_for_apache(tmp_path: Path) -> None:
    _, status = lived_in(tmp_path)
    assert status.node_count == 8  # /, /a, /b, /e, three under /zookeeper, and / again


def test_the_size_of_the_data_is_exact_for_few_znodes_and_near_for_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, status = lived_in(tmp_path)
    before = status.data_size
    assert before == sum(map(len, ("/", "/a", "12345", "/b", "/e", "/zookeeper", "/zookeeper/quota", "/zookeeper/config")))
    for index in range(1_000):
        world.create(1, f"/n{index:03}", bytes(100))
    exact = before + 1_000 * 105
    assert status.data_size == exact
    monkeypatch.setattr(status_room, "NODES_MEASURED_MAX", 100)
    assert abs(status.data_size - exact) < exact * 0.1


def test_a_folder_is_measured_while_its_files_go(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(10))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_bytes(bytes(5))
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert folder_bytes(tmp_path) == 15
    assert folder_bytes(tmp_path / "missing") == 0
