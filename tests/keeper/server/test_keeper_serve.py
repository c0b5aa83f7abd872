"""Start and stop, one folder one server, ports, disks that refuse, and clients that misbehave."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from apache import four_letters
from raw import OPEN, RawClient, connect_request, request

from muskox.errors import CallerError, Unavailable
from muskox.keeper import Keeper
from muskox.keeper.server.client import OUTPUT_BYTES_MAX
from muskox.keeper.wire.frames import FRAME_BYTES_MAX
from muskox.keeper.wire.jute import LENGTH
from muskox.keeper.wire.opcodes import ErrorCode, OpCode
from muskox.keeper.wire.records import CreateRequest, PathWatch

SECONDS_MAX = 20.0


def command(data_dir: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "muskox.keeper", "--data-dir", str(data_dir), "--client-port", "0", *words]


def test_a_graceful_stop_acknowledges_what_is_under_way_and_exits_0(tmp_path: Path) -> None:
    keeper = Keeper(data_dir=tmp_path).start()
    with RawClient(keeper.port) as client:
        client.connect()
        for index in range(50):
            client.send(request(index, OpCode.CREATE, CreateRequest(f"/n{index}", b"", OPEN, 0)))
        assert client.receive() is not None
        process = keeper.process
        keeper.stop()
        assert process is not None
        assert process.returncode == 0
        answered = 1
        while client.receive():
            answered += 1
    with keeper, RawClient(keeper.port) as client:
        client.connect()
        assert all(client.exists(f"/n{index}").err == 0 for index in range(answered))


def test_a_folder_has_one_server_and_the_second_names_the_first(tmp_path: Path) -> None:
    with Keeper(data_dir=tmp_path) as keeper:
        second = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
        assert second.returncode == 1
        assert f"in use by the keeper with pid {keeper.pid}" in second.stderr
        assert second.stderr.count("\n") == 1
        with pytest.raises(Unavailable, match=f"pid {keeper.pid}"):
            Keeper(data_dir=tmp_path).start()


def test_a_port_in_use_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with Keeper() as keeper, pytest.raises(Unavailable, match=f"port {keeper.port} of 127.0.0.1 is in use"):
        Keeper(port=keeper.port, data_dir=tmp_path).start()


def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        f"from muskox.keeper import Keeper; k = Keeper(data_dir={str(tmp_path)!r}).start(); print(k.pid, flush=True); input()"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdin is not None
    pid = int(parent.stdout.readline())
    handle = os.pidfd_open(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    await_end(handle)
    os.close(handle)
    parent.stdin.close()
    parent.stdout.close()


def await_end(handle: int) -> None:
    """Wait until the process of a pidfd is gone."""
    import select

    poll = select.poll()
    poll.register(handle, select.POLLIN)
    assert poll.poll(SECONDS_MAX * 1000), "the server outlived its parent"


def test_a_keeper_says_what_it_is_told_wrongly() -> None:
    with pytest.raises(CallerError, match="no setting 'tick'"):
        Keeper(tick=1)
    with pytest.raises(CallerError, match="not started"):
        _ = Keeper().pid


@pytest.mark.parametrize(
    "words",
    [
        ("--tick-ms", "0"),
        ("--tick-ms", "2000000000"),  # session timeouts that no client can be told
        ("--client-port", "70000"),
        ("--min-session-timeout-ms", "99999"),
        ("--max-session-timeout-ms", "3000000000"),
        ("--container-check-ms", "99999999999999999999"),
        ("--preallocated-bytes", "99999999999999999999"),
        ("--data-dir", ""),
    ],
)
def test_bad_options_are_refused_with_the_rule(tmp_path: Path, words: tuple[str, str]) -> None:
    result = subprocess.run(command(tmp_path, *words), capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert result.returncode == 2
    assert words[1] in result.stderr


def test_ctrl_c_ends_a_recovery_at_once_and_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "version-2").mkdir()
    os.mkfifo(tmp_path / "version-2" / "log.1")  # to read it takes for ever
    server = subprocess.Popen(command(tmp_path), stderr=subprocess.PIPE, text=True)
    lock = tmp_path / "keeper.lock"
    try:
        await_condition(lambda: lock.exists() and lock.read_text(encoding="ascii") == f"{server.pid}\n")
        server.send_signal(signal.SIGINT)
        assert server.communicate(timeout=SECONDS_MAX)[1] == ""
    finally:
        server.kill()
    assert server.returncode == -signal.SIGINT


def test_a_server_goes_on_when_nobody_hears_it_any_more(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    words = ("--enforce-quota", "--max-client-connections", "1", "--tick-ms", "100")
    with started(command(tmp_path, *words), stderr=write_end) as (_, port):
        os.close(write_end)
        os.close(read_end)
        with RawClient(port) as client:
            client.connect(timeout_ms=200)
            assert client.create("/e", b"", 1).err == 0
            with RawClient(port) as second:  # its refusal would be told
                assert second.connect() is None
            limits = b"count=-1,bytes=-1;countHardLimit=1"
            for path, data in (("", b""), ("/zookeeper_limits", limits), ("/zookeeper_stats", b"")):
                assert client.create(f"/zookeeper/quota/q{path}", data).err == 0
            assert client.create("/q").err == 0
            assert client.create("/q/more").err == ErrorCode.QUOTA_EXCEEDED  # told at the next tick
        with RawClient(port) as client:
            client.connect()
            await_condition(lambda: client.exists("/e").err == ErrorCode.NO_NODE)  # time goes on: the session expires


def test_snapshots_are_taken_though_whoever_started_the_server_waits_for_no_child(tmp_path: Path) -> None:
    shell = ["bash", "-c", 'trap "" CHLD; exec "$@"', "keeper", *command(tmp_path, "--snap-count", "2")]
    with started(shell, stderr=subprocess.DEVNULL) as (_, port), RawClient(port) as client:
        client.connect()
        client.create("/a")

        def snapshots() -> int:
            client.set("/a", b"")
            return len(list((tmp_path / "version-2").glob("snapshot.*[0-9a-f]")))

        await_condition(lambda: snapshots() >= 3)


def test_a_server_whose_log_is_deleted_acknowledges_no_more_and_ends(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with started(command(data_dir, "--tick-ms", "100"), stderr=subprocess.PIPE) as (server, port), RawClient(port) as client:
        client.connect()
        assert client.create("/a").err == 0
        shutil.rmtree(data_dir)
        assert server.stderr is not None
        assert server.wait(SECONDS_MAX) == 1
        assert b"the log was deleted or moved while it was written" in server.stderr.read()


def test_a_server_tells_what_it_can_though_its_folders_are_gone(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    words = command(Path("data"), "--four-letter-words", "all", "--admin-port", "0")
    with started(words, stderr=subprocess.PIPE, cwd=here) as (server, port):
        assert server.stderr is not None
        admin = int(server.stderr.readline().split(b"127.0.0.1:")[2].partition(b"/")[0])  # nothing is logged yet
        shutil.rmtree(here)
        for word in ("envi", "conf", "dirs", "mntr"):
            assert str(here) in four_letters(port, word) or word in ("dirs", "mntr")
        with socket.create_connection(("127.0.0.1", admin), SECONDS_MAX) as asker:
            asker.sendall(b"GET /commands/last_snapshot HTTP/1.0\r\n\r\n")
            assert asker.recv(1000).startswith(b"HTTP/1.1 500 ")


def test_a_module_of_the_same_name_where_it_is_started_is_not_taken_for_pythons(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('not this one')\n", encoding="utf-8")
    script = "import sys; sys.path.remove(''); from muskox.keeper import Keeper; Keeper().start().stop()"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def await_condition(is_met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not is_met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def started(words: list[str], stderr: int, cwd: Path | None = None) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Yield a server that serves, and its port; kill it."""
    read_end, write_end = os.pipe()
    environment = os.environ | {"MUSKOX_READY_FD": str(write_end)}
    server = subprocess.Popen(words, stderr=stderr, env=environment, pass_fds=[write_end], cwd=cwd)
    os.close(write_end)
    try:
        with os.fdopen(read_end) as ready:
            port = int(ready.readline())
        yield server, port
    finally:
        server.kill()
        server.communicate()


def test_a_disk_that_is_full_ends_the_server_and_nothing_unwritten_was_acknowledged(tmp_path: Path) -> None:
    kilobytes = 6 << 10  # of the log's second preallocation step, 8 MiB, there is no room for all
    shell = ["bash", "-c", f'ulimit -f {kilobytes}; exec "$@"', "keeper", *command(tmp_path)]
    read_end, write_end = os.pipe()
    environment = os.environ | {"MUSKOX_READY_FD": str(write_end)}
    server = subprocess.Popen(shell, stderr=subprocess.PIPE, text=True, env=environment, pass_fds=[write_end])
    os.close(write_end)
    with os.fdopen(read_end) as ready:
        port = int(ready.readline())
    acknowledged = 0
    with RawClient(port) as client:
        client.connect()
        for index in range(10):
            client.send(request(index, OpCode.CREATE, CreateRequest(f"/n{index}", bytes(1_000_000), OPEN, 0)))
            if client.receive() is None:
                break
            acknowledged += 1
    _, said = server.communicate(timeout=SECONDS_MAX)
    assert server.returncode == 1
    assert "the disk refuses" in said
    assert 0 < acknowledged < 10
    with Keeper(data_dir=tmp_path) as keeper, RawClient(keeper.port) as client:
        client.connect()
        assert all(client.exists(f"/n{index}").err == 0 for index in range(acknowledged))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 64,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        LENGTH.pack(FRAME_BYTES_MAX + 1),
        LENGTH.pack(-1),
        LENGTH.pack(5) + b"short",
        LENGTH.pack(0),
        connect_request() + LENGTH.pack(3) + b"abc",
        connect_request() + LENGTH.pack(FRAME_BYTES_MAX + 1),
        connect_request(last_zxid=1 << 60),
    ],
    ids=[
        "noise",
        "http",
        "oversize",
        "negative",
        "short connect",
        "empty frame",
        "no header",
        "oversize later",
        "from the future",
    ],
)
def test_nonsense_closes_its_own_connection_and_no_other(shared_keeper: Keeper, data: bytes) -> None:
    with RawClient(shared_keeper.port) as good, RawClient(shared_keeper.port) as bad:
        good.connect()
        bad.send(data)
        while bad.receive_frame() is not None:
            pass
        assert good.exists("/").err == 0


def test_an_unknown_operation_is_refused_and_closes(shared_keeper: Keeper) -> None:
    with RawClient(shared_keeper.port) as client:
        client.connect()
        (reply,) = client.ask(77)
        assert (reply.zxid, reply.err) == (-1, ErrorCode.UNIMPLEMENTED)
        assert client.receive() is None


def test_a_client_that_reads_nothing_is_bounded_and_disturbs_nobody(own_keeper: Keeper) -> None:
    with RawClient(own_keeper.port) as greedy, RawClient(own_keeper.port) as good:
        greedy.connect()
        good.connect()
        assert good.create("/big", bytes(900_000)).err == 0
        greedy.sock.setblocking(False)
        look = request(1, OpCode.GET_DATA, PathWatch("/big", False)) * 100
        with pytest.raises(BlockingIOError):
            for _ in range(100_000):
                greedy.sock.sendall(look)  # until the server reads no more
        assert good.exists("/big").err == 0
        assert resident_bytes(own_keeper.pid) < 60_000_000 + OUTPUT_BYTES_MAX * 4


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_a_word_that_is_not_allowed_says_so(tmp_path: Path) -> None:
    with Keeper(data_dir=tmp_path) as keeper, socket.create_connection(("127.0.0.1", keeper.port), SECONDS_MAX) as sock:
        sock.sendall(b"mntr")
        assert b"".join(iter(lambda: sock.recv(4096), b"")) == b"mntr is not executed because it is not in the whitelist.\n"


def test_snapshots_are_taken_while_serving_and_old_files_go(tmp_path: Path) -> None:
    with Keeper(data_dir=tmp_path, snap_count=50) as keeper:
        with RawClient(keeper.port) as client:
            client.connect()
            for index in range(600):
                assert client.create(f"/n{index}").err == 0
        keeper.kill()
        names = sorted(path.name for path in (tmp_path / "version-2").iterdir())
        assert 1 < sum(name.startswith("snapshot") for name in names) <= 4
        keeper.start()
        with RawClient(keeper.port) as client:
            client.connect()
            assert client.exists("/n599").err == 0


def test_a_server_starts_without_the_heavy_libraries() -> None:
    script = (
        "import sys; import muskox.keeper.server.serve; print([m for m in ('numpy', 'pyarrow', 'sklearn') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS_MAX, check=True)
    assert result.stdout.strip() in ("[]", "['numpy']")


def test_what_came_before_a_frame_that_is_too_long_is_answered(shared_keeper: Keeper) -> None:
    with RawClient(shared_keeper.port) as client:
        client.connect()
        client.send(request(1, OpCode.PING) + request(2, OpCode.EXISTS, PathWatch("/", False)) + b"\x7f\xff\xff\xff")
        assert [getattr(client.receive(), "xid", None) for _ in range(3)] == [-2, 2, None]


def test_a_server_whose_log_is_killed_ends_and_what_it_acknowledged_stays(tmp_path: Path) -> None:
    keeper = Keeper(data_dir=tmp_path)
    with keeper, RawClient(keeper.port) as client:
        client.connect()
        assert client.create("/kept").err == 0
        (child,) = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        assert keeper.await_end() == 1
        said = (tmp_path / "keeper.out").read_text().splitlines()[-1]
        assert said.endswith(f"the log's process, pid {child}, has ended by signal 9: nothing can be written any more")
        keeper.start()
        with RawClient(keeper.port) as again:
            again.connect()
            assert again.exists("/kept").err == 0
