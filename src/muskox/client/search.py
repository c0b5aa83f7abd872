"""mx.GridSearch and mx.RandomizedSearch: the best parameters of an estimator, found by cross-validating many at once.

Every candidate is trained on every fold in one job. By "rounds" all of them advance in the same rounds, each over the shards of
all workers; by "tasks" each candidate and fold is a task that one worker does alone. Models and scores have the same bits
either way, on a cluster and in this process.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from muskox.client import suspicion
from muskox.client.candidates import Parameters, drawn, of_grid
from muskox.client.cross_validation import looks, prepared, program_of
from muskox.client.optuna_sampler import OptunaSampler
from muskox.client.scoring import check_scoring, needs_ranks, score_of, scoring_of
from muskox.client.search_results import copied, parameter_columns, ranked
from muskox.client.suspicion import LeakageWarning, OverfittingWarning, warn_of
from muskox.errors import CallerError
from muskox.evaluate import FAILED, Apart, Attempt, EvaluateProgram, FoldTrial
from muskox.program import ArrayPartition, Program, RunOptions, Runs, run_options
from muskox.records import Record
from muskox.together import Together

ROUNDS, TASKS = "rounds", "tasks"
RANDOM, TPE = "random", "tpe"
AT_ONCE = 16  # trainings that share rounds, where nothing else is said: each adds its own part to what a round exchanges
BATCH = 8  # candidates that a sampler is asked for at a time: it learns nothing between them

FoldResults = list[dict[str, Any]]
Tell = Callable[[list[float | None]], None]


class SearchWarning(UserWarning):
    """Some candidates of a search failed."""


def _best_has(name: str) -> Any:
    return available_if(lambda search: hasattr(getattr(search, "best_estimator_", search.estimator), name))


class Search(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What searches share. A subclass says by `batches` which candidates are tried."""

    estimator: Any
    scoring: str | None
    folds: int
    seed: int
    refit: bool
    strategy: str
    at_once: int | None
    checks: bool

    def batches(self) -> Iterator[tuple[list[Parameters], Tell | None]]:
        """Yield candidates, batch by batch, each with what to tell their scores to (None of those that failed), if anything."""
        raise NotImplementedError

    def fit(  # noqa: PLR0913  # one door for arrays and datasets, as estimators have
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        target: str | None = None,
        weight: str | None = None,
        shards: int | None = None,
        by: str = "rows",
        features: Sequence[str] | None = None,
        name: str | None = None,
        workers: int | None = None,
        options: RunOptions | None = None,
    ) -> Self:
        """Search on arrays or a table with `y` (or `target`, a column of the table), or on a dataset with `target`.

        All arguments are those of an estimator's ``fit``; `name` registers the model that is trained on all rows in the end.
        """
        self._check()
        if isinstance(X, Runs) and (shards is not None or by != "rows"):
            raise CallerError("shards= and by= are for arrays: a dataset was cut into shards when it was put")
        partition = ArrayPartition(1 if shards is None else shards, by)
        data, columns = self.estimator.training_data((X, y, sample_weight, None), (target, weight), partition)
        shape = {"target": columns["target"], "weight": columns["weight"], "features": features}
        of_jobs = replace(run_options(options, workers=workers), name=None)
        tried: list[tuple[Parameters, FoldResults]] = []
        suspected: Record | None = None
        for candidates, tell in self.batches():
            results, found = self._try(data, candidates, shape, of_jobs, is_first=not tried)
            suspected = suspected or found
            tried += zip(candidates, results, strict=True)
            if tell is not None:
                tell([self._mean(folds) for folds in results])
        self._adopt(tried)
        self._suspect(tried[self.best_index_][1], suspected, shape["target"])
        if self.refit:
            given: dict[str, Any] = {"target": target, "weight": weight, "features": features, "shards": shards, "by": by}
            given |= {"name": name, "workers": workers, "options": options}
            self.best_estimator_ = clone(self.estimator).set_params(**copied(self.best_params_))
            self.best_estimator_.fit(X, y, sample_weight, **given)
        return self

    def _check(self) -> None:
        check_scoring(self.scoring)
        if self.strategy not in (ROUNDS, TASKS):
            raise CallerError(f"strategy={self.strategy!r}: it is {ROUNDS!r} or {TASKS!r}")
        if not hasattr(self.estimator, "training_data"):
            raise CallerError(
                f"{type(self.estimator).__name__} is no estimator of muskox: scikit-learn has searches for others"
            )

    def _check_names(self, candidates: list[Parameters]) -> None:
        known = self.estimator.get_params()
        for name in sorted({name for parameters in candidates for name in parameters}):
            if name not in known:
                told = f"{type(self.estimator).__name__} has no parameter {name!r}: it has {', '.join(known)}"
                raise CallerError(told)

    # -- trying candidates --

    def _try(
        self, data: Runs, candidates: list[Parameters], shape: Mapping[str, Any], options: RunOptions, *, is_first: bool
    ) -> tuple[list[FoldResults], Record | None]:
        """Return what each candidate found on each fold, and what was found of columns that give the target away."""
        self._check_names(candidates)
        programs: dict[int, Program] = {}
        failures: dict[int, str] = {}
        for index, parameters in enumerate(candidates):
            try:
                programs[index] = self._program(parameters, shape)
            except CallerError as error:
                failures[index] = str(error)
        first, last = min(programs, default=0), max(programs, default=0)
        trials = {
            (fold, index): self._trial(program, fold, shape, is_first=index == first, is_last=index == last)
            for fold in range(self.folds)  # fold by fold: those of one fold share what is derived of its rows
            for index, program in programs.items()
        }
        looks = self._looks(data, shape) if is_first else []
        found = self._run(data, [*trials.values(), *looks], options)
        of_place = {place: found[str(number)] for number, place in enumerate(trials)}
        results = [
            [of_place[fold, index] if index in programs else {FAILED: failures[index]} for fold in range(self.folds)]
            for index in range(len(candidates))
        ]
        return results, found[str(len(trials))] if looks else None

    def _program(self, parameters: Parameters, shape: Mapping[str, Any]) -> Program:
        return program_of(clone(self.estimator).set_params(**copied(parameters)), shape)

    def _trial(self, program: Program, fold: int, shape: Mapping[str, Any], *, is_first: bool, is_last: bool) -> Attempt:
        """Return a candidate's trial on a fold. The last of a fold lets go of its encoded rows, if it is not refused before.

        By rounds the first of the next fold sees to that, too; by tasks any of it, for each worker runs but some of them.
        """
        trial = FoldTrial(
            program,
            shape["target"],
            fold,
            self.folds,
            self.seed,
            weight=shape["weight"],
            has_training=self.checks,
            keeps_model=False,
            forgets=is_last,
            forgets_earlier=is_first or self.strategy == TASKS,
            is_ranked=needs_ranks(self.scoring),
        )
        return Attempt(trial)

    def _looks(self, data: Runs, shape: Mapping[str, Any]) -> list[Attempt]:
        look = looks(self.estimator, data, shape) if self.checks else None
        return [] if look is None else [Attempt(look)]

    def _run(self, data: Runs, programs: list[Attempt], options: RunOptions) -> Record:
        if not programs:
            return {}
        told = {"searched": type(self.estimator).__name__, "folds": self.folds, "seed": self.seed}
        chosen = replace(options, lineage={**options.lineage, **told})
        if self.strategy == TASKS:
            return data.run(Apart(tuple(programs)), chosen).result
        return data.run(Together(tuple(programs), AT_ONCE if self.at_once is None else self.at_once), chosen).result

    # -- what was found --

    def _scores(self, folds: FoldResults) -> tuple[list[float], str | None]:
        """Return the scores of a candidate's folds, or why there are none."""
        scores = []
        for fold, found in enumerate(folds):
            if FAILED in found:
                return [], str(found[FAILED])
            try:
                scores.append(score_of(self.scoring, found))
            except CallerError as error:
                return [], f"fold {fold}: {error}"
        return scores, None

    def _mean(self, folds: FoldResults) -> float | None:
        scores, _ = self._scores(folds)
        return sum(scores) / len(scores) if scores else None

    def _adopt(self, tried: list[tuple[Parameters, FoldResults]]) -> None:
        scored = [self._scores(folds) for _, folds in tried]
        means = np.array([sum(scores) / len(scores) if scores else np.nan for scores, _ in scored])
        failed = [reason for _, reason in scored if reason is not None]
        if len(failed) == len(tried):
            raise CallerError(f"all {len(tried)} candidates failed; the first: {failed[0]}")
        table = np.array([scores or [np.nan] * self.folds for scores, _ in scored])
        self.cv_results_ = {
            **parameter_columns([parameters for parameters, _ in tried]),
            **{f"split{fold}_test_score": table[:, fold] for fold in range(self.folds)},
            "mean_test_score": means,
            "std_test_score": np.sqrt(np.mean((table - means[:, None]) ** 2, axis=1)),
            "rank_test_score": ranked(means),
            "reason": [reason for _, reason in scored],
        }
        trained = [self._training_mean(folds) for _, folds in tried]
        if any(score is not None for score in trained):
            self.cv_results_["mean_train_score"] = np.array([np.nan if score is None else score for score in trained])
        self.best_index_ = int(np.argmin(self.cv_results_["rank_test_score"]))
        self.best_params_ = dict(tried[self.best_index_][0])
        self.best_score_ = float(means[self.best_index_])
        self.n_splits_ = self.folds
        self.scoring_ = scoring_of(self.scoring, tried[self.best_index_][1][0])
        self.failed_ = len(failed)
        if failed:
            told = f"{len(failed)} of {len(tried)} candidates failed; the first: {failed[0]}"
            warn_of([told], SearchWarning, depth=4)

    def _training_mean(self, folds: FoldResults) -> float | None:
        """Return the mean score on the rows trained on, where it is told: the AUC never is."""
        try:
            scores = [score_of(self.scoring, found["training"]) for found in folds if "training" in found]
        except CallerError:
            return None
        return sum(scores) / len(scores) if len(scores) == self.folds else None

    def _suspect(self, best: FoldResults, suspected: Record | None, target: str | None) -> None:
        columns = suspicion.about_columns(suspected, target) if suspected else []
        fit = suspicion.about_fit(best) if self.checks else []
        self.warnings_ = [*warn_of(columns, LeakageWarning, depth=4), *warn_of(fit, OverfittingWarning, depth=4)]

    # -- the best model --

    @property
    def classes_(self) -> Any:
        return self._best().classes_

    @property
    def digest_(self) -> str:
        """The digest of the best model, trained on all rows."""
        return str(self._best().digest_)

    def _best(self) -> Any:
        check_is_fitted(self)
        if not self.refit:
            raise CallerError("refit=False: no model was trained on all rows; best_params_ tells what to train")
        return self.best_estimator_

    @_best_has("predict")  # type: ignore[untyped-decorator]
    def predict(self, X: Any) -> Any:
        return self._best().predict(X)

    @_best_has("predict_proba")  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Any:
        return self._best().predict_proba(X)

    @_best_has("decision_function")  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Any:
        return self._best().decision_function(X)

    def score(self, X: Any, y: Any = None) -> float:
        """Return the score, of the kind searched by, on arrays with `y`, on a table with the target in it, or on a dataset."""
        best = self._best()
        data, columns = prepared(best, X, y, target=None if y is not None else best.target_)
        program = EvaluateProgram(best.model_record_, columns["target"], is_ranked=needs_ranks(self.scoring))
        found = data.run(program, RunOptions()).result
        return score_of(self.scoring, found)


class GridSearch(Search):
    """Try every combination of a grid of parameters, on every fold, in one job; train the best on all rows.

    Parameters
    ----------
    estimator : any of muskox that trains in rounds
    grid : parameters' names with lists of values, or a list of such grids
    scoring : what to choose by, the greater the better; None takes accuracy, R squared, or minus the mean squared distance
    folds, seed : each row belongs to one of `folds` folds, drawn from `seed`, its shard and its position there
    refit : whether the best is trained on all rows in the end
    strategy : "rounds" (all workers share the rounds of all trainings) or "tasks" (each training is done by one worker alone)
    at_once : by "rounds", how many trainings run at a time; None means 16
    checks : whether to look for what makes scores deceive: columns that give the target away, and overfitting

    Attributes
    ----------
    best_params_, best_score_, best_index_, best_estimator_, classes_, digest_
    cv_results_ : by name, for each candidate: "params", "param_NAME", "splitK_test_score", "mean_test_score", "std_test_score",
        "rank_test_score", "mean_train_score" (not of an AUC, nor without `checks`), and "reason" of those that failed
    scoring_ : the name of the score
    failed_ : how many candidates failed
    warnings_ : sentences about what may deceive

    Examples
    --------
    >>> import numpy as np
    >>> from muskox import GaussianNB, GridSearch
    >>> X = np.arange(40.0)[:, None]
    >>> search = GridSearch(GaussianNB(), {"var_smoothing": [1e-9, 1.0]}, folds=4, checks=False).fit(X, X[:, 0] > 12)
    >>> search.best_params_
    {'var_smoothing': 1e-09}
    """

    def __init__(  # noqa: PLR0913  # scikit-learn's contract: every parameter is an argument
        self,
        estimator: Any,
        grid: Any,
        *,
        scoring: str | None = None,
        folds: int = 5,
        seed: int = 0,
        refit: bool = True,
        strategy: str = ROUNDS,
        at_once: int | None = None,
        checks: bool = True,
    ) -> None:
        self.estimator = estimator
        self.grid = grid
        self.scoring = scoring
        self.folds = folds
        self.seed = seed
        self.refit = refit
        self.strategy = strategy
        self.at_once = at_once
        self.checks = checks

    def batches(self) -> Iterator[tuple[list[Parameters], Tell | None]]:
        yield of_grid(self.grid), None


class RandomizedSearch(Search):
    """Try combinations of parameters drawn at random, on every fold, in one job; train the best on all rows.

    Parameters
    ----------
    estimator : any of muskox that trains in rounds
    distributions : parameters' names with lists of values, or distributions of SciPy's
    n_iter : how many combinations are drawn; of lists alone none twice
    sampler : "random" (named streams of `seed`), or "tpe" (Optuna's, if it is installed: it learns from earlier candidates)
    batch : by "tpe", how many candidates share a job, before their scores are told
    scoring, folds, seed, refit, strategy, at_once, checks : as of :class:`GridSearch`

    Attributes
    ----------
    as of :class:`GridSearch`

    Examples
    --------
    >>> import numpy as np
    >>> from muskox import GaussianNB, RandomizedSearch
    >>> X = np.arange(40.0)[:, None]
    >>> search = RandomizedSearch(GaussianNB(), {"var_smoothing": [1e-9, 1e-3, 1.0, 10.0]}, n_iter=2, folds=3, checks=False)
    >>> len(search.fit(X, X[:, 0] > 12).cv_results_["params"])
    2
    """

    def __init__(  # noqa: PLR0913  # scikit-learn's contract: every parameter is an argument
        self,
        estimator: Any,
        distributions: Mapping[str, Any],
        *,
        n_iter: int = 10,
        sampler: str = RANDOM,
        batch: int = BATCH,
        scoring: str | None = None,
        folds: int = 5,
        seed: int = 0,
        refit: bool = True,
        strategy: str = ROUNDS,
        at_once: int | None = None,
        checks: bool = True,
    ) -> None:
        self.estimator = estimator
        self.distributions = distributions
        self.n_iter = n_iter
        self.sampler = sampler
        self.batch = batch
        self.scoring = scoring
        self.folds = folds
        self.seed = seed
        self.refit = refit
        self.strategy = strategy
        self.at_once = at_once
        self.checks = checks

    def batches(self) -> Iterator[tuple[list[Parameters], Tell | None]]:
        if self.sampler == RANDOM:
            yield drawn(self.distributions, self.n_iter, self.seed), None
            return
        if self.sampler != TPE:
            raise CallerError(f"sampler={self.sampler!r}: it is {RANDOM!r} or {TPE!r}")
        if self.n_iter < 1 or self.batch < 1:
            raise CallerError(f"n_iter={self.n_iter}, batch={self.batch}: each is 1 or more")
        sampler = OptunaSampler(self.distributions, self.seed)
        for first in range(0, self.n_iter, self.batch):
            yield sampler.ask(min(self.batch, self.n_iter - first)), sampler.tell
