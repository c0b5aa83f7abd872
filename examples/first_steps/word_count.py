"""Count words by MapReduce over lines of the form key, tab, value."""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import chain

import muskox as mx

# What such snippets usually get wrong: they shuffle by hash(word), which differs between processes, so that one word is counted
# in two reducers; and they split the line at every blank, so that a tab or two in the value shift the key.

LINES = ["1\tthe muskox stands", "2\tin the wind", "3\tthe wind\tdoes not matter", "4\t", "5\tto the muskox"]
REDUCERS = 2


def map_line(line: str) -> list[tuple[str, int]]:
    _, _, value = line.partition("\t")
    return [(word, 1) for word in value.split()]


def reduce_part(pairs: Iterable[tuple[str, int]]) -> Counter[str]:
    return sum((Counter({word: count}) for word, count in pairs), Counter())


def main() -> None:
    with ProcessPoolExecutor(2) as pool:
        pairs = list(chain.from_iterable(pool.map(map_line, LINES)))
        parts = [[pair for pair in pairs if mx.hash_partition(pair[0], REDUCERS) == part] for part in range(REDUCERS)]
        counts = sum(pool.map(reduce_part, parts), Counter())
    for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        print(f"{word}\t{count}")
    assert counts["the"] == 4 and counts.total() == 14


if __name__ == "__main__":
    main()
