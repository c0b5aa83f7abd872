"""The results that a worker keeps: any number of them, replaced or not, and as pieces and back."""

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from muskox.records import pack
from muskox.runtime.tasks.events import Found
from muskox.runtime.tasks.results import KeptResults, ResultFile, pack_piece, unpack_piece


@pytest.fixture
def file() -> Iterator[ResultFile]:
    with closing(ResultFile()) as results:
        for task in reversed(range(5)):
            results.keep(task, f"digest {task}", pack({"task": task, "x": np.full(task, task)}))
        yield results


def test_results_are_unpacked_in_the_order_of_the_tasks_and_when_asked_for(file: ResultFile) -> None:
    results = KeptResults(file, [f"digest {task}" for task in range(5)])
    assert [result["task"] for result in results] == [0, 1, 2, 3, 4]
    assert (len(results), results[-1]["x"].tolist()) == (5, [4, 4, 4, 4])
    assert [result["task"] for result in results[1:4:2]] == [1, 3]
    with pytest.raises(IndexError):
        results[5]


def test_results_of_one_task_lie_beside_each_other_and_none_is_written_twice(file: ResultFile) -> None:
    for _ in range(1000):
        file.keep(1, "d", b"another")
    file.keep(2, "", b"")
    assert (file.read(1, "d"), file.read(2, "")) == (b"another", b"")
    assert file.read(1, "digest 1") == pack({"task": 1, "x": np.full(1, 1)})
    assert KeptResults(file, ["digest 0", "digest 1"])[1]["task"] == 1


def test_a_piece_gives_back_what_it_was_made_of(file: ResultFile) -> None:
    file.keep(3, "empty", b"")
    digests = {3: "empty", 0: "digest 0", 2: "digest 2"}
    found = {task: Found(digest, len(file.read(task, digest)), ("a", "b")[:task]) for task, digest in digests.items()}
    piece = unpack_piece(pack_piece(file, found))
    assert piece == {task: (known, file.read(task, known.digest)) for task, known in found.items()}
    assert list(piece) == [3, 0, 2]
    assert unpack_piece(pack_piece(file, {})) == {}
