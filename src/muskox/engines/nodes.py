"""The engine `nodes`: programs run as jobs on the nodes of a cluster, by our own runtime.

It submits, follows and fetches the result; the job itself goes on without it.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from muskox import runtime, store
from muskox.errors import CallerError, MuskoxError
from muskox.program import Manifest, Outcome, Program, Publishes, Reads, RunOptions
from muskox.runtime import JobSpec
from muskox.store import Dataset, Home
from muskox.task_list import TaskList

if TYPE_CHECKING:
    import pyarrow as pa

    from muskox.store import TorchRows


class Nodes:
    """The engine whose workers are the cluster's; its datasets are :class:`ClusterDataset`."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def spec(self, program: Program | TaskList, dataset: "ClusterDataset", options: RunOptions) -> JobSpec:
        """Return what to submit for this run."""
        return JobSpec(
            kind=str(getattr(program, "kind", "tasks" if isinstance(program, TaskList) else "rounds")),
            program=runtime.program_record(program),
            dataset=f"{dataset.name}@{dataset.version}",
            columns=list(program.reads()) if isinstance(program, Reads) else (),
            workers=options.workers or 0,
            workers_min=options.workers_min,
            cores=options.cores,
            memory_bytes=options.memory_bytes,
            gpus=options.gpus,
            priority=options.priority,
            audit=options.audit,
            parallelism=str(getattr(program, "parallelism", "task" if isinstance(program, TaskList) else "data")),
            changes=options.changes,
            model=options.name or "",
            rounds_max=options.rounds_max,
            lineage={**options.lineage, "dataset": f"{dataset.name}@{dataset.version}", "dataset_digest": dataset.digest},
        )

    def run(self, program: Program | TaskList, dataset: "ClusterDataset", options: RunOptions) -> Outcome:
        """Run `program` as a job and wait for its result.

        Raises
        ------
        CallerError
            If the job failed, with its reason, or was cancelled.
        """
        spec = self.spec(program, dataset, options)
        job_id, state = runtime.run(self._home, spec, options.on_round)
        result = runtime.result(self._home, job_id, state)
        if isinstance(program, Publishes):
            with contextlib.suppress(MuskoxError, OSError):  # a second time: the node that did it may have died over it
                program.publish(result)
        return Outcome(result, state.rounds)


class ClusterDataset:
    """One version of a dataset on a cluster: what `fit(dataset, target=...)` takes."""

    def __init__(self, dataset: Dataset, engine: Nodes) -> None:
        self._dataset = dataset
        self._engine = engine

    def __repr__(self) -> str:
        return f"<dataset {self.name}@{self.version}: {self.rows:,} rows in {len(self.shards)} shards>"

    @property
    def name(self) -> str:
        return self._dataset.name

    @property
    def version(self) -> int:
        return self._dataset.version

    @property
    def digest(self) -> str:
        return self._dataset.digest

    @property
    def manifest(self) -> Manifest:
        return self._dataset.manifest

    @property
    def rows(self) -> int:
        return self.manifest.rows

    @property
    def columns(self) -> dict[str, str]:
        return dict(self.manifest.columns)

    @property
    def shards(self) -> list[Any]:
        """Each shard's rows, bytes, digests and nodes."""
        return list(self._dataset.shards)

    def run(self, program: Program | TaskList, options: RunOptions) -> Outcome:
        """Run `program` on the cluster over this dataset."""
        return self._engine.run(program, self, options)

    @property
    def groups(self) -> dict[str, list[str]]:
        """The columns of each column group, by its name."""
        return self._dataset.groups

    def __len__(self) -> int:
        return self.rows

    def nodes(self, shard: int) -> tuple[str, ...]:
        """Return the nodes that hold a shard (its first column group), the preferred first."""
        return self._dataset.nodes(shard)

    def scan(
        self,
        columns: Sequence[str] | None = None,
        batch_rows: int | None = None,
        *,
        shards: Iterable[int] | None = None,
        first_row: int = 0,
    ) -> Iterator["pa.RecordBatch"]:
        """Yield the rows in order, as record batches of `batch_rows` rows; see :meth:`muskox.store.Dataset.scan`."""
        return self._dataset.scan(columns, shards, batch_rows=batch_rows, first_row=first_row)

    def to_arrow(self, columns: Sequence[str] | None = None) -> "pa.Table":
        """Return all rows, shard after shard."""
        return self._dataset.to_arrow(columns)

    def to_pandas(self, columns: Sequence[str] | None = None) -> Any:
        """Return all rows as a pandas.DataFrame."""
        return self.to_arrow(columns).to_pandas()

    def to_pyarrow_dataset(self, columns: Sequence[str] | None = None) -> Any:
        """Return it as a pyarrow.dataset.Dataset, read as it is queried; see :func:`muskox.store.to_pyarrow_dataset`."""
        return store.to_pyarrow_dataset(self._dataset, columns)

    def to_duckdb(self, connection: Any = None, name: str | None = None) -> Any:
        """Return it as a relation of DuckDB, called `name` in SQL; see :func:`muskox.store.to_duckdb`."""
        with _installed():
            return store.to_duckdb(self._dataset, connection, name)

    def to_polars(self, columns: Sequence[str] | None = None) -> Any:
        """Return it as a polars.LazyFrame; see :func:`muskox.store.to_polars`."""
        with _installed():
            return store.to_polars(self._dataset, columns)

    def to_torch(self, columns: Sequence[str] | None = None, batch_rows: int = 1024, **options: Any) -> "TorchRows":
        """Return a torch IterableDataset of batches, in a fixed order, that can be taken up after any batch.

        options : shards, seed, epoch, rank, world, window_rows, dtype: see :class:`muskox.store.TorchOptions`
        """
        with _installed():
            rows, chosen = store.TorchRows, store.TorchOptions(batch_rows=batch_rows, **options)
        return rows(self._dataset, columns, chosen)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Give all rows to whatever takes Arrow's C stream: ``pa.table(dataset)``, ``polars.DataFrame(dataset)``."""
        return store.to_reader(self._dataset).__arrow_c_stream__(requested_schema)

    def verify(self) -> Any:
        """Have every replica read and digested again; see :meth:`muskox.store.Dataset.verify`."""
        return self._dataset.verify()


@contextlib.contextmanager
def _installed() -> Iterator[None]:
    """Say what to install if a library that only some need is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CallerError(f"{error.name} is not installed: pip install {error.name}") from error
