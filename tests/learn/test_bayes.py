"""Naive Bayes: scikit-learn's contract and numbers, exact counts, and one model whatever the shards lie on."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from learning_data import mixed_table
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.naive_bayes import GaussianNB as PeerGaussian
from sklearn.naive_bayes import MultinomialNB as PeerMultinomial
from sklearn.utils.estimator_checks import parametrize_with_checks

from muskox.errors import CallerError
from muskox.learn import GaussianNB, MultinomialNB, load_model
from muskox.records import pack, unpack


@pytest.mark.filterwarnings("default")  # the checks warn of their own
@parametrize_with_checks([GaussianNB(), MultinomialNB()])
def test_it_passes_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("load", [load_iris, load_wine])
@pytest.mark.parametrize("priors", [None, [0.2, 0.5, 0.3]])
def test_gaussian_has_scikit_learns_numbers(load: Any, is_weighted: bool, priors: Any) -> None:
    X, y = load(return_X_y=True)
    weights = np.arange(len(y)) % 4 if is_weighted else None
    ours, peer = GaussianNB(priors=priors).fit(X, y, weights, shards=3), PeerGaussian(priors=priors).fit(X, y, weights)
    np.testing.assert_allclose(ours.theta_, peer.theta_)
    np.testing.assert_allclose(ours.class_prior_, peer.class_prior_)
    np.testing.assert_allclose(ours.class_count_, peer.class_count_)
    if not is_weighted:  # scikit-learn smooths by the variance of all rows, weights or not
        np.testing.assert_allclose(ours.var_, peer.var_)
        np.testing.assert_allclose(ours.epsilon_, peer.epsilon_)
        np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-9)


@pytest.mark.parametrize("parameters", [{}, {"alpha": 0.1, "fit_prior": False}, {"class_prior": [0.1] * 10}])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_multinomial_has_scikit_learns_numbers(parameters: dict[str, Any], is_weighted: bool) -> None:
    X, y = load_digits(return_X_y=True)
    weights = np.arange(len(y)) % 4 if is_weighted else None
    ours = MultinomialNB(**parameters).fit(X, y, weights, shards=3)
    peer = PeerMultinomial(**parameters).fit(X, y, weights)
    np.testing.assert_array_equal(ours.feature_count_, peer.feature_count_)
    np.testing.assert_array_equal(ours.class_count_, peer.class_count_)
    np.testing.assert_allclose(ours.feature_log_prob_, peer.feature_log_prob_, rtol=1e-12)
    np.testing.assert_allclose(ours.class_log_prior_, peer.class_log_prior_, rtol=1e-12)
    np.testing.assert_array_equal(ours.predict(X), peer.predict(X))
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-9)


def test_counts_of_whole_numbers_are_exact_however_rows_are_cut() -> None:
    X, y = load_digits(return_X_y=True)
    models = [MultinomialNB().fit(X, y, shards=shards).model_record_ for shards in (1, 2, 7)]
    for model in models[1:]:
        np.testing.assert_array_equal(model["counts"], models[0]["counts"])
        np.testing.assert_array_equal(model["shares"], models[0]["shares"])


@pytest.mark.parametrize("estimator", [GaussianNB(), MultinomialNB()])
def test_a_row_of_weight_two_counts_as_two_rows(estimator: Any) -> None:
    X, y = load_wine(return_X_y=True)
    weights = np.arange(len(y)) % 3
    weighted = estimator.fit(X, y, sample_weight=weights, shards=2).predict_proba(X)
    repeated = estimator.fit(np.repeat(X, weights, axis=0), np.repeat(y, weights)).predict_proba(X)
    np.testing.assert_allclose(weighted, repeated, atol=1e-9)


def test_negative_numbers_are_refused_by_name() -> None:
    table = pa.table({"words": [1, 2], "balance": [3.0, -1.5], "y": ["a", "b"]})
    with pytest.raises(CallerError, match=r"Negative values .* 'balance' goes down to -1.5"):
        MultinomialNB().fit(table, target="y")


@pytest.mark.parametrize("estimator", [GaussianNB(), MultinomialNB(features=["city", "month", "member"])])
def test_tables_of_text_numbers_and_missing_values_are_learned_from(estimator: Any) -> None:
    table = mixed_table(800)
    model = estimator.fit(table, target="late", shards=3)
    assert model.score(table) > 0.55
    batch = table.combine_chunks().to_batches()[0]
    whole = model.predict_batch(batch)
    for row in range(0, 40, 7):
        alone = model.predict_batch(batch.slice(row, 1))
        assert alone["prediction"][0] == whole["prediction"][row]
        assert alone["probability"][0] == whole["probability"][row]


@pytest.mark.parametrize("estimator", [GaussianNB(var_smoothing=1e-8), MultinomialNB(alpha=0.5, class_prior=[0.2, 0.3, 0.5])])
def test_its_record_makes_the_same_model(estimator: Any) -> None:
    X, y = load_iris(return_X_y=True)
    model = estimator.fit(X, y, shards=2)
    again = load_model(unpack(pack(model.model_record_)))
    assert again.digest_ == model.digest_ == type(model)(**model.get_params()).fit(X, y, shards=2).digest_
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    program = model.program("y")
    assert type(program).from_parameters(unpack(pack(program.parameters()))) == program


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (GaussianNB(priors=[0.5, 0.5]), "priors has 2 entries"),
        (GaussianNB(priors=[0.5, 0.5, 0.5]), "sum of the priors"),
        (GaussianNB(var_smoothing=-1.0), "var_smoothing"),
        (MultinomialNB(alpha=0.0), "alpha"),
        (MultinomialNB(fit_prior="yes"), "fit_prior"),
        (MultinomialNB(class_prior=[1.0, 0.5, -0.5]), "non-negative"),
    ],
)
def test_what_cannot_be_is_refused_with_the_rule(estimator: Any, words: str) -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(CallerError, match=words):
        estimator.fit(X, y)
