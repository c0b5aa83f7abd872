"""``muskox search``: candidates in a table, the best registered; and ``muskox train`` for classes or for amounts."""

import pytest
import typer
from command_line import Muskox

from muskox.cli.searching import values
from muskox.learn import LogisticRegression

GRID = ["--target", "late", "--features", "amount,city", "--folds", "2"]


def test_a_grid_is_searched_and_the_best_is_a_model(muskox: Muskox) -> None:
    words = ["search", "logistic", "rides", *GRID, "--try", "C=0.001,1", "--try", "solver=lbfgs,gd", "--set", "max_rounds=15"]
    found = muskox.json(*words, "--scoring", "auc", "--name", "best")
    assert [each["rank"] for each in found["candidates"]] == sorted(each["rank"] for each in found["candidates"])
    assert len(found["candidates"]) == 4 and found["best"] == found["candidates"][0]["parameters"]
    assert found["score"] == found["candidates"][0]["score"] > 0.5 and found["scoring"] == "auc"
    assert muskox.json("models", "best")["digest"] == found["digest"]


def test_some_candidates_are_drawn_and_what_fails_says_why(muskox: Muskox) -> None:
    words = ["search", "bayes", "rides", *GRID, "--try", "var_smoothing=loguniform(1e-9,1)", "--random", "3"]
    out, _ = muskox.run(*words)
    assert "rank" in out and "best" in out and "var_smoothing=" in out
    found = muskox.json("search", "logistic", "rides", *GRID, "--try", "C=-1,1")
    assert "C=-1" in found["candidates"][-1]["reason"] and found["candidates"][-1]["score"] is None


def test_values_to_try_are_a_list_or_a_distribution() -> None:
    assert values("C", "0.1,1", LogisticRegression, is_drawn=False) == [0.1, 1]
    assert values("C", "[0.1, 1]", LogisticRegression, is_drawn=False) == [0.1, 1]
    assert values("solver", "lbfgs,gd", LogisticRegression, is_drawn=False) == ["lbfgs", "gd"]
    assert 0.1 <= values("C", "uniform(0.1, 0.2)", LogisticRegression, is_drawn=True).rvs(random_state=0) <= 0.2
    with pytest.raises(typer.BadParameter, match="--random"):
        values("C", "uniform(0.1, 0.2)", LogisticRegression, is_drawn=False)


@pytest.mark.parametrize(("words", "said"), [(["--target", "key"], "--task"), (["--target", "key", "--task", "x"], "--task x")])
def test_whole_numbers_may_be_classes_or_amounts(muskox: Muskox, words: list[str], said: str) -> None:
    assert said in muskox.run("train", "sgd", "rides", *words, "--name", "never", code=2)[1]


def test_what_predicts_no_column_is_given_none(muskox: Muskox) -> None:
    for words in (["train", "kmeans", "rides", "--name", "never"], ["search", "kmeans", "rides", "--try", "n_clusters=2,3"]):
        assert "predicts no column" in muskox.run(*words, "--target", "late", code=2)[1]
