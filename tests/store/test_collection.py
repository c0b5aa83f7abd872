"""Collecting: what nothing names goes, once it cannot be on its way any more; what anybody needs stays, whoever holds it."""

import contextlib
import time
from pathlib import Path

import pyarrow as pa
import pytest
from store_cluster import StoreCluster

from muskox.coordination import Config, layout, stored
from muskox.errors import CallerError, Unavailable
from muskox.store import PutProgress, remove_dataset
from muskox.store.care.collection import Collector, retire_jobs, retire_versions
from muskox.store.care.kept import Change, Manifests, find_kept, write_holders
from muskox.store.care.leases import writing
from muskox.store.placement.holders import decode_holders, encode_holders

TABLE = pa.table({"i": range(1000)})
AT_ONCE = Config(layout.ConfigRecord(values={"collect_after_s": 0.0}))
LATER = Config(layout.ConfigRecord())


def collector_of(cluster: StoreCluster) -> Collector:
    manifests = Manifests(cluster.home)
    return Collector(cluster.home, manifests, lambda: find_kept(cluster.home, manifests, is_strict=True), list)


def held(cluster: StoreCluster) -> int:
    return sum(len(cluster.blobs(name).digests()) for name in ("ann", "bob", "cat"))


def states(cluster: StoreCluster, name: str) -> set[str]:
    return {health.state for health in cluster.open(name).verify()}


def test_blobs_of_unknown_origin_stay_until_they_are_old(cluster: StoreCluster) -> None:
    cluster.put("d", TABLE, shards=4)
    before = held(cluster)
    cluster.blobs("ann").put_bytes(b"of a put whose client was killed")
    assert (done := collector_of(cluster).step(LATER)) is not None and done.blobs == 0
    assert (done := collector_of(cluster).step(AT_ONCE)) is not None and (done.blobs, done.bytes) == (1, 32)
    assert held(cluster) == before and states(cluster, "d") == {"good"}


def test_a_put_that_begins_while_a_collection_begins_loses_nothing(cluster: StoreCluster) -> None:
    """The same rows as those just removed: the same blobs. Clocks are read before uploads, or its blobs would count as old."""
    cluster.put("old", TABLE, shards=8)
    remove_dataset(cluster.session, "old")
    collector = collector_of(cluster)
    plain = cluster.home.client.clock_ns
    put: list[int] = []

    def clock_ns(address: str) -> int:
        if not put:
            put.append(cluster.put("new", TABLE, shards=8))
        return plain(address)

    cluster.home.client.clock_ns = clock_ns  # type: ignore[method-assign]
    while collector.step(AT_ONCE) is None:
        pass
    assert put and states(cluster, "new") == {"good"}


def test_a_put_in_the_middle_of_which_a_collection_begins_is_waited_for(cluster: StoreCluster) -> None:
    cluster.put("old", TABLE, shards=8)
    collector = collector_of(cluster)

    def begin(progress: PutProgress) -> None:
        if progress.phase == "storing" and progress.done == progress.total:
            remove_dataset(cluster.session, "old")
            assert collector.step(AT_ONCE) is None

    cluster.put("new", TABLE, shards=8, progress=begin)
    assert collector.step(AT_ONCE) is not None
    assert states(cluster, "new") == {"good"}


def test_a_version_that_goes_while_all_is_looked_at_stops_the_collection(cluster: StoreCluster) -> None:
    """An append took its blobs over, and they are old: the picture that misses both versions must not be believed."""
    cluster.put("d", TABLE, shards=8)
    manifests = Manifests(cluster.home)
    kept = find_kept(cluster.home, manifests, is_strict=True)
    plain = cluster.session.find
    done: list[int] = []

    def find(path: str, kind: type, notify: object = None) -> object:
        if kind is stored.ManifestPlacement and not done:
            done.append(0)
            cluster.put("d", TABLE.slice(0, 1), append=True, by="rows")
            remove_dataset(cluster.session, "d")
        return plain(path, kind)

    cluster.session.find = find  # type: ignore[method-assign]
    with pytest.raises(Unavailable, match="was removed while it was looked at"):
        list(kept)
    cluster.session.find = plain  # type: ignore[method-assign]


def test_the_last_copy_stays_even_where_it_is_not_recorded(cluster: StoreCluster) -> None:
    """Its runs went to others while the node was away; it came back, and then those others died."""
    cluster.put("d", TABLE, shards=1, replicas=2)
    (nodes,) = {cluster.open("d").nodes(0)}
    other = ({"ann", "bob", "cat"} - set(nodes)).pop()
    path = layout.placement("d", 1, 0)
    record, version = cluster.session.get(path, stored.PlacementRecord, "placement")
    cluster.session.set(path, encode_holders(decode_holders(record, 1).with_run(0, [nodes[0], other])), version)
    assert collector_of(cluster).step(AT_ONCE) is not None
    digest = cluster.open("d").shards[0].parts[0].file_digest
    assert cluster.blobs(nodes[1]).has(digest), "the one who should hold it does not"
    cluster.blobs(other).put_file(cluster.blobs(nodes[0]).path(digest))
    collector_of(cluster).step(AT_ONCE)
    assert not cluster.blobs(nodes[1]).has(digest), "now everybody who should holds it"


def test_an_unreadable_manifest_stops_deleting_and_not_the_looking(cluster: StoreCluster) -> None:
    cluster.put("gone", TABLE, shards=2, replicas=1)
    cluster.put("there", TABLE.slice(5), shards=2)
    place, _ = cluster.session.get(layout.manifest_placement("gone", 1), stored.ManifestPlacement, "manifest")
    manifest = cluster.session.get(layout.version("gone", 1), stored.VersionRecord, "version")[0].manifest
    cluster.blobs(place.nodes[0]).delete(manifest)
    with pytest.raises(Unavailable):
        collector_of(cluster).step(AT_ONCE)
    seen = {kept.unit.key.split("/")[1] for kept in find_kept(cluster.home, Manifests(cluster.home), is_strict=False)}
    assert seen == {"gone@1", "there@1"}, "the manifest itself is known to be wanted"
    remove_dataset(cluster.session, "gone")
    assert collector_of(cluster).step(AT_ONCE) is not None, "nobody needs what it named"
    assert states(cluster, "there") == {"good"}


def test_a_fenced_off_coordinator_deletes_nothing(cluster: StoreCluster) -> None:
    cluster.put("d", TABLE, shards=4)
    remove_dataset(cluster.session, "d")
    for name, server in cluster.servers.items():
        cluster.client.delete(server.address, [], 0, fence=7)
        assert name
    before = held(cluster)
    collector_of(cluster).step(AT_ONCE, fence=6)
    assert held(cluster) == before
    cluster.put("d", TABLE, shards=4)
    assert collector_of(cluster).step(AT_ONCE, fence=7) is not None


def test_old_versions_are_retired_unless_they_are_needed(cluster: StoreCluster) -> None:
    for number in range(4):
        cluster.put("d", TABLE.slice(number), overwrite=True)
    model = layout.ModelRecord(digest="m", blob="b", nodes=[], kind="k", dataset="d@2", rounds=1, job="j")
    cluster.session.create(layout.model("late"), model)
    assert retire_versions(cluster.session, 0) == []
    assert retire_versions(cluster.session, 1) == ["d@1", "d@3"]
    with pytest.raises(CallerError, match="it has: 2, 4"):
        cluster.open("d@1")


def test_jobs_that_are_over_for_long_are_forgotten(cluster: StoreCluster) -> None:
    now_ms = time.time_ns() // 1_000_000
    for name, phase, finished_ms in (
        ("old", layout.JobPhase.DONE, now_ms - 40 * 86_400_000),
        ("new", layout.JobPhase.FAILED, now_ms - 1000),
        ("running", layout.JobPhase.RUNNING, 0),
    ):
        cluster.session.create(layout.job(name), layout.JobRecord(kind="k", program="p", program_nodes=[], dataset="d@1"))
        cluster.session.create(layout.job_state(name), layout.JobState(phase=phase, finished_ms=finished_ms))
    assert retire_jobs(cluster.session, 30.0) == ["old"]
    assert cluster.session.children(layout.JOBS) == ["new", "running"]


@pytest.mark.parametrize("deletes", range(5))
def test_who_dies_while_it_forgets_a_job_leaves_it_over_or_gone(
    cluster: StoreCluster, monkeypatch: pytest.MonkeyPatch, deletes: int
) -> None:
    """A job without a state would be new: the next coordinator would have it run again."""
    session, plain, left = cluster.session, cluster.session.kazoo.delete, [deletes]

    def delete(path: str, version: int = -1, recursive: bool = False) -> None:  # kazoo's own, but it dies on its way
        if recursive:
            for child in session.kazoo.get_children(path):
                delete(f"{path}/{child}", recursive=True)
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        plain(path, version)

    session.create(layout.job("old"), layout.JobRecord(kind="k", program="p", program_nodes=[], dataset="d@1"))
    session.create(layout.job_state("old"), layout.JobState(phase=layout.JobPhase.DONE, finished_ms=1))
    for path in (layout.generation("old"), layout.workers("old"), layout.suspects("old"), f"{layout.suspects('old')}/w"):
        session.create(path)
    with monkeypatch.context() as patched:
        patched.setattr(session.kazoo, "delete", delete)
        with contextlib.suppress(KeyboardInterrupt):
            retire_jobs(session, 30.0)
    state = session.find(layout.job_state("old"), layout.JobState)
    assert (session.version(layout.job("old")) is None) if state is None else state[0].phase.is_final
    retire_jobs(session, 30.0)
    assert session.children(layout.JOBS) == []


def test_what_a_job_kept_on_its_way_goes_with_its_end(cluster: StoreCluster) -> None:
    """The node that ended it may have died before it tidied up, or have kept a checkpoint after the end."""
    kept = layout.CheckpointRecord(round=7, digest="d", blob="b", nodes=[])
    for name, phase in (
        ("done", layout.JobPhase.DONE),
        ("cancelled", layout.JobPhase.CANCELLED),
        ("running", layout.JobPhase.RUNNING),
    ):
        cluster.session.create(layout.job(name), layout.JobRecord(kind="k", program="p", program_nodes=[], dataset="d@1"))
        cluster.session.create(layout.job_state(name), layout.JobState(phase=phase, finished_ms=time.time_ns() // 1_000_000))
        cluster.session.create(layout.checkpoint(name), kept)
        cluster.session.create(layout.pieces(name))
        cluster.session.create(layout.piece(name, 3), kept)
    assert retire_jobs(cluster.session, 30.0) == []
    for name, is_kept in (("done", False), ("cancelled", False), ("running", True)):
        assert (cluster.session.version(layout.checkpoint(name)) is not None) == is_kept
        assert cluster.session.children(layout.pieces(name)) == (["3"] if is_kept else [])


def test_a_lease_keeps_what_it_brings(cluster: StoreCluster, tmp_path: Path) -> None:
    collector = collector_of(cluster)
    with writing(cluster.session, "d"):
        cluster.blobs("ann").put_bytes(b"on its way")
        assert collector.step(AT_ONCE) is None
    assert (done := collector.step(AT_ONCE)) is not None and done.blobs == 1


def test_a_model_keeps_the_program_that_made_it(cluster: StoreCluster) -> None:
    program, nodes = cluster.home.put(b"a program", 2)
    model = {"blob": "b", "nodes": [], "kind": "k", "dataset": "d@1", "rounds": 1, "job": "j", "program": program}
    cluster.session.create(layout.model("m"), layout.ModelRecord(digest="d", **model, program_nodes=nodes))
    assert collector_of(cluster).step(AT_ONCE) is not None
    assert cluster.home.get(program, nodes) == b"a program"
    cluster.session.delete(layout.model("m"))
    collector_of(cluster).step(AT_ONCE)
    with pytest.raises(Unavailable):
        cluster.home.get(program, nodes)


def test_the_holders_of_a_model_and_of_its_program_are_written_in_one_step(cluster: StoreCluster) -> None:
    model = {"kind": "k", "dataset": "d@1", "rounds": 1, "job": "j", "program": "p", "program_nodes": ["ann"]}
    cluster.session.create(layout.model("m"), layout.ModelRecord(digest="d", blob="b", nodes=["ann"], **model))
    kept = [each for each in find_kept(cluster.home, Manifests(cluster.home), is_strict=True) if each.path == layout.model("m")]
    assert [each.unit.key for each in kept] == ["model/m", "recipe/m"]
    written, _ = write_holders(cluster.session, 0, [Change(each, ["ann"], ["ann", "bob"]) for each in kept])
    record, _ = cluster.session.get(layout.model("m"), layout.ModelRecord, "model")
    assert len(written) == 2 and record.nodes == record.program_nodes == ["ann", "bob"]
