"""TLS: who is served, with which certificate, on which port; and what goes wrong without disturbing anybody."""

import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apache import free_ports
from certificates import REASON, Authority, is_installed
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import make_acl
from raw import RawClient

from muskox.errors import CallerError, Unavailable
from muskox.keeper import Keeper
from muskox.keeper.server.options import TlsOptions
from muskox.keeper.server.tls import make_context
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import AuthPacket, ClientInfo, WhoAmIReply, codec

pytestmark = pytest.mark.skipif(not is_installed(), reason=REASON)

SECONDS_MAX = 10.0
BOB = "CN=bob,O=Big Org\\, Inc.,C=DE"
ROOT = "CN=root"


class Servers:
    """A keeper that takes TLS beside plaintext, and by itself with clients' certificates wanted; and who may sign them."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "authority")
        self.stranger = Authority(folder / "stranger")
        self.certificate = self.authority.issue("server", "/CN=server")
        self.bob = self.authority.issue("bob", "/C=DE/O=Big Org, Inc./CN=bob")
        self.root = self.authority.issue("root", "/CN=root")
        self.mallory = self.stranger.issue("mallory", "/CN=mallory")
        (self.secure_port,) = free_ports(1)
        self.keeper = Keeper(
            four_letter_words="all",
            secure_client_port=self.secure_port,
            port_unification=True,
            tls_cert=self.certificate[0],
            tls_key=self.certificate[1],
            tls_ca=self.authority.ca,
            client_auth="want",
            x509_super_user=ROOT,
            max_client_connections=0,
        )

    def said(self) -> str:
        return (self.keeper.data_dir / "keeper.out").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = Servers(tmp_path_factory.mktemp("tls"))
    with made.keeper:
        yield made


@pytest.fixture
def kazoo(servers: Servers) -> Iterator[Callable[..., KazooClient]]:
    clients: list[KazooClient] = []

    def make(port: int, files: tuple[Path, Path] | None = None) -> KazooClient:
        own = {} if files is None else {"certfile": str(files[0]), "keyfile": str(files[1])}
        client = KazooClient(f"127.0.0.1:{port}", use_ssl=True, ca=str(servers.authority.ca), **own)
        clients.append(client)
        client.start(SECONDS_MAX)
        return client

    yield make
    for client in clients:
        client.stop()
        client.close()


def secured(context: ssl.SSLContext, port: int) -> ssl.SSLSocket:
    sock = socket.create_connection(("127.0.0.1", port), SECONDS_MAX)
    return context.wrap_socket(sock, server_hostname="localhost")


class SecureClient(RawClient):
    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        super().__init__(port)
        self.file.close()
        self.sock = context.wrap_socket(self.sock, server_hostname="localhost")
        self.file = self.sock.makefile("rb")


def test_a_client_certificate_is_who_an_acl_names(servers: Servers, kazoo: Callable[..., KazooClient]) -> None:
    bob = kazoo(servers.secure_port, servers.bob)
    assert bob.create("/bobs", b"his", acl=[make_acl("x509", credential=BOB, all=True)]) == "/bobs"
    assert bob.get("/bobs")[0] == b"his"
    nobody = kazoo(servers.secure_port)
    with pytest.raises(NoAuthError):
        nobody.get("/bobs")
    assert kazoo(servers.keeper.port, servers.root).get("/bobs")[0] == b"his"


def test_one_port_takes_tls_and_plaintext_alike(servers: Servers, kazoo: Callable[..., KazooClient]) -> None:
    kazoo(servers.keeper.port, servers.bob).create("/shared", b"1")
    with RawClient(servers.keeper.port) as plain:
        plain.connect()
        assert plain.get("/shared").body[4:5] == b"1"


def test_a_certificate_proves_a_subject_and_an_address(servers: Servers) -> None:
    context = servers.authority.client_context(servers.bob)
    with SecureClient(context, servers.secure_port) as client:
        client.connect()
        infos = codec(WhoAmIReply).decode(client.ask(OpCode.WHO_AM_I)[-1].body).clients
        assert set(infos or ()) == {ClientInfo("x509", BOB), ClientInfo("ip", "127.0.0.1")}
        assert client.ask(OpCode.AUTH, AuthPacket(0, "x509", b""))[-1].err == 0


@pytest.mark.parametrize("is_secure", [False, True])
def test_words_are_answered_over_tls(servers: Servers, is_secure: bool) -> None:
    port = servers.secure_port if is_secure else servers.keeper.port
    with secured(servers.authority.client_context(), port) as sock:
        sock.sendall(b"ruok")
        assert sock.recv(100) == b"imok"
        assert sock.recv(100) == b""


def test_last_words_arrive_over_tls_before_the_end(servers: Servers) -> None:
    with SecureClient(servers.authority.client_context(), servers.secure_port) as client:
        client.connect()
        refused = client.ask(OpCode.AUTH, AuthPacket(0, "bogus", b""))
        assert [reply.err for reply in refused] == [-115]
        assert client.receive() is None


def test_megabytes_go_both_ways_over_tls(servers: Servers) -> None:
    data = os.urandom(900_000)
    with SecureClient(servers.authority.client_context(), servers.secure_port) as client:
        client.connect()
        assert client.create("/large", data).err == 0
        for _ in range(5):
            assert client.get("/large").body[4 : 4 + len(data)] == data


def is_cut_off(sock: socket.socket) -> bool:
    try:
        return sock.recv(100) == b""
    except (ConnectionResetError, ssl.SSLError):
        return True


def test_those_who_err_are_cut_off_and_disturb_nobody(servers: Servers) -> None:
    with RawClient(servers.keeper.port) as witness:
        witness.connect()
        failed = failures(servers.keeper.port)
        for port in (servers.secure_port, servers.keeper.port):
            with socket.create_connection(("127.0.0.1", port), SECONDS_MAX) as sock:
                sock.sendall(b"\x16\x03\x01\x00\x05hello" + b"x" * 100)
                while (data := sock.recv(100)) and data[0] == 0x15:  # a TLS alert
                    pass
                assert not data
            with socket.create_connection(("127.0.0.1", port), SECONDS_MAX) as sock:
                sock.sendall(b"\x16")  # no more than that, and gone
            stranger = servers.authority.client_context(servers.mallory)
            # With TLS 1.3 a client hears only after its handshake that its certificate is not trusted.
            try:
                with secured(stranger, port) as sock:
                    assert is_cut_off(sock)
            except (ssl.SSLError, ConnectionResetError):
                pass
            old = servers.authority.client_context()
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            with secured(old, port) as sock:
                assert sock.version() == "TLSv1.2"
        with socket.create_connection(("127.0.0.1", servers.secure_port), SECONDS_MAX) as sock:
            sock.sendall(b"ruok")  # plaintext has no place here
            assert is_cut_off(sock)
        assert witness.exists("/").err == 0
        await_true(lambda: failures(servers.keeper.port) == failed + 6)
    assert "Traceback" not in servers.said()


def failures(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port), SECONDS_MAX) as sock:
        sock.sendall(b"mntr")
        told = b"".join(iter(lambda: sock.recv(65536), b"")).decode()
    return int(next(line for line in told.splitlines() if line.startswith("zk_auth_failed_count")).split()[1])


def await_true(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_handshake_that_stands_still_holds_up_nobody_and_a_stop_ends_it(servers: Servers, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    cert, key = servers.certificate
    keeper = Keeper(data_dir=tmp_path, secure_client_port=port, tls_cert=cert, tls_key=key, client_auth="none")
    with keeper:
        with socket.create_connection(("127.0.0.1", port)) as silent, socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(b"\x16\x03")
            with SecureClient(servers.authority.client_context(), port) as client:
                assert client.connect() is not None
            process = keeper.process
            keeper.stop()
            assert is_cut_off(silent)
            assert is_cut_off(slow)
            assert process is not None
            assert process.returncode == 0
    assert "Traceback" not in (tmp_path / "keeper.out").read_text(encoding="utf-8")


def test_renewed_certificates_are_taken_on_a_signal_and_wrong_ones_are_not(servers: Servers, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def install(files: tuple[Path, Path]) -> None:
        cert.write_bytes(files[0].read_bytes())
        key.write_bytes(files[1].read_bytes())

    def serial(port: int) -> str:
        with secured(servers.authority.client_context(), port) as sock:
            return str((sock.getpeercert() or {})["subject"])

    install(servers.certificate)
    with Keeper(port_unification=True, tls_cert=cert, tls_key=key, client_auth="none") as keeper:
        said = keeper.data_dir / "keeper.out"
        assert "'server'" in serial(keeper.port)
        install(servers.bob)
        os.kill(keeper.pid, signal.SIGHUP)
        await_true(lambda: "were read again" in said.read_text(encoding="utf-8"))
        assert "'bob'" in serial(keeper.port)
        key.write_text("nonsense", encoding="utf-8")
        os.kill(keeper.pid, signal.SIGHUP)
        await_true(lambda: "old certificates stay in use" in said.read_text(encoding="utf-8"))
        assert "'bob'" in serial(keeper.port)


def test_bad_files_are_refused_in_one_sentence(servers: Servers, tmp_path: Path) -> None:
    cert, key = servers.certificate
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense", encoding="utf-8")
    for options, what in (
        (TlsOptions(tmp_path / "none.pem", key, client_auth="none"), "none.pem.*No such file"),
        (TlsOptions(cert, nonsense, client_auth="none"), "nonsense.pem"),
        (TlsOptions(cert, servers.bob[1], client_auth="none"), "key values mismatch"),
        (TlsOptions(cert, key, nonsense), "no authorities"),
        (TlsOptions(cert, key), "give the authorities' file"),
    ):
        with pytest.raises(CallerError, match=what) as refused:
            make_context(options)
        assert "\n" not in str(refused.value)
    with pytest.raises(Unavailable, match="no certificate and key for TLS"):
        Keeper(data_dir=tmp_path / "data", port_unification=True, tls_cert=cert, tls_key=nonsense, client_auth="none").start()


def test_an_encrypted_key_needs_its_password_and_asks_nobody(servers: Servers, tmp_path: Path) -> None:
    from certificates import openssl

    cert, key = servers.certificate
    openssl(tmp_path, "ec", "-in", str(key), "-aes256", "-passout", "pass:secret", "-out", "locked.key")
    make_context(TlsOptions(cert, tmp_path / "locked.key", client_auth="none", key_password="secret"))
    for password in (None, "wrong"):
        with pytest.raises(CallerError, match="locked\\.key"):
            make_context(TlsOptions(cert, tmp_path / "locked.key", client_auth="none", key_password=password))
