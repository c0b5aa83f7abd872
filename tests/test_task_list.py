"""TaskList in process: what a task sees, in which order results come, and what is refused."""

import doctest
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import muskox as mx
from muskox import task_list
from muskox.client import user_tasks
from muskox.engines import in_process_dataset
from muskox.errors import CallerError
from muskox.program import ArrayPartition, Manifest, RoundReport, RunOptions
from muskox.records import Record
from muskox.task_list import Shards, TaskList

TABLE = pa.table({"x": np.arange(100.0), "k": np.arange(100) % 3})
POWERS: list[Record] = [{"power": 1}, {"power": 2}, {"power": 3}]


def power_sum(task: Record, shards: Shards) -> Record:
    return {"sum": float(sum((block["x"] ** task["power"]).sum() for block in shards.blocks))}


def test_the_docstrings_example_is_true() -> None:
    found = doctest.testmod(user_tasks)
    assert (found.attempted > 0, found.failed) == (True, 0)


def test_results_come_in_the_order_of_the_tasks() -> None:
    wanted = [{"sum": float((np.arange(100.0) ** power).sum())} for power in (1, 2, 3)]
    assert mx.tasks(TABLE, tasks=POWERS, run=power_sum) == wanted
    assert mx.tasks(TABLE.to_pandas(), tasks=lambda manifest: POWERS, run=power_sum) == wanted


def test_collect_makes_the_jobs_result_of_those_of_the_tasks() -> None:
    result = mx.tasks(
        TABLE, tasks=POWERS, run=power_sum, collect=lambda results: {"total": sum(result["sum"] for result in results)}
    )
    assert result == {"total": float(sum((np.arange(100.0) ** power).sum() for power in (1, 2, 3)))}


class Rows:
    """Each task counts the rows of the shards that it names."""

    def __init__(self, *wanted: list[int] | None) -> None:
        self.wanted = wanted

    def tasks(self, manifest: Manifest) -> list[Record]:
        return [{"shards": wanted} for wanted in self.wanted]

    def shards(self, task: Record, manifest: Manifest) -> list[int] | None:
        return task["shards"]

    def run(self, task: Record, shards: Shards) -> Record:
        counted = [shard.rows for shard in shards]
        assert (sum(counted), len(counted)) == (shards.rows, len(shards))
        return {"rows": counted, "first": [float(block["x"][0]) for block in shards.blocks]}

    def collect(self, results: Any) -> Record:
        return {"results": [[result["rows"], result["first"]] for result in results]}


def run(listed: TaskList, shards: int = 4, **options: Any) -> Record:
    return in_process_dataset(TABLE, ArrayPartition(shards)).run(listed, RunOptions(**options)).result


def test_a_task_sees_the_shards_that_it_asked_for_and_all_if_it_asked_for_none_by_name() -> None:
    assert isinstance(Rows(), TaskList)
    found = run(Rows([2, 0, 2], None, []))["results"]
    assert found == [[[25, 25], [0.0, 50.0]], [[25] * 4, [0.0, 25.0, 50.0, 75.0]], [[], []]]


def test_a_task_is_given_no_shard_that_it_did_not_ask_for() -> None:
    shards = Shards(Manifest({"x": "float"}, (1, 2, 3)), [1, 2], lambda index: pytest.fail("opened"))
    with pytest.raises(CallerError, match=r"did not ask for shard 0, but for \[1, 2\]"):
        shards[0]


def test_a_shard_that_is_not_there_is_refused() -> None:
    with pytest.raises(CallerError, match=r"shards \[1, 4\]: this dataset has shards 0 to 3"):
        run(Rows([1, 4]))


def test_shards_come_as_one_table() -> None:
    found = mx.tasks(TABLE, tasks=[{}], run=lambda task, shards: {"x": shards.to_arrow().column("x").to_numpy()})
    assert found[0]["x"].tolist() == list(range(100))
    with pytest.raises(CallerError, match="no rows"):
        mx.tasks(TABLE.slice(0, 0), tasks=[{}], run=lambda task, shards: {"rows": shards.to_arrow().num_rows})


def test_every_finished_task_is_reported() -> None:
    seen: list[RoundReport] = []
    run(Rows([0], [1]), on_round=seen.append)
    assert [(report.round, dict(report.metrics)) for report in seen] == [
        (1, {"tasks": 2, "done": 1}),
        (2, {"tasks": 2, "done": 2}),
    ]


def test_a_job_may_have_no_tasks_and_has_a_bound() -> None:
    assert run(Rows()) == {"results": []}
    with pytest.raises(CallerError, match="100001 tasks: a job has at most 100000"):
        run(Rows(*[[0]] * (task_list.TASKS_MAX + 1)))


def test_randomness_by_name_is_the_same_in_any_order() -> None:
    def draw(task: Record, shards: Shards) -> Record:
        return {"drawn": mx.stream(7, "tree", round=task["n"]).integers(1000, size=3)}

    forward = mx.tasks(TABLE, tasks=[{"n": n} for n in range(5)], run=draw)
    backward = mx.tasks(TABLE, tasks=[{"n": n} for n in reversed(range(5))], run=draw)
    assert [r["drawn"].tolist() for r in forward] == [r["drawn"].tolist() for r in reversed(backward)]
