"""Parallel inference on an array in memory, for whoever has a fitted model and no cluster."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from muskox.errors import CallerError
from muskox.records import Array


def distributed_parallel_inference(model: Any, array: Any, num_partitions: int) -> Array:
    """Return ``model.predict`` of `array`, computed in `num_partitions` consecutive parts at once, in the order of the rows.

    Parameters
    ----------
    model : anything with ``predict``; it must not change when it predicts
    array : shape (rows, ...)
    num_partitions : parts; more than there are rows is as many as there are rows

    Examples
    --------
    >>> import numpy as np
    >>> class Doubler:
    ...     def predict(self, X):
    ...         return X[:, 0] * 2
    >>> distributed_parallel_inference(Doubler(), np.arange(5.0).reshape(-1, 1), num_partitions=3).tolist()
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    rows = np.asarray(array)
    if num_partitions < 1:
        raise CallerError(f"num_partitions={num_partitions!r}: it must be a whole number, 1 or above")
    if rows.ndim == 0:
        raise CallerError("an array to predict has rows: its shape is (rows, ...)")
    parts = [part for part in np.array_split(rows, num_partitions) if len(part)]
    if len(parts) < 2:
        return np.asarray(model.predict(rows))
    # Threads, since predict spends its time in NumPy or compiled code, which lets go of the interpreter's lock; processes
    # would copy model and rows, and need an importable __main__.
    with ThreadPoolExecutor(min(len(parts), os.cpu_count() or 1)) as pool:
        return np.concatenate([np.asarray(answer) for answer in pool.map(model.predict, parts)])
