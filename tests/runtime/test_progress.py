"""What a node's root workers told: whoever follows gets every round once, and memory stays bounded."""

import json
import threading
from collections.abc import Iterator
from typing import Any

from muskox.program import RoundReport
from muskox.runtime.progress import JOBS_MAX, ROUNDS_MAX, ProgressLog


def argument(job: str, after: int) -> bytes:
    return json.dumps({"job": job, "after": after}).encode()


def rounds_of(batches: Iterator[Any]) -> list[int]:
    return [number for batch in batches for number in batch.column("round").to_pylist()]


def test_a_follower_gets_what_was_told_before_it_came() -> None:
    log = ProgressLog()
    for number in range(1, 6):
        log.add("job", RoundReport(number, {"loss": number / 10}, 2, {"round": number / 4}))
    log.close("job")
    (batch,) = log.stream(argument("job", 2))
    assert batch.column("round").to_pylist() == [3, 4, 5]
    assert batch.column("generation").to_pylist() == [2, 2, 2]
    assert [json.loads(text) for text in batch.column("metrics").to_pylist()] == [{"loss": 0.3}, {"loss": 0.4}, {"loss": 0.5}]
    assert [json.loads(text) for text in batch.column("phases").to_pylist()] == [
        {"round": 0.75},
        {"round": 1.0},
        {"round": 1.25},
    ]


def test_a_follower_gets_rounds_as_they_are_told() -> None:
    log = ProgressLog()
    told = threading.Event()

    def tell() -> None:
        for number in range(1, 50):
            log.add("job", RoundReport(number, {}, 1))
        told.wait(10)
        log.add("job", RoundReport(50, {}, 1))
        log.close("job")

    teller = threading.Thread(target=tell)
    teller.start()
    seen: list[int] = []
    for batch in log.stream(argument("job", 0)):
        seen += batch.column("round").to_pylist()
        if 49 in seen:
            told.set()
    teller.join()
    assert seen == list(range(1, 51))


def test_a_quiet_job_gives_an_empty_batch_so_that_the_follower_may_look_elsewhere() -> None:
    batches = ProgressLog().stream(argument("job", 0))
    assert next(batches).num_rows == 0
    batches.close()


def test_a_job_that_comes_back_is_open_again() -> None:
    log = ProgressLog()
    log.close("job")
    assert rounds_of(log.stream(argument("job", 0))) == []
    log.add("job", RoundReport(1, {}, 1))
    batches = log.stream(argument("job", 0))
    assert next(batches).num_rows == 1
    batches.close()


def test_rounds_and_jobs_are_bounded() -> None:
    log = ProgressLog()
    for number in range(ROUNDS_MAX + 5):
        log.add("long", RoundReport(number, {}, 1))
    assert [len(log.after("long", -1)), log.after("long", -1)[0].round] == [ROUNDS_MAX, 5]
    for number in range(JOBS_MAX):
        log.add(f"job-{number}", RoundReport(1, {}, 1))
    assert log.after("long", -1) == []
    assert all(log.after(f"job-{number}", 0) for number in range(JOBS_MAX))
