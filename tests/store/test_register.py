"""A registered version is a version like any other, but for its rows: they are read where they lie, and stay when it goes."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from in_place_data import Field, make_field, numbers
from object_server import REASON, ObjectServer, is_installed
from store_cluster import StoreCluster

from muskox.coordination import Config, layout
from muskox.errors import CallerError, Unavailable
from muskox.store import (
    BlobCache,
    BlobStore,
    CheckOptions,
    Dataset,
    PutProgress,
    RegisterOptions,
    Rows,
    check_rows,
    compare_versions,
    find_dataset,
    list_datasets,
    open_shard,
    register_dataset,
    remove_dataset,
)
from muskox.store.care.collection import Collector
from muskox.store.care.kept import Manifests, find_kept

WAIT_SECONDS_MAX = 30.0


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    if not is_installed():
        pytest.skip(REASON)
    with pytest.MonkeyPatch.context() as patch, ObjectServer() as started:
        for variable, value in ObjectServer.environment.items():
            patch.setenv(variable, value)
        yield started


@pytest.fixture(params=["file", "s3"])
def field(request: pytest.FixtureRequest, tmp_path: Path) -> Field:
    return make_field(request.param, tmp_path, request.getfixturevalue("server") if request.param == "s3" else None)


@pytest.fixture
def folder(tmp_path: Path) -> Field:
    return make_field("file", tmp_path)


def cities() -> dict[str, Any]:
    return {f"city={city}/part-{at}": numbers(at * 30, 30, even=pa.array([n % 2 == 0 for n in range(30)]))
            for at, city in enumerate(("Oslo", "Rome", "Ulm"))}  # fmt: skip


def table() -> Any:
    """Return the rows of `cities`."""
    even = pa.array([n % 2 == 0 for n in range(30)] * 3)
    return numbers(0, 90, even=even, city=pa.array(["Oslo"] * 30 + ["Rome"] * 30 + ["Ulm"] * 30))


def register(cluster: StoreCluster, name: str, url: str, **options: Any) -> Dataset:
    return cluster.open(name, register_dataset(cluster.home, name, url, RegisterOptions(**options)))


def test_it_is_listed_opened_and_read_like_any_other(cluster: StoreCluster, field: Field) -> None:
    dataset = register(cluster, "cities", field.write(cities()), shards=4)
    record = find_dataset(cluster.session, "cities").record
    assert (record.rows, record.shards, record.registered, record.groups) == (90, 4, field.url, 1)
    assert [info.name for info in list_datasets(cluster.session)] == ["cities"]
    assert dataset.to_arrow().equals(table()) and dataset.columns == {"n": "int", "even": "bool", "city": "string"}
    assert dataset.to_arrow(["city", "n"]).equals(table().select(["city", "n"]))
    assert dataset.manifest.rows == 90 and dataset.nodes(0) == () and dataset.local_path(0) is None
    batches = list(dataset.scan(["n"], batch_rows=7, first_row=25))
    assert [batch.num_rows for batch in batches] == [7] * 9 + [2]
    assert pa.Table.from_batches(batches)["n"].to_pylist() == list(range(25, 90))
    with pytest.raises(CallerError, match="no column 'm'"):
        dataset.scan(["m"])


def test_registered_by_content_it_has_the_digest_of_the_same_rows_put(cluster: StoreCluster, folder: Field) -> None:
    registered = register(cluster, "registered", folder.write(cities()), shards=1, digest="content")
    cluster.put("put", table(), shards=1)
    put = cluster.open("put")
    assert registered.digest == put.digest and registered.shards[0].content_digest == put.shards[0].content_digest
    stamped = register(cluster, "stamped", folder.url, shards=1)
    assert stamped.digest != put.digest
    assert register(cluster, "stamped", folder.url, shards=1, overwrite=True).digest == stamped.digest


def test_a_file_written_anew_makes_another_version(cluster: StoreCluster, folder: Field) -> None:
    first = register(cluster, "cities", folder.write(cities()), shards=3)
    folder.write({"city=Rome/part-1": numbers(30, 31, even=pa.array([True] * 31))})
    with pytest.raises(CallerError, match="there is a dataset 'cities' already"):
        register(cluster, "cities", folder.url)
    second = register(cluster, "cities", folder.url, shards=3, overwrite=True)
    assert (first.version, second.version, second.rows) == (1, 2, 91)
    told = compare_versions(first.full_manifest, second.full_manifest)
    assert told.rows == (90, 91) and told.shards_changed == [1] and not told.is_same
    with pytest.raises(CallerError, match="registered in place: add the files there and register it again"):
        cluster.put("cities", table(), append=True)


def test_registering_tells_how_far_it_is(cluster: StoreCluster, folder: Field) -> None:
    told: list[PutProgress] = []
    register(cluster, "cities", folder.write(cities()), shards=3, digest="content", progress=told.append)
    assert [each for each in told if each.phase == "surveying"][-1] == PutProgress("surveying", 3, 3)
    assert told[-1] == PutProgress("reading", 3, 3)


@pytest.mark.parametrize("options", [{"shards": 0}, {"types": {"x": "int"}}, {"digest": "etag"}], ids=str)
def test_what_cannot_be_registered_leaves_nothing(cluster: StoreCluster, folder: Field, options: dict[str, Any]) -> None:
    folder.write(cities())
    with pytest.raises(CallerError):
        register(cluster, "cities", folder.url, **options)
    assert list_datasets(cluster.session) == [] and cluster.session.children(layout.UPLOADS) == []
    assert [cluster.blobs(name).digests() for name in cluster.servers] == [[], [], []]


def test_of_two_that_register_at_once_one_is_told_so_and_nothing_of_it_is_seen(cluster: StoreCluster, folder: Field) -> None:
    folder.write(cities())

    def other(_: PutProgress) -> None:
        if not list_datasets(cluster.session):
            cluster.put("cities", table())

    with pytest.raises(Unavailable, match="somebody else changed dataset 'cities' while this registration ran"):
        register(cluster, "cities", folder.url, progress=other)
    assert cluster.open("cities").full_manifest.registered is None


def test_a_registration_whose_lease_went_is_not_seen(cluster: StoreCluster, folder: Field) -> None:
    class Uploads:
        """Uploads that take so long that the session is lost."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def keep(self, data: bytes, digest: str) -> list[str]:
            for lease in cluster.session.children(layout.UPLOADS):
                cluster.session.delete(layout.upload(lease))
            nodes: list[str] = self._inner.keep(data, digest)
            return nodes

        def settle(self) -> list[Any]:
            return []

    real = cluster.home.uploads
    cluster.home.uploads = lambda replicas: Uploads(real(replicas))
    with pytest.raises(Unavailable, match="the session to ZooKeeper was lost while this registration ran"):
        register(cluster, "cities", folder.write(cities()))
    assert list_datasets(cluster.session) == []


@pytest.mark.parametrize("digest", ["stamp", "content"])
def test_verify_says_which_shards_are_what_was_registered(cluster: StoreCluster, field: Field, digest: str) -> None:
    dataset = register(cluster, "cities", field.write(cities()), shards=3, digest=digest)
    assert [health.state for health in dataset.verify()] == ["good"] * 3
    field.write({"city=Rome/part-1": numbers(30, 30, even=pa.array([True] * 30))})
    field.remove("city=Ulm/part-2")
    assert [(health.shard, health.state) for health in dataset.verify()] == [(0, "good"), (1, "corrupt"), (2, "corrupt")]


def test_check_reads_it_where_it_lies(cluster: StoreCluster, folder: Field) -> None:
    dataset = register(cluster, "cities", folder.write(cities()), shards=3)
    report = check_rows(Rows(dataset.reference, dataset.columns, dataset.rows, dataset.scan), CheckOptions(None, ("city",)))
    assert report is not None


# -- copies for those who compute -----------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path) -> BlobCache:
    return BlobCache(BlobStore(tmp_path / "cache"), 1 << 20)


def bring(dataset: Dataset, shard: int, columns: list[str], cache: BlobCache) -> Path:
    with ExitStack() as held:
        (path,) = dataset.bring(shard, columns, BlobStore(cache.store.folder.parent / "own"), cache, held)
        return path


def rows_of(path: Path) -> Any:
    return pa.Table.from_batches([block.batch for block in open_shard([path], 0).blocks])


def test_a_copy_is_made_once_for_each_choice_of_columns(
    cluster: StoreCluster, tmp_path: Path, server: ObjectServer, cache: BlobCache
) -> None:
    dataset = register(cluster, "cities", make_field("s3", tmp_path, server).write(cities()), shards=3)
    whole, narrow = bring(dataset, 1, [], cache), bring(dataset, 1, ["n", "city"], cache)
    assert rows_of(whole).equals(table().slice(30, 30)) and rows_of(narrow).equals(table().slice(30, 30).select(["n", "city"]))
    assert whole.name == hashlib.sha256(whole.read_bytes()).hexdigest()
    server.requests()
    assert bring(dataset, 1, ["city", "n"], cache) == narrow and bring(dataset, 1, [], cache) == whole
    assert server.requests() == []


def test_a_copy_that_went_is_made_again_and_one_that_is_held_stays(
    cluster: StoreCluster, tmp_path: Path, folder: Field, cache: BlobCache
) -> None:
    dataset = register(cluster, "cities", folder.write(cities()), shards=3)
    cache.bytes_max = 1
    with ExitStack() as held:
        paths = [dataset.bring(shard, [], BlobStore(tmp_path / "own"), cache, held)[0] for shard in range(3)]
        assert [rows_of(path).num_rows for path in paths] == [30, 30, 30]
    assert len(cache.store.digests()) == 1
    assert rows_of(bring(dataset, 0, [], cache)).equals(table().slice(0, 30))


def test_many_who_want_a_copy_make_it_once(
    cluster: StoreCluster, tmp_path: Path, server: ObjectServer, cache: BlobCache
) -> None:
    dataset = register(cluster, "cities", make_field("s3", tmp_path, server).write(cities()), shards=3)
    bring(dataset, 0, [], cache)
    server.requests()
    bring(dataset, 1, [], cache)
    once, all_in = len(server.requests()), threading.Barrier(6)

    def together(_: int) -> Path:
        all_in.wait(WAIT_SECONDS_MAX)
        return bring(dataset, 2, [], cache)

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(together, range(6)))) == 1
    assert len(server.requests()) == once


def test_who_computes_on_a_changed_file_is_told_to_register_again(
    cluster: StoreCluster, field: Field, cache: BlobCache
) -> None:
    """As the caller's fault: nobody else can put it right, and to try again is in vain."""
    dataset = register(cluster, "cities", field.write(cities()), shards=3)
    field.write({"city=Rome/part-1": numbers(30, 30, even=pa.array([True] * 30))})
    with pytest.raises(CallerError, match=r"part-1 was changed in place since it was registered.*register it again"):
        bring(dataset, 1, [], cache)
    assert cache.store.digests() == [] and rows_of(bring(dataset, 0, [], cache)).num_rows == 30


# -- going again ----------------------------------------------------------------------------------------------------------


def test_when_it_is_removed_its_manifest_goes_and_no_file_of_its_owner(cluster: StoreCluster, field: Field) -> None:
    register(cluster, "cities", field.write(cities()), shards=3)
    record = find_dataset(cluster.session, "cities").record
    manifests = Manifests(cluster.home)
    units = [kept.unit for kept in find_kept(cluster.home, manifests, is_strict=True)]
    assert [unit.key for unit in units] == ["manifest/cities@1"] and len(units[0].holders) == record.replicas
    held = [name for name in cluster.servers if cluster.blobs(name).has(record.manifest)]
    assert len(held) == record.replicas
    remove_dataset(cluster.session, "cities")
    collector = Collector(cluster.home, manifests, lambda: find_kept(cluster.home, manifests, is_strict=True), list)
    done = collector.step(Config(layout.ConfigRecord(values={"collect_after_s": 0.0})))
    assert done is not None and done.versions == ["cities@1"] and done.blobs == record.replicas
    assert not any(cluster.blobs(name).has(record.manifest) for name in cluster.servers)
    assert register(cluster, "cities", field.url, shards=3).to_arrow().equals(table())
