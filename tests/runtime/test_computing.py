"""What a worker computes with: the same bits whoever computed or received them, and a sentence for whatever a program does."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from muskox.digest import digest
from muskox.errors import CallerError, Corrupt
from muskox.program import Block, Done, Manifest, Shard
from muskox.records import Record, pack, unpack
from muskox.runtime.computing import Abandoned, BrokenShard, Computation, ProgramFailed, load_program
from muskox.runtime.jobs import program_record
from muskox.tree import reduce, root

SHARDS = 5
MANIFEST = Manifest({"x": "float"}, tuple(range(1, SHARDS + 1)))


class Sums:
    """Sums 0.1 * (index + 1) over the shards: a sum whose bits depend on its order. Done after two rounds."""

    def initial(self, manifest: Manifest) -> Record:
        return {"round": 0, "shards": manifest.shards}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        return {"sum": np.array([0.1 * (shard.index + 1) + state["round"]]), "rows": shard.rows}

    def merge(self, left: Record, right: Record) -> Record:
        return {"sum": left["sum"] + right["sum"], "rows": left["rows"] + right["rows"]}

    def update(self, state: Record, total: Record) -> Record | Done:
        after = {"round": state["round"] + 1, "sum": total["sum"], "rows": total["rows"]}
        return Done(after) if after["round"] == 2 else after


def never() -> bool:
    return False


def computation(program: Any, owned: list[int], opened: list[int] | None = None) -> Computation:
    def open_shard(paths: Sequence[Path], index: int) -> Shard:
        assert paths == [Path(f"shard-{index}")]
        if opened is not None:
            opened.append(index)
        return Shard(index, index + 1, lambda: iter(()))

    made = Computation(program, MANIFEST, open_shard)
    made.own({index: [f"shard-{index}"] for index in owned})
    return made


@pytest.mark.parametrize("split", [[[0, 1, 2, 3, 4]], [[0, 1], [2, 3, 4]], [[0, 3], [1, 4], [2]], [[4], [3], [2], [1], [0]]])
def test_any_split_gives_the_same_bits(split: list[list[int]]) -> None:
    workers = [computation(Sums(), owned) for owned in split]
    holdings = [worker.begin() for worker in workers]
    for round_ in range(2):
        assert len({holding.digest for holding in holdings}) == 1
        values = {node: value for worker in workers for node, value in worker.partials(round_, never).items()}
        total = reduce(values, root(SHARDS), SHARDS, workers[0].merge)
        holdings = [worker.update(round_, total) for worker in workers]
    alone = Sums()
    state = alone.initial(MANIFEST)
    assert holdings[0].is_done and holdings[0].round == 2
    assert unpack(workers[-1].packed_state())["sum"].tobytes() == np.array([(((1.1 + 1.2) + (1.3 + 1.4)) + 1.5)]).tobytes()
    assert state["shards"] == SHARDS


def test_who_receives_a_state_goes_on_like_who_computed_it() -> None:
    first, second = (computation(Sums(), list(range(SHARDS))) for _ in range(2))
    first.begin()
    held = first.update(0, first.partials(0, never)[root(SHARDS)])
    adopted = second.load(held.round, held.is_done, first.packed_state())
    assert adopted == held
    assert second.partials(1, never) == first.partials(1, never)


def test_the_digest_of_a_holding_is_that_of_the_state() -> None:
    made = computation(Sums(), [0])
    held = made.begin()
    assert (held.round, held.is_done) == (0, False)
    assert held.digest == digest({"round": 0, "shards": SHARDS})


def test_parts_are_the_highest_nodes_that_we_own() -> None:
    made = computation(Sums(), [0, 1, 4])
    made.begin()
    assert set(made.partials(0, never)) == {(1, 0), (2, 1)}
    whole = computation(Sums(), list(range(SHARDS)))
    whole.begin()
    assert set(whole.partials(0, never)) == {root(SHARDS)}


def test_a_shard_that_stays_is_not_opened_again() -> None:
    opened: list[int] = []
    made = computation(Sums(), [0, 1], opened)
    made.begin()
    made.partials(0, never)
    made.own({index: [f"shard-{index}"] for index in (1, 2)})
    made.partials(0, never)
    assert opened == [0, 1, 2]


class Slow(Sums):
    """Holds inside a partial until it may go on."""

    def __init__(self) -> None:
        self.inside, self.may_go = threading.Event(), threading.Event()

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        self.inside.set()
        assert self.may_go.wait(20)
        return super().partial(state, shard, blocks)


@pytest.mark.parametrize("after", [[0, 1, 2, 3, 4], [0], [3]])
def test_shards_that_change_meanwhile_do_not_disturb_a_round_under_way(after: list[int]) -> None:
    program, results = Slow(), []
    made = computation(program, [0, 1])
    made.begin()
    thread = threading.Thread(target=lambda: results.append(made.partials(0, never)))
    thread.start()
    assert program.inside.wait(20)
    made.own({index: [f"shard-{index}"] for index in after})
    program.may_go.set()
    thread.join(20)
    assert [set(parts) for parts in results] == [{(1, 0)}]


def test_a_round_of_no_use_is_abandoned_between_shards_and_blocks() -> None:
    made = computation(Sums(), [0, 1, 2])
    made.begin()
    with pytest.raises(Abandoned):
        made.partials(0, lambda: True)


def test_a_broken_file_is_named_by_its_shard() -> None:
    def open_shard(paths: Sequence[Path], index: int) -> Shard:
        raise Corrupt(f"{paths[0]} has other bytes than were written")

    made = Computation(Sums(), MANIFEST, open_shard)
    made.own({3: ["shard-3"]})
    made.begin()
    with pytest.raises(BrokenShard, match="shard-3 has other bytes") as caught:
        made.partials(0, never)
    assert caught.value.index == 3


# -- programs that do what they should not --


def program(**methods: Callable[..., Any]) -> Sums:
    """Return the sums with some methods replaced."""
    made = Sums()
    for name, method in methods.items():
        setattr(made, name, method)
    return made


def fail(*_: object) -> Any:
    raise ZeroDivisionError("by zero")


def refuse(*_: object) -> Any:
    raise CallerError("column 'late' has one value only")


def run(made: Computation) -> None:
    made.begin()
    made.update(0, made.partials(0, never)[root(SHARDS)])


@pytest.mark.parametrize("name", ["initial", "partial", "merge", "update"])
def test_what_a_program_raises_becomes_a_sentence_that_says_where(name: str) -> None:
    with pytest.raises(ProgramFailed, match=rf"the program raised ZeroDivisionError in {name}.*: by zero"):
        run(computation(program(**{name: fail}), list(range(SHARDS))))


def test_a_failing_partial_names_round_and_shard() -> None:
    def partial(state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        return fail() if shard.index == 3 else Sums().partial(state, shard, blocks)

    with pytest.raises(ProgramFailed, match=r"partial \(round 1, shard 3\)"):
        run(computation(program(partial=partial), list(range(SHARDS))))


@pytest.mark.parametrize("name", ["initial", "partial", "merge", "update"])
def test_a_refusal_is_told_as_it_is(name: str) -> None:
    with pytest.raises(ProgramFailed, match=r"^column 'late' has one value only$"):
        run(computation(program(**{name: refuse}), list(range(SHARDS))))


@pytest.mark.parametrize("name", ["initial", "partial", "merge", "update"])
@pytest.mark.parametrize(
    "value", [{"x": float("nan")}, {"x": {1}}, {"a/b": 1}, {"x": np.array(["text"])}, {1: 2}, None, 3], ids=repr
)
def test_what_is_no_record_fails_the_job_and_not_the_worker(name: str, value: Any) -> None:
    with pytest.raises(ProgramFailed):
        run(computation(program(**{name: lambda *_: value}), list(range(SHARDS))))


def test_a_result_that_is_no_record_fails_the_job_and_not_the_worker() -> None:
    with pytest.raises(ProgramFailed):
        run(computation(program(update=lambda *_: Done({"x": {1}})), list(range(SHARDS))))


@pytest.mark.parametrize("told", [fail, lambda _: {"loss": "high"}, lambda _: 3])
def test_a_report_that_fails_is_a_sentence(told: Callable[[Record], Mapping[str, float]]) -> None:
    made = computation(program(report=told), [0])
    made.begin()
    with pytest.raises(ProgramFailed, match="in report"):
        made.report()


def test_a_program_reports_about_states_and_not_about_the_result() -> None:
    made = computation(program(report=lambda state: {"round": state["round"]}), list(range(SHARDS)))
    made.begin()
    assert made.report() == {"round": 0.0}
    for round_ in range(2):
        made.update(round_, made.partials(round_, never)[root(SHARDS)])
    assert made.report() == {}


def test_a_users_program_travels_as_code() -> None:
    factor = 3

    class Mine:
        def initial(self, manifest: Manifest) -> Record:
            return {"n": factor * manifest.shards}

    again = load_program(unpack(pack(program_record(Mine()))))  # type: ignore[arg-type]
    assert again.initial(MANIFEST) == {"n": 15}


def test_a_program_of_another_python_is_refused() -> None:
    record = {**program_record(Sums()), "python": "2.7"}
    with pytest.raises(CallerError, match=r"the program was written with Python 2\.7; this node runs 3\."):
        load_program(record)


def test_code_that_cannot_be_loaded_is_a_sentence() -> None:
    record = {**program_record(Sums()), "code": np.frombuffer(b"cnowhere\nnothing\n.", np.uint8)}
    with pytest.raises(CallerError, match="cannot be loaded on this node: ModuleNotFoundError: No module named 'nowhere'"):
        load_program(record)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("os:system", "is not a program of muskox"),
        ("muskox.learn:nothing", "has no program"),
        ("muskox.tree:root", "is not a program"),
    ],
)
def test_a_name_resolves_only_to_programs_of_ours(name: str, complaint: str) -> None:
    with pytest.raises(CallerError, match=complaint):
        load_program({"program": name, "parameters": {}})


def test_shards_of_others_stay_at_hand_until_others_are_asked_for() -> None:
    """Else a worker that audits would come to hold the whole dataset."""
    opened: list[int] = []
    worker = computation(Sums(), [0, 1], opened)
    worker.begin()
    for asked, lacking in (([1, 4], [4]), ([4], []), ([3], [3]), ([3, 4], [3, 4])):
        assert worker.lacking(asked) == lacking
        if lacking:
            worker.lend({index: [f"shard-{index}"] for index in lacking})
        worker.partials(0, never, [index for index in asked if index > 1])
    assert opened == [4, 3, 4], "what was derived from 4 was let go of when 3 was asked for"


def test_what_is_at_hand_no_more_is_of_no_use_any_more() -> None:
    """A generation was formed between asking the thread and its turn."""
    worker = computation(Sums(), [0])
    worker.begin()
    worker.lend({3: ["shard-3"]})
    worker.own({0: ["shard-0"]})
    with pytest.raises(Abandoned):
        worker.partials(0, never, [3])
