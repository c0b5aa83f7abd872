"""Sparse rows: text columns in svmlight's form ("3:1.5 17:2"), text by the hashes of its words, and SciPy's matrices.

An index counts from 0. A sparse value is taken as it is: not standardised, 0 where nothing is said. A SciPy matrix becomes a
text column of the same form, its numbers written so that they read back exactly: either gives the same bits.
Words are runs of ASCII letters, digits, "_" and any other letters, lower-cased; by its hash each counts 1 or -1 somewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.records import Array

MATRIX = "X"  # the column that a SciPy matrix becomes
WIDTH_MAX = 1 << 27  # of a column: a point of the optimiser then has 1 GB


@dataclass(frozen=True, slots=True)
class SparseRows:
    """Rows as SciPy's CSR has them; an index may come twice in a row, its values then add up.

    starts : int64, shape (rows + 1,); indexes : int32; values : float64
    """

    starts: NDArray[np.int64]
    indexes: NDArray[np.int32]
    values: Floats


def parse(texts: Any) -> SparseRows | None:
    """Return an Arrow text array in svmlight's form as sparse rows; None if some row is not of that form, or not finite."""
    words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(pc.fill_null(texts, "")))
    lengths = pc.list_value_length(words).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = words.flatten()
    is_empty = pc.equal(flat, "").to_numpy(zero_copy_only=False)
    if is_empty.any():  # the only word of a row without any
        rows = np.repeat(np.arange(len(texts)), lengths)[is_empty]
        lengths[rows] -= 1
        flat = flat.filter(pa.array(~is_empty))
    pairs = pc.split_pattern(flat, ":")
    if len(flat) and not bool(pc.all(pc.equal(pc.list_value_length(pairs), 2)).as_py()):
        return None
    try:
        indexes = np.asarray(pc.cast(pc.list_element(pairs, 0), pa.int64()))
        values = np.asarray(pc.cast(pc.list_element(pairs, 1), pa.float64()))
    except pa.ArrowInvalid:
        return None
    if np.any((indexes < 0) | (indexes >= WIDTH_MAX)) or not np.isfinite(values).all():
        return None
    starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    return SparseRows(starts, indexes.astype(np.int32), np.array(values, dtype=np.float64))


def hashed(texts: Any, features: int) -> SparseRows:
    """Return the words of an Arrow text array, each 1 or -1 at one of `features` indexes."""
    lowered = pc.cast(pc.utf8_lower(pc.fill_null(texts, "")), pa.large_string())
    ends = np.frombuffer(lowered.buffers()[1], dtype=np.int64)[lowered.offset : lowered.offset + len(lowered) + 1]
    data = lowered.buffers()[2]
    text = np.frombuffer(data, dtype=np.uint8) if data is not None and data.size else np.zeros(1, dtype=np.uint8)
    room = int(ends[-1] - ends[0]) // 2 + len(lowered) + 1
    starts, indexes, values = np.empty(len(lowered) + 1, dtype=np.int64), np.empty(room, dtype=np.int32), np.empty(room)
    from muskox.learn.linear.sparse_kernels import hash_words  # compiled: only who hashes words waits for it

    count = hash_words(text, ends, features, starts, indexes, values)
    return SparseRows(starts, indexes[:count].copy(), values[:count].copy())


def read(columns: Mapping[str, Any], batch: Any) -> SparseRows:
    """Return all sparse columns of a batch beside each other, their indexes one after the other; unknown indexes are left out.

    columns : "names", "kinds" and "widths" of them

    Raises
    ------
    CallerError
        If a column is missing, no text, or not of svmlight's form.
    """
    parts = []
    first = 0
    for name, kind, width in zip(columns["names"], columns["kinds"], columns["widths"], strict=True):
        rows = read_column(name, kind, width, batch)
        if rows is None:
            raise CallerError(f"column {name!r} is not of the form '3:1.5 17:2' (index:value, finite, from 0) in these rows")
        known = rows.indexes < width
        rows = rows if known.all() else chosen(rows, known)
        parts.append(SparseRows(rows.starts, rows.indexes + np.int32(first), rows.values))
        first += width
    return parts[0] if len(parts) == 1 else beside(parts)


def read_column(name: str, kind: str, width: int, batch: Any) -> SparseRows | None:
    position = batch.schema.get_field_index(name)
    if position < 0:
        raise CallerError(f"no column {name!r} in these rows: they have {', '.join(map(str, batch.schema.names))}")
    texts = batch.column(position)
    if pa.types.is_null(texts.type) or pa.types.is_dictionary(texts.type) or pa.types.is_large_string(texts.type):
        texts = pc.cast(texts, pa.string())
    if not pa.types.is_string(texts.type):
        raise CallerError(f"column {name!r} holds {texts.type} here: a sparse or hashed column is text")
    return hashed(texts, width) if kind == "hashed" else parse(texts)


def chosen(rows: SparseRows, known: Array) -> SparseRows:
    before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(known)])
    return SparseRows(before[rows.starts], rows.indexes[known], rows.values[known])


def beside(parts: Sequence[SparseRows]) -> SparseRows:
    """Return the rows of several columns joined, in the order of the columns."""
    row_of = np.concatenate([np.repeat(np.arange(len(part.starts) - 1), np.diff(part.starts)) for part in parts])
    order = np.argsort(row_of, kind="stable")
    starts = np.add.reduce([part.starts for part in parts])
    joined = np.concatenate([part.indexes for part in parts])[order], np.concatenate([part.values for part in parts])[order]
    return SparseRows(starts, *joined)


def is_sparse(X: Any) -> bool:
    return hasattr(X, "tocsr")


def from_matrix(X: Any) -> Any:
    """Return a SciPy sparse matrix as an Arrow table of one text column, MATRIX.

    Raises
    ------
    CallerError
        If it holds complex numbers, or such as are not finite.
    """
    matrix = X.tocsr()
    if matrix.dtype.kind not in "biuf":
        raise CallerError(f"Complex data not supported: a sparse X holds {matrix.dtype}, not numbers")
    if not np.isfinite(matrix.data).all():
        raise CallerError("a sparse X holds NaN or infinity: replace such values")
    indexes = pc.cast(pa.array(matrix.indices), pa.string())
    values = pc.cast(pa.array(matrix.data.astype(np.float64)), pa.string())
    joined = pc.binary_join_element_wise(indexes, values, ":")
    lists = pa.LargeListArray.from_arrays(pa.array(matrix.indptr.astype(np.int64)), joined)
    return pa.table({MATRIX: pc.cast(pc.binary_join(lists, " "), pa.string())})
