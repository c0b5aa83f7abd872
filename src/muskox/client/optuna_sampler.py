"""Optuna's sampler of candidates (TPE), for searches: what was found of earlier candidates says where to look next.

Candidates are asked for in batches of a size that the search fixes, so that how many workers there are cannot be seen in them.
Optuna is installed by whoever wants it: ``pip install optuna``.
"""

import warnings
from collections.abc import Mapping
from typing import Any

from muskox.client.candidates import Parameters, check_distributions
from muskox.errors import CallerError

SCIPY_KINDS = {"uniform": False, "loguniform": True, "reciprocal": True, "randint": False}  # and whether logarithmic


class OptunaSampler:
    """Ask for candidates, tell their scores."""

    def __init__(self, distributions: Mapping[str, Any], seed: int) -> None:
        check_distributions(distributions)
        try:
            import optuna
        except ModuleNotFoundError as error:
            raise CallerError(f"sampler='tpe' needs {error.name}, which is not installed: pip install optuna") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._values = {name: list(each) for name, each in distributions.items() if not hasattr(each, "rvs")}
        self._space = {name: _space(optuna.distributions, name, distributions[name]) for name in sorted(distributions)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)  # so that those of a batch differ
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._failed = optuna.trial.TrialState.FAIL
        self._asked: list[Any] = []

    def ask(self, count: int) -> list[Parameters]:
        self._asked = [self._study.ask(self._space) for _ in range(count)]
        return [
            {name: self._values[name][value] if name in self._values else value for name, value in trial.params.items()}
            for trial in self._asked
        ]

    def tell(self, scores: list[float | None]) -> None:
        """Tell the scores of those asked for last, in their order; None of those that failed."""
        for trial, score in zip(self._asked, scores, strict=True):
            if score is None:
                self._study.tell(trial, state=self._failed)
            else:
                self._study.tell(trial, score)


def _space(kinds: Any, name: str, distribution: Any) -> Any:
    if not hasattr(distribution, "rvs"):
        return kinds.CategoricalDistribution(tuple(range(len(distribution))))  # by index: a value may be anything
    kind = getattr(getattr(distribution, "dist", None), "name", None)
    if kind not in SCIPY_KINDS:
        raise CallerError(f"distribution of {name!r}: sampler='tpe' takes lists, and SciPy's uniform, loguniform and randint")
    low, high = distribution.support()
    if kind == "randint":
        return kinds.IntDistribution(int(low), int(high))
    return kinds.FloatDistribution(float(low), float(high), log=SCIPY_KINDS[kind])
