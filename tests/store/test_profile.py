"""A column's profile is what plain Python finds, and an estimate where there are too many values to remember."""

import math
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muskox.store.inspection.profile import DISTINCT_MAX, ColumnProfile, Profiler
from muskox.store.partition.hashing import hash_values


def profile_of(column: Any, kind: str = "float", size: int = 7) -> ColumnProfile:
    profiler = Profiler("x", kind)
    for first in range(0, len(column), size):
        piece = column.slice(first, size)
        profiler.add(piece, hash_values(piece))
    return profiler.profile()


KINDS = [
    ("string", pa.string(), st.text(max_size=5)),
    ("int", pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    ("float", pa.float64(), st.floats()),
    ("bool", pa.bool_(), st.booleans()),
]


@pytest.mark.parametrize(("kind", "arrow", "values"), KINDS, ids=lambda item: item if isinstance(item, str) else "")
@settings(deadline=None)
@given(data=st.data(), size=st.integers(1, 50))
def test_a_profile_is_what_plain_python_finds(kind: str, arrow: Any, values: Any, data: Any, size: int) -> None:
    drawn = data.draw(st.lists(st.one_of(st.none(), values), max_size=60))
    present = [value for value in drawn if value is not None and not (kind == "float" and math.isnan(value))]
    found = profile_of(pa.array(drawn, arrow), kind, size)
    assert (found.name, found.type, found.rows, found.is_estimated) == ("x", kind, len(drawn), False)
    assert found.missing == len(drawn) - len(present)
    assert found.distinct == len(set(present))
    infinite = {math.inf: "inf", -math.inf: "-inf"} if kind == "float" else {}
    least, greatest = (min(present), max(present)) if present else (None, None)
    assert (found.least, found.greatest) == (infinite.get(least, least), infinite.get(greatest, greatest))
    assert msgspec.json.decode(msgspec.json.encode(found), type=ColumnProfile) == found


def test_moments_are_told_as_iso_8601_even_beyond_the_years_of_python() -> None:
    found = profile_of(pa.array([datetime(2013, 1, 1, 5), None], pa.timestamp("us")), "timestamp")
    assert found.least == found.greatest == "2013-01-01T05:00:00.000000"
    far = profile_of(pa.array([-(2**62), 2**62], pa.timestamp("us")), "timestamp")
    assert str(far.least).startswith("-") and str(far.greatest).startswith("148108-")


def test_long_text_is_cut_off() -> None:
    found = profile_of(pa.array(["x" * 100]), "string")
    assert isinstance(found.least, str) and len(found.least) == 60 and found.least.endswith("…")


def test_many_values_are_estimated_within_two_percent() -> None:
    for distinct in (DISTINCT_MAX, DISTINCT_MAX + 1, 300_000, 2_000_000):
        found = profile_of(pa.array(np.arange(distinct).repeat(2 if distinct < 10**6 else 1)), "int", 65_536)
        assert found.is_estimated == (distinct > DISTINCT_MAX)
        assert found.distinct == pytest.approx(distinct, rel=0.02 if found.is_estimated else 0)


def test_an_estimate_does_not_depend_on_order() -> None:
    values = np.arange(200_000)
    assert profile_of(pa.array(values), "int", 65_536) == profile_of(pa.array(values[::-1]), "int", 10_001)
