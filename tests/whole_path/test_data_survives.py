"""Datasets survive their disks: kill -9, deleted folders, flipped bits in put, repair and read; nothing lost or half-there."""

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from killing import mend, unnamed, until
from whole_path_data import BY, SEED

import muskox as mx
from muskox.coordination import layout, stored
from muskox.errors import CallerError, MuskoxError
from muskox.store import PutProgress, content_digest

SHARDS = 16


@pytest.fixture(scope="module")
def four_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mx.Cluster]:
    with mx.local(nodes=4, dir=tmp_path_factory.mktemp("four")) as cluster:
        for name, value in {"repair_after_s": 0.5, "collect_after_s": 3600.0}.items():
            cluster.set_config(name, value)
        yield cluster


@pytest.fixture
def cluster(four_nodes: mx.Cluster) -> Iterator[mx.Cluster]:
    yield four_nodes
    mend(four_nodes)
    for info in four_nodes.datasets():
        four_nodes.remove_dataset(info["name"])
    until(lambda: not four_nodes.session.children(layout.TRASH), "the collection of what was removed")


def folder_of(cluster: mx.Cluster, node: str) -> Path:
    return Path(cluster.folder.node(node))


def kill(cluster: mx.Cluster, node: str) -> None:
    """Kill a node, and wait for its end: `up` would take it for living."""
    pid = cluster.folder.node_pid(node)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: cluster.folder.node_pid(node) is None, f"the end of {node}")


def holders(cluster: mx.Cluster, name: str) -> list[tuple[str, ...]]:
    dataset = cluster.dataset(name)._dataset
    return [dataset.nodes(shard) for shard in range(len(dataset.shards))]


def is_whole(cluster: mx.Cluster, name: str, without: str = "") -> bool:
    """Return whether every shard has its two replicas, good ones, none of them on `without`."""
    found = cluster.dataset(name).verify()
    where = holders(cluster, name)
    return all(len(nodes) == 2 and without not in nodes for nodes in where) and {h.state for h in found} == {"good"}


def flip(path: Path, draw: random.Random) -> None:
    """Flip one bit of a file where it lies, and leave its times as they were: a disk tells nobody."""
    times = path.stat()
    with path.open("r+b") as file:
        file.seek(draw.randrange(times.st_size))
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1 << draw.randrange(8)]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_the_replicas_of_a_dead_node_are_made_anew_on_the_others(cluster: mx.Cluster, flights: pa.Table) -> None:
    cluster.put("flights", flights, shards=SHARDS, by=BY, replicas=2)
    digest = cluster.dataset("flights").digest
    kill(cluster, "node-3")
    until(lambda: is_whole(cluster, "flights", without="node-3"), "the repair", 60)
    assert cluster.dataset("flights").digest == digest
    repair, _ = cluster.session.get(layout.REPAIR, stored.RepairRecord, "record of repair")
    assert repair.lost == []
    until(lambda: not _is_repairing(cluster), "a record that all is well")


def test_a_node_that_comes_back_with_an_empty_disk_is_filled_again(cluster: mx.Cluster, flights: pa.Table) -> None:
    cluster.put("flights", flights, shards=SHARDS, by=BY, replicas=2)
    expected = cluster.dataset("flights").to_arrow()
    kill(cluster, "node-2")
    shutil.rmtree(folder_of(cluster, "node-2") / "blobs")
    mend(cluster)
    until(lambda: is_whole(cluster, "flights"), "the repair", 60)
    assert cluster.dataset("flights").to_arrow().equals(expected)
    until(lambda: any("node-2" in nodes for nodes in holders(cluster, "flights")), "its share coming back", 60)


def test_files_deleted_under_a_living_node_are_brought_back(cluster: mx.Cluster, flights: pa.Table) -> None:
    cluster.put("flights", flights, shards=SHARDS, by=BY, replicas=2)
    shutil.rmtree(folder_of(cluster, "node-1") / "blobs" / "arriving", ignore_errors=True)
    for path in sorted((folder_of(cluster, "node-1") / "blobs").glob("??/*")):
        path.unlink()
    assert cluster.dataset("flights").to_arrow().num_rows == flights.num_rows, "read around at once"
    until(lambda: is_whole(cluster, "flights"), "the repair", 60)


def test_a_drained_node_holds_nothing_and_nothing_is_lost(cluster: mx.Cluster, flights: pa.Table) -> None:
    cluster.put("flights", flights, shards=SHARDS, by=BY, replicas=2)
    cluster.session.create(layout.drain("node-4"), stored.DrainRecord(since_ms=1))
    try:
        until(lambda: is_whole(cluster, "flights", without="node-4"), "the drain", 60)
        blobs = folder_of(cluster, "node-4") / "blobs"
        cluster.set_config("collect_after_s", 0.0)
        until(lambda: not list(blobs.glob("??/*")), "the deletion of what moved", 60)
        cluster.put("later", flights.slice(0, 100), shards=4, replicas=3)
        assert not any("node-4" in nodes for nodes in holders(cluster, "later")), "it is given nothing new"
    finally:
        cluster.set_config("collect_after_s", 3600.0)
        cluster.session.delete(layout.drain("node-4"))


@pytest.mark.parametrize("how", ["verify", "read", "scrub"])
def test_a_flipped_bit_in_a_shard_is_never_served_and_repaired(cluster: mx.Cluster, flights: pa.Table, how: str) -> None:
    cluster.put("flights", flights, shards=SHARDS, by=BY, replicas=2)
    expected = content_digest(cluster.dataset("flights").to_arrow())  # not the rows: they are the very file that is damaged
    draw = random.Random(f"{SEED}/{how}")
    node = draw.choice(holders(cluster, "flights")[3])
    digest = cluster.dataset("flights").shards[3].parts[0].file_digest
    path = folder_of(cluster, node) / "blobs" / digest[:2] / digest
    flip(path, draw)
    match how:
        case "verify":
            assert {h.state for h in cluster.dataset("flights").verify()} == {"good", "corrupt"}
        case "read":
            assert content_digest(cluster.dataset("flights").to_arrow()) == expected
            cluster.dataset("flights").verify()
        case "scrub":
            cluster.set_config("scrub_days", 0.00001)  # under a second
    try:
        until((folder_of(cluster, node) / "damaged" / digest).exists, "the finding", 60)
        until(lambda: is_whole(cluster, "flights"), "the repair of the replica", 60)
    finally:
        cluster.set_config("scrub_days", 7.0)
    assert content_digest(cluster.dataset("flights").to_arrow()) == expected


def test_a_flipped_bit_in_a_manifest_a_model_and_a_program_is_repaired(cluster: mx.Cluster, flights: pa.Table) -> None:
    dataset = cluster.put("flights", flights, shards=SHARDS, by=BY, replicas=2)
    from killing import estimator

    job = cluster.submit(estimator(), dataset, "late", name="late")
    assert cluster.wait(job)["state"] == "done"

    def blobs() -> list[tuple[str, list[str]]]:
        model, _ = cluster.session.get(layout.model("late"), layout.ModelRecord, "model")
        record, _ = cluster.session.get(layout.job(job), layout.JobRecord, "job")
        version, _ = cluster.session.get(layout.version("flights", dataset.version), stored.VersionRecord, "version")
        place = layout.manifest_placement("flights", dataset.version)
        manifest, _ = cluster.session.get(place, stored.ManifestPlacement, "manifest")
        return [(model.blob, model.nodes), (record.program, record.program_nodes), (version.manifest, manifest.nodes)]

    def states() -> list[str]:
        live = cluster.home.directory.live()
        return [cluster.client.verify(live[node], digest) for digest, nodes in blobs() for node in nodes if node in live]

    draw = random.Random(f"{SEED}/records")
    for digest, nodes in blobs():
        flip(folder_of(cluster, nodes[0]) / "blobs" / digest[:2] / digest, draw)
    assert cluster.model_record("late") and cluster.dataset("flights").rows == flights.num_rows, "read around"
    assert "corrupt" in states()
    until(lambda: states() == ["good"] * 6, "the repair", 60)


def test_a_node_killed_while_a_reader_reads_changes_no_row(cluster: mx.Cluster, flights: pa.Table) -> None:
    cluster.put("flights", flights, shards=SHARDS, by=BY, replicas=2)
    dataset = cluster.dataset("flights")
    expected = dataset.to_arrow()
    cluster.home.directory._host = "elsewhere"  # over the network, as from another machine
    try:
        batches = []
        for number, batch in enumerate(dataset._dataset.scan(batch_rows=1000)):
            if number == 7:
                kill(cluster, holders(cluster, "flights")[2][0])
            batches.append(batch)
        assert pa.Table.from_batches(batches).equals(expected)
    finally:
        from muskox.store import this_host

        cluster.home.directory._host = this_host()


@pytest.mark.parametrize("blow", ["kill", "kill and delete"])
def test_a_node_lost_in_the_middle_of_a_put_costs_nothing(cluster: mx.Cluster, flights: pa.Table, blow: str) -> None:
    killed = []

    def strike(progress: PutProgress) -> None:
        if progress.phase == "storing" and progress.done == SHARDS // 2 and not killed:
            killed.append("node-3")
            kill(cluster, "node-3")
            if "delete" in blow:
                shutil.rmtree(folder_of(cluster, "node-3") / "blobs")

    cluster.put("flights", flights, shards=SHARDS, by=BY, replicas=2, progress=strike)
    assert killed and cluster.dataset("flights").to_arrow().num_rows == flights.num_rows
    until(lambda: is_whole(cluster, "flights", without="node-3"), "two replicas of every shard", 60)


def test_a_second_death_in_the_middle_of_the_repair(cluster: mx.Cluster, flights: pa.Table) -> None:
    """With three replicas two nodes may be away at once; the coordinator's own node is the second."""
    cluster.put("flights", flights, shards=SHARDS, by=BY, replicas=3)
    expected = cluster.dataset("flights").to_arrow()
    coordinator = next(node["name"] for node in cluster.status()["nodes"] if node["coordinator"])
    other = next(node["name"] for node in cluster.status()["nodes"] if not node["coordinator"])
    kill(cluster, other)
    until(lambda: _is_repairing(cluster), "the beginning of the repair", 60)
    kill(cluster, coordinator)
    assert cluster.dataset("flights").to_arrow().equals(expected)
    mend(cluster)
    until(lambda: all(len(nodes) == 3 for nodes in holders(cluster, "flights")), "three replicas again", 60)
    until(lambda: {h.state for h in cluster.dataset("flights").verify()} == {"good"}, "good ones", 60)


def _is_repairing(cluster: mx.Cluster) -> bool:
    found = cluster.session.find(layout.REPAIR, stored.RepairRecord)
    return found is not None and found[0].below > 0


def test_a_client_killed_in_the_middle_of_a_put_leaves_nothing_that_stays(cluster: mx.Cluster, flights: pa.Table) -> None:
    """What it uploaded is named by nobody: it is collected once it is old enough."""
    script = f"""
        import os, signal, muskox as mx, pyarrow as pa
        def die(progress):
            if progress.phase == "storing" and progress.done == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        with mx.connect(dir={str(cluster.folder.path)!r}) as cluster:
            cluster.put("orphan", pa.table({{"x": list(range(100_000))}}), shards={SHARDS}, progress=die)
    """
    before = unnamed(cluster)
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert unnamed(cluster) - before, "something was on its way"
    with pytest.raises(CallerError, match="there is no dataset 'orphan'"):
        cluster.dataset("orphan")
    cluster.set_config("collect_after_s", 0.0)
    try:
        until(lambda: not unnamed(cluster), "the collection", 60)
    finally:
        cluster.set_config("collect_after_s", 3600.0)


def held(cluster: mx.Cluster) -> int:
    return sum(len(cluster.client.inventory(address)) for address in cluster.home.directory.live().values())


def test_a_removed_dataset_gives_its_disk_back(cluster: mx.Cluster, flights: pa.Table) -> None:
    before = held(cluster)
    cluster.put("flights", flights, shards=SHARDS, replicas=2)
    cluster.put("flights", flights.slice(0, 1000), append=True)
    cluster.remove_dataset("flights")
    until(lambda: held(cluster) <= before, "the collection", 60)


def test_old_versions_go_unless_somebody_needs_them(cluster: mx.Cluster, flights: pa.Table) -> None:
    from killing import estimator

    first = cluster.put("flights", flights, shards=SHARDS, replicas=2)
    assert cluster.wait(cluster.submit(estimator(), first, "late", name="old"))["state"] == "done"
    later = [
        cluster.put("flights", flights.slice(number, 2000), shards=SHARDS, replicas=2, overwrite=True).version
        for number in range(3)
    ]
    read = cluster.dataset(f"flights@{later[0]}")._dataset.scan(batch_rows=100)
    next(read)
    cluster.set_config("versions_kept", 1)
    cluster.set_config("collect_after_s", 0.0)
    try:
        until(lambda: _versions(cluster) == [first.version, later[0], later[2]], "the end of the one that nobody needs", 60)
        read.close()
        until(lambda: _versions(cluster) == [first.version, later[2]], "the end of the one that nobody reads any more", 60)
        assert cluster.dataset(f"flights@{first.version}").to_arrow().num_rows == flights.num_rows
    finally:
        cluster.set_config("versions_kept", 0)
        cluster.set_config("collect_after_s", 3600.0)
        cluster.session.delete(layout.model("old"))


def _versions(cluster: mx.Cluster) -> list[int]:
    return sorted(int(name) for name in cluster.session.children(layout.dataset("flights")) if name.isdigit())


def test_a_full_disk_fails_a_put_whole(tmp_path: Path, flights: pa.Table) -> None:
    """A node on a tmpfs of 8 MB: real ENOSPC. The put says so, and nothing of it is visible or stays."""
    small = tmp_path / "small"
    small.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)], check=False).returncode
    ):
        pytest.skip("mounting a small tmpfs needs root")
    try:
        with mx.local(nodes=1, dir=small / "cluster") as cluster:
            big = pa.table({"x": list(range(2_000_000))})
            with pytest.raises(MuskoxError, match="is full"):
                cluster.put("big", big, shards=4, replicas=1, folder=tmp_path)
            assert cluster.datasets() == []
            cluster.put("little", flights.slice(0, 100), shards=2, replicas=1, folder=tmp_path)
            assert cluster.dataset("little").to_arrow().num_rows == 100
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)
