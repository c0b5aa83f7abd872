"""``muskox importance``: what a model goes by, as a table with bars, as JSON, and its coefficients."""

from command_line import Muskox


def test_what_a_model_goes_by_comes_first(muskox: Muskox) -> None:
    found = muskox.json("importance", "late", "rides", "--repeats", "2", "--scoring", "auc", "--coefficients")
    means = [each["mean"] for each in found["importance"]]
    assert means == sorted(means, reverse=True) and means[0] > 0.01
    assert {each["name"] for each in found["importance"]} == {"amount", "city"}
    assert found["coefficients"][-1]["name"] == "(intercept)"
    out, _ = muskox.run("importance", "late", "rides", "--repeats", "2", "--coefficients")
    assert "score falls by" in out and "█" in out and "city=Rome" in out and "(intercept)" in out


def test_a_model_without_coefficients_says_so(muskox: Muskox) -> None:
    muskox.json("train", "bayes", "rides", "--target", "late", "--features", "amount", "--name", "plain")
    assert "has no coefficients" in muskox.refused("importance", "plain", "rides", "--coefficients")
