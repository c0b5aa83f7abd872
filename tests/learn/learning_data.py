"""A generated table of mixed columns, for the tests of this room."""

from typing import Any

import numpy as np
import pyarrow as pa


def mixed_table(rows: int, seed: int = 0) -> Any:
    """Return numbers, text, ints and a bool with missing values, and a target that depends on them."""
    rng = np.random.default_rng(seed)
    amount = rng.normal(3.0, 2.0, rows)
    city = rng.choice(["Oslo", "Rome", "Žilina", ""], rows)
    month = rng.integers(1, 13, rows)
    member = rng.random(rows) < 0.3
    signal = 0.6 * amount - 1.5 + (city == "Rome") + 0.2 * (month % 3) - 0.5 * member
    late = rng.random(rows) < 0.5 + 0.5 * np.tanh(signal / 2)
    holes = rng.random((3, rows)) < 0.1
    return pa.table(
        {
            "amount": pa.array(amount, mask=holes[0]),
            "city": pa.array(city.tolist(), mask=holes[1]),
            "month": month,
            "member": pa.array(member, mask=holes[2]),
            "late": late,
        }
    )
