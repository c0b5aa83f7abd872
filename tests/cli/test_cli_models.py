"""Models: where they come from, and whether they can be made again, bit for bit."""

from collections.abc import Iterator

import msgspec
import pytest
from command_line import Muskox

import muskox as mx
from muskox.client import Cluster, connect
from muskox.coordination import layout
from muskox.program import RunOptions


@pytest.fixture
def cluster(muskox: Muskox) -> Iterator[Cluster]:
    with connect(dir=muskox.folder) as cluster:
        yield cluster


def test_a_model_tells_where_it_comes_from(muskox: Muskox) -> None:
    model = muskox.json("models", "late")
    assert model["lineage"].items() >= {"muskox": mx.__version__, "generations": 1, "deaths": [], "changes": []}.items()
    assert model["lineage"]["fingerprint"] and model["lineage"]["user"] and model["lineage"]["started"] >= "2"
    out, _ = muskox.run("models", "late")
    assert "muskox.learn.linear.logistic:LogisticProgram" in out and "solver=lbfgs" in out


def test_verified_models_have_the_same_digest_again_and_nothing_is_registered(muskox: Muskox) -> None:
    before = muskox.json("models")
    (found,) = muskox.json("models", "verify", "late", "--workers", "1")
    assert (found["verdict"], found["found"]) == ("same", found["digest"])
    assert muskox.json("models") == before
    assert muskox.json("jobs", found["job"])["kind"] == "verify"
    assert "same" in muskox.run("models", "verify", "late")[0]


def test_a_model_of_a_users_own_code_is_verified_too(muskox: Muskox, cluster: Cluster) -> None:
    counted = mx.rounds(
        cluster.dataset("rides"),
        initial=lambda manifest: {"rounds": 0},
        partial=lambda state, shard, blocks: {"rows": sum(block.rows for block in blocks)},
        merge=lambda left, right: {"rows": left["rows"] + right["rows"]},
        update=lambda state, total: mx.Done({"rows": total["rows"]}),
        options=RunOptions(name="counted"),
    )
    assert counted["rows"] == 6000
    (found,) = muskox.json("models", "verify", "counted")
    assert found["verdict"] == "same"
    assert (
        cluster.model_info("counted")["lineage"]["code"]
        == cluster.session.get(layout.model("counted"), layout.ModelRecord, "model")[0].program
    )


def test_what_tasks_and_folds_made_is_verified_like_any_model(muskox: Muskox, cluster: Cluster) -> None:
    rides = cluster.dataset("rides")
    listed = mx.tasks(
        rides,
        tasks=[{"shard": shard} for shard in range(4)],
        shards=lambda task, manifest: [task["shard"]],
        run=lambda task, shards: {"rows": sum(block.rows for block in shards.blocks)},
        options=RunOptions(name="listed"),
    )
    assert sum(result["rows"] for result in listed) == 6000
    estimator = mx.LogisticRegression(max_rounds=5, features=["amount", "city"])
    mx.cross_validate(estimator, rides, target="late", options=RunOptions(name="folds"))
    found = muskox.json("models", "verify", "listed", "folds")
    assert [(each["model"], each["verdict"]) for each in found] == [("listed", "same"), ("folds", "same")]
    assert {muskox.json("jobs", each["job"])["parallelism"] for each in found} == {"task", "hybrid"}


def test_a_model_that_comes_out_otherwise_is_told_and_exits_1(muskox: Muskox, cluster: Cluster) -> None:
    record, _ = cluster.session.get(layout.model("late"), layout.ModelRecord, "model")
    cluster.session.create(layout.model("forged"), msgspec.structs.replace(record, digest="0" * 64))
    try:
        out, _ = muskox.run("models", "verify", "late", "forged", code=1)
        assert "differs" in out and "same" in out and record.digest[:12] in out
    finally:
        cluster.session.delete(layout.model("forged"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fingerprint": "other-cpu"}, "no node computes with its numeric fingerprint other-cpu; those here: x"),
        ({"dataset": "rides@77"}, "dataset 'rides' has no version 77; it has: 1"),
        ({"dataset": "gone@1"}, "there is no dataset 'gone'"),
        ({"program": "0" * 64, "program_nodes": []}, "its program cannot be had"),
        ({"program": ""}, "trained by a version of muskox that kept no program"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_model_that_cannot_be_trained_again_says_why_and_exits_3(
    muskox: Muskox, cluster: Cluster, changes: dict[str, object], said: str
) -> None:
    record, _ = cluster.session.get(layout.model("late"), layout.ModelRecord, "model")
    cluster.session.create(layout.model("lost"), msgspec.structs.replace(record, **changes))
    try:
        assert said in muskox.run("models", "verify", "lost", code=3)[0]
    finally:
        cluster.session.delete(layout.model("lost"))


@pytest.mark.parametrize("words", [["verify"], ["verify", "late", "--all"], ["late", "more"], ["late", "--all"]], ids=" ".join)
def test_wrong_words_after_models_are_told(muskox: Muskox, words: list[str]) -> None:
    assert "Usage: muskox models" in muskox.run("models", *words, code=2)[1]
