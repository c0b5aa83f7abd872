"""A small fitted model on mixed columns, for the tests of this room."""

from typing import Any

import numpy as np
import pyarrow as pa

import muskox
from muskox.learn import LogisticRegression


def mixed_rows(rows: int = 3000, seed: int = 7) -> Any:
    """Return numbers, ints, text and bools with missing values, and a target that depends on them."""
    rng = np.random.default_rng(seed)
    amount, seats = rng.normal(2.0, 3.0, rows), rng.integers(1, 400, rows)
    city, member = rng.choice(["Oslo", "Rome", "Žilina"], rows), rng.random(rows) < 0.4
    late = amount + 2.0 * (city == "Rome") - 1.5 * member + rng.normal(0.0, 2.0, rows) > 2.0
    holes = rng.random((4, rows)) < 0.1
    return pa.table(
        {
            "key": np.arange(rows),
            "amount": pa.array(amount, mask=holes[0]),
            "seats": pa.array(seats, mask=holes[1]),
            "city": pa.array(city.tolist(), mask=holes[2]),
            "member": pa.array(member, mask=holes[3]),
            "late": late,
        }
    )


def fitted() -> LogisticRegression:
    assert muskox, "importing it sets the in-process engine"
    return LogisticRegression(max_rounds=20, features=["amount", "seats", "city", "member"]).fit(mixed_rows(), target="late")
