"""A keeper for all of the room's tests: each makes a chroot of its own there."""

from collections.abc import Iterator

import pytest

from muskox.keeper import Keeper


@pytest.fixture(scope="session")
def keeper() -> Iterator[Keeper]:
    with Keeper() as keeper:
        yield keeper
