"""What `dump` yields of logs, snapshots and folders."""

from pathlib import Path

import pytest
from folders import Folder
from raw import OPEN

from muskox.errors import CallerError, Corrupt
from muskox.keeper.disk.listing import NodeLine, SessionLine, TransactionLine, dump
from muskox.keeper.disk.log import TransactionLog
from muskox.keeper.wire.jute import encode
from muskox.keeper.wire.multi import DONE
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import CreateRequest, MultiHeader


def test_a_log_is_told_transaction_by_transaction(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    lines = list(dump(folder.logs[0]))
    assert all(isinstance(line, TransactionLine) for line in lines)
    assert [line.zxid for line in lines if isinstance(line, TransactionLine)] == [1, 2, 3, 4, 5]
    opened, created = lines[0], lines[1]
    assert isinstance(opened, TransactionLine) and isinstance(created, TransactionLine)
    assert (opened.kind, opened.path, opened.detail) == ("createSession", "", "timeout_ms=10000")
    assert (created.kind, created.path) == ("create", "/n2")
    assert created.detail == "data=b'xx' acl=world:anyone:cdrwa ephemeral=False parent_cversion=1"
    assert created.digest is not None and created.at > opened.at


def test_a_multi_is_told_with_its_parts(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    parts = [CreateRequest(path, b"", OPEN, 0) for path in ("/a", "/a/b")]
    body = b"".join(encode(MultiHeader(OpCode.CREATE, False, -1)) + encode(part) for part in parts) + DONE
    folder.world.ask(1, OpCode.MULTI, body)
    log = TransactionLog(folder.log_folder)
    log.append(13, [folder.world.entries[-1]])
    log.roll()
    (line,) = dump(folder.logs[-1])
    assert isinstance(line, TransactionLine) and line.kind == "multi"
    assert [part.split()[:2] for part in line.parts] == [["create", "/a"], ["create", "/a/b"]]


def test_a_snapshot_and_a_folder_are_told_by_sessions_and_paths(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.world.create(1, "/ephemeral", flags=1)
    folder.write_snapshot()
    lines = list(dump(folder.snapshots[-1]))
    session = lines[0]
    assert isinstance(session, SessionLine) and (session.timeout_ms, session.ephemerals) == (10_000, 1)
    nodes = [line for line in lines[1:] if isinstance(line, NodeLine)]
    assert [node.path for node in nodes] == sorted(folder.world.machine.image().nodes)
    assert {node.kind for node in nodes} == {"persistent", "ephemeral"}
    assert list(dump(tmp_path)) == lines


def test_what_lies_before_the_damage_is_told(tmp_path: Path) -> None:
    path = Folder(tmp_path).logs[0]
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    lines = dump(path)
    assert [next(lines) is not None for _ in range(4)] == [True] * 4
    with pytest.raises(Corrupt, match="closed in good order"):
        next(lines)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match=r"log\.ZXID or snapshot\.ZXID"):
        list(dump(tmp_path / "myid"))
