"""The promise of the first path, kept on an object store: kill -9 of anybody, the store itself away, bits that flip in it.

The store is moto's S3 server, a process of its own that is reached by HTTP; it forgets its objects when it is killed, so it is
stopped (SIGSTOP: nobody answers) or made to refuse.
"""

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from killing import FEATURES, ROUNDS_MAX, C, Killer, estimator, mend, train, until
from object_server import REASON, ObjectServer, Wrong, is_installed
from whole_path_data import BY, SEED, SHARDS, TARGET

import muskox as mx
from muskox.client import down, up
from muskox.coordination import layout
from muskox.errors import CallerError, Unavailable
from muskox.store import RegisterOptions, open_dataset, register_dataset
from muskox.store.disk.shard import open_file
from muskox.store.objects.filesystems import open_place

AWAY_SECONDS = 3.0


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    if not is_installed():
        pytest.skip(REASON)
    with pytest.MonkeyPatch.context() as patch, ObjectServer() as started:
        for variable, value in ObjectServer.environment.items():
            patch.setenv(variable, value)
        yield started


@dataclass
class Store:
    """The bucket that a cluster keeps everything in."""

    server: ObjectServer
    bucket: str

    @property
    def url(self) -> str:
        return self.server.url(f"{self.bucket}/herd")

    def blobs(self) -> list[str]:
        return [name for name in (key.rpartition("/")[2] for key in self.server.objects(self.bucket)) if name]

    def write(self, path: str, data: bytes) -> None:
        place = open_place(self.url)
        with place.filesystem.open_output_stream(place.path(path)) as stream:
            stream.write(data)

    def read(self, path: str) -> bytes:
        place = open_place(self.url)
        with place.filesystem.open_input_file(place.path(path)) as file:
            return bytes(file.read())

    def gets(self) -> list[str]:
        """Return the blobs that were asked for since the last call."""
        return [line.rpartition("/")[2] for line in self.server.requests() if line.startswith("GET") and "?" not in line]


@pytest.fixture(scope="module")
def store(server: ObjectServer) -> Store:
    return Store(server, server.make_bucket())


@pytest.fixture(scope="module")
def three_on_store(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[mx.Cluster]:
    with mx.local(nodes=3, dir=tmp_path_factory.mktemp("on-store"), store=store.url) as cluster:
        yield cluster


@pytest.fixture
def cluster(three_on_store: mx.Cluster, server: ObjectServer) -> Iterator[mx.Cluster]:
    """Three live nodes; whatever a test broke is well again after it."""
    yield three_on_store
    server.resume()
    server.go_wrong()
    mend(three_on_store)


@pytest.fixture(scope="module")
def dataset(three_on_store: mx.Cluster, flights: pa.Table) -> Any:
    return three_on_store.put("flights", flights, shards=SHARDS, by=BY)


def folders(cluster: mx.Cluster) -> list[Path]:
    return [Path(cluster.folder.node(name)) for name in cluster.folder.get().nodes]


def names_below(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("blobs/??/*")]


def test_everything_lies_in_the_store_and_the_nodes_have_caches(cluster, dataset, store: Store, flights, expected) -> None:
    assert train(dataset, name="late") == expected
    assert cluster.model_info("late")["digest"] == expected and cluster.model("late").digest_ == expected
    shards = [shard.parts[0].file_digest for shard in dataset.shards]
    assert set(shards) < set(store.blobs())
    for folder in folders(cluster):
        assert names_below(folder) == []
    assert {name for folder in folders(cluster) for name in names_below(folder / "cache")} == set(shards)
    assert dataset.to_arrow().sort_by("day").num_rows == flights.num_rows
    assert [health.state for health in dataset.verify()] == ["good"] * SHARDS


@pytest.mark.parametrize("role", ["worker", "root", "node", "coordinator", "keeper"])
def test_a_death_changes_no_bit(cluster, dataset, expected, role: str) -> None:
    killer = Killer(cluster, role, random.Random(f"{SEED}/store/{role}"))
    assert train(dataset, on_round=killer) == expected, f"killed the {role} after round {killer.at}"
    assert killer.pid, f"the fit ended before round {killer.at}"


def test_the_client_may_die(cluster, dataset, expected) -> None:
    at = random.Random(f"{SEED}/store/client").randrange(2, 40)
    script = f"""
        import os, signal, muskox as mx
        def die(report):
            if report.round >= {at}:
                os.kill(os.getpid(), signal.SIGKILL)
        parameters = dict(C={C}, max_rounds={ROUNDS_MAX}, tol=1e-13, features={FEATURES!r}, categorical=("month", "hour"))
        dataset = mx.connect(dir={str(cluster.folder.path)!r}).dataset("flights")
        mx.LogisticRegression(**parameters).fit(dataset, target={TARGET!r}, name="orphan", on_round=die)
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    job = next(job for job in cluster.jobs() if job["model"] == "orphan")
    assert cluster.wait(job["id"])["state"] == "done"
    assert cluster.model_info("orphan")["digest"] == expected


def test_every_process_at_once_goes_on_from_the_checkpoint_in_the_store(tmp_path, server, flights, expected) -> None:
    """All nodes and the keeper; what the nodes had in their caches they need not fetch again."""
    store = Store(server, server.make_bucket())
    with up(tmp_path, nodes=2, store=store.url) as cluster:
        try:
            cluster.set_config("checkpoint_interval_s", 0.1)
            dataset = cluster.put("flights", flights, shards=SHARDS, by=BY)
            job = cluster.submit(estimator(), dataset, TARGET, name="late")
            reports = cluster.follow(job)
            while cluster.session.find(layout.checkpoint(job), layout.CheckpointRecord) is None:
                next(reports)
            status = cluster.status()
            for pid in [status["keeper"]["pid"], *(node["pid"] for node in status["nodes"])]:
                os.kill(pid, signal.SIGKILL)
            living = ("node-1", "node-2")
            until(lambda: not any(cluster.folder.node_pid(name) for name in living), "the end of every node")
            store.gets()
            with up(tmp_path, nodes=2) as again:
                assert again.wait(job)["state"] == "done"
                assert again.model_info("late")["digest"] == expected
                shards = {shard.parts[0].file_digest for shard in again.dataset("flights").shards}
            fetched = store.gets()
            assert len([name for name in fetched if name in shards]) < SHARDS, "shards may go to the other node, not all"
            assert [name for name in fetched if name not in shards], "the checkpoint came from the store"
        finally:
            down(tmp_path)


def test_rounds_need_no_store_and_a_death_while_it_is_away_waits_for_it(cluster, dataset, server, expected) -> None:
    """Whoever takes over the dead worker's shards must be able to get them."""
    killer = Killer(cluster, "worker", random.Random(f"{SEED}/store/away"))
    killer.at = 30
    back = threading.Timer(AWAY_SECONDS, server.resume)

    def on_round(report: mx.RoundReport) -> None:
        if report.round == 2:
            server.pause()
        killer(report)
        if killer.pid and back.ident is None:
            back.start()

    assert train(dataset, on_round=on_round) == expected
    back.join()
    assert killer.pid and max(killer.generations) > killer.generation


def test_a_store_that_is_away_for_seconds_is_sat_out_by_a_put(cluster, server, flights) -> None:
    resumed = threading.Timer(AWAY_SECONDS, server.resume)

    def away(progress: Any) -> None:
        if progress.phase == "storing" and progress.done == 2 and resumed.ident is None:
            server.pause()
            resumed.start()

    dataset = cluster.put("patient", flights.slice(0, 2000), shards=SHARDS, progress=away)
    assert resumed.ident is not None and dataset.to_arrow().num_rows == 2000
    resumed.join()


def test_a_put_that_the_store_refuses_fails_whole_with_a_sentence(cluster, server, flights) -> None:
    server.go_wrong(Wrong("PUT", "ServiceUnavailable", 503, 10_000))
    with pytest.raises(Unavailable, match=r"blob [0-9a-f]{64}: s3://.* says "):
        cluster.put("refused", flights.slice(0, 2000), shards=2)
    server.go_wrong()
    with pytest.raises(CallerError, match="there is no dataset 'refused'"):
        cluster.dataset("refused")
    assert cluster.session.children(layout.UPLOADS) == []
    assert cluster.put("refused", flights.slice(0, 2000), shards=2).version == 1


def test_a_client_killed_in_the_middle_of_a_put_leaves_nothing_that_stays(cluster, dataset, store: Store, expected) -> None:
    script = f"""
        import os, signal, muskox as mx, pyarrow as pa
        def die(progress):
            if progress.phase == "storing" and progress.done == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        with mx.connect(dir={str(cluster.folder.path)!r}) as cluster:
            cluster.put("orphan", pa.table({{"x": list(range(100_000))}}), shards={SHARDS}, progress=die)
    """
    before = set(store.blobs())
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert set(store.blobs()) > before, "something was on its way"
    with pytest.raises(CallerError, match="there is no dataset 'orphan'"):
        cluster.dataset("orphan")
    cluster.set_config("collect_after_s", 0.0)
    try:
        cluster.put("nudge", pa.table({"x": [1]}), shards=1)
        cluster.remove_dataset("nudge")
        until(lambda: set(store.blobs()) <= before, "the collection", 60)
    finally:
        cluster.set_config("collect_after_s", 3600.0)
    assert {health.state for health in dataset.verify()} == {"good"}, "what is named stays"


def test_what_is_removed_goes_once_nobody_writes_and_nobody_reads_it(cluster, dataset, store: Store, flights) -> None:
    gone = cluster.put("gone", flights.slice(0, 3000).append_column("more", pa.array(range(3000))), shards=3)
    own = {shard.parts[0].file_digest for shard in gone.shards}
    read = open_dataset(cluster.home, "gone").scan(batch_rows=100)
    next(read)
    held = []

    def remove(progress: Any) -> None:  # in the middle of another put
        if progress.phase == "storing" and not held:
            cluster.remove_dataset("gone")
            held.append(progress.done)

    cluster.put("kept", flights.slice(0, 2000), shards=8, progress=remove)
    assert held and own <= set(store.blobs()), "it is read still"
    read.close()
    cluster.put("nudge", pa.table({"x": [2]}), shards=1)
    cluster.remove_dataset("nudge")
    until(lambda: own.isdisjoint(store.blobs()), "the collection", 60)
    assert cluster.dataset("kept").to_arrow().num_rows == 2000
    assert {health.state for name in ("flights", "kept") for health in cluster.dataset(name).verify()} == {"good"}


def flip(path: Path, at: int) -> None:
    """Flip one bit of a file where it lies, and leave its times as they were: a disk tells nobody."""
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_flipped_bit_in_a_cache_is_not_computed_with_and_fetched_anew(cluster, dataset, expected) -> None:
    assert train(dataset) == expected
    digest = dataset.shards[4].parts[0].file_digest
    damaged = [path for folder in folders(cluster) for path in folder.glob(f"cache/blobs/??/{digest}")]
    good = damaged[0].read_bytes()
    for path in damaged:
        flip(path, 5000)
    assert train(dataset) == expected
    assert any(path.read_bytes() == good for path in damaged)


def test_a_flipped_bit_in_the_store_is_found_and_never_served(cluster, store: Store, flights) -> None:
    rows = flights.slice(5000, 1000)
    dataset = cluster.put("flipped", rows, shards=1)
    digest = dataset.shards[0].parts[0].file_digest
    data = bytearray(store.read(f"blobs/{digest[:2]}/{digest}"))
    data[3000] ^= 1
    store.write(f"blobs/{digest[:2]}/{digest}", bytes(data))
    assert [health.state for health in dataset.verify()] == ["corrupt"]
    with pytest.raises(Unavailable, match="has other bytes than were written"):
        dataset.to_arrow()
    assert cluster.put("flipped", rows, shards=1, overwrite=True).to_arrow().num_rows == 1000, "put again it is whole"
    assert [health.state for health in dataset.verify()] == ["good"]


def test_all_of_it_in_a_folder_that_the_nodes_share(tmp_path, flights) -> None:
    with mx.local(nodes=2, dir=tmp_path / "cluster", store=f"file://{tmp_path}/shared") as cluster:
        dataset = cluster.put("flights", flights.slice(0, 5000), shards=4)
        model = mx.LogisticRegression(max_rounds=5, features=["distance"]).fit(dataset, target=TARGET, name="short")
        assert cluster.model("short").digest_ == model.digest_
        assert dataset.to_arrow().num_rows == 5000 and {health.state for health in dataset.verify()} == {"good"}
        blobs = {shard.parts[0].file_digest for shard in dataset.shards}
        cluster.session.delete(layout.model("short"))
        cluster.remove_dataset("flights")
        until(lambda: blobs.isdisjoint(names_below(tmp_path / "shared")), "the collection", 60)


# -- registered in place --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parquet(server: ObjectServer, flights: pa.Table) -> Store:
    """The flights as their owner keeps them: six Parquet files in a bucket."""
    owner = Store(server, server.make_bucket())
    rows = flights.num_rows // 6
    for number in range(6):
        write(owner, f"part-{number}.parquet", flights.slice(number * rows, rows))
    return owner


def write(owner: Store, name: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=2500)
    owner.write(name, sink.getvalue().to_pybytes())


def test_equal_rows_in_equal_shards_give_an_equal_model_in_place_or_put(cluster, parquet: Store, flights) -> None:
    """One shard: the identity is that of a put, too. A node dies on the way, and nothing is written to the owner's bucket."""
    register_dataset(cluster.home, "in-place", parquet.url, RegisterOptions(shards=1, digest="content"))
    put = cluster.put("as-put", flights, shards=1)
    registered = cluster.dataset("in-place")
    assert registered.digest == put.digest and registered.to_arrow().equals(put.to_arrow())
    killer = Killer(cluster, "root", random.Random(f"{SEED}/store/registered"))
    before = parquet.server.objects(parquet.bucket)
    assert train(registered, on_round=killer) == train(put)
    assert killer.pid and parquet.server.objects(parquet.bucket) == before


def test_training_in_place_copies_only_the_columns_that_it_looks_at_and_removal_leaves_the_files(
    cluster, parquet: Store, server: ObjectServer
) -> None:
    register_dataset(cluster.home, "six", parquet.url, RegisterOptions(shards=6))
    before, dataset = parquet.server.objects(parquet.bucket), cluster.dataset("six")
    model = mx.LogisticRegression(max_rounds=5, features=["distance", "carrier"]).fit(dataset, target=TARGET)
    assert np.isfinite(model.coef_).all()
    cached = [path for folder in folders(cluster) for path in folder.glob("cache/blobs/??/*")]
    assert len([path for path in cached if sorted(open_file(path).schema.names) == ["carrier", "distance", TARGET]]) == 6
    server.requests()
    again = mx.LogisticRegression(max_rounds=5, features=["distance", "carrier"]).fit(dataset, target=TARGET)
    assert again.digest_ == model.digest_
    assert not [line for line in server.requests() if f"GET /{parquet.bucket}/" in line], "it lies in the caches"
    cluster.remove_dataset("six")
    until(lambda: not cluster.session.children(layout.TRASH), "the collection", 60)
    assert parquet.server.objects(parquet.bucket) == before


def test_a_job_on_a_file_that_was_changed_in_place_fails_with_that_reason(cluster, server, flights) -> None:
    owner = Store(server, server.make_bucket())
    for number in range(3):
        write(owner, f"part-{number}.parquet", flights.slice(number * 1000, 1000))
    register_dataset(cluster.home, "changing", owner.url, RegisterOptions(shards=3))
    write(owner, "part-1.parquet", flights.slice(7000, 1000))
    dataset = cluster.dataset("changing")
    assert [health.state for health in dataset.verify()] == ["good", "corrupt", "good"]
    began_s = time.monotonic()
    with pytest.raises(CallerError, match=r"part-1.parquet was changed in place since it was registered.*register it again"):
        train(dataset)
    assert time.monotonic() - began_s < 30
