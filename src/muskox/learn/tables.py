"""Tables: what scikit-learn's users hold (NumPy arrays, pandas DataFrames, Arrow tables) as one Arrow table."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from warnings import warn

import numpy as np
import pyarrow as pa

from muskox.errors import CallerError

TRANSPOSED_ROWS = 1024  # at a time: 28 columns of them lie in a core's second cache, as rows and as columns
TURNED_ROWS = 1 << 17  # by one thread
TURNERS = 4  # threads that turn rows to columns: more do not find more memory bandwidth


def to_table(X: Any, names: Sequence[str] | None = None, owner: str = "this table") -> Any:
    """Return `X` as an Arrow table; the columns of an array are `names` (which `owner` expects), or x0, x1, ...

    Raises
    ------
    CallerError
        If `X` is no table, or an array of another shape than (rows, columns).
    """
    if isinstance(X, pa.Table):
        return X
    if isinstance(X, pa.RecordBatch):
        return pa.Table.from_batches([X])
    if hasattr(X, "columns") and hasattr(X, "iloc"):
        return from_frame(X)
    if hasattr(X, "tocsr"):
        raise CallerError("a sparse matrix is no table: give the columns it was made from, or X.toarray()")
    return from_array(np.asarray(X), names, owner)


def from_frame(frame: Any) -> Any:
    not_text = [name for name in frame.columns if not isinstance(name, str)]
    if len(not_text) == len(frame.columns):
        frame = frame.set_axis(
            [f"x{index}" for index in range(len(not_text))], axis=1
        )  # numbered columns: an array in disguise
    elif not_text:
        raise CallerError(f"column {not_text[0]!r} of the DataFrame has a name that is no text: rename it")
    try:
        return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise CallerError(f"this DataFrame has no Arrow form: {error}") from error


def from_array(array: Any, names: Sequence[str] | None, owner: str = "this table") -> Any:
    if array.ndim != 2:
        raise CallerError(
            f"Expected 2D array X of shape (rows, columns), got shape {array.shape}. "
            f"Reshape your data with X.reshape(-1, 1) for one column or X.reshape(1, -1) for one row"
        )
    if array.dtype.kind == "c":
        raise CallerError("Complex data not supported: X holds complex numbers")
    if array.shape[1] == 0:
        raise CallerError(f"0 feature(s) (shape={array.shape}) while a minimum of 1 is required: X needs a column")
    if names is None:
        names = [f"x{index}" for index in range(array.shape[1])]
    if len(names) != array.shape[1]:
        raise CallerError(f"X has {array.shape[1]} features, but {owner} is expecting {len(names)} features as input")
    return pa.table({name: from_vector(column, name) for name, column in zip(names, columns_of(array), strict=True)})


def columns_of(array: Any) -> Any:
    """Return the columns of a matrix one after the other. Rows of numbers are turned some at a time: caches like it."""
    if array.dtype.kind not in "iuf" or not array.flags.c_contiguous:
        return array.T
    out = np.empty((array.shape[1], array.shape[0]), dtype=array.dtype)

    def turn(start: int) -> None:
        for first in range(start, min(start + TURNED_ROWS, array.shape[0]), TRANSPOSED_ROWS):
            last = min(first + TRANSPOSED_ROWS, array.shape[0])
            out[:, first:last] = array[first:last].T

    starts = range(0, array.shape[0], TURNED_ROWS)
    if len(starts) < 2:
        turn(0)
    else:
        with ThreadPoolExecutor(min(len(starts), TURNERS), "turn") as pool:
            list(pool.map(turn, starts))
    return out


def from_vector(vector: Any, name: str) -> Any:
    """Return one column; text, numbers or Python objects of one type."""
    vector = np.asarray(vector)
    if vector.ndim != 1:
        raise CallerError(f"column {name!r} has shape {vector.shape}: it must be (rows,)")
    try:
        return pa.array(np.ascontiguousarray(vector) if vector.dtype.kind in "biuf" else vector.tolist())
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise CallerError(f"column {name!r} mixes types: {error}") from error


def with_target(table: Any, y: Any, *, is_number: bool = False) -> tuple[Any, str]:
    """Return the table with `y` as its last column, and the name of that column: y's own, or "y"."""
    name = getattr(y, "name", None)
    name = free_name(table, name if isinstance(name, str) else "y")
    column = y if isinstance(y, pa.Array | pa.ChunkedArray) else from_vector(as_numbers(y) if is_number else flat(y), name)
    if len(column) != table.num_rows:
        raise CallerError(f"X has {table.num_rows} rows and y has {len(column)}: they must be the same")
    return table.append_column(name, column), name


def with_weight(table: Any, sample_weight: Any, rows: int) -> tuple[Any, str]:
    """Return the table with the weights of its first `rows` rows, 1 for others, as its last column; and that column's name."""
    name = free_name(table, "weight")
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.ndim == 0:
        weights = np.full(rows, float(weights))
    if weights.ndim != 1:
        raise CallerError(f"Sample weights must be 1D array or scalar: sample_weight has shape {weights.shape}")
    if weights.size != rows:
        raise CallerError(f"sample_weight.shape == {weights.shape}, expected ({rows},): one weight a row")
    weights = np.append(weights, np.ones(table.num_rows - rows))
    return table.append_column(name, pa.array(weights)), name


def with_mark(table: Any, validation: tuple[Any, Any], target: str | None) -> tuple[Any, str]:
    """Return the table with the rows of `validation` (X, y) below its own, and the name of the bool column that marks them."""
    below = to_table(validation[0], [name for name in table.schema.names if name != target])
    if target is not None and target not in below.schema.names:
        below = below.append_column(target, from_vector(flat(validation[1]), target))
    name = free_name(table, "validation")
    marked = [
        part.append_column(name, pa.array(np.full(part.num_rows, held))) for part, held in ((table, False), (below, True))
    ]
    try:
        return pa.concat_tables([marked[0], marked[1].select(marked[0].schema.names).cast(marked[0].schema)]), name
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise CallerError(f"the rows of validation are not of the columns of the training: {error}") from error


def free_name(table: Any, name: str) -> str:
    while name in table.schema.names:
        name += "_"
    return name


def as_numbers(y: Any) -> Any:
    """Return `y` as float64; CallerError if it holds anything else."""
    try:
        return np.asarray(flat(y), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise CallerError(f"y holds what is no number: {error}") from error


def flat(y: Any) -> Any:
    """Return `y`, or the one column of a column vector, with scikit-learn's warning."""
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        from sklearn.exceptions import DataConversionWarning

        message = "A column-vector y was passed when a 1d array was expected: give y.ravel()"
        warn(message, DataConversionWarning, stacklevel=5)
        return y[:, 0]
    return y
