"""mx.cross_validate: an estimator trained and scored on every fold of a dataset, in one job."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from muskox.client import suspicion
from muskox.client.suspicion import LeakageWarning, OverfittingWarning, warn_of
from muskox.errors import CallerError
from muskox.evaluate import FoldTrial
from muskox.learn import in_rounds
from muskox.program import ArrayPartition, Program, RunOptions, Runs, run_options
from muskox.together import Together


class Trainable(Protocol):
    """An estimator that trains by a program whose result is a model's record."""

    def program(self, target: str | None) -> Any: ...

    def training_data(self, given: Any, columns: Any, partition: ArrayPartition) -> Any: ...


def cross_validate(  # noqa: PLR0913  # keywords of the public door
    estimator: Trainable,
    dataset: Any,
    y: Any = None,
    *,
    target: str | None = None,
    weight: str | None = None,
    folds: int = 5,
    seed: int = 0,
    at_once: int | None = None,
    checks: bool = True,
    partition: ArrayPartition | None = None,
    options: RunOptions | None = None,
) -> "Folds":
    """Train `estimator` once for each fold on all other rows, and score it on the fold's own: one job, every round shared.

    Parameters
    ----------
    estimator : any of muskox that trains in rounds
    dataset : a dataset of a cluster, or a table (pyarrow, pandas) or array to work on in this process
    y : of an array, what to predict
    target : the column to predict; None for what predicts none, or with `y`
    weight : a column of numbers: a row of weight w counts as w rows, in training and in the scores
    folds, seed : each row belongs to one of `folds` folds, drawn from `seed`, its shard and its position there
    at_once : how many folds are trained at a time; None means all, the fewest rounds, and as many times the memory of one
    checks : whether to look for what makes scores deceive, with a warning: columns that give the target away, and overfitting;
        it costs one more look at the rows
    partition : how a table is cut into shards; a dataset is cut already
    options : workers and whatever else there is to say of a run; nothing of it changes a bit

    Returns
    -------
    A list that has for each fold "model" (a record; ``type(estimator).from_record(model)`` predicts) and its scores over the
    fold's rows: what these are follows from the model's task, as of ``cluster.evaluate``. With `checks` "training" has those on
    the rows trained on, but for the AUC, and the list's ``warnings`` are sentences about what may deceive.

    Raises
    ------
    CallerError
        If a fold has no rows, or its other rows do not hold two classes.
    """
    data, columns = prepared(estimator, dataset, y, target=target, weight=weight, partition=partition)
    program = program_of(estimator, columns)
    of_trials: dict[str, Any] = {"weight": columns["weight"], "has_training": checks}
    programs: list[Program] = [FoldTrial(program, columns["target"], fold, folds, seed, **of_trials) for fold in range(folds)]
    look = looks(estimator, data, columns) if checks else None
    chosen = run_options(options, lineage={"cross_validated": type(estimator).__name__, "folds": folds, "seed": seed})
    result = data.run(Together((*programs, *([look] if look is not None else [])), at_once), chosen).result
    found = Folds(result[str(fold)] for fold in range(folds))
    if look is not None:
        found.warnings += warn_of(suspicion.about_columns(result[str(folds)], columns["target"]), LeakageWarning)
    if checks:
        found.warnings += warn_of(suspicion.about_fit(found), OverfittingWarning)
    return found


class Folds(list[dict[str, Any]]):
    """What was found on each fold; `warnings` are sentences about what makes it look better than it is."""

    def __init__(self, found: Iterable[dict[str, Any]]) -> None:
        super().__init__(found)
        self.warnings: list[str] = []


def looks(estimator: Any, data: Runs, columns: Mapping[str, Any]) -> Program | None:
    """Return what looks for columns that give the target away among those that `estimator` learns from.

    `columns` are "target" and, where there are any, "features" and "weight". None where there is no target.
    """
    chosen = columns.get("features") or getattr(estimator, "features", None) or data.manifest.columns
    is_number = str(getattr(estimator, "target_kind", "classes")) == "number"
    return suspicion.look_for(columns["target"], tuple(chosen), is_number=is_number, weight=columns.get("weight"))


def prepared(  # data, and all that says what they are
    estimator: Any,
    data: Any,
    y: Any,
    *,
    target: str | None,
    weight: str | None = None,
    partition: ArrayPartition | None = None,
) -> tuple[Runs, dict[str, str | None]]:
    """Return `data` as a dataset, and which of its columns are "target" and "weight".

    Raises
    ------
    CallerError
        If a dataset is to be cut by `partition`: it is cut already; or is given with `y`: its target is one of its columns.
    """
    if isinstance(data, Runs) and partition is not None:
        raise CallerError("partition= is for tables: a dataset was cut into shards when it was put")
    found: tuple[Runs, dict[str, str | None]] = estimator.training_data(
        (data, y, None, None), (target, weight), partition or ArrayPartition()
    )
    return found


def program_of(estimator: Any, columns: Mapping[str, Any]) -> Program:
    """Return what trains `estimator`, if it trains in rounds; `columns` are "target" and, where there are any, others of `fit`.

    Raises
    ------
    CallerError
        If it trains by independent tasks, which share no rounds with others.
    """
    others = {name: value for name, value in columns.items() if name != "target" and value is not None}
    return in_rounds(estimator.program(columns["target"], **others), estimator)
