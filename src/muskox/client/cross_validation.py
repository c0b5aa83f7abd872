"""mx.cross_validate: an estimator trained and scored on every fold of a dataset, in one job."""

from typing import Any, Protocol

from muskox.client.user_program import as_dataset
from muskox.evaluate import FoldTrial
from muskox.program import ArrayPartition, Program, RunOptions, run_options
from muskox.together import Together


class Trainable(Protocol):
    """An estimator that trains by a program whose result is the record of a binary classifier."""

    def program(self, target: str) -> Program: ...


def cross_validate(  # noqa: PLR0913  # keywords of the public door
    estimator: Trainable,
    dataset: Any,
    *,
    target: str,
    folds: int = 5,
    seed: int = 0,
    at_once: int | None = None,
    partition: ArrayPartition | None = None,
    options: RunOptions | None = None,
) -> list[dict[str, Any]]:
    """Train `estimator` once for each fold on all other rows, and score it on the fold's own: one job, every round shared.

    Parameters
    ----------
    estimator : such as :class:`muskox.LogisticRegression`
    dataset : a dataset of a cluster, or a pyarrow Table or pandas DataFrame to work on in this process
    target : the column to predict
    folds, seed : each row belongs to one of `folds` folds, drawn from `seed`, its shard and its position there
    at_once : how many folds are trained at a time; None means all, the fewest rounds, and as many times the memory of one
    partition : how a table is cut into shards; a dataset is cut already
    options : workers and whatever else there is to say of a run; nothing of it changes a bit

    Returns
    -------
    For each fold "model" (a record; ``type(estimator).from_record(model)`` predicts), "auc", "log_loss", "accuracy",
    "confusion", "rows", "positives" and "classes", exact over the fold's rows.

    Raises
    ------
    CallerError
        If a fold has no rows, or its other rows do not hold two classes.
    """
    trials = [FoldTrial(estimator.program(target), target, fold, folds, seed) for fold in range(folds)]
    chosen = run_options(options, lineage={"cross_validated": type(estimator).__name__, "folds": folds, "seed": seed})
    outcome = as_dataset(dataset, partition).run(Together(tuple(trials), at_once), chosen)
    return [outcome.result[str(fold)] for fold in range(folds)]
