"""What users hold becomes an Arrow table, or is refused."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix
from sklearn.exceptions import DataConversionWarning

from muskox.errors import CallerError
from muskox.learn.tables import to_table, with_target


def test_arrays_frames_batches_and_tables_are_taken() -> None:
    X = np.arange(6.0).reshape(3, 2)
    expected = pa.table({"x0": X[:, 0], "x1": X[:, 1]})
    assert to_table(X) == to_table(np.asfortranarray(X)) == to_table(X.tolist()) == expected
    assert to_table(pd.DataFrame(X)) == expected  # numbered columns: an array in disguise
    assert to_table(pd.DataFrame(X, columns=["x0", "x1"], index=[5, 6, 7])) == expected
    assert to_table(expected) is expected
    assert to_table(expected.to_batches()[0]) == expected
    assert to_table(X, ["a", "b"]).column_names == ["a", "b"]
    assert to_table(np.array([["a", "b"], ["c", None]], dtype=object)).to_pydict() == {"x0": ["a", "c"], "x1": ["b", None]}


def test_a_frame_without_values_is_missing_values() -> None:
    table = to_table(pd.DataFrame({"x": [1.0, np.nan], "c": ["a", None]}))
    assert [column.null_count for column in table.columns] == [1, 1]


@pytest.mark.parametrize(
    ("X", "says"),
    [
        (np.zeros(3), "Expected 2D array"),
        (np.zeros((3, 0)), "0 feature"),
        (np.zeros((2, 1), dtype=complex), "Complex data not supported"),
        (csr_matrix(np.eye(2)), "a sparse matrix is no table"),
        (np.array([[1], ["a"]], dtype=object), "column 'x0' mixes types"),
        (pd.DataFrame([[1, 2]], columns=["a", 5]), "column 5 of the DataFrame has a name that is no text"),
        (pd.DataFrame({"a": [1, "b"]}), "this DataFrame has no Arrow form"),
    ],
)
def test_what_is_no_table_is_refused(X: object, says: str) -> None:
    with pytest.raises(CallerError, match=says):
        to_table(X)


def test_the_target_is_the_last_column_under_a_free_name() -> None:
    table = pa.table({"y": [1.0, 2.0], "late": [3.0, 4.0]})
    assert with_target(table, [0, 1])[1] == "y_"
    whole, name = with_target(table, pd.Series([0, 1], name="late"))
    assert (name, whole.column_names) == ("late_", ["y", "late", "late_"])
    assert with_target(table, pa.array([True, False]))[0].column("y_").to_pylist() == [True, False]
    with pytest.warns(DataConversionWarning, match="column-vector"):
        with_target(table, np.array([[0], [1]]))
    with pytest.raises(CallerError, match=r"column 'y_' has shape \(2, 2\)"):
        with_target(table, np.zeros((2, 2)))
