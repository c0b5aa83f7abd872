"""The demo's data: only what is known before departure, honest missing values, the same split everywhere."""

from typing import Any

import pyarrow.compute as pc
import pytest

from muskox.cli import flights as demo_flights
from muskox.cli.flights import CATEGORICAL, FEATURES, KEY, TARGET, Flights, load_flights
from muskox.errors import CallerError

ROWS, ARRIVED = 336_776, 327_346


@pytest.fixture(scope="module")
def flights() -> Flights:
    return load_flights()


def test_every_flight_that_arrived_is_in_one_split(flights: Flights) -> None:
    assert flights.rows_read == ROWS and flights.train.num_rows + flights.test.num_rows == ARRIVED
    assert 0.19 < flights.test.num_rows / ARRIVED < 0.21
    assert flights.train.schema == flights.test.schema


def test_nothing_known_only_later_is_a_feature(flights: Flights) -> None:
    later = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}
    assert not later & set(flights.train.schema.names)
    assert set(FEATURES) | {KEY, TARGET} <= set(flights.train.schema.names)
    assert set(CATEGORICAL) <= set(FEATURES) and TARGET not in FEATURES


def test_missing_values_are_those_of_unknown_aircraft(flights: Flights) -> None:
    nulls = {name: flights.train.column(name).null_count for name in FEATURES}
    assert nulls["plane_seats"] == nulls["plane_engine"] > 30_000 and nulls["plane_year"] > nulls["plane_seats"]
    assert not any(count for name, count in nulls.items() if not name.startswith("plane_"))
    assert flights.train.column(TARGET).null_count == 0
    assert 0.22 < pc.mean(flights.train.column(TARGET)).as_py() < 0.25


def test_the_split_is_the_same_the_next_time(flights: Flights) -> None:
    assert load_flights().test.equals(flights.test)


def test_a_missing_package_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: str) -> Any:
        raise demo_flights.PackageNotFoundError

    monkeypatch.setattr(demo_flights, "files", nothing)
    with pytest.raises(CallerError, match="make demo"):
        load_flights()
