"""Tables: what scikit-learn's users hold (NumPy arrays, pandas DataFrames, Arrow tables) as one Arrow table."""

from collections.abc import Sequence
from typing import Any
from warnings import warn

import numpy as np
import pyarrow as pa

from muskox.errors import CallerError


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
    return pa.table({name: from_vector(array[:, index], name) for index, name in enumerate(names)})


def from_vector(vector: Any, name: str) -> Any:
    """Return one column; text, numbers or Python objects of one type."""
    vector = np.asarray(vector)
    if vector.ndim != 1:
        raise CallerError(f"column {name!r} has shape {vector.shape}: it must be (rows,)")
    try:
        return pa.array(np.ascontiguousarray(vector) if vector.dtype.kind in "biuf" else vector.tolist())
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise CallerError(f"column {name!r} mixes types: {error}") from error


def with_target(table: Any, y: Any) -> tuple[Any, str]:
    """Return the table with `y` as its last column, and the name of that column: y's own, or "y"."""
    name = getattr(y, "name", None)
    name = name if isinstance(name, str) else "y"
    while name in table.schema.names:
        name += "_"
    column = y if isinstance(y, pa.Array | pa.ChunkedArray) else from_vector(flat(y), name)
    if len(column) != table.num_rows:
        raise CallerError(f"X has {table.num_rows} rows and y has {len(column)}: they must be the same")
    return table.append_column(name, column), name


def flat(y: Any) -> Any:
    """Return `y`, or the one column of a column vector, with scikit-learn's warning."""
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        from sklearn.exceptions import DataConversionWarning

        message = "A column-vector y was passed when a 1d array was expected: give y.ravel()"
        warn(message, DataConversionWarning, stacklevel=5)
        return y[:, 0]
    return y
