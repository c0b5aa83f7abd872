"""Inputs: which columns of a dataset an estimator looks at, as what, and which of its rows.

Every estimator's first round is the same: it learns the encoder, and the classes or the numbers of the target
(:func:`begin`, :func:`look`, :func:`prepare`). In the rounds after it, :func:`rows_of` yields what a program computes with: the
rows that count, their targets and their weights. Rows held out for validation are never looked at in training, not even by the
encoder. Nothing here raises for bad rows before the whole is known, so that the same data gives the same sentence everywhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa

from muskox.errors import CallerError
from muskox.learn import statistics
from muskox.learn.columns import (
    ARROW_TYPES,
    Codes,
    Column,
    Floats,
    Kind,
    choose,
    column,
    from_record,
    require,
    target_column,
    to_record,
)
from muskox.learn.encoder import CATEGORIES_MAX, encode, encoder_record
from muskox.learn.parameters import require_choice, require_count, require_number
from muskox.program import Block, Manifest, Shard
from muskox.records import Array, Record
from muskox.streams import stream

WEIGHT_MAX = 1e100  # of a row: sums of weights, and their squares, stay finite
CLASSES_MAX = 1000  # of a classifier's target: beyond it a column is an identifier, not a class
BALANCED = "balanced"


class Target(StrEnum):
    """What an estimator learns to predict."""

    NONE = "none"
    CLASSES = "classes"
    NUMBER = "number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What of a dataset an estimator looks at.

    Parameters
    ----------
    target : the column to predict; None where there is none
    features : columns to learn from; None means all but target, weight and validation
    categorical : int columns to take as categories; text and bool columns always are
    weight : a column of numbers, 0 or above: a row of weight w counts as w rows
    class_weight : None, "balanced" (rows / (classes * rows of the class)), or pairs (class, factor) for a row's weight
    validation : a bool column: its true rows are held out, to tell when to stop
    validation_fraction : instead, the share of rows to hold out, drawn from `seed`, the shard and the position there
    categories_max : of one column
    standardise : whether numeric columns are brought to mean 0 and deviation 1
    """

    target: str | None = None
    features: tuple[str, ...] | None = None
    categorical: tuple[str, ...] = ()
    weight: str | None = None
    class_weight: str | tuple[tuple[Any, float], ...] | None = None
    validation: str | None = None
    validation_fraction: float = 0.0
    seed: int = 0
    categories_max: int = CATEGORIES_MAX
    standardise: bool = True

    def __post_init__(self) -> None:
        require_choice("standardise", self.standardise, (True, False))
        require_count("categories_max", self.categories_max)
        require_number("validation_fraction", self.validation_fraction, above=-1e-300, most=1.0)
        if self.validation_fraction and self.validation is not None:
            raise CallerError("validation and validation_fraction both say which rows are held out: give one")
        require_count("seed", self.seed, least=-(2**63))
        self._check_class_weight()

    def _check_class_weight(self) -> None:
        if isinstance(self.class_weight, str) and self.class_weight != BALANCED:
            raise CallerError(f"class_weight={self.class_weight!r}: it is 'balanced', or a factor for each class")
        if isinstance(self.class_weight, tuple):
            for value, factor in self.class_weight:
                require_number(f"class_weight of {value!r}", factor, above=-1e-300, most=WEIGHT_MAX)

    @property
    def holds_out(self) -> bool:
        return self.validation is not None or self.validation_fraction > 0.0

    def parameters(self) -> Record:
        """Return these as JSON, as a program's parameters travel."""
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        told["features"] = None if self.features is None else list(self.features)
        told["categorical"] = list(self.categorical)
        told["validation_fraction"] = float(self.validation_fraction)
        if isinstance(self.class_weight, tuple):
            told["class_weight"] = [[value, float(factor)] for value, factor in self.class_weight]
        return told

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> "Inputs":
        """Return what :meth:`parameters` told; other names are left alone."""
        given = {field.name: parameters[field.name] for field in fields(cls)}
        given["features"] = None if given["features"] is None else tuple(given["features"])
        given["categorical"] = tuple(given["categorical"])
        if isinstance(given["class_weight"], list):
            given["class_weight"] = tuple((value, float(factor)) for value, factor in given["class_weight"])
        return cls(**given)

    def reads(self) -> list[str]:
        """Return the columns that a program with these inputs looks at; none means all."""
        if self.features is None:
            return []
        return [*self.features, *(name for name in (self.target, self.weight, self.validation) if name is not None)]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to compute with: a batch, and each row's target (a class's index, or a number) and weight, if there are any.

    batch : pyarrow.RecordBatch
    target : shape (rows,), int32 or float64; None where there is no target
    weights : shape (rows,), above 0; None where every row counts once
    """

    batch: Any
    target: Array | None
    weights: Floats | None


def begin(manifest: Manifest, inputs: Inputs, kind: Target, apart: Sequence[str] = ()) -> Record:
    """Return what a shard must know to look at its rows. Columns `apart` are looked at by somebody else.

    Raises
    ------
    CallerError
        If a column is unknown, named twice, of a type that will not do, or missing where the estimator needs one.
    """
    special = [name for name in (inputs.target, inputs.weight, inputs.validation) if name is not None]
    chosen = inputs.features
    if chosen is None:
        chosen = tuple(name for name in manifest.columns if name not in special)
    chosen = tuple(name for name in chosen if name not in apart)
    columns = choose(manifest, inputs.target, chosen, inputs.categorical) if chosen or not apart else []
    for name in special:
        if special.count(name) > 1 or name in chosen:
            raise CallerError(f"column {name!r} cannot be a feature, the target, the weight or the validation mark at once")
    return {
        "columns": to_record(columns),
        "target": to_record(_target(manifest, inputs.target, kind)),
        "weight": None if inputs.weight is None else to_record([_numeric(manifest, inputs.weight, "weight")]),
        "validation": _mark(manifest, inputs),
        "kind": str(kind),
        "limits": [inputs.categories_max for column in columns if column.categorical],
    }


def look(begun: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
    """Return what one shard tells of features, target and weights: statistics to be merged by :func:`merge`."""
    columns = from_record(begun["columns"]) + from_record(begun["target"])
    limits = [*begun["limits"], *([CLASSES_MAX] if begun["kind"] == Target.CLASSES else [])]
    weight = from_record(begun["weight"])[0] if begun["weight"] is not None else None
    total = statistics.empty(columns, limits, weight is not None)
    seen, weighed, bad = 0, np.zeros(1), 0
    for first, block, held_out in _marked(begun["validation"], shard, blocks):
        counted, weights = None if held_out is None else ~held_out, None
        if weight is not None:
            told = weight.numbers(block.batch)
            good = (told >= 0.0) & (told <= WEIGHT_MAX)
            bad += int(np.count_nonzero(~good if counted is None else counted & ~good))
            counted = good & (told > 0.0) if counted is None else counted & good & (told > 0.0)
            weights = told[counted]
            weighed += np.add.reduce(weights)
        part = block if counted is None else Block(block.batch.filter(pa.array(counted)))
        place = (shard.index, first if counted is None else first + np.flatnonzero(counted))
        total = statistics.merge(total, statistics.block_statistics(columns, limits, place, part, weights))
        seen += part.rows
    return {"statistics": total, "seen": seen, "weight": weighed, "bad": bad}


def merge(left: Record, right: Record) -> Record:
    return {
        "statistics": statistics.merge(left["statistics"], right["statistics"]),
        "seen": left["seen"] + right["seen"],
        "weight": left["weight"] + right["weight"],
        "bad": left["bad"] + right["bad"],
    }


def prepare(begun: Record, total: Record, inputs: Inputs) -> Record:
    """Return what the whole dataset told: an encoder's record, the classes or the numbers of the target, and of the rows.

    "encoder" is that record; "classes" and "counts" are there for classes, "mean" and "scale" for a number; "features" are the
    statistics of the columns. "rows" is how many count, "weight_sum" the sum of their weights (the number of rows where there
    are none), and "class_weights" the factor of each class, or None.

    Raises
    ------
    CallerError
        If there are no rows, a weight is negative or missing, or features or target hold what cannot be learned from.
    """
    found = total["statistics"]
    if total["bad"]:
        raise CallerError(
            f"the weight {inputs.weight!r} is negative, missing or beyond {WEIGHT_MAX:g} in {total['bad']} rows: "
            f"a weight is a number, 0 or above (Negative values in sample_weight are not supported)"
        )
    if total["seen"] == 0:
        raise CallerError("this dataset has no rows to learn from: there are none, or all are held out or of weight zero")
    columns = from_record(begun["columns"])
    weight_sum = float(total["weight"][0]) if inputs.weight is not None else float(total["seen"])
    prepared: Record = {
        "columns": begun["columns"],
        "target": begun["target"],
        "weight": begun["weight"],
        "validation": begun["validation"],
        "kind": begun["kind"],
        "rows": int(total["seen"]),
        "weight_sum": weight_sum,
        "class_weights": None,
    }
    kind = Target(begun["kind"])
    numeric = sum(not column.categorical for column in columns)
    features = {**found, "rows": weight_sum}
    for name in ("count", "mean", "squares", "low", "high", "infinite", "absent"):
        features[name] = found[name][:numeric]
    for name in ("values", "counts", "missing", "limits"):
        features[name] = found[name][: len(columns) - numeric]
    prepared["encoder"] = encoder_record(columns, features, inputs.standardise)
    told = ("count", "mean", "squares", "low", "high", "absent", "counts", "missing")
    prepared["features"] = {name: features[name] for name in told}
    target = from_record(begun["target"])
    if kind is Target.CLASSES:
        classes = _classes(target[0], found, prepared)
        counts = np.array(found["counts"][-1], dtype=np.float64)
        prepared |= {"classes": classes, "counts": counts, "class_weights": _class_weights(inputs, classes, counts)}
        if prepared["class_weights"] is not None:
            prepared["weight_sum"] = float(np.add.reduce(counts * prepared["class_weights"]))
            if not prepared["weight_sum"] > 0.0:
                raise CallerError("class_weight leaves no row any weight: give one class at least a factor above 0")
    elif kind is Target.NUMBER:
        _check_number(target[0], found, prepared["rows"], numeric)
        spread = float(np.sqrt(found["squares"][numeric] / weight_sum))
        prepared |= {"mean": float(found["mean"][numeric]), "scale": spread if spread > 0.0 else 1.0}
    return prepared


def rows_of(prepared: Record, shard: Shard, blocks: Iterator[Block], *, is_held_out: bool = False) -> Iterator[Rows]:
    """Yield the rows of a shard that training sees, block by block; or, `is_held_out`, those it does not.

    A held-out row is left out if its target or weight is missing (in training :func:`prepare` has refused it), or if its target
    is a class that training never saw.
    """
    weight = from_record(prepared["weight"])[0] if prepared["weight"] is not None else None
    for block in blocks_seen(prepared["validation"], shard, blocks, is_held_out=is_held_out):
        part, weights = block, None
        if weight is not None:
            told = weight.numbers(block.batch)
            part, weights = _of_weight(block, told, np.isfinite(told))
        if part.rows == 0:
            continue
        target = _targets(prepared, part)
        if target is not None and is_held_out:
            good = np.isfinite(target) if target.dtype.kind == "f" else target < len(prepared["classes"])
            if not good.all():
                part, target = Block(part.batch.filter(pa.array(good))), target[good]
                weights = None if weights is None else weights[good]
        assert is_held_out or target is None or target.dtype.kind == "f" or int(target.max()) < len(prepared["classes"])
        if prepared["class_weights"] is not None and target is not None:
            factors = prepared["class_weights"][target]
            weights = factors if weights is None else weights * factors
        yield Rows(part.batch, target, weights)


def _target(manifest: Manifest, name: str | None, kind: Target) -> list[Column]:
    if kind is Target.NONE:
        if name is not None:
            raise CallerError(f"this estimator predicts no column, yet target={name!r} is given: leave it out")
        return []
    if name is None:
        raise CallerError("requires y to be passed, but the target y is None: name the column to predict with target=")
    if kind is Target.NUMBER:
        return [_numeric(manifest, name, "target")]
    return [target_column(manifest, name)]


def _numeric(manifest: Manifest, name: str, what: str) -> Column:
    require(manifest, [name], what)
    found = Kind(manifest.columns[name])
    if found not in (Kind.INT, Kind.FLOAT):
        raise CallerError(f"the {what} {name!r} is {found.value}: it must be a column of numbers (int or float)")
    return column(name, found, categorical=False)


def _mark(manifest: Manifest, inputs: Inputs) -> Record:
    """Return how rows to hold out are told: by a bool column, or a share of them drawn."""
    if inputs.validation is None:
        return {"column": None, "share": float(inputs.validation_fraction), "seed": int(inputs.seed)}
    require(manifest, [inputs.validation], "validation mark")
    found = Kind(manifest.columns[inputs.validation])
    if found is not Kind.BOOL:
        raise CallerError(
            f"the validation mark {inputs.validation!r} is {found.value}: it must be a bool column, true = held out"
        )
    return {"column": inputs.validation, "share": 0.0, "seed": 0}


def _marked(mark: Record, shard: Shard, blocks: Iterator[Block]) -> Iterator[tuple[int, Block, Array | None]]:
    """Yield each block with the number of rows before it, and which of its rows are held out, or None if none ever is.

    A null mark is none.
    """
    first, column, share = 0, mark["column"], mark["share"]
    drawn = stream(mark["seed"], "validation", shard.index).random(shard.rows) if share else np.zeros(0)
    for block in blocks:
        held_out: Array | None = None
        if column is not None:
            held_out = np.array(block.batch.column(column).fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)
        elif share:
            held_out = drawn[first : first + block.rows] < share
        yield first, block, held_out
        first += block.rows


def blocks_seen(mark: Record, shard: Shard, blocks: Iterator[Block], *, is_held_out: bool) -> Iterator[Block]:
    """Yield of each block the rows held out, or all others."""
    for _, block, held_out in _marked(mark, shard, blocks):
        if held_out is not None:
            yield Block(block.batch.filter(pa.array(held_out if is_held_out else ~held_out)))
        elif not is_held_out:
            yield block


def _of_weight(block: Block, weights: Floats, good: Array) -> tuple[Block, Floats]:
    """Return the rows of a good weight above 0, and their weights."""
    counted = good & (weights > 0.0)
    if counted.all():
        return block, weights
    return Block(block.batch.filter(pa.array(counted))), weights[counted]


def _targets(prepared: Record, part: Block) -> Codes | Floats | None:
    kind = Target(prepared["kind"])
    if kind is Target.NONE:
        return None
    target = from_record(prepared["target"])[0]
    if kind is Target.NUMBER:
        return target.numbers(part.batch)
    classes = pa.array(prepared["classes"], type=ARROW_TYPES[target.kind])
    return encode(target.values(part.batch), classes, missing_seen=False)


def _classes(target: Column, found: Mapping[str, Any], prepared: Record) -> list[Any]:
    values, missing = found["values"][-1], found["missing"][-1]
    if missing:
        raise CallerError(
            f"the target {target.name!r} is missing (or infinite) in {missing:g} of {prepared['rows']} rows: "
            f"drop those rows first"
        )
    if target.kind is Kind.FLOAT and any(value != int(value) for value in values):
        raise CallerError(
            f"Unknown label type: continuous. The target {target.name!r} holds numbers that are not whole: "
            f"a classifier's target is bool, int or string"
        )
    if len(values) > CLASSES_MAX:
        raise CallerError(f"the target {target.name!r} has more than {CLASSES_MAX} classes: is it an identifier, or a number?")
    if len(values) == 1:
        raise CallerError(f"the target {target.name!r} has one class only, {values[0]!r}: a classifier needs rows of two")
    return list(values)


def _class_weights(inputs: Inputs, classes: Sequence[Any], counts: Floats) -> Floats | None:
    if inputs.class_weight is None:
        return None
    if isinstance(inputs.class_weight, str):
        known = np.where(counts > 0.0, counts, np.inf)  # a class that has no rows yet weighs nothing
        balanced: Floats = float(np.add.reduce(counts)) / (len(classes) * known)
        return balanced
    return factors_of(inputs.class_weight, classes)


def factors_of(given: Sequence[tuple[Any, float]], classes: Sequence[Any]) -> Floats:
    """Return the factor of each class, of pairs (class, factor); 1 where none is given.

    Raises
    ------
    CallerError
        If a pair is of no class.
    """
    factors = dict(given)
    for value in factors:
        if value not in classes:
            raise CallerError(f"class_weight names {value!r}, which is no class: they are {', '.join(map(repr, classes))}")
    return np.array([float(factors.get(value, 1.0)) for value in classes])


def _check_number(target: Column, found: Mapping[str, Any], rows: int, index: int) -> None:
    shard, row = (int(place) for place in found["infinite"][index])
    if shard >= 0:
        raise CallerError(f"the target {target.name!r} is infinite in row {row} of shard {shard}: Input y contains infinity")
    missing = int(found["absent"][index])
    if missing:
        raise CallerError(f"the target {target.name!r} is missing (NaN) in {missing} of {rows} rows: drop those rows first")
    if not np.isfinite(found["squares"][index]):
        raise CallerError(f"the target {target.name!r} holds numbers too large: scale it down")
