"""Lines: numbers of several columns where they lie in memory, as kernels take them: by address, so that nothing is copied.

A kernel gets the addresses, one a column, and an empty array of the lines' type, float32 or float64; within it
:func:`line` is the array. Addresses are good as long as somebody holds the arrays that they are of, which `Lines` does.
"""

# mypy: disable-error-code="untyped-decorator,no-any-return"

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from muskox.records import Array

NARROW, WIDE = np.empty(0, dtype=np.float32), np.empty(0, dtype=np.float64)
ADDRESSES = types.Array(types.int64, 1, "C")
TYPES = (types.Array(types.float32, 1, "C"), types.Array(types.float64, 1, "C"))
READ = types.Array(types.float64, 1, "C", readonly=True)  # what a record or an Arrow array lends

Addresses = NDArray[np.int64]


class Lines:
    """Columns of one type, float32 or float64, and one length: shape (columns, rows) without being a matrix.

    owner : what holds the numbers
    """

    __slots__ = ("addresses", "like", "owner", "rows")

    def __init__(self, addresses: Addresses, rows: int, like: Array, owner: object) -> None:
        self.addresses = addresses
        self.rows = rows
        self.like = like
        self.owner = owner

    @classmethod
    def of_matrix(cls, matrix: Array) -> "Lines":
        """Return the lines of a C-ordered matrix, shape (columns, rows).

        Raises
        ------
        ValueError
            If it is not C-ordered, float32 or float64: a kernel would read what is not there.
        """
        like = NARROW if matrix.dtype == np.float32 else WIDE
        if matrix.ndim != 2 or not matrix.flags.c_contiguous or matrix.dtype != like.dtype:
            raise ValueError("lines are of a C-ordered matrix of float32 or float64")
        columns, rows = matrix.shape
        first = int(matrix.ctypes.data)
        return cls(first + np.arange(columns, dtype=np.int64) * (rows * like.itemsize), rows, like, matrix)

    @classmethod
    def of_arrow(cls, arrays: Sequence[Any], rows: int) -> "Lines":
        """Return Arrow arrays of `rows` numbers as lines.

        Raises
        ------
        ValueError
            If one is null somewhere, or they are not all float32 or all float64, or of another length.
        """
        like = NARROW if arrays and arrays[0].type == pa.float32() else WIDE
        kind = pa.float32() if like is NARROW else pa.float64()
        if not all(each.type == kind and len(each) == rows and not each.null_count for each in arrays):
            raise ValueError("lines are Arrow arrays of one length, all float32 or all float64, without nulls")
        where = [each.buffers()[1].address + each.offset * like.itemsize for each in arrays] if rows else [0] * len(arrays)
        return cls(np.array(where, dtype=np.int64), rows, like, arrays)

    @classmethod
    def of_columns(cls, arrays: Sequence[Any], rows: int) -> "Lines":
        """Return Arrow arrays of float32 or float64, without nulls, as lines: all widened if one is wide."""
        if any(each.type != pa.float32() for each in arrays):
            arrays = [each.cast(pa.float64()) for each in arrays]
        return cls.of_arrow(arrays, rows)

    def __reduce__(self) -> Any:
        """Refuse to be pickled or copied: addresses are of this process, and of the arrays that are held here."""
        raise TypeError("lines are addresses in memory: take matrix()")

    @property
    def where(self) -> tuple[Addresses, Array]:
        """Return what kernels take: the addresses, and an array of the type. Hold the lines while a kernel is at it."""
        return self.addresses, self.like

    @property
    def is_narrow(self) -> bool:
        return bool(self.like.dtype == np.float32)

    @property
    def nbytes(self) -> int:
        return self.addresses.size * self.rows * self.like.itemsize

    def matrix(self) -> Array:
        """Return the numbers as a matrix, shape (columns, rows)."""
        if isinstance(self.owner, np.ndarray):
            return self.owner
        out = np.empty((self.addresses.size, self.rows), dtype=self.like.dtype)
        for row, each in zip(out, self.owner, strict=True):  # type: ignore[call-overload]
            row[:] = each.to_numpy()
        return out


@intrinsic
def pointer(typing_context: Any, address: Any) -> Any:  # noqa: ARG001  # numba's contract
    """Return an address as a pointer."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), code


@njit(nogil=True)
def line(addresses: Any, like: Any, column: int, first: int, count: int) -> Any:
    """Return `count` numbers of a column from row `first` on."""
    return carray(pointer(addresses[column] + first * like.itemsize), (count,), like.dtype)
