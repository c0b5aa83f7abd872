"""Blobs in an object store: a home like the nodes, whose blobs nobody deletes while anybody writes or needs them."""

import hashlib
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from object_server import REASON, ObjectServer, Wrong, is_installed
from store_cluster import KEY, SECRET

from muskox.coordination import Config, Session, found_cluster, layout, register
from muskox.errors import CallerError, Corrupt, Unavailable
from muskox.keeper import Keeper
from muskox.store import (
    BlobCache,
    BlobStore,
    Dataset,
    NodeHome,
    Plugins,
    PutOptions,
    StoreClient,
    StoreServer,
    open_dataset,
    open_home,
    open_shard,
    put_dataset,
    remove_dataset,
    supplier,
)
from muskox.store.care.collection import Collector
from muskox.store.care.kept import Manifests, find_kept
from muskox.store.care.leases import writing
from muskox.store.objects.object_home import ObjectHome

TABLE = pa.table({"n": range(60_000), "s": [f"row {n // 2}" for n in range(60_000)], "x": [n / 7 for n in range(60_000)]})


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    if not is_installed():
        pytest.skip(REASON)
    with pytest.MonkeyPatch.context() as patch, ObjectServer() as started:
        for variable, value in ObjectServer.environment.items():
            patch.setenv(variable, value)
        yield started


@pytest.fixture
def session(keeper: Keeper) -> Iterator[Session]:
    with Session(f"zk://{keeper.hosts}/objects-{uuid.uuid4().hex}", SECRET).connect() as session:
        yield session


@pytest.fixture
def client() -> Iterator[StoreClient]:
    with StoreClient(KEY) as client:
        yield client


@pytest.fixture(params=["file", "s3"])
def home(request: pytest.FixtureRequest, session: Session, client: StoreClient, tmp_path: Path) -> ObjectHome:
    if request.param == "file":
        url = f"file://{tmp_path}/shared"
    else:
        server: ObjectServer = request.getfixturevalue("server")
        url = server.url(f"{server.make_bucket()}/herd")
    found_cluster(session, url)
    home = open_home(session, client)
    assert isinstance(home, ObjectHome)
    return home


@pytest.fixture
def on_s3(session: Session, client: StoreClient, server: ObjectServer) -> Iterator[ObjectHome]:
    yield ObjectHome(session, client, server.url(f"{server.make_bucket()}/herd"))
    server.go_wrong()


def put(home: ObjectHome, name: str, data: Any, **options: Any) -> Dataset:
    return open_dataset(home, name, put_dataset(home, name, data, PutOptions(**options)))


def blobs(home: ObjectHome) -> list[str]:
    return [digest for digest, _, _ in home.objects.list()]


def parts(dataset: Dataset) -> list[str]:
    return [part.file_digest for shard in dataset.shards for part in shard.parts]


def test_a_blob_is_put_got_fetched_and_verified(home: ObjectHome, tmp_path: Path) -> None:
    digest, nodes = home.put(b"a model", 2, first="node-1")
    assert digest == hashlib.sha256(b"a model").hexdigest() and nodes == []
    assert home.get(digest, []) == b"a model" and home.verify(digest) == "good"
    assert home.fetch(digest, [], BlobStore(tmp_path / "cache")).read_bytes() == b"a model"
    assert home.session.children(layout.UPLOADS) == []
    home.drop(digest, [])
    home.drop(digest, [])
    assert digest not in blobs(home)
    with pytest.raises(Unavailable, match="is not in"):
        home.get("0" * 64, [])
    assert home.verify("0" * 64) == "missing"


def test_what_was_changed_in_the_store_is_corrupt(home: ObjectHome) -> None:
    digest, _ = home.put(b"a model", 2)
    path = home.objects.path(digest)
    with home.objects._place.filesystem.open_output_stream(path) as stream:
        stream.write(b"a muddle")
    assert home.verify(digest) == "corrupt"
    with pytest.raises(Corrupt, match="other bytes than were written"):
        home.get(digest, [])


@pytest.mark.parametrize("how", ["SlowDown", "flip", "cut"])
@pytest.mark.parametrize("what", ["get", "fetch", "put"])
def test_a_store_that_fails_now_and_then_is_asked_again(
    on_s3: ObjectHome, server: ObjectServer, tmp_path: Path, what: str, how: str
) -> None:
    digest, _ = on_s3.put(b"a model", 2)
    server.go_wrong(Wrong("PUT" if what == "put" else "GET", how, 503, 2))
    match what:
        case "get":
            assert on_s3.get(digest, []) == b"a model"
        case "fetch":
            assert on_s3.fetch(digest, [], BlobStore(tmp_path / "cache")).read_bytes() == b"a model"
        case "put":
            assert on_s3.put(b"another", 2)[0] == hashlib.sha256(b"another").hexdigest()


def test_a_store_that_always_fails_is_given_up_and_one_that_refuses_at_once(on_s3: ObjectHome, server: ObjectServer) -> None:
    digest, _ = on_s3.put(b"a model", 2)
    server.go_wrong(Wrong("GET", "SlowDown", 503, 1000))
    with pytest.raises(Unavailable, match=f"blob {digest}: s3://"):
        on_s3.get(digest, [])
    server.go_wrong(Wrong("HEAD", "AccessDenied", 403, 1000))
    server.requests()
    with pytest.raises(Unavailable, match="access is refused"):
        on_s3.get(digest, [])
    assert len(server.requests()) == 1
    assert on_s3.verify(digest) == "unreachable"


@pytest.fixture
def nodes(home: ObjectHome, tmp_path: Path) -> Iterator[dict[str, StoreServer]]:
    """Two nodes, each with a cache and nothing else."""
    servers: dict[str, StoreServer] = {}
    for name in ("ann", "bob"):
        plugins = Plugins(supply=supplier(home, BlobCache(cache_of(tmp_path, name), 1 << 30)))
        servers[name] = StoreServer(BlobStore(tmp_path / name), key=KEY, plugins=plugins).start()
        address = servers[name].address
        record = layout.MemberRecord(
            name=name, folder_id=name, incarnation=name, address=address, pid=0, cores=1, fingerprint=""
        )
        register(home.session, record)
    yield servers
    for server in servers.values():
        server.stop()


def cache_of(folder: Path, node: str) -> BlobStore:
    return BlobStore(folder / f"{node}-cache")


def test_a_dataset_without_a_node_cannot_be_read_now(home: ObjectHome) -> None:
    with pytest.raises(Unavailable, match="no node can give"):
        put(home, "d", TABLE, shards=4).to_arrow()


def test_a_dataset_is_put_and_read_through_any_node(home: ObjectHome, nodes: dict[str, StoreServer], tmp_path: Path) -> None:
    dataset = put(home, "d", TABLE, shards=4, groups="text:s; numbers:*")
    assert dataset.holders == [] and dataset.nodes(0) == () and set(parts(dataset)) < set(blobs(home))
    assert dataset.to_arrow().equals(TABLE) and dataset.to_arrow(["x", "n"]).equals(TABLE.select(["x", "n"]))
    cached = [digest for name in nodes for digest in cache_of(tmp_path, name).digests()]
    assert sorted(cached) == sorted(parts(dataset)), "each at one node, every time the same"
    assert [health.state for health in dataset.verify()] == ["good"] * 8
    nodes.pop("ann").stop()
    assert dataset.to_arrow().equals(TABLE), "the other node can get what the first one had"


def test_an_append_takes_over_what_does_not_change(home: ObjectHome, nodes: dict[str, StoreServer]) -> None:
    first = put(home, "d", TABLE, shards=4, by="hash:n")
    second = put(home, "d", TABLE.slice(0, 1), append=True)
    assert second.rows == 60_001 and len(set(parts(first)) & set(parts(second))) == 3 and len(nodes) == 2


def test_all_files_of_a_shard_can_be_opened_however_small_the_cache_is(home: ObjectHome, tmp_path: Path) -> None:
    dataset = put(home, "d", TABLE, shards=2, groups="a:n; b:s; c:x")
    cache = BlobCache(BlobStore(tmp_path / "cache"), 1)
    with ExitStack() as held:
        paths = [dataset.bring(shard, [], BlobStore(tmp_path / "own"), cache, held) for shard in range(2)]
        shards = [open_shard(each, index) for index, each in enumerate(paths)]
        assert [block["x"].sum() for shard in shards for block in shard.blocks] != [] and len(cache.store.digests()) == 6
    assert len(cache.store.digests()) == 1


def test_a_put_that_fails_in_the_middle_is_not_seen(on_s3: ObjectHome, server: ObjectServer) -> None:
    def fail(progress: Any) -> None:
        if progress.phase == "storing":
            server.go_wrong(Wrong("PUT", "SlowDown", 503, 1000))

    with pytest.raises(Unavailable, match=r"blob [0-9a-f]+: s3://"):
        put(on_s3, "d", TABLE, shards=8, progress=fail)
    server.go_wrong()
    with pytest.raises(CallerError, match="there is no dataset 'd'"):
        open_dataset(on_s3, "d")
    assert on_s3.session.children(layout.UPLOADS) == []
    assert put(on_s3, "d", TABLE, shards=8).version == 1


def test_a_cluster_without_a_store_has_its_blobs_on_the_nodes(session: Session, client: StoreClient) -> None:
    found_cluster(session)
    home = open_home(session, client)
    assert isinstance(home, NodeHome) and supplier(home, None) is None


# -- collection -----------------------------------------------------------------------------------------------------------


def collector(home: ObjectHome) -> Collector:
    manifests = Manifests(home)
    return Collector(home, manifests, lambda: find_kept(home, manifests, is_strict=True), list)


def config(collect_after_s: float) -> Config:
    return Config(layout.ConfigRecord(values={"collect_after_s": collect_after_s}))


def age(home: ObjectHome) -> None:
    """Make every blob two days old."""
    for digest in blobs(home):
        path = Path(home.objects.path(digest))
        os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 2 * 86_400 * 10**9))


def test_what_a_removed_version_named_goes_at_once_but_not_what_another_one_names(home: ObjectHome) -> None:
    gone = put(home, "gone", TABLE, shards=3)
    kept = put(home, "kept", TABLE.slice(0, 20_000), shards=1)
    assert set(parts(gone)) & set(parts(kept)), "they share a shard"
    model, _ = home.put(b"young", 1)
    remove_dataset(home.session, "gone")
    done = collector(home).step(config(3600))
    assert done is not None and done.versions == ["gone@1"] and done.blobs == 3
    assert set(blobs(home)) == {*parts(kept), kept.info.record.manifest, model}
    assert home.session.children(layout.TRASH) == []


def test_what_nothing_names_goes_when_it_is_old(session: Session, client: StoreClient, tmp_path: Path) -> None:
    home = ObjectHome(session, client, f"file://{tmp_path}/shared")
    kept = put(home, "kept", TABLE, shards=2)
    old, _ = home.put(b"old", 1)
    again, _ = home.put(b"written again", 1)
    unfinished = tmp_path / "shared" / "blobs" / "arriving" / "half"
    unfinished.write_bytes(b"half")
    os.utime(unfinished, (1, 1))
    age(home)
    young, _ = home.put(b"young", 1)
    assert home.put(b"written again", 1)[0] == again
    done = collector(home).step(config(86_400))
    assert done is not None and done.blobs == 1 and done.bytes == 3
    assert old not in blobs(home) and {young, again, *parts(kept)} < set(blobs(home)) and not unfinished.exists()


def test_nothing_goes_while_anybody_writes(home: ObjectHome) -> None:
    """A writer may count on what it found there: it writes its blobs before the znode that names them."""
    gone = put(home, "gone", TABLE, shards=2)
    remove_dataset(home.session, "gone")
    collecting = collector(home)
    with writing(home.session, "other"):
        assert collecting.step(config(0)) is None
        assert set(parts(gone)) < set(blobs(home))
    assert collecting.step(config(0)) is not None
    assert blobs(home) == []


def test_a_collection_that_loses_its_turn_deletes_nothing_more_and_the_next_one_ends_it(
    session: Session, client: StoreClient, tmp_path: Path
) -> None:
    home = ObjectHome(session, client, f"file://{tmp_path}/shared")
    put(home, "gone", TABLE, shards=16)
    remove_dataset(home.session, "gone")
    collecting = collector(home)
    remove, never = home.objects._delete, threading.Event()

    def lose(path: str) -> None:
        if session.version(layout.COLLECTING) is not None:
            session.delete(layout.COLLECTING)
        never.wait(0.3)  # as a pause would: longer than it goes without a look
        remove(path)

    home.objects._delete = lose  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="lost its turn"):
        collecting.step(config(0))
    home.objects._delete = remove  # type: ignore[method-assign]
    assert session.children(layout.TRASH) == ["gone@1"]
    done = collecting.step(config(0))
    assert done is not None and done.versions == ["gone@1"] and blobs(home) == []
