"""Datasets over plain Arrow Flight: a client that knows nothing of muskox finds, describes and reads what it may."""

import base64
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import flight
from store_cluster import KEY, SECRET, StoreCluster
from test_flight import begin_upload, make_certificate, wait_until

from muskox.coordination import Tls, layout, register
from muskox.errors import Unavailable
from muskox.keeper import Keeper
from muskox.program import BLOCK_ROWS
from muskox.store import (
    BlobCache,
    BlobStore,
    DatasetFlights,
    NodeHome,
    Plugins,
    StoreClient,
    StoreServer,
    flight_token,
    grant,
    remove_dataset,
    revoke,
    supplier,
    this_host,
)
from muskox.store.objects.object_home import ObjectHome
from muskox.store.objects.register import RegisterOptions, register_dataset
from muskox.store.service import flights as flights_module
from muskox.store.service.callers import USER_TOKEN_S, Caller, CallerGate, Role

ROWS = 5 * BLOCK_ROWS + 10
TABLE = pa.table({"i": range(ROWS), "s": [f"value {i}" for i in range(ROWS)], "x": [i / 7 for i in range(ROWS)]})
TOKEN = flight_token(SECRET)
READ = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {TOKEN}".encode())])


class FlightsCluster(StoreCluster):
    """A cluster whose nodes show their datasets."""

    def add_node(self, name: str) -> None:
        own = NodeHome(self.session, StoreClient(KEY))
        plugins = Plugins(flights=DatasetFlights(own))
        self.servers[name] = StoreServer(self.blobs(name), key=KEY, plugins=plugins).start()
        self.enlist(name, self.servers[name].address)

    def at(self, name: str) -> Any:
        return flight.FlightClient(f"grpc://{self.servers[name].address}")


@pytest.fixture
def shown(keeper: Keeper, tmp_path: Path) -> Iterator[FlightsCluster]:
    with FlightsCluster(keeper.hosts, tmp_path) as cluster:
        for name in ("ann", "bob", "cat"):
            cluster.add_node(name)
        cluster.put("d", TABLE, shards=4, replicas=2)
        yield cluster


@pytest.fixture
def ann(shown: FlightsCluster) -> Iterator[Any]:
    with shown.at("ann") as client:
        yield client


def path(*parts: str) -> Any:
    return flight.FlightDescriptor.for_path(*parts)


def command(**asked: Any) -> Any:
    return flight.FlightDescriptor.for_command(msgspec.json.encode(asked))


def rows_ticket(**asked: Any) -> Any:
    return flight.Ticket(msgspec.json.encode({"type": "rows", **asked}))


def read_all(info: Any, options: Any = READ) -> Any:
    """Read a flight as any client would: each endpoint at the first of its locations that answers, in order."""
    tables = [read_endpoint(endpoint, options) for endpoint in info.endpoints]
    return pa.concat_tables(tables) if tables else info.schema.empty_table()


def read_endpoint(endpoint: Any, options: Any) -> Any:
    for location in endpoint.locations:
        with flight.FlightClient(location) as client:
            try:
                return client.do_get(endpoint.ticket, options).read_all()
            except flight.FlightUnavailableError:
                continue
    raise AssertionError(f"no location answers: {endpoint.locations}")


# -- what there is, and its rows --


def test_a_client_without_muskox_finds_and_reads_a_dataset(shown: FlightsCluster) -> None:
    code = (
        "import sys; from pyarrow import flight\n"
        "options = flight.FlightCallOptions(headers=[(b'authorization', b'Bearer ' + sys.argv[2].encode())])\n"
        "client = flight.FlightClient('grpc://' + sys.argv[1])\n"
        "(found,) = client.list_flights(options=options)\n"
        "info = client.get_flight_info(found.descriptor, options)\n"
        "ends = [flight.FlightClient(e.locations[0]).do_get(e.ticket, options).read_all() for e in info.endpoints]\n"
        "assert 'muskox' not in sys.modules\n"
        "print(found.descriptor.path[0].decode(), found.total_records, sum(end.num_rows for end in ends), info.ordered)"
    )
    command = [sys.executable, "-c", code, shown.servers["bob"].address, TOKEN]
    done = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout.split() == ["d@1", str(ROWS), str(ROWS), "True"]


def test_every_shard_is_an_endpoint_at_all_its_replicas(shown: FlightsCluster, ann: Any) -> None:
    dataset = shown.open("d")
    info = ann.get_flight_info(path("d"), READ)
    assert (info.total_records, info.total_bytes, info.ordered) == (ROWS, dataset.full_manifest.bytes, True)
    assert info.schema.equals(TABLE.schema) and len(info.endpoints) == 4
    assert read_all(info).equals(TABLE)
    for shard, endpoint in enumerate(info.endpoints):
        nodes = dataset.nodes(shard)
        assert [each.uri.decode() for each in endpoint.locations] == [f"grpc://{shown.servers[n].address}" for n in nodes]
        expected = pa.Table.from_batches(dataset.read_shard(shard))
        for name in shown.servers:  # those that have it, and the one that has not
            with shown.at(name) as client:
                assert client.do_get(endpoint.ticket, READ).read_all().equals(expected)


def test_versions_are_told_apart(shown: FlightsCluster, ann: Any) -> None:
    shown.put("d", TABLE.slice(0, 100).select(["i"]), shards=2, overwrite=True)
    shown.put("e", TABLE.slice(0, 5), shards=1)
    counts = {name: ann.get_flight_info(path(name), READ).total_records for name in ("d", "d@1", "d@2", "e")}
    assert counts == {"d": 100, "d@1": ROWS, "d@2": 100, "e": 5}
    assert ann.get_schema(path("d"), READ).schema.names == ["i"]
    assert ann.get_schema(command(dataset="d@1", columns=["x", "i"]), READ).schema.names == ["x", "i"]
    listed = {info.descriptor.path[0]: (info.schema.names, info.total_records) for info in ann.list_flights(options=READ)}
    assert listed == {b"d@2": (["i"], 100), b"e@1": (["i", "s", "x"], 5)}
    assert [info.descriptor.path[0] for info in ann.list_flights(b"d", options=READ)] == [b"d@1", b"d@2"]
    remove_dataset(shown.session, "d")
    assert [info.descriptor.path[0] for info in ann.list_flights(options=READ)] == [b"e@1"]
    assert list(ann.list_flights(b"d", options=READ)) == []


EDGE = ROWS // 4 + 1  # somewhere about where the first shard ends


@pytest.mark.parametrize(
    ("first", "end"),
    [(0, ROWS), (0, 0), (7, 7), (0, 1), (EDGE - 5, EDGE + 5), (BLOCK_ROWS, 2 * BLOCK_ROWS + 1), (ROWS - 1, ROWS)],
)
def test_columns_and_rows_are_selected(shown: FlightsCluster, ann: Any, first: int, end: int) -> None:
    expected = TABLE.select(["x", "i"]).slice(first, end - first)
    info = ann.get_flight_info(command(dataset="d@1", columns=["x", "i"], rows=[first, end]), READ)
    assert info.total_records == end - first and read_all(info).equals(expected)
    ticket = rows_ticket(dataset="d@1", columns=["x", "i"], rows=[first, end])
    assert ann.do_get(ticket, READ).read_all().equals(expected)


def test_a_ticket_without_a_shard_gives_the_whole_dataset_in_one_stream(shown: FlightsCluster, ann: Any) -> None:
    assert ann.do_get(rows_ticket(dataset="d"), READ).read_all().equals(TABLE)


def test_column_groups_are_joined_from_whichever_nodes_have_them(shown: FlightsCluster, ann: Any) -> None:
    shown.put("g", TABLE, shards=3, replicas=1, groups="a:i; b:s; rest:*")
    dataset = shown.open("g")
    info = ann.get_flight_info(path("g"), READ)
    addresses = {f"grpc://{server.address}": name for name, server in shown.servers.items()}
    for shard, endpoint in enumerate(info.endpoints):
        held = [node for group in range(3) for node in dataset.nodes(shard, group)]
        nodes = [addresses[each.uri.decode()] for each in endpoint.locations]
        assert sorted(nodes) == sorted(set(held))
        assert [held.count(node) for node in nodes] == sorted((held.count(node) for node in nodes), reverse=True)
    assert read_all(info).equals(TABLE)
    few = ann.get_flight_info(command(dataset="g", columns=["s"]), READ)
    assert few.total_bytes == sum(shard.parts[1].bytes for shard in dataset.shards) < info.total_bytes
    assert [len(endpoint.locations) for endpoint in few.endpoints] == [1, 1, 1]
    for name in shown.servers:
        with shown.at(name) as client:
            assert client.do_get(rows_ticket(dataset="g", columns=["x", "i"]), READ).read_all().equals(TABLE.select(["x", "i"]))


def test_a_node_reads_its_own_files_and_goes_around_a_damaged_one(shown: FlightsCluster) -> None:
    for name, server in shown.servers.items():
        record = layout.MemberRecord(
            name=name, folder_id=name, incarnation=f"{name}-2", address=server.address, pid=0, cores=1, fingerprint="",
            host=this_host(), folder=str(shown.folder / name),
        )  # fmt: skip
        register(shown.session, record)
    dataset = shown.open("d")
    with shown.at(dataset.nodes(0)[0]) as client:
        assert client.do_get(rows_ticket(dataset="d"), READ).read_all().equals(TABLE)
        file = shown.blobs(dataset.nodes(0)[0]).path(dataset.shards[0].parts[0].file_digest)
        file.write_bytes(bytes(file.stat().st_size))
        assert client.do_get(rows_ticket(dataset="d"), READ).read_all().equals(TABLE)


def test_any_one_node_may_be_dead(shown: FlightsCluster) -> None:
    shown.stop_node("ann")
    for name in ("bob", "cat"):
        with shown.at(name) as client:
            assert client.do_get(rows_ticket(dataset="d"), READ).read_all().equals(TABLE)
    shown.delist("ann")
    with shown.at("bob") as client:
        assert read_all(client.get_flight_info(path("d"), READ)).equals(TABLE)


def test_an_object_store_is_read_through_any_node(shown: FlightsCluster, tmp_path: Path) -> None:
    url = f"file://{tmp_path / 'objects'}"
    (tmp_path / "objects").mkdir()
    home = ObjectHome(shown.session, shown.client, url)
    from muskox.store import PutOptions, put_dataset

    put_dataset(home, "o", TABLE, PutOptions(shards=3, groups="a:i; rest:*"))
    cache = BlobCache(BlobStore(tmp_path / "cache"), 1 << 30)
    plugins = Plugins(flights=DatasetFlights(home, supply=supplier(home, cache)))
    with StoreServer(BlobStore(tmp_path / "own"), key=KEY, plugins=plugins) as server:
        with flight.FlightClient(f"grpc://{server.address}") as client:
            info = client.get_flight_info(path("o"), READ)
            assert [len(endpoint.locations) for endpoint in info.endpoints] == [3, 3, 3]
            tables = [client.do_get(endpoint.ticket, READ).read_all() for endpoint in info.endpoints]
            assert pa.concat_tables(tables).equals(TABLE)
            some = rows_ticket(dataset="o", columns=["s", "i"], rows=[BLOCK_ROWS + 3, ROWS - 3])
            expected = TABLE.select(["s", "i"]).slice(BLOCK_ROWS + 3, ROWS - BLOCK_ROWS - 6)
            assert client.do_get(some, READ).read_all().equals(expected)


BAD = {
    "another name": (path("nope"), "no dataset 'nope'"),
    "another version": (path("d@7"), "no version 7"),
    "no name": (path("../x"), "is not valid"),
    "two names": (path("d", "e"), "a path is one name"),
    "not JSON": (flight.FlightDescriptor.for_command(b"select *"), "a command is JSON such as"),
    "another field": (command(dataset="d", where="i > 3"), "a command is JSON such as"),
    "another column": (command(dataset="d", columns=["y"]), "no column 'y': d@1 has i, s, x"),
    "no column": (command(dataset="d", columns=[]), "at least one of i, s, x"),
    "a column twice": (command(dataset="d", columns=["i", "i"]), "name each column once"),
    "rows backwards": (command(dataset="d", rows=[5, 4]), "within 0 and 81930"),
    "rows before the first": (command(dataset="d", rows=[-1, 4]), "within 0 and 81930"),
    "rows after the last": (command(dataset="d", rows=[0, ROWS + 1]), "within 0 and 81930"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_cannot_be_is_said_in_a_sentence(ann: Any, bad: str, shown: FlightsCluster) -> None:
    descriptor, complaint = BAD[bad]
    with pytest.raises(flight.FlightServerError, match=complaint):
        ann.get_flight_info(descriptor, READ)
    if descriptor.command:
        asked = flight.Ticket(b'{"type":"rows",' + descriptor.command[1:])
        with pytest.raises(flight.FlightServerError, match="no message of this version" if "JSON" in complaint else complaint):
            ann.do_get(asked, READ).read_all()
    with pytest.raises(flight.FlightServerError, match="shards 0 to 3, and no shard 4"):
        ann.do_get(rows_ticket(dataset="d", shard=4), READ).read_all()


@pytest.mark.parametrize(("rows", "complaint"), [(7, "rows less"), (ROWS, "more rows")])
def test_a_shard_with_other_rows_than_its_manifest_says_is_an_error_and_not_a_wrong_answer(
    shown: FlightsCluster, ann: Any, monkeypatch: pytest.MonkeyPatch, rows: int, complaint: str
) -> None:
    monkeypatch.setattr(
        flights_module.Dataset, "read_shard", lambda *_: iter(TABLE.combine_chunks().slice(0, rows).to_batches())
    )
    with pytest.raises(flight.FlightServerError, match=f"{complaint} than its manifest says"):
        ann.do_get(rows_ticket(dataset="d", shard=1), READ).read_all()


def test_a_dataset_registered_in_place_is_read_through_any_node(shown: FlightsCluster, ann: Any, tmp_path: Path) -> None:
    folder = tmp_path / "parquet"
    folder.mkdir()
    for part in range(3):
        pq.write_table(TABLE.slice(part * 20_000, 20_000), folder / f"{part}.parquet", row_group_size=7_000)
    expected = TABLE.slice(0, 60_000)
    register_dataset(shown.home, "r", f"file://{folder}", RegisterOptions(shards=4))
    info = ann.get_flight_info(path("r"), READ)
    assert info.total_records == 60_000 and len(info.endpoints) == 4
    assert [len(endpoint.locations) for endpoint in info.endpoints] == [3, 3, 3, 3]
    assert read_all(info).equals(expected)
    some = ann.get_flight_info(command(dataset="r", columns=["s"], rows=[6_990, 45_000]), READ)
    assert read_all(some).equals(expected.select(["s"]).slice(6_990, 45_000 - 6_990))
    pq.write_table(TABLE.slice(7, 20_000), folder / "1.parquet")
    with pytest.raises(flight.FlightServerError, match=r"1\.parquet"):
        ann.do_get(rows_ticket(dataset="r"), READ).read_all()


def test_a_version_is_held_while_it_is_read_and_no_longer(shown: FlightsCluster, ann: Any) -> None:
    shown.put("big", pa.table({"x": pa.array(range(4_000_000))}), shards=1, replicas=1)
    reader = ann.do_get(rows_ticket(dataset="big"), READ)
    reader.read_chunk()
    assert len(shown.session.children(layout.HOLDS)) == 1
    reader.cancel()
    del reader
    assert wait_until(lambda: not shown.session.children(layout.HOLDS))


def test_names_in_criteria_are_text(ann: Any) -> None:
    with pytest.raises(flight.FlightServerError, match="text in UTF-8"):
        list(ann.list_flights(b"\xff", options=READ))


def test_streams_of_rows_are_bounded(shown: FlightsCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights_module, "READS_MAX", 1)
    shown.put("big", pa.table({"x": pa.array(range(4_000_000))}), shards=1, replicas=1)
    plugins = Plugins(flights=DatasetFlights(shown.home))
    with StoreServer(shown.blobs("dan"), key=KEY, plugins=plugins) as server:
        with flight.FlightClient(f"grpc://{server.address}") as client:
            slow = client.do_get(rows_ticket(dataset="big"), READ)
            slow.read_chunk()
            with pytest.raises(flight.FlightServerError, match="reads for 1 clients already"):
                client.do_get(rows_ticket(dataset="d"), READ).read_all()
            assert slow.read_all().num_rows > 3_000_000
            assert client.do_get(rows_ticket(dataset="d"), READ).read_all().equals(TABLE)


def test_one_user_who_stops_reading_shuts_nobody_else_out(shown: FlightsCluster, ann: Any) -> None:
    shown.put("big", pa.table({"x": pa.array(range(4_000_000))}), shards=1, replicas=1)
    grant(shown.session, "big", "una", "password")
    grant(shown.session, "big", "bert", "password")
    una, bert = (
        flight.FlightCallOptions(headers=[(b"authorization", basic(name, "password").encode())]) for name in ("una", "bert")
    )
    stopped = [ann.do_get(rows_ticket(dataset="big"), una) for _ in range(flights_module.USER_READS_MAX)]
    for stream in stopped:
        stream.read_chunk()
    with pytest.raises(flight.FlightServerError, match="sends you 8 streams already: read one to its end"):
        ann.do_get(rows_ticket(dataset="big"), una).read_all()
    assert ann.do_get(rows_ticket(dataset="big", rows=[0, 10]), bert).read_all().num_rows == 10
    assert ann.do_get(rows_ticket(dataset="d"), READ).read_all().equals(TABLE)
    assert stopped[0].read_all().num_rows > 3_000_000
    assert ann.do_get(rows_ticket(dataset="big", rows=[0, 10]), una).read_all().num_rows == 10
    for stream in stopped[1:]:
        stream.cancel()


def test_streams_are_counted_by_caller_and_in_all() -> None:
    reads = flights_module.Reads()
    with ExitStack() as held:
        for _ in range(flights_module.TOKEN_READS_MAX):
            held.enter_context(reads.one(Caller(Role.READER)))
        with pytest.raises(Unavailable, match="sends you 48 streams"), reads.one(Caller(Role.READER)):
            pass
        for number in range(16):
            held.enter_context(reads.one(Caller(Role.USER, f"user {number // 8}")))
        with pytest.raises(Unavailable, match="reads for 64 clients already"), reads.one(Caller(Role.USER, "another")):
            pass
    for _ in range(2 * flights_module.READS_MAX):
        with reads.one(Caller(Role.READER)):
            pass


def test_a_node_without_flights_says_so(tmp_path: Path) -> None:
    with StoreServer(BlobStore(tmp_path), key=KEY) as server, flight.FlightClient(f"grpc://{server.address}") as client:
        for call in (lambda: list(client.list_flights(options=READ)), lambda: client.get_flight_info(path("d"), READ)):
            with pytest.raises(flight.FlightServerError, match="shows no flights"):
                call()


# -- who may --


def exchange(client: Any, options: Any) -> None:
    writer, reader = client.do_exchange(path("d"), options)
    with writer:
        reader.read_chunk()


def upload(client: Any, options: Any) -> None:
    writer, _ = client.do_put(path("d"), TABLE.schema, options)
    writer.close()


READS: dict[str, Callable[[Any, Any], Any]] = {
    "list": lambda client, options: list(client.list_flights(options=options)),
    "info": lambda client, options: client.get_flight_info(path("d"), options),
    "schema": lambda client, options: client.get_schema(path("d"), options),
    "get": lambda client, options: client.do_get(rows_ticket(dataset="d"), options).read_all(),
}
OTHERS: dict[str, Callable[[Any, Any], Any]] = {
    "put": upload,
    "exchange": exchange,
    "action": lambda client, options: list(client.do_action(flight.Action("clock", b""), options)),
    "list actions": lambda client, options: list(client.list_actions(options)),
}


def shows(*headers: str) -> Any:
    return flight.FlightCallOptions(headers=[(b"authorization", header.encode()) for header in headers])


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


FLIPPED = TOKEN[:-1] + ("0" if TOKEN[-1] != "0" else "1")
STRANGERS = {
    "nothing": (),
    "an empty header": ("",),
    "a wrong token": (f"Bearer {flight_token(b'x' * 64)}",),
    "a flipped bit": (f"Bearer {FLIPPED}",),
    "half a token": (f"Bearer {TOKEN[:32]}",),
    "no token": ("Bearer ",),
    "the key": (f"Bearer {KEY.hex()}",),
    "another scheme": (f"Digest {TOKEN}",),
    "a token of nobody's": ("Bearer YTpi.9999999999." + "0" * 64,),
    "a token of no number": ("Bearer YTpi.soon." + "0" * 64,),
    "no user": (basic("", "pässword"),),
    "no password": (basic("user", ""),),
    "no Base64": ("Basic ????",),
    "no text": ("Basic /////w==",),
    "two headers": (f"Bearer {TOKEN}", f"Bearer {TOKEN}"),
    "too long a header": ("Bearer " + "x" * 5000,),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_no_call_of_a_stranger_goes_through(shown: FlightsCluster, ann: Any, stranger: str) -> None:
    for call in (*READS.values(), *OTHERS.values()):
        with pytest.raises((flight.FlightUnauthenticatedError, OSError), match="Unauthenticated") as caught:
            call(ann, shows(*STRANGERS[stranger]))
        assert not any(told in str(caught.value) for told in (TOKEN, FLIPPED, KEY.hex(), "d@1", "pässword"))


def test_the_read_token_opens_every_dataset_and_nothing_else(shown: FlightsCluster, ann: Any) -> None:
    for call in READS.values():
        assert call(ann, READ)
    for call in OTHERS.values():
        with pytest.raises(flight.FlightUnauthorizedError, match="may read datasets, and nothing else"):
            call(ann, READ)
    digest = shown.open("d").shards[0].parts[0].file_digest
    for ticket in (
        {"type": "blob", "digest": digest},
        {"type": "shard", "digest": digest},
        {"type": "stream", "name": "inventory"},
    ):
        with pytest.raises(flight.FlightUnauthorizedError, match="may ask for rows"):
            ann.do_get(flight.Ticket(msgspec.json.encode(ticket)), READ).read_all()


def test_a_user_reads_what_is_shared_and_sees_nothing_else(shown: FlightsCluster, ann: Any) -> None:
    shown.put("hidden", TABLE.slice(0, 9), shards=1)
    grant(shown.session, "d", "eve", "apple")
    token = flight.FlightCallOptions(headers=[ann.authenticate_basic_token("eve", "apple")])
    for options in (token, shows(basic("eve", "apple"))):
        assert [info.descriptor.path[0] for info in ann.list_flights(options=options)] == [b"d@1"]
        assert list(ann.list_flights(b"hidden", options=options)) == []
        info = ann.get_flight_info(path("d"), options)
        assert read_all(info, options).equals(TABLE)  # a token of one node's is good at all
        for call in OTHERS.values():
            with pytest.raises(flight.FlightUnauthorizedError):
                call(ann, options)
        for name in ("hidden", "hidden@1", "nope", "d@7"):
            see_nothing(ann, name, options)
    shown.put("d", TABLE.slice(0, 9), shards=1, overwrite=True)
    assert ann.get_flight_info(path("d"), token).total_records == 9
    revoke(shown.session, "d", "eve")
    assert list(ann.list_flights(options=token)) == []
    with pytest.raises(flight.FlightServerError, match="no dataset 'd' that you may read"):
        ann.do_get(info.endpoints[0].ticket, token).read_all()


def see_nothing(client: Any, name: str, options: Any) -> None:
    """What is hidden and what is not there are told in the same words, which name nothing else."""
    for call in (
        lambda: client.get_flight_info(path(name), options),
        lambda: client.do_get(rows_ticket(dataset=name), options).read_all(),
    ):
        with pytest.raises(
            flight.FlightServerError, match=f"no dataset '{name.partition('@')[0]}' that you may read"
        ) as caught:
            call()
        assert "there are" not in str(caught.value)


@pytest.mark.parametrize(("user", "password"), [("eve", "pear"), ("adam", "apple"), ("eve:apple", "x")])
def test_a_wrong_password_opens_nothing(shown: FlightsCluster, ann: Any, user: str, password: str) -> None:
    grant(shown.session, "d", "eve", "apple")
    token = flight.FlightCallOptions(headers=[ann.authenticate_basic_token(user, password)])
    assert list(ann.list_flights(options=token)) == []
    with pytest.raises(flight.FlightServerError, match="no dataset 'd' that you may read"):
        ann.get_flight_info(path("d"), token)


def test_a_users_token_ends_and_cannot_be_altered(shown: FlightsCluster, ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    grant(shown.session, "d", "eve", "apple")
    _, header = ann.authenticate_basic_token("eve", "apple")
    name, until, signature = header.decode().removeprefix("Bearer ").split(".")
    for forged in (f"{name}.{int(until) + 1}.{signature}", f"{name}A.{until}.{signature}", f"{name}.{until}.{signature[:-1]}"):
        with pytest.raises(flight.FlightUnauthenticatedError, match="no token of this cluster"):
            list(ann.list_flights(options=shows(f"Bearer {forged}")))
    now_s = int(until) + 1
    monkeypatch.setattr(CallerGate.__init__, "__defaults__", (lambda: now_s,))
    with StoreServer(shown.blobs("dan"), key=KEY, plugins=Plugins(flights=DatasetFlights(shown.home))) as server:
        with flight.FlightClient(f"grpc://{server.address}") as later:
            with pytest.raises(flight.FlightUnauthenticatedError, match="show user and password again"):
                list(later.list_flights(options=shows(header.decode())))
            assert int(later.authenticate_basic_token("eve", "apple")[1].split(b".")[1]) == now_s + USER_TOKEN_S


def test_members_may_still_do_everything(shown: FlightsCluster, ann: Any) -> None:
    from muskox.store.service.auth import ClientHandshake

    ann.authenticate(ClientHandshake(KEY))
    for call in READS.values():
        assert call(ann, None)
    assert list(ann.do_action(flight.Action("clock", b"")))
    with pytest.raises(flight.FlightServerError, match="no message of this version"):
        begin_upload(ann, b"")


class Silent(flight.ClientAuthHandler):
    """Says nothing in the handshake, and shows a token that nobody handed out."""

    def __init__(self, token: bytes) -> None:
        super().__init__()
        self.token = token

    def authenticate(self, outgoing: Any, incoming: Any) -> None: ...

    def get_token(self) -> bytes:
        return self.token


@pytest.mark.parametrize("token", [b"", b"x", bytes(32), bytes(64), TOKEN.encode()])
def test_a_handshake_that_says_nothing_gets_nothing(shown: FlightsCluster, ann: Any, token: bytes) -> None:
    ann.authenticate(Silent(token))
    for call in (READS | OTHERS).values():
        for options in (None, READ):  # the read token does not mend it
            with pytest.raises((flight.FlightUnauthenticatedError, OSError), match="Unauthenticated"):
                call(ann, options)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_over_tls_a_client_shows_token_and_certificate(shown: FlightsCluster, tmp_path: Path) -> None:
    tls = make_certificate(tmp_path / "one")
    plugins = Plugins(flights=DatasetFlights(shown.home, is_tls=True))
    with StoreServer(BlobStore(tmp_path / "tls"), key=KEY, host="localhost", tls=tls, plugins=plugins) as server:
        with foreign(server.address, tls, is_known=True) as client:
            info = client.get_flight_info(path("d"), READ)
            assert all(each.uri.startswith(b"grpc+tls://") for end in info.endpoints for each in end.locations)
            assert client.do_get(info.endpoints[0].ticket, READ).read_all().num_rows == shown.open("d").shards[0].rows
            with pytest.raises(flight.FlightUnauthenticatedError):
                list(client.list_flights())
        with foreign(server.address, tls, is_known=False) as client:
            with pytest.raises(flight.FlightUnavailableError):
                list(client.list_flights(options=READ))


def foreign(address: str, tls: Tls, *, is_known: bool) -> Any:
    shown = {"cert_chain": tls.certificate.read_bytes(), "private_key": tls.key.read_bytes()} if is_known else {}
    return flight.FlightClient(f"grpc+tls://{address}", tls_root_certs=tls.authority.read_bytes(), **shown)


def test_the_page_on_flight_shows_what_works(shown: FlightsCluster) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "flight.md").read_text(encoding="utf-8")
    shown.put("flights", pa.table({"delay": range(1000), "n": range(1000)}), shards=3)
    grant(shown.session, "flights", "eve", "apple")
    names: dict[str, Any] = {"address": shown.servers["cat"].address, "token": TOKEN}
    programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for program in programs:
        exec(program, names)
    assert len(programs) == 2 and names["names"] == [b"flights@1"]
    assert names["info"].total_records == 100 and names["table"].to_pydict() == {"delay": list(range(1000))}
