"""The Flight service: durable uploads, checked downloads, both ends proving the secret, and reads that outlive a node."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import flight
from store_cluster import KEY, NodeProcess

from muskox.coordination import Tls
from muskox.errors import CallerError, Corrupt, MuskoxError, PeerError, Unavailable
from muskox.program import BLOCK_ROWS
from muskox.store import BlobStore, Plugins, StoreClient, StoreServer, Stream
from muskox.store.disk.shard import write_shard
from muskox.store.service import client as client_module
from muskox.store.service import server as server_module
from muskox.store.service.auth import GREETING, NONCE_BYTES, ClientHandshake, prove
from muskox.store.service.messages import ACTION_BYTES_MAX, CHUNK_BYTES_MAX, CHUNK_SCHEMA
from muskox.streams import stream

DATA = os.urandom((9 << 20) + 5)
NOISE = stream(0, "noise").bytes(100_000)  # the same in every process: names of tests are made of it
DIGEST = hashlib.sha256(DATA).hexdigest()
NOWHERE = "127.0.0.1:1"
TABLE = pa.table({"i": range(5 * BLOCK_ROWS + 10), "s": [f"value {i}" for i in range(5 * BLOCK_ROWS + 10)]})


def boom(_: bytes) -> bytes:
    raise Corrupt("the disk is made of cheese")


def count(argument: bytes) -> Iterator[Any]:
    for number in range(int(argument)):
        yield pa.record_batch({"n": pa.array([number], pa.int64())})


def count_for_ever(_: bytes) -> Iterator[Any]:
    number = 0
    while True:
        yield pa.record_batch({"n": pa.array([number], pa.int64())})
        number += 1


N = pa.schema([("n", pa.int64())])
PLUGINS = Plugins(
    actions={"reverse": lambda body: body[::-1], "boom": boom},
    streams={"count": Stream(N, count), "for ever": Stream(N, count_for_ever)},
)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "node")


@pytest.fixture
def server(blobs: BlobStore) -> Iterator[StoreServer]:
    with StoreServer(blobs, key=KEY, plugins=PLUGINS) as server:
        yield server


@pytest.fixture
def client() -> Iterator[StoreClient]:
    with StoreClient(KEY) as client:
        yield client


def put_shard(client: StoreClient, folder: Path, *addresses: str) -> str:
    (file,) = write_shard(folder / "shard", TABLE.schema, TABLE.to_batches()).parts
    for address in addresses:
        client.put_blob(address, file.path)
    return file.file_digest


@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "one byte", "several chunks"])
def test_a_blob_comes_back_as_it_went(
    client: StoreClient, server: StoreServer, blobs: BlobStore, data: bytes, tmp_path: Path
) -> None:
    digest = client.put_blob(server.address, data)
    assert blobs.read(digest) == data == client.get_blob([server.address], digest)
    source = tmp_path / "source"
    source.write_bytes(data)
    assert client.put_blob(server.address, source) == digest
    cache = BlobStore(tmp_path / "cache")
    assert client.fetch_blob([server.address], digest, cache).read_bytes() == data
    assert client.fetch_blob([], digest, cache).read_bytes() == data  # it is here already


def test_a_long_blob_and_a_long_shard_come_in_pieces(
    client: StoreClient, server: StoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "PIECE_BYTES", 1 << 20)
    pieces = count_pieces(client, monkeypatch)
    digest = client.put_blob(server.address, DATA)
    assert client.get_blob([server.address], digest) == DATA and len(pieces) == 10
    pieces.clear()
    digest = put_shard(client, tmp_path, server.address)
    assert pa.Table.from_batches(client.read_shard([server.address], digest)).equals(TABLE.combine_chunks()) and len(pieces) > 1


def count_pieces(client: StoreClient, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    pieces: list[str] = []
    plain = client._piece

    def counted(address: str, *arguments: Any, **named: Any) -> Any:
        pieces.append(address)
        return plain(address, *arguments, **named)

    monkeypatch.setattr(client, "_piece", counted)
    return pieces


def test_columns_are_selected_on_the_node(client: StoreClient, server: StoreServer, tmp_path: Path) -> None:
    digest = put_shard(client, tmp_path, server.address)
    table = pa.Table.from_batches(client.read_shard([server.address], digest, ["s"]))
    assert table.equals(TABLE.select(["s"]).combine_chunks())
    with pytest.raises(CallerError, match="no column 'z': this shard has i, s"):
        list(client.read_shard([server.address], digest, ["z"]))


def test_reads_fall_over_to_the_next_address(client: StoreClient, server: StoreServer, tmp_path: Path) -> None:
    digest = client.put_blob(server.address, DATA)
    assert client.get_blob([NOWHERE, server.address], digest) == DATA
    assert client.fetch_blob([NOWHERE, server.address], digest, BlobStore(tmp_path / "cache")).exists()
    with pytest.raises(Unavailable, match=rf"no node can give blob {digest}: .*127\.0\.0\.1:1 does not answer"):
        client.get_blob([NOWHERE], digest)
    with pytest.raises(Unavailable, match="none that should hold it is live"):
        client.get_blob([], digest)


def test_a_corrupt_replica_is_passed_over(client: StoreClient, server: StoreServer, tmp_path: Path) -> None:
    bad = BlobStore(tmp_path / "bad")
    digest = put_shard(client, tmp_path, server.address)
    bad.put_bytes(server_blob := client.get_blob([server.address], digest))
    with bad.path(digest).open("r+b") as file:
        file.seek(len(server_blob) // 2)
        file.write(b"flip")
    with StoreServer(bad, key=KEY) as other:
        both = [other.address, server.address]
        assert hashlib.sha256(client.get_blob(both, digest)).hexdigest() == digest
        assert sum(batch.num_rows for batch in client.read_shard(both, digest)) == TABLE.num_rows
        assert [client.verify(address, digest) for address in both] == ["corrupt", "good"]
        with pytest.raises(Unavailable, match="other bytes than were written"):
            client.get_blob([other.address], digest)
    assert client.verify(server.address, "0" * 64) == "missing"


def test_a_cached_blob_that_was_damaged_is_fetched_again(client: StoreClient, server: StoreServer, tmp_path: Path) -> None:
    digest = client.put_blob(server.address, DATA)
    cache = BlobStore(tmp_path / "cache")
    client.fetch_blob([server.address], digest, cache).write_bytes(b"dirt")
    assert client.fetch_blob([server.address], digest, cache).read_bytes() == DATA


def test_a_reader_whose_node_is_killed_goes_on_at_the_same_row(
    client: StoreClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [NodeProcess(tmp_path / name) for name in ("ann", "bob")]
    try:
        digest = put_shard(client, tmp_path, *(node.address for node in nodes))
        pieces = count_pieces(client, monkeypatch)
        monkeypatch.setattr(client_module, "_next_chunk", _after_two_kill(nodes[0]))
        table = pa.Table.from_batches(client.read_shard([node.address for node in nodes], digest))
        assert table.equals(TABLE.combine_chunks())
        assert pieces == [nodes[0].address, nodes[1].address]
    finally:
        for node in nodes:
            node.stop()


def _after_two_kill(node: NodeProcess) -> Callable[[Any], Any]:
    """Read as the client does, but kill `node` once two messages are read and drop what it had sent ahead."""
    seen = []

    def read(reader: Any) -> Any:
        seen.append(1)
        if len(seen) == 3:
            node.process.send_signal(signal.SIGKILL)
            node.process.wait(10)
            while True:  # ends in the error of the broken connection, or with the stream: both are this node's end
                if client_plain(reader) is None:
                    raise flight.FlightUnavailableError("killed")
        return client_plain(reader)

    return read


client_plain = client_module._next_chunk


def test_a_stopped_process_is_given_up_after_the_deadline(
    client: StoreClient, server: StoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = NodeProcess(tmp_path / "ann")
    try:
        for address in (node.address, server.address):
            client.put_blob(address, b"x")
        digest = hashlib.sha256(b"x").hexdigest()
        node.signal(signal.SIGSTOP)
        monkeypatch.setattr(client_module.flight, "FlightCallOptions", _half_a_second)
        assert client.get_blob([node.address, server.address], digest) == b"x"
        with pytest.raises(Unavailable, match="does not answer"):
            client.put_blob(node.address, b"y")
    finally:
        node.signal(signal.SIGCONT)
        node.stop()


plain_options = flight.FlightCallOptions


def _half_a_second(timeout: float | None = None) -> Any:
    return plain_options(timeout=0.5)


def test_a_reader_that_takes_its_time_blames_no_node(
    client: StoreClient, server: StoreServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a reader does with a batch may take longer than a node has for a piece."""
    plain = client._piece
    monkeypatch.setattr(client, "_piece", lambda address, ticket: plain(address, ticket, timeout_s=3.0))
    numbers = pa.table({"x": pa.array(range(8_000_000))})
    (file,) = write_shard(tmp_path / "shard", numbers.schema, numbers.to_batches()).parts
    digest = client.put_blob(server.address, file.path)
    batches, work = [], threading.Event()
    for batch in client.read_shard([server.address], digest):
        batches.append(batch)
        if len(batches) == 2:
            work.wait(3.5)
    assert pa.Table.from_batches(batches).equals(numbers.combine_chunks())


def test_a_restarted_node_is_reached_again(client: StoreClient, server: StoreServer, blobs: BlobStore) -> None:
    digest = client.put_blob(server.address, b"x")
    port = int(server.address.rpartition(":")[2])
    server.stop()
    with pytest.raises(Unavailable):
        client.get_blob([server.address], digest)
    with StoreServer(blobs, key=KEY, port=port) as again:
        assert client.get_blob([again.address], digest) == b"x"
        again.stop()
        with StoreServer(blobs, key=KEY, port=port) as third:  # our token is from the second one
            assert client.get_blob([third.address], digest) == b"x"


def test_a_wrong_secret_is_refused_in_words(server: StoreServer) -> None:
    with StoreClient(b"another key of thirty-two bytes.") as stranger:
        for call in (lambda: stranger.put_blob(server.address, b"x"), lambda: stranger.get_blob([server.address], DIGEST)):
            with pytest.raises(CallerError, match="another secret: use its secret file"):
                call()


def begin_upload(connection: Any, command: bytes) -> None:
    writer, _ = connection.do_put(flight.FlightDescriptor.for_command(command), CHUNK_SCHEMA)
    writer.close()


def test_a_deleted_shard_leaves_no_mapping(client: StoreClient, server: StoreServer, blobs: BlobStore, tmp_path: Path) -> None:
    digest = put_shard(client, tmp_path, server.address)
    assert sum(batch.num_rows for batch in client.read_shard([server.address], digest)) == TABLE.num_rows
    file = str(blobs.path(digest))
    assert file in mapped_files()
    assert client.delete(server.address, [digest], client.clock_ns(server.address)) == [digest]
    assert wait_until(lambda: file not in mapped_files())  # the first reader's stream ends a moment after it
    with pytest.raises(Unavailable, match="is not there"):
        list(client.read_shard([server.address], digest))


def wait_until(is_so: Callable[[], bool]) -> bool:
    pause = threading.Event()
    return any(is_so() or pause.wait(0.02) for _ in range(500))


def mapped_files() -> str:
    return Path("/proc/self/maps").read_text()


def test_no_call_goes_without_proof(server: StoreServer) -> None:
    ticket, action = flight.Ticket(b"{}"), flight.Action("clock", b"")
    with flight.FlightClient(f"grpc://{server.address}") as stranger:
        calls: list[Callable[[], Any]] = [
            lambda: stranger.do_get(ticket).read_all(),
            lambda: list(stranger.do_action(action)),
            lambda: begin_upload(stranger, b"{}"),
            lambda: list(stranger.list_flights()),
        ]
        for call in calls:
            with pytest.raises(flight.FlightUnauthenticatedError):
                call()


class Liar(flight.ClientAuthHandler):
    """Says `hello`, and answers the server's challenge with what `respond` makes of it."""

    def __init__(self, hello: bytes, respond: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self.hello = hello
        self.respond = respond

    def authenticate(self, outgoing: Any, incoming: Any) -> None:
        outgoing.write(self.hello)
        outgoing.write(self.respond(bytes(incoming.read())))
        incoming.read()

    def get_token(self) -> bytes:
        return b""


NONCE = bytes(NONCE_BYTES)
LIARS = {
    "nothing": (b"", lambda challenge: b""),
    "garbage": (os.urandom(100), lambda challenge: challenge),
    "the server's own proof": (GREETING + NONCE, lambda challenge: challenge[NONCE_BYTES:]),
    "a proof in the server's role": (GREETING + NONCE, lambda c: prove(KEY, b"server", NONCE, c[:NONCE_BYTES])),
    "a proof for other nonces": (GREETING + NONCE, lambda c: prove(KEY, b"client", NONCE, NONCE)),
    "another key": (GREETING + NONCE, lambda c: prove(b"x" * 32, b"client", NONCE, c[:NONCE_BYTES])),
}


@pytest.mark.parametrize("liar", LIARS)
def test_a_liar_gets_no_token(server: StoreServer, liar: str) -> None:
    with flight.FlightClient(f"grpc://{server.address}") as stranger:
        with pytest.raises(flight.FlightUnauthenticatedError):
            stranger.authenticate(Liar(*LIARS[liar]))


def test_a_stolen_greeting_is_no_token(server: StoreServer, client: StoreClient) -> None:
    with flight.FlightClient(f"grpc://{server.address}") as thief:
        handshake = ClientHandshake(KEY)
        thief.authenticate(handshake)
        token = handshake.get_token()
        assert list(thief.do_action(flight.Action("clock", b"")))
        handshake._token = token[:-1] + bytes([token[-1] ^ 1])
        with pytest.raises(flight.FlightUnauthenticatedError):
            list(thief.do_action(flight.Action("clock", b"")))


def test_an_impostor_that_does_not_know_the_key_learns_nothing(blobs: BlobStore) -> None:
    with StoreServer(blobs, key=b"an impostor's key, 32 bytes long") as impostor, StoreClient(KEY) as client:
        with pytest.raises(CallerError, match="another secret"):
            client.put_blob(impostor.address, b"a confidential blob")
    assert blobs.digests() == []


@pytest.mark.parametrize(
    "garbage", [b"", b"GET / HTTP/1.1\r\n\r\n", NOISE, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 5000]
)
def test_garbage_on_the_port_disturbs_nobody(server: StoreServer, client: StoreClient, garbage: bytes) -> None:
    host, _, port = server.address.rpartition(":")
    digest = client.put_blob(server.address, b"before")
    with socket.create_connection((host, int(port)), 5) as sock:
        try:
            sock.sendall(garbage)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        except OSError:  # the server may hang up at any byte
            pass
        assert client.get_blob([server.address], digest) == b"before"
    assert client.put_blob(server.address, b"after")


def raw(server: StoreServer) -> Any:
    connection = flight.FlightClient(f"grpc://{server.address}")
    connection.authenticate(ClientHandshake(KEY))
    return connection


@pytest.mark.parametrize("ticket", [b"", b"{}", b"null", NOISE[:50], b'{"type":"blob"}', b'{"type":"blob","digest":7}'])
def test_a_member_that_talks_nonsense_is_told_so(server: StoreServer, ticket: bytes) -> None:
    with raw(server) as member:
        for call in (
            lambda: member.do_get(flight.Ticket(ticket)).read_all(),
            lambda: list(member.do_action(flight.Action("verify", ticket))),
            lambda: begin_upload(member, ticket),
        ):
            with pytest.raises(flight.FlightServerError, match="no message of this version"):
                call()


def test_uploads_are_bounded_and_leave_nothing_when_they_fail(
    server: StoreServer, blobs: BlobStore, client: StoreClient
) -> None:
    def upload(digest: str, chunk: bytes | None) -> None:
        with raw(server) as member:
            descriptor = flight.FlightDescriptor.for_command(b'{"digest":"' + digest.encode() + b'"}')
            writer, _ = member.do_put(descriptor, CHUNK_SCHEMA)
            with writer:
                writer.write_batch(pa.record_batch([pa.array([chunk], pa.large_binary())], schema=CHUNK_SCHEMA))

    for digest, chunk, complaint in [
        (DIGEST, bytes(CHUNK_BYTES_MAX + 1), "chunks of at most"),
        (DIGEST, None, "chunks of at most"),
        (DIGEST, b"other bytes", "send it again"),
        ("../../x", b"", "64 hexadecimal"),
    ]:
        with pytest.raises((flight.FlightServerError, pa.ArrowException), match=complaint):
            upload(digest, chunk)
    assert blobs.digests() == [] and list((blobs.folder / "blobs" / "arriving").iterdir()) == []
    with pytest.raises(Corrupt, match="send it again"):
        client.put_blob(server.address, b"x", DIGEST)
    with pytest.raises(CallerError, match="an action takes at most"):
        client.action(server.address, "reverse", bytes(ACTION_BYTES_MAX + 1))


def test_plugged_actions_and_streams_are_served(server: StoreServer, client: StoreClient) -> None:
    assert client.action(server.address, "reverse", b"abc") == b"cba"
    batches = client.stream(server.address, "count", b"3")
    assert [batch.column(0)[0].as_py() for batch in batches] == [0, 1, 2]
    for call, kind, complaint in [
        (lambda: client.action(server.address, "boom"), Corrupt, "cheese"),
        (lambda: client.action(server.address, "nope"), CallerError, "no action 'nope'"),
        (lambda: next(client.stream(server.address, "nope")), CallerError, "no stream 'nope'"),
    ]:
        with pytest.raises(kind, match=complaint):
            call()


def test_a_listener_may_leave_and_a_server_may_stop_under_an_endless_stream(blobs: BlobStore, client: StoreClient) -> None:
    server = StoreServer(blobs, key=KEY, plugins=PLUGINS).start()
    leaving = client.stream(server.address, "for ever")
    assert [next(leaving).column(0)[0].as_py() for _ in range(3)] == [0, 1, 2]
    leaving.close()
    staying = client.stream(server.address, "for ever")
    next(staying)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    try:
        for _ in staying:
            pass
    except Unavailable:
        pass
    stopper.join(10)
    assert not stopper.is_alive()


def test_a_port_in_use_and_an_open_host_are_refused(server: StoreServer, blobs: BlobStore) -> None:
    with pytest.raises(CallerError, match="in use; choose another port"):
        StoreServer(blobs, key=KEY, port=int(server.address.rpartition(":")[2])).start()
    with pytest.raises(CallerError, match="give a certificate"):
        StoreServer(blobs, key=KEY, host="0.0.0.0")
    with pytest.raises(CallerError, match="authority's certificate"), StoreClient(KEY) as client:
        client.put_blob("192.0.2.1:5000", b"x")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_tls_carries_the_same_and_refuses_who_trusts_another_authority(blobs: BlobStore, tmp_path: Path) -> None:
    tls, other = make_certificate(tmp_path / "one"), make_certificate(tmp_path / "other")
    with StoreServer(blobs, key=KEY, host="localhost", tls=tls) as server:
        with StoreClient(KEY, tls) as client:
            digest = client.put_blob(server.address, DATA)
            assert client.get_blob([server.address], digest) == DATA
        for stranger in (StoreClient(KEY, other), StoreClient(KEY)):
            with pytest.raises(Unavailable, match="does not answer"):
                stranger.get_blob([server.address], digest)
            stranger.close()
    with StoreServer(blobs, key=KEY, host="0.0.0.0", tls=tls) as open_to_all:
        assert open_to_all.address.startswith("0.0.0.0:")


def make_certificate(folder: Path) -> Tls:
    folder.mkdir()
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return Tls(certificate, key, certificate)


@pytest.mark.parametrize("kind", [CallerError, PeerError, Corrupt, Unavailable])
def test_an_error_crosses_the_wire_as_itself(blobs: BlobStore, client: StoreClient, kind: type[MuskoxError]) -> None:
    def fail(_: bytes) -> bytes:
        raise kind("a sentence with ünïcode. And a second one.")

    with StoreServer(blobs, key=KEY, plugins=Plugins(actions={"fail": fail})) as server:
        with pytest.raises(kind) as caught:
            client.action(server.address, "fail")
    assert str(caught.value) == "a sentence with ünïcode. And a second one."


def test_a_process_forked_before_the_first_call_can_fetch(server: StoreServer, client: StoreClient, tmp_path: Path) -> None:
    """Workers are forked from a process that has imported this room and started no gRPC."""
    digest = client.put_blob(server.address, DATA)
    code = (
        "import os, sys; from pathlib import Path; from muskox.store import BlobStore, StoreClient\n"
        "import muskox.store.service.client\n"
        "def fetch(name):\n"
        "    with StoreClient(bytes.fromhex(sys.argv[3])) as client:\n"
        "        client.fetch_blob([sys.argv[1]], sys.argv[2], BlobStore(Path(sys.argv[4]) / name))\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    fetch('child'); os._exit(0)\n"
        "fetch('parent')\n"
        "sys.exit(os.waitpid(child, 0)[1])"
    )
    subprocess.run([sys.executable, "-c", code, server.address, digest, KEY.hex(), str(tmp_path)], check=True, timeout=60)
    assert [BlobStore(tmp_path / name).read(digest) for name in ("child", "parent")] == [DATA, DATA]
