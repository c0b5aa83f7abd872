"""What one step makes of rows for the next: a shard whose blocks are transformed on the fly, and a manifest that says so.

Columns that belong to no step (target, weight, validation mark) go through as they are.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from muskox.errors import CallerError
from muskox.learn.model import Model, Task
from muskox.program import Block, Manifest, Shard


def transformer_of(model: Any, name: str) -> Model:
    """Return `model`, which transforms.

    Raises
    ------
    CallerError
        If it does not.
    """
    if not (isinstance(model, Model) and model.task is Task.TRANSFORMATION):
        raise CallerError(f"step {name!r} tells no columns for the next one: all steps but the last are transformers")
    return model


def manifest_after(manifest: Manifest, model: Model, kept: Sequence[str], name: str) -> Manifest:
    """Return what the next step may know of the rows after step `name`."""
    columns = {column: str(kind) for column, kind in model.outputs.items()}
    for column in kept:
        if column in columns:
            raise CallerError(
                f"step {name!r} makes a column {column!r}, which is the target, the weight or the mark: rename it"
            )
        if column in manifest.columns:
            columns[column] = manifest.columns[column]
    return Manifest(columns, manifest.shard_rows)


def shard_after(shard: Shard, models: Sequence[Any], kept: Sequence[str]) -> Shard:
    """Return a shard as the step after `models` sees it, with a place of its own for what is derived from it."""

    def blocks() -> Iterator[Block]:
        for block in shard.blocks:
            batch = block.batch
            for model in models:
                batch = beside(model.transform_batch(batch), batch, kept)
            yield Block(batch)

    return Shard(shard.index, shard.rows, blocks, shard.shelf)


def beside(transformed: Any, batch: Any, kept: Sequence[str]) -> Any:
    """Return the record batch `transformed` with those columns of `batch` that are `kept`."""
    names = [name for name in kept if name in batch.schema.names]
    fields = [*transformed.schema, *(batch.schema.field(name) for name in names)]
    columns = [*transformed.columns, *(batch.column(batch.schema.get_field_index(name)) for name in names)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))
