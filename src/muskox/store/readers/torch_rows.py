"""Rows of a dataset as batches of tensors: a torch IterableDataset with a fixed order, which can be taken up after any batch.

It owns the way from record batches to tensors, whom the shards fall to, and the state that says how far a reader is. Which rows
come when is readers/row_order.py's; that reading goes on when a node dies is store/dataset.py's.

The workers of a DataLoader are processes that open the cluster for themselves, so they must be started by "forkserver" or
"spawn": a forked process has the threads of neither gRPC nor ZooKeeper's client. What they are handed has the cluster's secret
in it, so it can be handed to a process that is being started, and not be written to a file.

Importing this file imports torch.
"""

import multiprocessing.context
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import IterableDataset, get_worker_info

from muskox.coordination import Plane, Session, derive
from muskox.errors import CallerError
from muskox.store.care.holds import reading
from muskox.store.disk.shard import reblock
from muskox.store.home import open_home
from muskox.store.readers.row_order import RowOrder, share
from muskox.store.service.client import StoreClient

if TYPE_CHECKING:
    from muskox.store.dataset import Dataset

State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TorchOptions:
    """How rows are to come.

    batch_rows : rows of each batch; the last one of a reader may have fewer
    shards : which, in this order; None means all
    seed : shuffles the order of the shards, and the rows of each shard within windows; None leaves all in order
    epoch : another number, another shuffling
    rank, world : this reader's number among `world` of them, which share out the shards; some may get more rows than others
    window_rows : rows that a seed shuffles among each other; so many are in memory
    dtype : of all numbers and bools, a floating one, in which a missing value is NaN; None means int64, float64 and bool
    """

    batch_rows: int = 1024
    shards: Sequence[int] | None = None
    seed: int | None = None
    epoch: int = 0
    rank: int = 0
    world: int = 1
    window_rows: int = 65_536
    dtype: Any = None

    def check(self) -> None:
        """Raise CallerError at an option that breaks a rule."""
        if self.batch_rows < 1 or self.window_rows < 1:
            raise CallerError(f"a batch and a window have at least one row, not {self.batch_rows} and {self.window_rows}")
        if not 0 <= self.rank < self.world:
            raise CallerError(f"rank {self.rank} of world {self.world}: ranks count from 0, and are less than world")
        if self.dtype is not None and not getattr(self.dtype, "is_floating_point", False):
            raise CallerError(f"dtype {self.dtype!r}: give a floating one, such as torch.float32, or None")


class TorchRows(IterableDataset):  # type: ignore[misc]
    """Batches of `columns`: dictionaries from name to a tensor of one dimension, or for text to a list of str and None.

    Timestamps are int64, microseconds since 1970. The order is a function of the dataset, the options and the number of a
    DataLoader's workers. Give a DataLoader ``batch_size=None``: these are batches already.

    Raises
    ------
    CallerError
        If there is no such column or shard, an option breaks a rule, or a value is missing in a column whose type has no
        missing value in torch.
    """

    def __init__(self, dataset: "Dataset", columns: Sequence[str] | None, options: TorchOptions) -> None:
        options.check()
        self._dataset: Dataset | None = dataset
        self._reference, self._digest = dataset.reference, dataset.digest
        self._columns = list(dataset.schema(columns).names)
        self._options = options
        self._shards = list(range(len(dataset.shards)) if options.shards is None else options.shards)
        if not self._columns:
            raise CallerError("name at least one column")
        dataset.scan(self._columns, self._shards)  # checks them; nothing is read before its first batch
        session = dataset.home.session
        self._access = str(session.address), session.secret, session.tls
        self._process = os.getpid()
        self._start = self._done = 0
        self._is_with_workers = False

    def set_epoch(self, epoch: int) -> None:
        """Shuffle for this epoch from the next iteration on."""
        self._options = replace(self._options, epoch=epoch)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._is_with_workers = False
        self._done, self._start = self._start, 0
        return self._batches()

    def _batches(self) -> Iterator[dict[str, Any]]:
        if self._dataset is None:
            yield from self._reopened()
            return
        if os.getpid() != self._process:
            raise CallerError("a forked process cannot read: give the DataLoader multiprocessing_context='forkserver'")
        with reading(self._dataset.home.session, self._dataset.name, self._dataset.version):
            for batch in reblock(self._rows(self._dataset), self._options.batch_rows):
                tensors = self._tensors(batch)
                self._done += batch.num_rows
                yield tensors

    def _rows(self, dataset: "Dataset") -> Iterator[Any]:
        order = self._order(dataset)
        for start in order.after(self._done):
            blocks = dataset.read_shard(start.shard, self._columns, start.first_row)
            if order.seed is None:
                yield from blocks
                continue
            first, skip = start.first_row // order.window_rows, start.skip
            for number, window in enumerate(reblock(blocks, order.window_rows), first):
                yield window.take(pa.array(order.shuffled(start.shard, number, window.num_rows)[skip:]))
                skip = 0

    def _order(self, dataset: "Dataset") -> RowOrder:
        options, (worker, workers) = self._options, _worker()
        reader, readers = options.rank * workers + worker, options.world * workers
        own = share(self._shards, options.seed, options.epoch, reader, readers)
        rows = tuple((shard, dataset.shards[shard].rows) for shard in own)
        return RowOrder(rows, options.seed, options.epoch, options.window_rows)

    # -- as tensors --

    def _tensors(self, batch: Any) -> dict[str, Any]:
        return {name: self._tensor(name, column) for name, column in zip(batch.schema.names, batch.columns, strict=True)}

    def _tensor(self, name: str, column: Any) -> Any:
        if pa.types.is_string(column.type):
            return column.to_pylist()
        is_time = pa.types.is_timestamp(column.type)
        dtype = None if is_time else self._options.dtype
        if column.null_count and dtype is None and not pa.types.is_floating(column.type):
            advice = "leave it out" if is_time else "give dtype=torch.float32, or leave it out"
            raise CallerError(f"{self._reference}: column {name!r} has missing values, which {column.type} has not: {advice}")
        if pa.types.is_boolean(column.type) and column.null_count:
            column = column.cast(pa.int8())
        values = column.to_numpy(zero_copy_only=False)
        tensor = torch.from_numpy(np.array(values.view(np.int64) if is_time else values))
        return tensor if dtype is None else tensor.to(dtype)

    # -- how far it is --

    def state_dict(self) -> State:
        """Return how far the iteration is; loaded into the same rows, here or elsewhere, it goes on with the next batch.

        Raises
        ------
        CallerError
            If workers of a DataLoader iterate: this object does not know how far they are.
        """
        if self._is_with_workers:
            raise CallerError(
                "workers of a DataLoader read these rows, and only they know how far they are: "
                "take torchdata's StatefulDataLoader, or num_workers=0"
            )
        return {"rows": self._done, "epoch": self._options.epoch, "of": self._identity()}

    def load_state_dict(self, state: State) -> None:
        """Let the next iteration go on where `state` was taken.

        Raises
        ------
        CallerError
            If it is the state of other rows or of another order.
        """
        own = self._identity()
        for name, value in own.items():
            if state.get("of", {}).get(name) != value:
                raise CallerError(f"the state has {name} {state.get('of', {}).get(name)!r}, and these rows have {value!r}")
        self.set_epoch(int(state["epoch"]))
        self._start = self._done = int(state["rows"])

    def _identity(self) -> State:
        """Return what the order of the rows follows from, but for the epoch, in types of JSON."""
        options, (worker, workers) = self._options, _worker()
        return {
            "dataset": self._digest,
            "columns": list(self._columns),
            "shards": None if options.shards is None else self._shards,
            "seed": options.seed,
            "batch_rows": options.batch_rows,
            "window_rows": options.window_rows,
            "reader": [options.rank, options.world, worker, workers],
        }

    # -- in a process of its own --

    def __getstate__(self) -> State:
        if multiprocessing.context.get_spawning_popen() is None:
            raise CallerError(
                f"the rows of {self._reference} carry the cluster's secret and are not written down: keep their state_dict()"
            )
        self._is_with_workers = True
        return dict(vars(self), _dataset=None, _is_with_workers=False)

    def _reopened(self) -> Iterator[dict[str, Any]]:
        """Iterate in a process that has no connection yet, and close it again at the end."""
        from muskox.store.dataset import open_dataset

        url, secret, tls = self._access
        with Session(url, secret, tls=tls).connect() as session, StoreClient(derive(secret, Plane.FLIGHT), tls) as client:
            self._dataset, self._process = open_dataset(open_home(session, client), self._reference), os.getpid()
            try:
                yield from self._batches()
            finally:
                self._dataset = None


def _worker() -> tuple[int, int]:
    """Return which worker of a DataLoader this process is, and of how many; (0, 1) where there are none."""
    info = get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)
