"""The HTTP ports of a running server: closed unless asked for, one sentence if they cannot be had."""

import json
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import certificates
import pytest
from apache import free_ports
from prometheus_client.parser import text_string_to_metric_families
from raw import RawClient, connect_request

from muskox.errors import Unavailable
from muskox.keeper import Keeper

SECONDS_MAX = 20.0


def read(port: int, path: str) -> tuple[str, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=SECONDS_MAX) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_both_ports_answer_while_clients_work(tmp_path: Path) -> None:
    admin, metrics = free_ports(2)
    with Keeper(data_dir=tmp_path, admin_port=admin, metrics_port=metrics) as keeper, RawClient(keeper.port) as client:
        client.connect()
        for index in range(10):
            assert client.create(f"/n{index}").err == 0
        kind, text = read(metrics, "/metrics")
        assert kind.startswith("text/plain; version=0.0.4")
        told = {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
        assert (told["znode_count"], told["updatelatency_count"], told["commit_count_total"]) == (15, 11, 11)
        assert 1 <= told["fsynctime_count"] <= 11
        assert told["bytes_received_count_total"] > 10 * 20
        assert told["dbinittime_count"] == 1
        (connection,) = json.loads(read(admin, "/commands/connections")[1])["connections"]
        assert (connection["packets_received"], connection["last_operation"], connection["last_cxid"]) == (11, "CREA", 10)
        said = (tmp_path / "keeper.out").read_text(encoding="utf-8")
        assert f"http://127.0.0.1:{admin}/commands" in said
        assert f"http://127.0.0.1:{metrics}/metrics" in said


@pytest.mark.skipif(not certificates.is_installed(), reason=certificates.REASON)
def test_who_comes_over_tls_is_told_apart(tmp_path: Path) -> None:
    cert, key = certificates.Authority(tmp_path / "authority").issue("server", "/CN=server")
    secure, admin = free_ports(2)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    settings = {"secure_client_port": secure, "tls_cert": cert, "tls_key": key, "client_auth": "none", "admin_port": admin}
    with (
        Keeper(data_dir=tmp_path / "data", **settings) as keeper,
        RawClient(keeper.port) as plain,
        socket.create_connection(("127.0.0.1", secure), SECONDS_MAX) as sock,
        context.wrap_socket(sock) as wrapped,
    ):
        plain.connect()
        wrapped.sendall(connect_request())
        assert wrapped.recv(4)
        told = json.loads(read(admin, "/commands/connections")[1])
        assert [each["remote_socket_address"] for each in told["connections"]] == [address_of(plain.sock)]
        assert [each["remote_socket_address"] for each in told["secure_connections"]] == [address_of(wrapped)]


def address_of(sock: socket.socket) -> str:
    host, port = sock.getsockname()
    return f"{host}:{port}"


def test_a_port_in_use_is_told_before_clients_are_served(tmp_path: Path, shared_keeper: Keeper) -> None:
    with pytest.raises(
        Unavailable, match=f"the metrics port {shared_keeper.port} of 127.0.0.1 is in use; take another, or none"
    ):
        Keeper(data_dir=tmp_path, admin_port=0, metrics_port=shared_keeper.port).start()


def test_a_server_that_is_asked_for_no_port_loads_no_http() -> None:
    script = "import sys, muskox.keeper.server.serve; print('h11' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS_MAX, check=True)
    assert result.stdout == "False\n"
