"""Probabilities from margins: they sum to 1, agree with scikit-learn's, and where no class is likely all are alike."""

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier as Peer

from muskox.learn import SGDClassifier
from muskox.learn.sgd.model import probabilities
from muskox.program import ArrayPartition, in_process
from muskox.streams import stream


@pytest.mark.parametrize("loss", ["log_loss", "modified_huber"])
@pytest.mark.parametrize("classes", [2, 5])
def test_probabilities_are_scikit_learns(loss: str, classes: int) -> None:
    X, y = load_digits(return_X_y=True)
    X, y = X[y < classes], y[y < classes]
    peer = Peer(loss=loss, max_iter=5, tol=None, eta0=1e-4, learning_rate="constant").fit(X, y)
    assert_allclose(probabilities(loss, peer.decision_function(X)), peer.predict_proba(X), atol=1e-12)


def test_where_no_class_is_likely_all_are_alike() -> None:
    assert_allclose(probabilities("modified_huber", np.array([[-3.0, -1.5, -2.0, -1.0]])), 0.25)
    assert_allclose(probabilities("modified_huber", np.array([-3.0, 0.5])), [[1.0, 0.0], [0.25, 0.75]])


def test_a_dataset_is_scored_by_the_classes_that_are_predicted() -> None:
    """Of probabilities clipped to 1 two may be equal: the margins decide, wherever they are asked."""
    draw = stream(5, "clipped")
    y = draw.integers(0, 4, 1500)
    X = draw.normal(size=(1500, 4))
    X[np.arange(1500), y] += 3.0
    model = SGDClassifier(loss="modified_huber", penalty=None, max_epochs=5, tol=None).fit(X, y)
    equal = np.sort(model.predict_proba(X), axis=1)
    assert (equal[:, -1] == equal[:, -2]).any(), "or this shows nothing"
    table = pa.table({**{f"x{index}": X[:, index] for index in range(4)}, "y": y})
    assert model.score(in_process(table, ArrayPartition(3))) == model.score(X, y)
