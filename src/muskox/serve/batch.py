"""Batch prediction as a program: every worker predicts its shards and writes one Parquet file a shard; a manifest commits them.

Readers go by ``manifest.json`` only, which is replaced in one step. A file has a name that no other attempt can have, so a
straggler of an older generation can leave at most a file that nothing names. The folder must be one that every worker reaches
under the same path: a local cluster's own disk, or a share.
"""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn import load_predictor
from muskox.program import Block, Done, Manifest, Program, Shard
from muskox.records import Record
from muskox.serve.output import count_parts, find_manifest, remove_parts, write_manifest, write_part
from muskox.store import arrow_schema

RANDOM_BYTES = 4  # of a run's name, and of an attempt at one shard of it


def run_name() -> str:
    """Return a new name for one run of a prediction; the names of its files hold it."""
    return secrets.token_hex(RANDOM_BYTES)


@dataclass(frozen=True)
class PredictProgram:
    """Predict every row of a dataset by a model; the result is the manifest of the files that were written.

    Parameters
    ----------
    model : a model's record
    output : absolute path of the folder to write to
    columns : columns of the dataset to copy beside the model's answer: "prediction" and "probability", say (its `outputs`)
    run : see :func:`run_name`
    """

    model: Mapping[str, Any]
    output: str
    columns: tuple[str, ...] = ()
    run: str = field(default_factory=run_name)
    kind: ClassVar[str] = "predict"  # of the job

    def __post_init__(self) -> None:
        if not Path(self.output).is_absolute():
            raise CallerError(f"the output folder {self.output!r} must be an absolute path: workers stand in other folders")
        if len(set(self.columns)) < len(self.columns):
            raise CallerError(f"a column to copy is named twice: {', '.join(self.columns)}")
        for name in self.columns:
            if name in self._predictor.outputs:
                raise CallerError(f"column {name!r} cannot be copied: the prediction itself has a column of that name")

    def parameters(self) -> Record:
        return {"model": dict(self.model), "output": self.output, "columns": list(self.columns), "run": self.run}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Program:
        columns = tuple(map(str, parameters["columns"]))
        return cls(parameters["model"], str(parameters["output"]), columns, str(parameters["run"]))

    def reads(self) -> list[str]:
        return [*self._predictor.features, *self.columns]

    def initial(self, manifest: Manifest) -> Record:
        needed = self._predictor.features
        for name, why in [*((name, "the model reads it") for name in needed), *((name, "to copy") for name in self.columns)]:
            if name not in manifest.columns:
                raise CallerError(f"no column {name!r} ({why}): this dataset has {', '.join(manifest.columns)}")
        return {"copied": [[name, manifest.columns[name]] for name in self.columns]}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        schema = self._schema(dict(state["copied"]))
        name = f"part-{shard.index:05d}-{self.run}-{run_name()}.parquet"
        sha256, rows = write_part(Path(self.output) / name, schema, (self._predicted(block, schema) for block in blocks))
        return {"files": [[shard.index, name, rows, sha256]]}

    def merge(self, left: Record, right: Record) -> Record:
        return {"files": left["files"] + right["files"]}

    def update(self, state: Record, total: Record) -> Record | Done:  # noqa: ARG002  # the contract's
        names = ("shard", "file", "rows", "sha256")
        files = [dict(zip(names, entry, strict=True)) for entry in sorted(total["files"])]
        return Done(
            {
                "model": digest(self.model),
                "run": self.run,
                "output": self.output,
                "columns": [*self.columns, *self._predictor.outputs],
                "rows": sum(entry["rows"] for entry in files),
                "files": files,
            }
        )

    def publish(self, result: Record) -> None:
        """Make `result` what the folder holds; then remove what it does not name, of this run and of the manifest it replaces.

        Done again, by another generation, it names that generation's files: all of them hold the same rows. But not once a
        later run has put its own files in their place: who comes that late must leave them.

        Raises
        ------
        CallerError
            If a file of the result is not there.
        """
        folder = Path(self.output)
        for entry in result["files"]:
            if not (folder / entry["file"]).exists():
                raise CallerError(f"{folder} lacks {entry['file']}: a later run replaced it, or this is another folder here")
        before = find_manifest(folder)
        write_manifest(folder, result)
        replaced = [] if before is None else [entry["file"] for entry in before["files"]]
        remove_parts(folder, self.run, replaced, keep={entry["file"] for entry in result["files"]})

    def parts_written(self) -> int:
        """Return how many files of this run the folder holds: how far it is, seen from a machine that reaches the folder."""
        return count_parts(Path(self.output), self.run)

    @cached_property
    def _predictor(self) -> Any:
        return load_predictor(dict(self.model))

    def _schema(self, copied: Mapping[str, str]) -> Any:
        """Return the pyarrow.Schema of every file: also a shard without rows has it."""
        answered = {name: kind.value for name, kind in self._predictor.outputs.items()}
        return pa.schema([*arrow_schema(copied), *arrow_schema(answered)])

    def _predicted(self, block: Block, schema: Any) -> Any:
        answer = self._predictor.predict_batch(block.batch)
        answered = [pa.array(answer[name].tolist()) for name in self._predictor.outputs]
        columns = [*(block.batch.column(name) for name in self.columns), *answered]
        return pa.table([pc.cast(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema=schema)
