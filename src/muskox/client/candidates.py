"""Candidates of a search: all of a grid, or some drawn from distributions by named streams."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import ParameterGrid

from muskox.errors import CallerError
from muskox.streams import stream

Parameters = dict[str, Any]
CANDIDATES_MAX = 10_000


def of_grid(grid: Any) -> list[Parameters]:
    """Return every combination of a grid (a mapping of names to values), or of each of several, in scikit-learn's order.

    Raises
    ------
    CallerError
        If it is no grid, or one of too many combinations.
    """
    try:
        listed = ParameterGrid(grid)
    except (TypeError, ValueError) as error:
        raise CallerError(f"this is no grid: {error}") from error
    if not 1 <= len(listed) <= CANDIDATES_MAX:
        raise CallerError(f"this grid has {len(listed)} combinations: a search tries 1 to {CANDIDATES_MAX}")
    return [dict(parameters) for parameters in listed]


def drawn(distributions: Mapping[str, Any], count: int, seed: int) -> list[Parameters]:
    """Return `count` combinations drawn from lists of values, or from what has ``rvs(random_state=)``, as SciPy's do.

    Of lists alone none is drawn twice, so there may be fewer.
    """
    check_distributions(distributions)
    if not 1 <= count <= CANDIDATES_MAX:
        raise CallerError(f"n_iter={count}: a search tries 1 to {CANDIDATES_MAX} candidates")
    if not any(hasattr(each, "rvs") for each in distributions.values()):
        listed = ParameterGrid({name: list(values) for name, values in distributions.items()})
        if len(listed) <= count:
            return [dict(parameters) for parameters in listed]
        chosen = stream(seed, "search").choice(len(listed), size=count, replace=False)
        return [dict(listed[int(index)]) for index in chosen]
    return [
        {name: value_of(distributions[name], name, seed, index) for name in sorted(distributions)} for index in range(count)
    ]


def value_of(distribution: Any, name: str, seed: int, index: int) -> Any:
    """Return the value of parameter `name` of candidate `index`: which others there are cannot be seen in it."""
    draw = stream(seed, f"search/{name}", round=index)
    if hasattr(distribution, "rvs"):
        value = distribution.rvs(random_state=draw)
        return value.item() if isinstance(value, np.generic) else value
    values = list(distribution)
    return values[int(draw.integers(len(values)))]


def check_distributions(distributions: Mapping[str, Any]) -> None:
    if not (hasattr(distributions, "items") and distributions):
        raise CallerError("distributions is a mapping of parameters' names to lists of values, or to distributions of SciPy's")
    for name, values in distributions.items():
        listed = isinstance(values, Sequence | np.ndarray) and not isinstance(values, str)
        if not hasattr(values, "rvs") and not (listed and len(values)):
            raise CallerError(
                f"distribution of {name!r}: it is a list of values with one at least, or has rvs, as SciPy's have"
            )
