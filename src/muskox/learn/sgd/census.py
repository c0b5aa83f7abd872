"""The census: how many rows each shard has to learn from, and, where a training goes on from a model, whether they suit it.

A first training has had its rows looked at in round 1. One that goes on from a model keeps that model's encoder and classes;
what rows may be wrong with is found here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from muskox.errors import CallerError
from muskox.learn.columns import ARROW_TYPES, Column, Kind, from_record, to_record
from muskox.learn.encoder import Encoder
from muskox.learn.inputs import Inputs, Target, begin, blocks_seen, factors_of
from muskox.learn.sgd.rows import EncodedRows
from muskox.program import Manifest, Shard
from muskox.records import Record


def resumed(manifest: Manifest, inputs: Inputs, kind: Target, model: Record) -> Record:
    """Return what the first round would have prepared, from the record of a model.

    Raises
    ------
    CallerError
        If the dataset lacks a column that the model reads, or its target is of another type.
    """
    columns = from_record(model["encoder"]["columns"])
    check_features(manifest, inputs, model, [column.name for column in columns])
    begun = begin(manifest, replace(inputs, features=tuple(column.name for column in columns), categorical=()), kind)
    learned, found = from_record(model["target"])[0], from_record(begun["target"])[0]
    if (learned.kind is Kind.STRING) != (found.kind is Kind.STRING):
        raise CallerError(f"the target {found.name!r} is {found.kind.value} here: the model has learned {learned.kind.value}")
    classes = model.get("classes")
    prepared = {
        "columns": model["encoder"]["columns"],
        "target": to_record([Column(found.name, learned.kind, learned.categorical)]),
        "weight": begun["weight"],
        "validation": begun["validation"],
        "kind": begun["kind"],
        "encoder": model["encoder"],
        "class_weights": None,
        "scale": model["scale"],
    }
    if classes is not None:
        given = inputs.class_weight
        assert not isinstance(given, str), "who goes on gives factors: what is balanced is not known of rows to come"
        prepared |= {"classes": classes, "class_weights": None if given is None else factors_of(given, classes)}
    return prepared


def check_features(manifest: Manifest, inputs: Inputs, model: Record, learned: Sequence[str]) -> None:
    """Raise CallerError if other columns than those that the model has learned are asked for, or all of more."""
    chosen = inputs.features
    if chosen is None and model["parameters"]["features"] is None:
        special = (inputs.target, inputs.weight, inputs.validation)
        chosen = tuple(name for name in manifest.columns if name not in special)
    strange = [name for name in chosen or () if name not in learned]
    if strange:
        raise CallerError(
            f"the model that this training goes on from has not learned column {strange[0]!r}: "
            f"it has {len(learned)} features, {', '.join(learned)}"
        )


def with_classes(total: Record, classes: Sequence[Any]) -> Record:
    """Return what the first round found of the target, with classes that it saw no row of."""
    found = total["statistics"]
    seen = dict(zip(found["values"][-1], found["counts"][-1], strict=True))
    strange = [value for value in seen if value not in classes]
    if strange:
        raise CallerError(f"the target holds {strange[0]!r}, which is not among classes: {', '.join(map(repr, classes))}")
    every = sorted(dict.fromkeys([*seen, *classes]))
    values, counts = list(found["values"]), list(found["counts"])
    values[-1], counts[-1] = every, [seen.get(value, 0) for value in every]
    return {**total, "statistics": {**found, "values": values, "counts": counts}}


def count(prepared: Record, shard: Shard, encoded: Callable[[], EncodedRows], *, is_checked: bool) -> Record:
    """Return the rows of a shard, their weight and their squared lengths; or what is wrong with them, unless `is_checked`.

    Rows that something is wrong with cannot be `encoded`.
    """
    wrong = None if is_checked else fault(prepared, shard)
    if wrong is not None:
        return {
            "census": True,
            "rows": np.zeros(1, dtype=np.int64),
            "weight": np.zeros(1),
            "length": np.zeros(1),
            "wrong": wrong,
        }
    rows = encoded()
    return {
        "census": True,
        "rows": np.array([rows.rows], dtype=np.int64),
        "weight": np.array([np.add.reduce(rows.weights)]),
        "length": np.array([np.add.reduce(rows.weights * rows.squared_lengths())]),
        "wrong": None,
    }


def merge(left: Record, right: Record) -> Record:
    """Return the census of two neighbours: the rows of each shard stay apart, in the order of the shards."""
    return {
        "census": True,
        "rows": np.concatenate([left["rows"], right["rows"]]),
        "weight": left["weight"] + right["weight"],
        "length": left["length"] + right["length"],
        "wrong": left["wrong"] if left["wrong"] is not None else right["wrong"],
    }


def checked(total: Record) -> Record:
    """Return the census if there is something to learn from.

    Raises
    ------
    CallerError
        If there is not, or a row does not suit the model that the training goes on from.
    """
    if total["wrong"] is not None:
        raise CallerError(total["wrong"])
    if total["weight"][0] <= 0.0:
        raise CallerError("this dataset has no rows to learn from: there are none, or all are held out or of weight zero")
    return total


def shape(prepared: Mapping[str, Any], encoder: Encoder) -> tuple[int, int]:
    """Return the shape of the coefficients: an output for a number or two classes, one for each of more."""
    classes = len(prepared.get("classes", ()))
    return (classes if classes > 2 else 1, encoder.width + 1)


def fault(prepared: Record, shard: Shard) -> str | None:
    """Return what is wrong with the first row not held out that a model cannot go on with; None if all are well."""
    weight = from_record(prepared["weight"])[0] if prepared["weight"] is not None else None
    target = from_record(prepared["target"])[0]
    for block in blocks_seen(prepared["validation"], shard, shard.blocks, is_held_out=False):
        batch = block.batch
        if weight is not None:
            weights = weight.numbers(batch)
            if not (np.isfinite(weights) & (weights >= 0.0)).all():
                return f"the weight {weight.name!r} is negative, infinite or missing in some rows: a weight is 0 or above"
            batch = batch.filter(pa.array(weights > 0.0))
        if prepared["kind"] == Target.NUMBER:
            if not np.isfinite(target.numbers(batch)).all():
                return f"the target {target.name!r} is missing (NaN) or infinite in some rows: drop those rows first"
            continue
        values = target.values(batch)
        if values.null_count:
            return f"the target {target.name!r} is missing in some rows: drop those rows first"
        known = pa.array(prepared["classes"], type=ARROW_TYPES[target.kind])
        strange = pc.filter(values, pc.invert(pc.is_in(values, value_set=known)))
        if len(strange):
            return (
                f"the target {target.name!r} holds {strange[0].as_py()!r}, a class that the model has not learned "
                f"({', '.join(map(repr, prepared['classes']))}): name all classes in the first partial_fit, or fit anew"
            )
    return None
