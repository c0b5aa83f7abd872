"""Gaussian naive Bayes: scikit-learn's contract and numbers, and one model whatever the shards lie on."""

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.naive_bayes import GaussianNB as Peer
from sklearn.utils.estimator_checks import parametrize_with_checks

from muskox.learn import GaussianNB


@pytest.mark.filterwarnings("default")  # the checks warn of their own
@parametrize_with_checks([GaussianNB()])
def test_it_passes_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_iris_has_scikit_learns_numbers(is_weighted: bool) -> None:
    X, y = load_iris(return_X_y=True)
    weights = np.arange(len(y)) % 4 if is_weighted else None
    ours, peer = GaussianNB().fit(X, y, weights, shards=3), Peer().fit(X, y, weights)
    np.testing.assert_allclose(ours.theta_, peer.theta_)
    np.testing.assert_allclose(ours.var_, peer.var_)
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-12)
