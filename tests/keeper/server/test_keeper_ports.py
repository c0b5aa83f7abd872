"""The ports for clients: which are open, and how many descriptors they may take."""

import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from certificates import REASON, Authority, is_installed
from raw import RawClient

from muskox.errors import Unavailable
from muskox.keeper import Keeper
from muskox.keeper.server.ports import DESCRIPTORS_KEPT

SECONDS_MAX = 20.0


def test_a_server_may_have_as_many_descriptors_as_it_can_and_keeps_some_for_files(tmp_path: Path) -> None:
    limit = DESCRIPTORS_KEPT + 5
    shell = ["bash", "-c", f'ulimit -Sn {limit - 1}; ulimit -Hn {limit}; exec "$@"', "keeper"]
    command = [sys.executable, "-m", "muskox.keeper", "--data-dir", str(tmp_path), "--client-port", "0", "--snap-count", "10"]
    read_end, write_end = os.pipe()
    environment = os.environ | {"MUSKOX_READY_FD": str(write_end)}
    words = [*shell, *command, "--max-client-connections", "0"]
    server = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment, pass_fds=[write_end])
    os.close(write_end)
    with os.fdopen(read_end) as ready:
        port = int(ready.readline())
    try:
        assert resource.prlimit(server.pid, resource.RLIMIT_NOFILE) == (limit, limit)
        with RawClient(port) as client:
            client.connect()
            crowd = [socket.create_connection(("127.0.0.1", port), SECONDS_MAX) for _ in range(limit)]
            assert all(client.create(f"/n{index}").err == 0 for index in range(50))  # new logs and snapshots among them
            refused = 0
            for each in crowd:
                each.setblocking(False)
                try:
                    refused += each.recv(1) == b""
                except BlockingIOError:
                    pass
                except ConnectionResetError:
                    refused += 1
                each.close()
            assert refused == limit - 4
    finally:
        server.terminate()
        _, said = server.communicate(timeout=SECONDS_MAX)
    assert server.returncode == 0, said
    assert "ulimit -n" in said


@pytest.mark.skipif(not is_installed(), reason=REASON)
def test_a_port_in_use_is_named_with_the_flag_to_change_it(tmp_path: Path) -> None:
    cert, key = Authority(tmp_path).issue("server", "/CN=server")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        tls = {"tls_cert": cert, "tls_key": key, "client_auth": "none"}
        with pytest.raises(Unavailable, match=f"port {port} of 127.0.0.1 is in use; take another with --secure-client-port"):
            Keeper(data_dir=tmp_path / "a", secure_client_port=port, **tls).start()
        with pytest.raises(Unavailable, match=f"port {port} of 127.0.0.1 is in use; take another with --client-port"):
            Keeper(data_dir=tmp_path / "b", port=port, port_unification=True, **tls).start()
