"""What the keeper's tests share: a running keeper, and the folder of the tests' own modules on the path."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from apache import REASON, Apache, is_installed  # the path comes first
from scripts import Witness

from muskox.keeper import Keeper


@pytest.fixture(scope="session")
def shared_keeper() -> Iterator[Keeper]:
    """One keeper for all tests that leave it alive."""
    with Keeper(four_letter_words="all", min_session_timeout_ms=500) as keeper:
        yield keeper


@pytest.fixture
def own_keeper() -> Iterator[Keeper]:
    """A keeper for one test, which may kill it."""
    with Keeper(four_letter_words="all", min_session_timeout_ms=500) as keeper:
        yield keeper


@pytest.fixture(scope="session")
def both() -> Iterator[tuple[Witness, Witness]]:
    """The keeper and Apache. Both live through the same scripts in the same order, so their trees stay comparable."""
    if not is_installed():
        pytest.skip(REASON)
    with Keeper(four_letter_words="all") as keeper, Apache() as apache:
        yield Witness(keeper.port), Witness(apache.port)
