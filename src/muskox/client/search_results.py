"""The columns of a search's results: parameters by name, and ranks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from muskox.client.candidates import Parameters


def parameter_columns(candidates: Sequence[Parameters]) -> dict[str, Any]:
    """Return "params", and for each parameter a masked array "param_NAME" of its values, masked where a candidate has none."""
    columns: dict[str, Any] = {"params": [dict(parameters) for parameters in candidates]}
    for name in sorted({name for parameters in candidates for name in parameters}):
        column = np.ma.array(np.full(len(candidates), None, dtype=object), mask=True)
        for index, parameters in enumerate(candidates):
            if name in parameters:
                column[index] = parameters[name]
        columns[f"param_{name}"] = column
    return columns


def ranked(scores: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return the rank of each score, 1 for the greatest, equal ones alike; those that are NaN come last."""
    known = np.where(np.isnan(scores), -np.inf, scores)
    return np.array([1 + np.count_nonzero(known > score) for score in known], dtype=np.int32)


def copied(parameters: Parameters) -> Parameters:
    """Return parameters whose values no training can change."""
    return {name: clone(value, safe=False) for name, value in parameters.items()}
