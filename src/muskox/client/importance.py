"""What a model goes by: mx.permutation_importance for any model, mx.coefficients for linear ones."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from muskox.client.cross_validation import prepared
from muskox.client.scoring import check_scoring, needs_ranks, score_of
from muskox.errors import CallerError
from muskox.evaluate import PermutationProgram
from muskox.program import ArrayPartition, RunOptions, run_options
from muskox.trusted_code import require_trust

INTERCEPT = "(intercept)"


def permutation_importance(  # noqa: PLR0913  # keywords of the public door
    model: Any,
    dataset: Any,
    y: Any = None,
    *,
    target: str | None = None,
    weight: str | None = None,
    repeats: int = 5,
    seed: int = 0,
    scoring: str | None = None,
    partition: ArrayPartition | None = None,
    options: RunOptions | None = None,
) -> Any:
    """Return by how much a model's score falls when one of its columns is given the values of other rows.

    Every shard is scored where it lies, in one job of two rounds. The values come from a sample of the whole dataset (4,096
    rows, or all of fewer), drawn with replacement.

    Parameters
    ----------
    model : a fitted estimator, or a model's record
    dataset : a dataset of a cluster, or a table or array to work on in this process: rows that the model was not trained on,
        best of all
    y, target, weight : what to compare with, as of ``fit``; None takes the model's own target
    repeats : how many times each column is drawn anew
    scoring : the score, the greater the better, as of :class:`muskox.GridSearch`
    partition : how a table is cut into shards

    Returns
    -------
    A pyarrow.Table with a row for each column, the most important first: "name", "mean" (how much the score falls), "deviation"
    (of the repeats) and "repeats" (how much it falls in each).

    Examples
    --------
    >>> import numpy as np
    >>> from muskox import GaussianNB, permutation_importance
    >>> X = np.stack([np.arange(60.0), np.arange(60.0) % 7], axis=1)
    >>> model = GaussianNB().fit(X, X[:, 0] > 30)
    >>> permutation_importance(model, X, X[:, 0] > 30).column("name").to_pylist()
    ['x0', 'x1']
    """
    check_scoring(scoring)
    estimator = fitted(model)
    wanted = target if target is not None or y is not None else estimator.target_
    data, columns = prepared(estimator, dataset, y, target=wanted, weight=weight, partition=partition)
    require_trust(estimator.model_record_)  # a cluster's workers run what it holds of code
    of_scores = (columns["target"], columns["weight"], repeats, seed, needs_ranks(scoring))
    program = PermutationProgram(estimator.model_record_, *of_scores)
    found = data.run(program, run_options(options)).result
    plain = score_of(scoring, found["plain"])
    rows = []
    for index, name in enumerate(found["names"]):
        repeated = found["columns"][str(index)]
        falls = np.array([plain - score_of(scoring, repeated[str(repeat)]) for repeat in range(repeats)])
        rows.append({"name": name, "mean": float(falls.mean()), "deviation": float(falls.std()), "repeats": falls.tolist()})
    rows.sort(key=lambda row: (-row["mean"], row["name"]))
    types = [("name", pa.string()), ("mean", pa.float64()), ("deviation", pa.float64()), ("repeats", pa.list_(pa.float64()))]
    return pa.Table.from_pylist(rows, schema=pa.schema(types))


def coefficients(model: Any) -> Any:
    """Return the coefficients of a linear model as a table.

    Parameters
    ----------
    model : a fitted estimator, or a model's record

    Returns
    -------
    A pyarrow.Table with a row for each encoded column, and one named "(intercept)": "name", "coefficient" (of the column as it
    is), "per_deviation" (of the column divided by its standard deviation: these can be compared with each other; of a category
    the same; of the intercept null), and first "class", where there is one set for each class.

    Raises
    ------
    CallerError
        If the model has no coefficients.

    Examples
    --------
    >>> from muskox import LogisticRegression, coefficients
    >>> model = LogisticRegression().fit([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]], [0, 0, 1, 1])
    >>> coefficients(model).column("name").to_pylist()
    ['x0', 'x1', '(intercept)']
    """
    estimator = fitted(model)
    encoder = getattr(estimator.model_, "encoder", None)
    if encoder is None or not hasattr(estimator, "coef_"):
        raise CallerError(f"{type(estimator).__name__} has no coefficients: permutation_importance tells what it goes by")
    names = getattr(estimator.model_, "feature_names_out", encoder.feature_names_out)()
    coef, intercept = np.atleast_2d(estimator.coef_)[:, : len(names)], np.atleast_1d(estimator.intercept_)
    factors = np.ones(len(names))
    factors[: len(encoder.numeric)] = encoder.scale
    sets = []
    for index, row in enumerate(coef):
        columns: dict[str, Any] = {
            "name": pa.array([*names, INTERCEPT]),
            "coefficient": pa.array([*row.tolist(), float(intercept[index if intercept.size > 1 else 0])]),
            "per_deviation": pa.array([*(row * factors).tolist(), None], pa.float64()),
        }
        if len(coef) > 1:
            columns = {"class": pa.array([estimator.classes_[index].item()] * (len(names) + 1)), **columns}
        sets.append(pa.table(columns))
    return pa.concat_tables(sets)


def fitted(model: Any) -> Any:
    """Return `model`, a fitted estimator or search, or a record, as a fitted estimator.

    Raises
    ------
    CallerError
        If it is none of these.
    """
    if isinstance(model, Mapping):
        from muskox.learn import load_model

        return load_model(dict(model))
    estimator = getattr(model, "best_estimator_", model)
    if not hasattr(estimator, "model_record_"):
        raise CallerError(f"{type(model).__name__} is no fitted model of muskox: fit it first")
    return estimator
