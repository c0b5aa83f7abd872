"""The engine `nodes`: programs run as jobs on the nodes of a cluster, by our own runtime.

It submits, follows and fetches the result; the job itself goes on without it.
"""

import contextlib
from typing import TYPE_CHECKING, Any

from muskox import runtime
from muskox.errors import MuskoxError
from muskox.program import Manifest, Outcome, Program, Publishes, Reads, RunOptions
from muskox.runtime import JobSpec
from muskox.store import Dataset, Home

if TYPE_CHECKING:
    import pyarrow as pa


class Nodes:
    """The engine whose workers are the cluster's; its datasets are :class:`ClusterDataset`."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def spec(self, program: Program, dataset: "ClusterDataset", options: RunOptions) -> JobSpec:
        """Return what to submit for this run."""
        return JobSpec(
            kind=str(getattr(program, "kind", "rounds")),
            program=runtime.program_record(program),
            dataset=f"{dataset.name}@{dataset.version}",
            columns=list(program.reads()) if isinstance(program, Reads) else (),
            workers=options.workers or 0,
            model=options.name or "",
            rounds_max=options.rounds_max,
            lineage={**options.lineage, "dataset": f"{dataset.name}@{dataset.version}", "dataset_digest": dataset.digest},
        )

    def run(self, program: Program, dataset: "ClusterDataset", options: RunOptions) -> Outcome:
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

    def run(self, program: Program, options: RunOptions) -> Outcome:
        """Run `program` on the cluster over this dataset."""
        return self._engine.run(program, self, options)

    def to_arrow(self, columns: list[str] | None = None) -> "pa.Table":
        """Return all rows, shard after shard."""
        return self._dataset.to_arrow(columns)

    def to_pandas(self, columns: list[str] | None = None) -> Any:
        return self.to_arrow(columns).to_pandas()

    def verify(self) -> Any:
        """Have every replica read and digested again; see :meth:`muskox.store.Dataset.verify`."""
        return self._dataset.verify()
