"""Working one item ahead: the same items, in order, and nothing left running."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from muskox.store.input.ahead import ahead


def numbers(count: int, log: list[Any]) -> Iterator[Any]:
    try:
        for number in range(count):
            log.append(number)
            yield number
        if count == 3:
            raise ValueError("after 3")
    finally:
        log.append("closed")


def test_what_comes_is_what_was_made_and_an_error_comes_in_its_place() -> None:
    assert list(ahead(numbers(5, []))) == [0, 1, 2, 3, 4]
    assert list(ahead(numbers(0, []))) == []
    assert list(ahead(item for item in (None, 0, None))) == [None, 0, None]
    seen = []
    with pytest.raises(ValueError, match="after 3"):
        for number in ahead(numbers(3, [])):
            seen.append(number)
    assert seen == [0, 1, 2]


def test_one_who_stops_early_leaves_nothing_open() -> None:
    log: list[Any] = []
    threads = threading.active_count()
    stream = ahead(numbers(1000, log))
    assert next(stream) == 0 and next(stream) == 1
    stream.close()
    assert log in ([0, 1, "closed"], [0, 1, 2, "closed"]) and threading.active_count() == threads
