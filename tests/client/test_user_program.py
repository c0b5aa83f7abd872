"""mx.rounds in process: the public door for algorithms of one's own."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import muskox as mx
from muskox.errors import CallerError

TABLE = pa.table({"x": [1.0, 2.0, 3.0, 4.0], "y": [3.0, 5.0, 7.0, 9.0]})


def line(table: Any, **changes: Any) -> dict[str, Any]:
    """Fit y = slope * x + intercept by the normal equations, in one round."""

    def partial(state: dict[str, Any], shard: mx.Shard, blocks: Iterator[mx.Block]) -> dict[str, Any]:
        xx, xy = np.zeros((2, 2)), np.zeros(2)
        for block in blocks:
            rows = np.stack([block["x"], np.ones(block.rows)], axis=1)
            xx, xy = xx + rows.T @ rows, xy + rows.T @ block["y"]
        return {"xx": xx, "xy": xy}

    functions: dict[str, Any] = {
        "initial": lambda manifest: {"rows": manifest.rows},
        "partial": partial,
        "merge": lambda left, right: {name: left[name] + right[name] for name in left},
        "update": lambda state, total: mx.Done({"line": np.linalg.solve(total["xx"], total["xy"])}),
    }
    return mx.rounds(table, **{**functions, **changes})


@pytest.mark.parametrize("table", [TABLE, TABLE.to_pandas()], ids=["arrow", "pandas"])
def test_a_users_algorithm_runs_over_a_table(table: pa.Table | pd.DataFrame) -> None:
    assert np.allclose(line(table)["line"], [2.0, 1.0])


def test_every_round_is_reported() -> None:
    seen: list[int] = []
    result = mx.rounds(
        TABLE,
        initial=lambda manifest: {"n": 0},
        partial=lambda state, shard, blocks: {"n": 1},
        merge=lambda left, right: left,
        update=lambda state, total: mx.Done({"n": state["n"]}) if state["n"] == 3 else {"n": state["n"] + 1},
        on_round=lambda report: seen.append(report.round),
    )
    assert (result, seen) == ({"n": 3}, [1, 2, 3])


def test_an_unknown_column_is_named() -> None:
    def partial(state: dict[str, Any], shard: mx.Shard, blocks: Iterator[mx.Block]) -> dict[str, Any]:
        return {"z": next(blocks)["z"]}

    with pytest.raises(CallerError, match="no column 'z': this dataset has x, y"):
        line(TABLE, partial=partial)


def test_what_is_no_record_is_refused_in_process_too() -> None:
    with pytest.raises(CallerError):
        line(TABLE, initial=lambda manifest: {"x": {1}})
