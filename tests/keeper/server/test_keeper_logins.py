"""Clients that say who they are, against a keeper as a process: kazoo's SASL, Java's own, super users and wrong passwords."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from apache import JARS, REASON, is_installed
from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, NoAuthError
from kazoo.security import make_acl
from raw import RawClient

from muskox.errors import Unavailable
from muskox.keeper import Keeper
from muskox.keeper.wire.opcodes import ErrorCode, OpCode
from muskox.keeper.wire.records import AuthPacket, SaslToken

SECONDS_MAX = 20.0
JAAS = 'Server {{ org.apache.zookeeper.server.auth.DigestLoginModule required user_{user}="{password}"; }};\n'
SUPER_DIGEST = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="  # of super:test, by Apache's own tool


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    users = tmp_path_factory.mktemp("users") / "jaas.conf"
    users.write_text(JAAS.format(user="bob", password="bob's"), encoding="utf-8")
    users.chmod(0o600)
    with Keeper(users_file=users, super_digest=SUPER_DIGEST, four_letter_words="all", max_client_connections=0) as keeper:
        yield keeper


@pytest.fixture
def kazoo(keeper: Keeper) -> Iterator[Callable[..., KazooClient]]:
    clients: list[KazooClient] = []

    def make(user: str | None = None, password: str = "bob's") -> KazooClient:
        sasl = None if user is None else {"mechanism": "DIGEST-MD5", "username": user, "password": password}
        client = KazooClient(keeper.hosts, sasl_options=sasl)
        clients.append(client)
        client.start(SECONDS_MAX)
        return client

    yield make
    for client in clients:
        client.stop()
        client.close()


def test_kazoo_proves_a_user_by_sasl_and_is_let_in(kazoo: Callable[..., KazooClient]) -> None:
    bob = kazoo("bob")
    bob.create("/sasl", b"his", acl=[make_acl("sasl", credential="bob", all=True)])
    assert bob.get("/sasl")[0] == b"his"
    with pytest.raises(NoAuthError):
        kazoo().get("/sasl")


@pytest.mark.parametrize(("user", "password"), [("bob", "wrong"), ("mallory", "bob's"), ("mallory", "")])
def test_kazoo_hears_that_its_password_is_wrong(kazoo: Callable[..., KazooClient], user: str, password: str) -> None:
    with pytest.raises(AuthFailedError):
        kazoo(user, password).exists("/")
    kazoo("bob")  # nobody else is disturbed


def test_the_super_digest_opens_what_others_closed(kazoo: Callable[..., KazooClient]) -> None:
    owner, administrator = kazoo(), kazoo()
    owner.add_auth("digest", "somebody:secret")
    owner.create("/closed", b"x", acl=[make_acl("auth", credential="", all=True)])
    with pytest.raises(NoAuthError):
        administrator.get("/closed")
    administrator.add_auth("digest", "super:test")
    assert administrator.get("/closed")[0] == b"x"
    administrator.set_acls("/closed", [make_acl("world", credential="anyone", all=True)])
    assert kazoo().get("/closed")[0] == b"x"


def test_a_failed_proof_ends_one_connection_after_it_was_told(keeper: Keeper) -> None:
    with RawClient(keeper.port) as witness, RawClient(keeper.port) as client:
        witness.connect()
        client.connect()
        assert client.ask(OpCode.SASL, SaslToken(b""))[-1].err == 0
        assert client.ask(OpCode.SASL, SaslToken(b"nonsense"))[-1].err == ErrorCode.AUTH_FAILED
        assert client.receive() is None
        assert witness.exists("/").err == 0
    with RawClient(keeper.port) as again:  # the session was not harmed
        assert again.connect(session_id=client.session_id, password=client.password) is not None
        assert again.session_id == client.session_id
        assert again.ask(OpCode.AUTH, AuthPacket(0, "digest", b"a:b"))[-1].err == 0


@pytest.mark.skipif(not is_installed(), reason=REASON)
def test_javas_client_logs_in_with_a_jaas_file(keeper: Keeper, tmp_path: Path) -> None:
    def java(password: str, *words: str) -> str:
        jaas = tmp_path / "client.jaas"
        module = "org.apache.zookeeper.server.auth.DigestLoginModule"
        jaas.write_text(f'Client {{ {module} required username="bob" password="{password}"; }};', encoding="utf-8")
        command = [shutil.which("java") or "java", "-XX:TieredStopAtLevel=1", f"-Djava.security.auth.login.config={jaas}"]
        command += ["-cp", str(JARS / "zookeeper.jar"), "org.apache.zookeeper.ZooKeeperMain", "-server", keeper.hosts, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    assert "Created /java" in java("bob's", "create", "/java", "x", "sasl:bob:cdrwa")
    assert "AuthFailed" in java("wrong", "get", "/java")


def test_where_sasl_is_required_others_are_shown_the_door(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text("bob:b\n", encoding="utf-8")
    users.chmod(0o644)
    with Keeper(data_dir=tmp_path / "data", users_file=users, require_auth="sasl") as keeper:
        with RawClient(keeper.port) as client:
            client.connect()
            assert client.exists("/").err == ErrorCode.SESSION_CLOSED_REQUIRE_SASL_AUTH
            assert client.receive() is None
        assert "can be read by everybody" in (tmp_path / "data" / "keeper.out").read_text(encoding="utf-8")


def test_a_wrong_file_of_users_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot read the users in"):
        Keeper(data_dir=tmp_path / "a", users_file=tmp_path / "none").start()
    users = tmp_path / "users"
    users.write_text("nonsense\n", encoding="utf-8")
    command = [sys.executable, "-m", "muskox.keeper", "--data-dir", str(tmp_path / "b"), "--client-port", "0"]
    done = subprocess.run(
        [*command, "--users-file", str(users)], capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert "line 1 of" in done.stderr
