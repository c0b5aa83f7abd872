"""Parallel inference on an array: the order of the rows, whatever the parts."""

import numpy as np
import pytest

from muskox.errors import CallerError
from muskox.serve import distributed_parallel_inference


class Doubler:
    def predict(self, rows: np.ndarray) -> np.ndarray:
        if not len(rows):
            raise ValueError("no rows")
        return rows[:, 0] * 2


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 100])
def test_the_order_is_kept(parts: int) -> None:
    rows = np.arange(23.0).reshape(-1, 1)
    assert distributed_parallel_inference(Doubler(), rows, parts).tolist() == (rows[:, 0] * 2).tolist()


def test_refusals() -> None:
    with pytest.raises(CallerError, match="num_partitions=0"):
        distributed_parallel_inference(Doubler(), np.zeros((2, 1)), 0)
    with pytest.raises(CallerError, match="rows"):
        distributed_parallel_inference(Doubler(), 3.0, 2)
