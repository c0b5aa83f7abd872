"""Commands on data against a real cluster of two nodes: every way in, what is told of it, sharing, and out again."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from command_line import SECONDS_MAX, Muskox

from muskox.cli import nodes
from muskox.errors import Unavailable

WAIT_S_MAX = 60.0


@pytest.fixture(scope="module")
def muskox(own_cluster: Muskox) -> Muskox:
    return own_cluster


def test_what_comes_by_stdin_is_read_in_any_dialect(muskox: Muskox) -> None:
    words = ["put", "piped", "-", "--delimiter", ";", "--no-header", "--missing", "-", "--type", "x0=string", "--shards", "2"]
    command = [sys.executable, "-m", "muskox", *words]
    done = subprocess.run(
        command,
        input="1;-\n2;5\n3;7\n",
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env=muskox.environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "receiving" in done.stderr and "reading" in done.stderr and "storing" in done.stderr
    assert done.stdout.startswith("piped@1: 3 rows, 2 columns, 2 shards, 2 replicas")
    assert muskox.json("datasets", "piped")["columns"] == {"x0": "string", "x1": "int"}
    muskox.run("rm", "piped", "--yes")


def test_stdin_goes_with_no_other_file(muskox: Muskox, tmp_path: Path) -> None:
    _, err = muskox.run("put", "piped", "-", str(tmp_path / "a.csv"), code=2)
    assert "no other file goes with it" in err


@pytest.mark.parametrize(
    ("options", "columns"),
    [
        (["--header", "a,b"], {"a": "string", "b": "string"}),
        (["--quote", "none"], {"k": "int", "v": "string"}),
        (["--delimiter", "tab"], {"k,v": "string"}),
        (["--format", "csv", "--escape", "\\"], {"k": "int", "v": "string"}),
    ],
)
def test_the_dialect_is_the_callers(muskox: Muskox, tmp_path: Path, options: list[str], columns: dict[str, str]) -> None:
    file = tmp_path / "a.csv"
    file.write_text("k,v\n1,x\n2,y\n")
    view = muskox.json("put", "dialect", str(file), "--shards", "1", *options)
    muskox.run("rm", "dialect", "--yes")
    assert view["columns"] == columns


def test_groups_and_missing_nodes_are_told(muskox: Muskox, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("k,v,w\n" + "".join(f"{i},{i * i},x\n" for i in range(100)))
    out, err = muskox.run("put", "grouped", str(file), "--groups", "ids:k; rest:*", "--replicas", "3", "--shards", "20")
    assert out.startswith("grouped@1: 100 rows, 3 columns, 20 shards, 3 replicas")
    assert "warning: grouped@1 lies on 2 of the 3 nodes it should: the rest follows when more nodes join" in " ".join(
        err.split()
    )
    view = muskox.json("datasets", "grouped")
    assert view["column_groups"] == {"ids": ["k"], "rest": ["v", "w"]} and view["groups"] == 2
    assert set(view["placement"][0]["nodes_by_group"]) == {"ids", "rest"}
    assert view["health"]["below"] == view["health"]["units"] > 0
    assert view["lies_on"]["node-1"]["files"] == 40 and view["lies_on"]["node-1"]["live"]
    listed, _ = muskox.run("datasets", "grouped")
    assert "largest" in listed and "20 shards; --shards lists them all" in listed and "ids" in listed and "below" in listed
    whole, _ = muskox.run("datasets", "grouped", "--shards")
    assert len(whole.splitlines()) > 20 and "--shards" not in whole
    assert "below" in muskox.run("datasets")[0]
    muskox.run("rm", "grouped", "--yes")


def test_files_are_taken_where_they_lie(muskox: Muskox, table: Any, tmp_path: Path) -> None:
    folder = tmp_path / "lake"
    folder.mkdir()
    pyarrow.parquet.write_table(table, folder / "a.parquet", row_group_size=1000)
    out, err = muskox.run("register", "lake", folder.as_uri(), "--shards", "3")
    assert out.startswith("lake@1: 6,000 rows, 4 columns, 3 shards, in place at file://") and "surveying" in err
    view = muskox.json("datasets", "lake")
    assert view["registered"] == folder.as_uri() and view["health"]["place"] == "registered" and view["lies_on"] == {}
    assert "registered" in muskox.run("datasets")[0] and "in place" in muskox.run("datasets", "lake")[0]
    assert "lake@1: all 3 shards are good" in muskox.run("datasets", "verify", "lake")[0]
    assert "there is a dataset 'lake' already" in muskox.refused("register", "lake", folder.as_uri())
    assert muskox.json("datasets", "lake", "--check")["rows"] == 6000
    muskox.run("rm", "lake", "--yes")
    assert (folder / "a.parquet").exists()


def test_versions_are_compared_and_go_one_by_one(muskox: Muskox, tmp_path: Path) -> None:
    file, more = tmp_path / "a.csv", tmp_path / "b.csv"
    file.write_text("a,b\n1,x\n2,y\n")
    more.write_text("a,b,c\n1,x,1\n")
    muskox.run("put", "two", str(file), "--shards", "1")
    muskox.run("put", "two", str(more), "--shards", "1", "--overwrite")
    out, _ = muskox.run("diff", "two@1", "two")
    assert "two@2 beside two@1: different" in out and "column 'c' (int) is new" in out and "1 rows, -1" in out
    assert muskox.json("diff", "two@1", "two@2")["rows"] == [2, 1]
    assert "the same dataset" in muskox.run("diff", "two@1", "two@1")[0]
    assert "is the latest version of 'two'" in muskox.refused("rm", "two@2", "--yes")
    assert "removed two@1" in muskox.run("rm", "two@1", "--yes")[0]
    assert muskox.json("datasets", "two")["versions"] == [2]
    assert "has no version 1; it has: 2" in muskox.refused("rm", "two@1", "--yes")
    assert "removed two@2" in muskox.run("rm", "two@2", "--yes")[0]
    assert "no dataset 'two'" in muskox.refused("datasets", "two")


def test_a_script_says_that_it_means_a_removal(muskox: Muskox) -> None:
    assert "nothing was removed: there is no terminal to ask on, so give --yes" in muskox.refused("rm", "rides")
    assert "model late" in muskox.json("datasets", "rides")["needed_by"]


@pytest.mark.parametrize(("answer", "code", "said"), [("n\n", 1, "nothing was removed"), ("y\n", 0, "removed asked")])
def test_a_person_is_asked_first(muskox: Muskox, tmp_path: Path, answer: str, code: int, said: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text("a\n1\n")
    muskox.run("put", "asked", str(file), "--shards", "1", "--overwrite")
    ours, theirs = os.openpty()
    os.write(ours, answer.encode())
    command = [sys.executable, "-m", "muskox", "rm", "asked"]
    done = subprocess.run(
        command, stdin=theirs, capture_output=True, text=True, timeout=SECONDS_MAX, env=muskox.environment, check=False
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == code and said in done.stdout + done.stderr
    assert "rows, " in done.stderr and "for ever? [y/N]" in done.stderr
    if code == 0:
        assert "no dataset 'asked'" in muskox.refused("datasets", "asked")


def test_a_check_says_what_is_odd(muskox: Muskox) -> None:
    report = muskox.json("datasets", "rides", "--check", "--target", "late", "--key", "key", "--against", "rides")
    assert report["rows"] == 6000 and report["key"]["repeated"] == 0 and report["common"]["share"] == 1.0
    out, _ = muskox.run("datasets", "rides", "--check")
    assert "column 'amount' is missing in" in out and "6,000 rows; worth a look:" in out
    assert "no column 'nope'" in muskox.refused("datasets", "rides", "--check", "--key", "nope")


def test_a_damaged_replica_is_found_told_and_made_anew(muskox: Muskox) -> None:
    shard = muskox.json("datasets", "verify", "rides")[0]
    file = next((muskox.folder / "nodes" / shard["node"]).rglob(shard["digest"]))
    file.chmod(0o600)
    with file.open("r+b") as handle:
        handle.seek(100)
        handle.write(b"rubbish")
    _, err = muskox.run("datasets", "verify", "rides", code=1)
    assert f"shard {shard['shard']} on {shard['node']} is corrupt" in err and "`muskox status` says how far that is" in err
    began_s = time.monotonic()
    while not is_well(muskox):
        assert time.monotonic() - began_s < WAIT_S_MAX, muskox.run("logs")[0]
    assert [node["disk"]["bad"] >= 1 for node in muskox.json("node", "list")].count(True) == 1


def is_well(muskox: Muskox) -> bool:
    done = subprocess.run(
        [sys.executable, "-m", "muskox", "datasets", "verify", "rides"], capture_output=True, timeout=SECONDS_MAX,
        env=muskox.environment, check=False,
    )  # fmt: skip
    return done.returncode == 0


def test_a_node_is_drained_and_takes_data_again(muskox: Muskox) -> None:
    out, err = muskox.run("node", "drain", "node-2")
    assert "node-2 is being emptied" in out and "that stays until more nodes join" in err
    assert {node["name"]: node["draining"] for node in muskox.json("node", "list")} == {"node-1": False, "node-2": True}
    assert "draining" in muskox.run("node", "list")[0] and "draining" in muskox.run("status")[0]
    assert "no other node than node-1 is live" in muskox.refused("node", "drain", "node-1")
    assert "there is no node 'nobody'; there are: node-1, node-2" in muskox.refused("node", "drain", "nobody")
    assert "node-2 takes data again" in muskox.run("node", "drain", "node-2", "--undo")[0]
    assert "node-2 was not being drained" in muskox.run("node", "drain", "node-2", "--undo")[0]


class Emptying:
    """A cluster whose node holds, at each look, the next of these numbers of units; the last one for good."""

    def __init__(self, *units: int) -> None:
        self._units = list(units)

    def units_on(self, node: str) -> int:
        assert node == "node-2"
        return self._units.pop(0) if len(self._units) > 1 else self._units[0]

    def is_repairing(self) -> bool:
        return False


def test_a_wait_ends_when_nothing_lies_there_or_nothing_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "LOOK_S", 0.0)
    empty: Any = Emptying(3, 1, 0)
    nodes.await_empty(empty, "node-2")
    monkeypatch.setattr(nodes, "STUCK_S", 0.05)
    stuck: Any = Emptying(3, 1)
    with pytest.raises(Unavailable, match="1 units stay on node-2: no other node can take them"):
        nodes.await_empty(stuck, "node-2")


def test_a_user_is_let_in_and_out(muskox: Muskox, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("quite secret\n")
    assert "ann may read rides" in muskox.run("grant", "rides", "ann", "--password-file", str(tmp_path / "password"))[0]
    assert muskox.json("datasets", "rides")["shared_with"] == ["ann"] and "ann" in muskox.run("datasets", "rides")[0]
    assert "ann may not read rides" in muskox.run("revoke", "rides", "ann")[0]
    assert muskox.json("datasets", "rides")["shared_with"] == []
    assert "there is no terminal to ask for a password on" in muskox.refused("grant", "rides", "ann")
    assert "cannot read a password from" in muskox.refused("grant", "rides", "ann", "--password-file", str(tmp_path / "none"))


def test_the_token_is_all_that_is_printed(muskox: Muskox) -> None:
    out, err = muskox.run("token")
    assert len(out.split()) == 1 and out.strip() == muskox.json("token")["token"] and "authorization: Bearer" in err
    secret = (muskox.folder / "secret").read_text().strip()
    assert secret not in out + err
