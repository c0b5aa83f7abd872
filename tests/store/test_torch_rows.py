"""Streams of tensors: the same every time, taken up after any batch, shared out, and not stopped by a death."""

import json
import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as arrow_parquet
import pytest
from store_cluster import StoreCluster

from muskox.errors import CallerError, Unavailable
from muskox.program import BLOCK_ROWS
from muskox.store import register_dataset
from muskox.store.care.holds import readers

torch = pytest.importorskip("torch")

from muskox.store.readers.torch_rows import TorchOptions, TorchRows  # noqa: E402  # it imports torch

ROWS = 4 * BLOCK_ROWS + 900
TABLE = pa.table(
    {
        "i": range(ROWS),
        "x": [None if i % 3 == 0 else i / 7 for i in range(ROWS)],
        "b": [i % 2 == 0 for i in range(ROWS)],
        "t": pa.array(range(ROWS), pa.timestamp("us")),
        "s": [None if i == 5 else f"value {i}" for i in range(ROWS)],
        "holes": [None if i == ROWS - 1 else i for i in range(ROWS)],
        "maybe": [None if i == 1 else i % 2 == 0 for i in range(ROWS)],
    }
)
SHUFFLED = {"seed": 3, "window_rows": 5000}


@pytest.fixture
def stored(cluster: StoreCluster) -> StoreCluster:
    cluster.put("d", TABLE, shards=5, replicas=2, groups="ids:i; rest:*")
    return cluster


def rows_of(cluster: StoreCluster, columns: list[str] | None = None, **options: Any) -> TorchRows:
    return TorchRows(cluster.open("d"), columns or ["i"], TorchOptions(**{"batch_rows": 7000, **options}))


def numbers(batches: Any) -> list[list[int]]:
    return [batch["i"].tolist() for batch in batches]


def flat(batches: Any) -> list[int]:
    return [number for batch in numbers(batches) for number in batch]


def test_each_type_of_column_has_its_tensor(stored: StoreCluster) -> None:
    batch = next(iter(rows_of(stored, ["i", "x", "b", "t", "s"], batch_rows=9)))
    assert {name: getattr(values, "dtype", list) for name, values in batch.items()} == {
        "i": torch.int64, "x": torch.float64, "b": torch.bool, "t": torch.int64, "s": list,
    }  # fmt: skip
    assert batch["i"].tolist() == batch["t"].tolist() == list(range(9))
    assert batch["b"].tolist() == [True, False] * 4 + [True]
    assert batch["x"].isnan().tolist() == [True, False, False] * 3 and batch["x"][7] == 1.0
    assert batch["s"] == [f"value {i}" if i != 5 else None for i in range(9)]
    batch["i"][0] = 8  # it is the caller's own


def test_a_dtype_holds_for_all_numbers_and_makes_missing_ones_nan(stored: StoreCluster) -> None:
    *_, last = rows_of(stored, ["i", "holes", "b", "t"], dtype=torch.float32)
    assert [last[name].dtype for name in last] == [torch.float32] * 3 + [torch.int64]
    assert last["holes"][-1].isnan() and last["holes"][-2] == ROWS - 2
    first = next(iter(rows_of(stored, ["maybe"], dtype=torch.float64)))["maybe"]
    assert first[:4].nan_to_num(-1.0).tolist() == [1.0, -1.0, 1.0, 0.0]


@pytest.mark.parametrize("column", ["holes", "maybe"])
def test_a_missing_value_that_torch_has_not_is_refused_by_name(stored: StoreCluster, column: str) -> None:
    with pytest.raises(CallerError, match=rf"d@1: column '{column}' has missing values.*dtype=torch\.float32"):
        list(rows_of(stored, [column]))


def test_without_a_seed_rows_come_in_order_in_full_batches(stored: StoreCluster) -> None:
    rows = rows_of(stored)
    found = numbers(rows)
    assert [len(batch) for batch in found] == [7000] * (ROWS // 7000) + [ROWS % 7000]
    assert flat(rows) == list(range(ROWS))
    shards = [shard.rows for shard in stored.open("d").shards]
    chosen = [*range(ROWS - shards[4], ROWS), *range(shards[0], shards[0] + shards[1])]
    assert flat(rows_of(stored, shards=[4, 1])) == chosen


def test_a_seed_shuffles_the_same_way_every_time_and_every_epoch_anew(stored: StoreCluster) -> None:
    rows = rows_of(stored, **SHUFFLED)
    first, again = flat(rows), flat(rows)
    assert first == again == flat(rows_of(stored, batch_rows=123, **SHUFFLED))
    assert sorted(first) == list(range(ROWS)) and first != list(range(ROWS))
    rows.set_epoch(1)
    other = flat(rows)
    assert sorted(other) == list(range(ROWS)) and other != first
    assert other == flat(rows_of(stored, epoch=1, **SHUFFLED))


def test_columns_of_a_row_stay_together_when_rows_are_shuffled(stored: StoreCluster) -> None:
    for batch in rows_of(stored, ["s", "i", "t"], **SHUFFLED):
        assert batch["i"].equal(batch["t"])
        assert batch["s"] == [f"value {i}" if i != 5 else None for i in batch["i"].tolist()]


@pytest.mark.parametrize("options", [{}, SHUFFLED, {"rank": 1, "world": 2, **SHUFFLED}, {"shards": [2, 0]}])
def test_it_is_taken_up_after_every_batch(stored: StoreCluster, options: dict[str, Any]) -> None:
    rows = rows_of(stored, **options)
    states, batches = [rows.state_dict()], []
    for batch in rows:
        batches.append(batch)
        states.append(json.loads(json.dumps(rows.state_dict())))
    whole = numbers(batches)
    for done, state in enumerate(states):
        other = rows_of(stored, **options)
        other.load_state_dict(state)
        assert other.state_dict() == state
        assert numbers(other) == whole[done:]
        assert numbers(other) == whole  # the next time from the start again


def test_a_state_brings_its_epoch_along_and_fits_only_its_own_rows(stored: StoreCluster) -> None:
    rows = rows_of(stored, epoch=4, **SHUFFLED)
    batches = iter(rows)
    next(batches)
    state = rows.state_dict()
    other = rows_of(stored, **SHUFFLED)
    other.load_state_dict(state)
    assert numbers(other) == numbers(batches)
    for name, strange in {
        "seed": rows_of(stored, seed=4, window_rows=5000),
        "batch_rows": rows_of(stored, batch_rows=1, **SHUFFLED),
        "columns": rows_of(stored, ["x"], **SHUFFLED),
        "reader": rows_of(stored, world=2, **SHUFFLED),
    }.items():
        with pytest.raises(CallerError, match=f"the state has {name} "):
            strange.load_state_dict(state)


@pytest.mark.parametrize("options", [{}, SHUFFLED])
def test_ranks_share_the_rows_out(stored: StoreCluster, options: dict[str, Any]) -> None:
    parts = [flat(rows_of(stored, rank=rank, world=7, **options)) for rank in range(7)]
    assert sorted(row for part in parts for row in part) == list(range(ROWS))
    assert sum(1 for part in parts if part) == 5


@pytest.mark.parametrize("options", [{}, SHUFFLED])
def test_a_stream_goes_on_when_a_node_is_killed_in_the_middle(cluster: StoreCluster, options: dict[str, Any]) -> None:
    for name in ("ann", "bob", "cat"):
        cluster.stop_node(name)
        cluster.delist(name)
    for name in ("dan", "eve"):
        cluster.add_process(name)
    cluster.put("d", TABLE, shards=2, replicas=2)
    expected = numbers(rows_of(cluster, batch_rows=1000, **options))
    for victim in ("dan", "eve"):
        found = []
        for batch in rows_of(cluster, batch_rows=1000, **options):
            found.append(batch)
            if len(found) == 20:
                cluster.processes.pop(victim).kill()
        assert numbers(found) == expected
        if victim == "dan":
            cluster.delist("dan")
            cluster.add_process("dan")
    cluster.processes.pop("dan").kill()
    with pytest.raises(Unavailable, match="no node can give"):
        list(rows_of(cluster))


def test_the_version_is_held_while_rows_are_read(stored: StoreCluster) -> None:
    batches = iter(rows_of(stored))
    assert readers(stored.session) == {}
    next(batches)
    assert list(readers(stored.session)) == [("d", 1)]
    list(batches)
    assert readers(stored.session) == {}


def test_options_that_break_a_rule_are_refused(stored: StoreCluster) -> None:
    for options in ({"batch_rows": 0}, {"window_rows": 0}, {"rank": 2, "world": 2}, {"shards": [5]}, {"dtype": torch.int32}):
        with pytest.raises(CallerError):
            rows_of(stored, **options)
    with pytest.raises(CallerError, match="no column 'nope'"):
        rows_of(stored, ["nope"])


def test_it_is_not_written_down_with_the_secret_in_it(stored: StoreCluster) -> None:
    with pytest.raises(CallerError, match="secret"):
        pickle.dumps(rows_of(stored))


# -- with DataLoader ------------------------------------------------------------------------------------------------------


@pytest.fixture
def workers() -> Iterator[dict[str, Any]]:
    yield {"batch_size": None, "num_workers": 2, "multiprocessing_context": "forkserver"}


@pytest.mark.parametrize("options", [{}, SHUFFLED])
def test_workers_of_a_data_loader_share_the_rows_out(
    stored: StoreCluster, workers: dict[str, Any], options: dict[str, Any]
) -> None:
    rows = rows_of(stored, ["i", "s"], **options)
    assert flat(torch.utils.data.DataLoader(rows, batch_size=None)) == flat(rows)
    found = [flat(torch.utils.data.DataLoader(rows, **workers)) for _ in range(2)]
    assert sorted(found[0]) == list(range(ROWS)) and found[0] == found[1]
    with pytest.raises(CallerError, match="StatefulDataLoader"):
        rows.state_dict()


def test_a_forked_worker_is_refused_by_a_sentence(stored: StoreCluster) -> None:
    rows = rows_of(stored)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def read() -> None:
        try:
            next(iter(rows))
        except CallerError as error:
            theirs.send(str(error))

    process = context.Process(target=read)
    process.start()
    assert ours.poll(20) and "multiprocessing_context='forkserver'" in ours.recv()
    process.join(20)


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # torchdata calls it
def test_a_stateful_data_loader_goes_on_with_workers(stored: StoreCluster, workers: dict[str, Any]) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader
    whole, states = [], []
    loader = stateful(rows_of(stored, **SHUFFLED), **workers)
    for batch in loader:
        whole.append(batch)
        states.append(loader.state_dict())
    for done in (1, 4, len(whole) - 1):
        other = stateful(rows_of(stored, **SHUFFLED), **workers)
        other.load_state_dict(states[done - 1])
        assert numbers(other) == numbers(whole[done:])


def test_a_dataset_registered_in_place_is_streamed_too(cluster: StoreCluster, tmp_path: Path) -> None:
    folder = tmp_path / "parquet"
    folder.mkdir()
    arrow_parquet.write_table(TABLE, folder / "a.parquet", row_group_size=BLOCK_ROWS)
    register_dataset(cluster.home, "d", folder.as_uri())
    rows = rows_of(cluster, **SHUFFLED)
    batches = iter(rows)
    found = flat([next(batches), next(batches)])
    other = rows_of(cluster, **SHUFFLED)
    other.load_state_dict(rows.state_dict())
    assert sorted(found + flat(other)) == list(range(ROWS))
