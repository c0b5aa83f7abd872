"""Which datasets there are, and that removing one never touches another."""

from typing import Any

import pyarrow as pa
import pytest
from store_cluster import StoreCluster

from muskox.coordination import layout, read_config
from muskox.errors import CallerError
from muskox.store import PutProgress, list_datasets, parse_reference, remove_dataset
from muskox.store.care.collection import Collected, Collector
from muskox.store.care.kept import Manifests, find_kept
from muskox.store.catalog import versions_of

TABLE = pa.table({"i": range(100)})


def remove(cluster: StoreCluster, name: str) -> None:
    """Remove a dataset, and collect what it leaves."""
    remove_dataset(cluster.session, name)
    collect(cluster)


def collect(cluster: StoreCluster) -> Collected | None:
    return collector_of(cluster).step(read_config(cluster.session))


def collector_of(cluster: StoreCluster) -> Collector:
    manifests = Manifests(cluster.home)
    return Collector(cluster.home, manifests, lambda: find_kept(cluster.home, manifests, is_strict=True), list)


def blobs(cluster: StoreCluster) -> list[int]:
    return [len(cluster.blobs(name).digests()) for name in ("ann", "bob", "cat")]


def test_datasets_are_listed_with_their_latest_version(cluster: StoreCluster) -> None:
    assert list_datasets(cluster.session) == []
    cluster.put("zebra", TABLE, shards=2)
    cluster.put("ant", TABLE, shards=3, by="hash:i", replicas=1)
    cluster.put("ant", TABLE, append=True)
    infos = list_datasets(cluster.session)
    assert [(info.name, info.version, info.versions) for info in infos] == [("ant", 2, (1, 2)), ("zebra", 1, (1,))]
    record = infos[0].record
    assert (record.rows, record.shards, record.by, record.replicas) == (200, 3, "hash:i", 1), "replicas are the base's"
    assert record.digest == cluster.open("ant").digest and record.bytes == sum(
        entry.bytes for entry in cluster.open("ant").shards
    )


@pytest.mark.parametrize(("reference", "expected"), [("d", ("d", None)), ("d@12", ("d", 12)), ("a.b-c_1@1", ("a.b-c_1", 1))])
def test_references_are_parsed(reference: str, expected: tuple[str, int | None]) -> None:
    assert parse_reference(reference) == expected


@pytest.mark.parametrize("reference", ["", "@1", "d@", "d@x", "d@-1", "d@1@2", "../x", "d@²"])
def test_other_references_are_refused(reference: str) -> None:
    with pytest.raises(CallerError, match=r"names no version|is not valid"):
        parse_reference(reference)


def test_what_is_not_there_is_said_with_what_is(cluster: StoreCluster) -> None:
    with pytest.raises(CallerError, match="there is no dataset 'd'; there are: none yet"):
        cluster.open("d")
    cluster.put("d", TABLE)
    with pytest.raises(CallerError, match="there is no dataset 'e'; there are: d"):
        cluster.open("e")
    with pytest.raises(CallerError, match="dataset 'd' has no version 7; it has: 1"):
        cluster.open("d@7")
    with pytest.raises(CallerError, match="two different things"):
        cluster.open("d@1", 2)


def test_removal_takes_every_version_and_its_blobs(cluster: StoreCluster) -> None:
    cluster.put("d", TABLE, shards=4)
    cluster.put("d", TABLE, append=True)
    assert sum(blobs(cluster)) == 2 * (4 + 1) * 2
    remove(cluster, "d")
    assert blobs(cluster) == [0, 0, 0] and list_datasets(cluster.session) == []
    with pytest.raises(CallerError, match="there is no dataset 'd'"):
        remove(cluster, "d")


def test_a_version_number_is_never_given_twice(cluster: StoreCluster) -> None:
    assert cluster.put("d", TABLE) == 1
    remove(cluster, "d")
    again = cluster.put("d", TABLE)
    assert again > 1 and cluster.open("d").version == again
    assert cluster.put("d", TABLE, overwrite=True) == again + 1


def test_removal_spares_what_another_dataset_holds(cluster: StoreCluster) -> None:
    cluster.put("one", TABLE, shards=4, replicas=3)
    cluster.put("two", TABLE, shards=4, replicas=2)  # the same rows: the same blobs
    remove(cluster, "one")
    assert cluster.open("two").to_arrow().num_rows == 100
    assert {health.state for health in cluster.open("two").verify()} == {"good"}
    assert sum(blobs(cluster)) == (4 + 1) * 2
    remove(cluster, "two")
    assert blobs(cluster) == [0, 0, 0]


def test_removal_leaves_blobs_alone_while_a_put_is_under_way(cluster: StoreCluster) -> None:
    cluster.put("old", TABLE, shards=4)

    def remove_old(progress: PutProgress) -> None:
        if progress.phase == "storing" and progress.done == progress.total:
            remove_dataset(cluster.session, "old")
            assert collector.step(read_config(cluster.session)) is None, "it waits for the put"

    collector = collector_of(cluster)
    cluster.put("new", TABLE, shards=4, progress=remove_old)
    assert collector.step(read_config(cluster.session)) is not None
    assert [info.name for info in list_datasets(cluster.session)] == ["new"]
    assert cluster.open("new").to_arrow().num_rows == 100
    assert cluster.session.children(layout.UPLOADS) == []


def test_removal_works_with_nodes_that_are_dead(cluster: StoreCluster) -> None:
    cluster.put("d", TABLE, shards=4, replicas=2)
    for name in ("ann", "bob"):
        cluster.stop_node(name)
    remove_dataset(cluster.session, "d")
    assert list_datasets(cluster.session) == []


def many_versions(cluster: StoreCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muskox.store.catalog.VERSIONS_PER_COMMIT", 2)
    for _ in range(6):
        cluster.put("d", TABLE, shards=1, overwrite=True)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_removal_that_is_killed_between_its_steps_can_be_done_again(
    cluster: StoreCluster, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    many_versions(cluster, monkeypatch)
    plain = cluster.session.commit
    done: list[int] = []

    def dies(*arguments: Any) -> None:
        if len(done) == steps:
            raise KeyboardInterrupt
        done.append(1)
        plain(*arguments)

    monkeypatch.setattr(cluster.session, "commit", dies)
    with pytest.raises(KeyboardInterrupt):
        remove_dataset(cluster.session, "d")
    monkeypatch.setattr(cluster.session, "commit", plain)
    left = tuple(range(1 + 2 * steps, 7))
    assert [(info.version, info.versions) for info in list_datasets(cluster.session)] == [(6, left)]
    assert cluster.open("d").to_arrow().num_rows == 100
    remove_dataset(cluster.session, "d")
    assert versions_of(cluster.session, "d") == ()
    assert cluster.put("d", TABLE) > 6
    assert list_datasets(cluster.session)[0].versions == (cluster.open("d").version,), "none of the old ones shows again"


def test_a_version_that_comes_while_a_dataset_is_removed_goes_too_and_never_as_an_older_one(
    cluster: StoreCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_versions(cluster, monkeypatch)
    plain = cluster.session.commit
    latest: list[int] = []

    def overtaken(*arguments: Any) -> None:
        monkeypatch.setattr(cluster.session, "commit", plain)
        latest.append(cluster.put("d", TABLE, overwrite=True))
        monkeypatch.setattr(cluster.session, "commit", watched)
        plain(*arguments)

    def watched(*arguments: Any) -> None:
        plain(*arguments)
        versions = versions_of(cluster.session, "d")
        assert not versions or latest[0] in versions, "the latest goes last"

    monkeypatch.setattr(cluster.session, "commit", overtaken)
    remove_dataset(cluster.session, "d")
    assert latest == [7] and versions_of(cluster.session, "d") == () and list_datasets(cluster.session) == []
    assert cluster.session.version(layout.acl("d")) is None
