"""A fitted model predicts from its record alone, and without scikit-learn."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from learning_data import mixed_table

from muskox.errors import CallerError
from muskox.learn import LogisticRegression, load_predictor
from muskox.records import pack, unpack

TABLE = mixed_table(300)
FITTED = LogisticRegression().fit(TABLE, target="late")


def test_a_record_predicts_what_its_estimator_predicts() -> None:
    model = load_predictor(unpack(pack(FITTED.model_record_)))
    batch = TABLE.combine_chunks().to_batches()[0]
    found, expected = model.predict_batch(batch), FITTED.predict_batch(batch)
    assert found["probability"].tobytes() == expected["probability"].tobytes()
    assert found["prediction"].tolist() == expected["prediction"].tolist()
    assert (model.target, model.classes_.tolist()) == ("late", [False, True])


def test_the_margin_is_the_sum_of_the_encoded_row() -> None:
    model = load_predictor(FITTED.model_record_)
    X = model.encoder.transform(TABLE)
    expected = X @ model.record["coef"] + model.record["intercept"][0]
    np.testing.assert_allclose(model.margin(TABLE.combine_chunks().to_batches()[0]), expected, rtol=1e-12, atol=1e-12)


def test_an_unknown_category_counts_nothing() -> None:
    model = load_predictor(FITTED.model_record_)
    row = {"amount": [1.0], "month": [3], "member": [True]}
    known, unknown = (model.margin(pa.RecordBatch.from_pydict({**row, "city": [city]}))[0] for city in ("Rome", "Atlantis"))
    rome = model.encoder.feature_names_out().index("city=Rome")
    np.testing.assert_allclose(known - unknown, model.record["coef"][rome], rtol=1e-9)


def test_a_model_of_a_later_version_is_refused() -> None:
    with pytest.raises(CallerError, match=r"has no model 'muskox\.learn:ForestOfTheFuture'"):
        load_predictor({"model": "muskox.learn:ForestOfTheFuture"})


def test_training_and_prediction_need_no_scikit_learn() -> None:
    modules = "muskox.learn.linear.logistic, muskox.learn.model, muskox.evaluate"
    code = f"import sys, {modules}; print('sklearn' in sys.modules, 'pandas' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.split() == ["False", "False"]
