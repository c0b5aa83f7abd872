"""``muskox keeper`` as a user types it: serving, by flags and by zoo.cfg, and a look at the files."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import Muskox
from kazoo.client import KazooClient

from muskox.keeper import Keeper, NodeLine, SessionLine, TransactionLine

SECONDS_MAX = 60


@pytest.fixture
def here(tmp_path: Path) -> Muskox:
    return Muskox(tmp_path)


@contextmanager
def serving(here: Muskox, *words: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """Run ``muskox keeper``, and give its process and port once it serves."""
    ready, ready_end = os.pipe()
    environment = here.environment | {"MUSKOX_READY_FD": str(ready_end)}
    command = [sys.executable, "-m", "muskox", "keeper", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, pass_fds=[ready_end]) as process:
        os.close(ready_end)
        try:
            with os.fdopen(ready) as pipe:
                told = pipe.readline()
            assert told, process.communicate(timeout=SECONDS_MAX)[1]
            yield process, int(told)
        finally:
            process.kill()


def end(process: "subprocess.Popen[str]", number: int) -> tuple[int, str]:
    process.send_signal(number)
    said = process.communicate(timeout=SECONDS_MAX)[1]
    return process.returncode, said


def write_and_read(port: int) -> None:
    client = KazooClient(f"127.0.0.1:{port}")
    client.start()
    client.create("/a", b"here")
    assert client.get("/a")[0] == b"here"
    client.stop()
    client.close()


def test_flags_alone_serve_until_sigterm(here: Muskox) -> None:
    with serving(here, "--data-dir", str(here.folder / "k"), "--client-port", "0") as (process, port):
        write_and_read(port)
        code, said = end(process, signal.SIGTERM)
    assert code == 0
    assert said.splitlines()[0] == f"muskox keeper: serving on 127.0.0.1:{port}, data in {here.folder / 'k'}"


def test_a_zoo_cfg_serves_with_flags_over_it_and_ctrl_c_ends_it(here: Muskox) -> None:
    config = here.folder / "zoo.cfg"
    config.write_text(f"dataDir={here.folder / 'data'}\ndataLogDir={here.folder / 'log'}\nclientPort=2181\ntickTim=5\n")
    with serving(here, str(config), "--client-port", "0") as (process, port):
        write_and_read(port)
        code, said = end(process, signal.SIGINT)
    assert code == 0
    assert "line 4: tickTim is nothing that ZooKeeper knows, so it has no effect; did you mean tickTime?" in said
    assert list((here.folder / "log" / "version-2").glob("log.*")), "the log lies where dataLogDir says"


def test_wrong_use_is_refused_before_anything_is_made(here: Muskox) -> None:
    where = ["--data-dir", str(here.folder / "k")]
    assert "'--tick-ms'" in here.run("keeper", *where, "--tick-ms", "soon", code=2)[1]
    said = here.spawn("keeper", *where, "--client-port", "70000", code=2)[1]
    assert said == "muskox keeper: client_port is 70000; a port is a number from 0 to 65535\n"
    said = here.spawn("keeper", str(here.folder / "none.cfg"), code=2)[1]
    assert said.count("\n") == 1 and "cannot be read" in said
    config = here.folder / "zoo.cfg"
    config.write_text("server.1=a:1:2\nserver.2=b:1:2\n")
    assert "line 1: server.1, server.2: this is an ensemble" in here.spawn("keeper", str(config), code=2)[1]
    assert not (here.folder / "k").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with three snapshots and logs."""
    folder = tmp_path_factory.mktemp("kept")
    with Keeper(data_dir=folder, snap_count=10) as keeper:
        client = KazooClient(keeper.hosts)
        client.start()
        client.create("/a", b"x" * 100)
        for index in range(25):
            client.set("/a", str(index).encode())
        transaction = client.transaction()
        transaction.create("/b", b"\x1b[31m\xff")
        transaction.set_data("/a", b"last")
        transaction.commit()
        client.stop()
        client.close()
    return folder


def test_check_tells_people_and_scripts_and_exits_with_1_on_damage(here: Muskox, folder: Path, tmp_path: Path) -> None:
    out, _ = here.run("keeper", "check", str(folder))
    assert "snapshot.0" in out and "whole" in out and "nothing is to be done" in out
    told = here.json("keeper", "check", str(folder))
    assert told["whole"] is told["starts"] is True
    assert int(told["zxid"], 16) == 29, "as ZooKeeper writes it, 0x1d: a session, a create, 25 sets, a multi, its end"
    copy = tmp_path / "copy"
    (copy / "version-2").mkdir(parents=True)
    for file in (folder / "version-2").iterdir():
        data = bytearray(file.read_bytes())
        if file.name == last_log(folder).name:
            data[80] ^= 1
        (copy / "version-2" / file.name).write_bytes(data)
    out, _ = here.run("keeper", "check", str(copy), code=1)
    assert f"damaged: {last_log(folder).name} is damaged at byte" in out and "repair --truncate-at" in out
    told = json.loads(here.run("keeper", "check", str(copy), "--json", code=1)[0])
    assert told["whole"] is False and told["problems"]
    here.run("keeper", "repair", str(copy), "--truncate-at", told["truncate_at"])
    assert here.json("keeper", "check", str(copy))["zxid"] == told["truncate_at"]
    assert "not yet" not in here.run("keeper", "handover", str(copy))[0]


def last_log(folder: Path) -> Path:
    return max((folder / "version-2").glob("log.*"), key=lambda path: int(path.suffix[1:], 16))


def test_a_file_that_cannot_be_read_is_named(here: Muskox, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "kept")
    (tmp_path / "kept" / "version-2" / "log.ff").mkdir()  # for root, nothing else cannot be read
    for what in ("check", "dump", "handover"):
        said = here.run("keeper", what, str(tmp_path / "kept"), code=1)[1]
        assert "log.ff cannot be used: Is a directory" in said and "should not happen" not in said


def test_dump_prints_lines_that_cannot_steer_a_terminal(here: Muskox, folder: Path) -> None:
    out, _ = here.run("keeper", "dump", str(last_log(folder)))
    assert "setData /a" in out and "\n    create /b" in out and "\x1b" not in out
    out, _ = here.run("keeper", "dump", str(folder))
    assert "/a persistent version 26 " in out and "4 bytes b'last'" in out
    lines = [json.loads(line) for line in here.run("keeper", "dump", str(folder), "--json")[0].splitlines()]
    assert {"/", "/a", "/b", "/zookeeper"} <= {line["path"] for line in lines if line["line"] == "node"}


def test_each_kind_of_line_is_described() -> None:
    from muskox.cli.keeper import describe, printable

    node = NodeLine("/e", None, ("world:anyone:r",), 1, 2, 3, 0, 0, 4, 5, 6, 0x1F, "ephemeral", 0)
    said = describe(node)
    assert said.startswith("/e ephemeral of 0x1f version 4 cversion 5 aversion 6 czxid 0x1") and said.endswith("no data")
    assert describe(SessionLine(-1, 4000, 2)) == "session 0xffffffffffffffff timeout 4000 ms, 2 ephemerals"
    transaction = TransactionLine(0, 16, 0, 1, 2, "multi", "", "", 9, None, ("create /a", "delete /b"))
    assert describe(transaction) == "0x10 1970-01-01 00:00:00.000 session 0x1 cxid 0x2 multi\n    create /a\n    delete /b"
    assert printable("/a\x1b[31m\n\u202e") == "/a\\x1b[31m\n\\u202e"


def test_a_reader_that_has_seen_enough_ends_a_dump_quietly(here: Muskox, folder: Path) -> None:
    process = here.start("keeper", "dump", str(folder), "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(SECONDS_MAX) == 0
    assert process.stderr is not None
    with process.stderr as said:
        assert said.read() == ""


def test_repair_asks_for_a_zxid_and_says_what_it_did(here: Muskox, folder: Path) -> None:
    assert "'soon'" in here.refused("keeper", "repair", str(folder), "--truncate-at", "soon")
    assert "cannot be reached" in here.refused("keeper", "repair", str(folder), "--truncate-at", "0xffff")
    out, _ = here.run("keeper", "repair", str(folder), "--truncate-at", "0x1d")
    assert "the last transaction in" in out and "0x1d; nothing lay after it" in out


def test_handover_prints_the_zoo_cfg_and_the_steps(here: Muskox, folder: Path) -> None:
    out, _ = here.run("keeper", "handover", str(folder), "--client-port", "2222")
    assert "ready: Apache ZooKeeper 3.8 can start" in out and f"  dataDir={folder}\n" in out and "clientPort=2222" in out
    assert "1. let Apache's user own the files" in out
    told = here.json("keeper", "handover", str(folder))
    assert told["ready"] is True and f"dataDir={folder}" in told["zoo_cfg"]
    with Keeper(data_dir=folder) as keeper:
        out, _ = here.run("keeper", "handover", str(folder), code=1)
        assert "not yet:" in out and f"kill {keeper.pid}" in out
        assert f"pid {keeper.pid}" in here.run("keeper", "check", str(folder))[0]
        assert f"pid {keeper.pid}" in here.refused("keeper", "repair", str(folder), "--truncate-at", "1")
