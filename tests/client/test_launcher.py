"""Local clusters of real processes: up and down over and over, kills in between, and nothing left when Python is gone."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import muskox as mx
from muskox.client import LocalFolder, down, local, up
from muskox.coordination import layout
from muskox.errors import CallerError, Unavailable
from muskox.keeper import Keeper
from muskox.runtime.agent import take_folder

BOUND_S = 40.0


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[LocalFolder]:
    yield LocalFolder(tmp_path / "cluster")
    down(tmp_path / "cluster")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mx.Cluster]:
    """A cluster of one node, for tests that leave it as it is."""
    path = tmp_path_factory.mktemp("standing")
    try:
        with up(path, 1) as cluster:
            yield cluster
    finally:
        down(path)


def folder_of(cluster: mx.Cluster) -> LocalFolder:
    assert cluster.folder is not None
    return cluster.folder


def pids(folder: LocalFolder) -> dict[str, int | None]:
    names = folder.get().nodes
    return {"keeper": folder.keeper_pid(), **{name: folder.node_pid(name) for name in names}}


def kill(*processes: int | None) -> None:
    """Send SIGKILL to each, and return once they are gone."""
    handles = [os.pidfd_open(pid) for pid in processes if pid is not None]
    assert len(handles) == len(processes)
    for handle in handles:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    await_end(handles)


def await_end(handles: list[int]) -> None:
    for handle in handles:
        assert select.select([handle], [], [], BOUND_S)[0], "a process goes on"
        os.close(handle)


def shown(cluster: mx.Cluster) -> dict[str, int]:
    return {node["name"]: node["pid"] for node in cluster.status()["nodes"]}


def test_up_and_down_again_and_again_on_the_same_data(folder: LocalFolder) -> None:
    steps: list[str] = []
    with up(folder.path, 2, on_step=steps.append) as cluster:
        cluster.put("numbers", pa.table({"x": [1, 2, 3]}), shards=2, replicas=2)
        first = pids(folder)
        assert steps == ["keeper", "node-1", "node-2"]
        assert all(first.values())
        assert {"keeper": cluster.status()["keeper"]["pid"], **shown(cluster)} == first
    steps.clear()
    with up(folder.path, 2, on_step=steps.append):
        assert (steps, pids(folder)) == ([], first)
    kill(first["node-1"], first["keeper"])
    with up(folder.path, 2, on_step=steps.append) as cluster:
        second = pids(folder)
        assert "node-1" in steps and "node-2" not in steps
        assert second["node-2"] == first["node-2"]
        assert second["node-1"] not in (None, first["node-1"]) and second["keeper"] not in (None, first["keeper"])
        assert shown(cluster)["node-1"] == second["node-1"]
        assert cluster.dataset("numbers").to_arrow().num_rows == 3
    ended = {process.name: process.pid for process in down(folder.path)}
    assert ended == second
    assert not any(pids(folder).values())
    assert down(folder.path) == []
    with up(folder.path, 1) as cluster:
        assert sorted(pids(folder)) == ["keeper", "node-1", "node-2"]
        assert cluster.dataset("numbers").to_arrow().num_rows == 3


def test_a_folder_belongs_to_one_zookeeper(folder: LocalFolder) -> None:
    with Keeper() as keeper:
        with up(folder.path, 1, zk=f"zk://{keeper.hosts}/here"):
            assert folder.keeper_pid() is None
        with pytest.raises(CallerError, match=r"the cluster in .* is at zk://.*/here, not zk://.*/there: choose another --dir"):
            up(folder.path, 1, zk=f"zk://{keeper.hosts}/there")
        assert [process.name for process in down(folder.path)] == ["node-1"]


def test_a_cluster_keeps_everything_in_the_store_it_was_founded_on(folder: LocalFolder, tmp_path: Path) -> None:
    url = (tmp_path / "objects").as_uri()
    with up(folder.path, 1, store=url) as cluster:
        cluster.put("numbers", pa.table({"x": [1, 2, 3]}), shards=2)
        assert len([path for path in (tmp_path / "objects").rglob("*") if path.is_file()]) == 3  # two shards, a manifest
        assert cluster.status()["storage"]["store"] == url
        assert cluster.describe_dataset("numbers")["health"]["place"] == "object store"
    down(folder.path)
    with up(folder.path, 1) as cluster:  # where is settled
        assert cluster.dataset("numbers").to_arrow().num_rows == 3
        assert cluster.status()["storage"]["store"] == url
    with pytest.raises(CallerError, match=r"keeps its data file://.*, not in file:///elsewhere: choose another --dir"):
        up(folder.path, 1, store="file:///elsewhere")


def test_a_store_that_does_not_answer_is_refused_before_anything_is_started(folder: LocalFolder) -> None:
    steps: list[str] = []
    with pytest.raises(Unavailable, match="does not answer"):
        up(folder.path, 1, store="s3://bucket/prefix?endpoint_override=127.0.0.1:9&scheme=http", on_step=steps.append)
    assert (steps, folder.find()) == ([], None)
    assert not folder.secret_file.exists()


@pytest.mark.parametrize("nodes", [0, 65])
def test_a_number_of_nodes_out_of_bounds_is_refused(folder: LocalFolder, nodes: int) -> None:
    with pytest.raises(CallerError, match=f"a local cluster has 1 to 64 nodes, not {nodes}"):
        up(folder.path, nodes)
    assert folder.find() is None


LOCAL = """
import sys, time
import muskox as mx
from muskox.client import LocalFolder
with mx.local(nodes=1, dir=sys.argv[1]) as cluster:
    folder = LocalFolder(__import__("pathlib").Path(sys.argv[1]))
    print(folder.keeper_pid(), folder.node_pid("node-1"), flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "SIGINT"])
def test_a_local_cluster_ends_with_its_python_process(folder: LocalFolder, number: int) -> None:
    command = [sys.executable, "-c", LOCAL, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as python:
        assert python.stdout is not None
        handles = [os.pidfd_open(int(word)) for word in python.stdout.readline().split()]
        assert len(handles) == 2
        python.send_signal(number)
        await_end(handles)
    assert not any(pids(folder).values())


def test_a_block_ends_its_cluster_and_takes_its_temporary_folder(folder: LocalFolder) -> None:
    with pytest.raises(ZeroDivisionError), local(nodes=1) as cluster:
        assert cluster.folder is not None
        where, processes = cluster.folder, pids(cluster.folder)
        handles = [os.pidfd_open(pid) for pid in processes.values() if pid]
        raise ZeroDivisionError
    await_end(handles)
    assert not where.path.exists()


def node_command(folder: LocalFolder, name: str, where: Path) -> list[str]:
    url = folder.get().url
    words = ["node", "--zk", url, "--secret-file", str(folder.secret_file), "--name", name, "--dir", str(where)]
    return [sys.executable, "-m", "muskox", *words]


@pytest.mark.parametrize(
    ("name", "own_folder", "complaint"),
    [
        ("node-1", False, "a node runs in"),
        ("other", False, "a node runs in"),
        ("node-1", True, "a node called 'node-1' is a member already"),
    ],
)
def test_a_second_node_of_a_folder_or_name_is_refused_in_one_sentence(
    standing: mx.Cluster, tmp_path: Path, name: str, own_folder: bool, complaint: str
) -> None:
    folder = folder_of(standing)
    before = pids(folder)
    command = node_command(folder, name, tmp_path if own_folder else folder.node("node-1"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND_S, check=False)
    assert done.returncode > 0
    assert complaint in done.stderr and "Traceback" not in done.stderr
    assert pids(folder) == before
    assert shown(standing) == {"node-1": before["node-1"]}


def test_a_folder_keeps_its_name(tmp_path: Path) -> None:
    first = take_folder(tmp_path, "ann")
    os.close(first.lock)
    second = take_folder(tmp_path, "ann")
    assert (second.name, second.folder_id) == ("ann", first.folder_id)
    os.close(second.lock)
    with pytest.raises(CallerError, match=r"belongs to node 'ann', not 'bob': choose another --dir"):
        take_folder(tmp_path, "bob")


def count(dataset: Any) -> dict[str, Any]:
    return mx.rounds(
        dataset,
        initial=lambda manifest: {"n": 0},
        partial=lambda state, shard, blocks: {"n": sum(block.rows for block in blocks)},
        merge=lambda left, right: {"n": left["n"] + right["n"]},
        update=lambda state, total: mx.Done(total),
    )


def test_two_clusters_stand_side_by_side(standing: mx.Cluster) -> None:
    rows = pa.table({"x": np.arange(100)})
    with local(nodes=1) as other:
        standing.put("numbers", rows, shards=2)
        assert other.datasets() == []
        other.put("numbers", rows.slice(0, 10), shards=2)
        assert count(standing.dataset("numbers")) == {"n": 100}
        assert count(other.dataset("numbers")) == {"n": 10}
        assert standing.url != other.url and shown(standing) != shown(other)
        with pytest.raises(CallerError, match="the secret does not open the cluster"):
            mx.connect(standing.url, secret_file=folder_of(other).secret_file)


def test_a_killed_node_takes_its_name_back_at_once(folder: LocalFolder) -> None:
    with up(folder.path, 2, session_timeout_s=30.0) as cluster:
        old = pids(folder)["node-1"]
        kill(old)
        assert shown(cluster)["node-1"] == old  # its session goes on for half a minute
        with up(folder.path, 2) as again:
            assert shown(again)["node-1"] == folder.node_pid("node-1") != old
        assert [name for name in cluster.session.children(layout.MEMBERS) if name == "node-1"] == ["node-1"]


def test_to_connect_one_needs_a_cluster_and_its_secret(standing: mx.Cluster, tmp_path: Path) -> None:
    folder = folder_of(standing)
    with mx.connect(dir=folder.path) as same:
        assert same.url == standing.url
    with pytest.raises(CallerError, match="there is no cluster in"):
        mx.connect(dir=tmp_path)
    with pytest.raises(CallerError, match=r"cannot read the cluster secret .*nothing"):
        mx.connect(standing.url, secret_file=tmp_path / "nothing")
    with pytest.raises(CallerError, match=r"there is no muskox cluster at .*/empty: start a node there"):
        mx.connect(standing.url.replace("/muskox", "/empty"), secret_file=folder.secret_file)
