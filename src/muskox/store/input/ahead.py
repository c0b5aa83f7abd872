"""An iterator that works one item ahead in a thread of its own: the next block is parsed while the last one is converted.

It knows nothing of what the items are. One item waits at a time, so memory is bounded by two of them.
"""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Generator[Item, None, None]) -> Iterator[Item]:
    """Yield what `items` yields, in order, and raise what it raises; when the caller stops early, `items` is closed.

    Examples
    --------
    >>> list(ahead(number * number for number in range(4)))
    [0, 1, 4, 9]
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        try:
            waiting = thread.submit(_next, items)
            while (item := waiting.result()) is not None:
                waiting = thread.submit(_next, items)
                yield item[0]
        finally:
            thread.submit(items.close).result()


def _next(items: Iterator[Item]) -> tuple[Item] | None:
    """Return the next item, or None at the end: a StopIteration cannot pass through a Future."""
    for item in items:
        return (item,)
    return None
