"""ShardForest: a random forest each of whose trees grows on one shard, where it lies, as a list of tasks.

No round, no message but the finished trees: the shards need not be in one memory, nor at one time. What a tree sees of the
world is its shard, so such a forest is as good as one whose trees see all rows only where rows were spread by chance. A shard
grows trees in proportion to its rows. What the shards call a class, a category or a bin differs, and a shard may lack some: the
trees are put on common classes, categories and edges before they are joined. A category that a tree's shard never saw goes
where that tree sends missing values.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn import inputs as rows
from muskox.learn.columns import from_record
from muskox.learn.encoder import Encoder
from muskox.learn.trees.binning import joined as joined_bins
from muskox.learn.trees.binning import parts_of
from muskox.learn.trees.forest import ForestProgram
from muskox.learn.trees.forest_kinds import ClassForestProgram, NumberForestProgram
from muskox.learn.trees.growing import joined, no_trees
from muskox.learn.trees.training import BIN
from muskox.program import Done, Manifest, Shard
from muskox.records import Array, Record, normal
from muskox.task_list import Shards

TASK_TREES = 8  # at most: so that workers are busy alike, and a death costs little


@dataclass(frozen=True)
class ShardForest:
    """Grow a forest's trees on single shards; the result is the model's record. `program` says how a tree grows."""

    kind: ClassVar[str] = "train"
    forest: ClassVar[type[ForestProgram]]

    program: ForestProgram

    def __post_init__(self) -> None:
        if self.program.oob_score:
            raise CallerError("oob_score is not told with strategy='shards': a tree knows the rows of one shard only")

    def parameters(self) -> Record:
        return {**self.program.parameters(), "strategy": "shards"}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Self:
        return cls(cls.forest.from_parameters(parameters))

    def reads(self) -> list[str]:
        return self.program.reads()

    def tasks(self, manifest: Manifest) -> list[Record]:
        """Return so many trees of each shard: tree i of n grows where row (i + 1/2) / n of all rows lies."""
        self.program.initial(manifest)  # columns that will not do are refused before anything starts
        count = self.program.n_estimators
        ends = np.cumsum(manifest.shard_rows)
        if manifest.rows == 0:
            raise CallerError("this dataset has no rows to learn from")
        places = (2 * np.arange(count) + 1) * manifest.rows // (2 * count)
        homes = np.searchsorted(ends, places, side="right")
        found: list[Record] = []
        for shard in np.unique(homes).tolist():
            own = np.flatnonzero(homes == shard)
            found += [
                {"shard": shard, "first": int(part[0]), "trees": part.size}
                for part in np.array_split(own, -(-own.size // TASK_TREES))
            ]
        return found

    def shards(self, task: Record, manifest: Manifest) -> list[int]:  # noqa: ARG002
        return [task["shard"]]

    def run(self, task: Record, shards: Shards) -> Record:
        """Return the trees that grew on one shard, with their encoder, classes and bins; none where no row counts."""
        shard = shards[task["shard"]]
        program = replace(self.program, n_estimators=task["trees"], first_tree=task["first"])
        manifest = Manifest(shards.manifest.columns, (shard.rows,))
        state = normal(program.initial(manifest))
        looked = looked_at(program, state, shard)
        if looked["seen"] == 0 and not looked["bad"]:
            return {"trees": 0}
        classes = looked["statistics"]["values"][-1] if program.target_kind is rows.Target.CLASSES else None
        if classes is not None and len(classes) == 1 and not looked["statistics"]["missing"][-1]:
            alone = rows.prepare({**state["begun"], "kind": "none"}, looked, program.inputs)
            known = {"encoder": alone["encoder"], "target": state["begun"]["target"], "classes": classes}
            return {"trees": task["trees"], **known}
        if classes is not None and isinstance(program.inputs.class_weight, tuple):
            weighed = tuple(pair for pair in program.inputs.class_weight if pair[0] in classes)
            program = replace(program, inputs=replace(program.inputs, class_weight=weighed))
        record = grown(program, state, looked, shard)
        kept = ("encoder", "target", "classes", "bins", "feature_importances", "rounds")
        return {"trees": task["trees"], "forest": record["trees"], **{name: record[name] for name in kept if name in record}}

    def collect(self, results: Sequence[Record]) -> Record:
        """Return the model of all trees, in their order.

        Raises
        ------
        CallerError
            If no shard has a row that counts, or all have one class, or class_weight names none of them.
        """
        parts = [result for result in results if result["trees"]]
        if not parts:
            raise CallerError("this dataset has no rows to learn from: there are none, or all are held out or of weight zero")
        prepared: Record = {"encoder": common_encoder([part["encoder"] for part in parts]), "target": parts[0]["target"]}
        if "classes" in parts[0]:
            prepared["classes"] = self._classes(parts)
        edges = [common_edges(part, len(Encoder(prepared["encoder"]).numeric)) for part in parts if "bins" in part]
        union = [np.unique(np.concatenate(column)) for column in zip(*edges, strict=True)]
        union = union or [np.zeros(0)] * len(Encoder(prepared["encoder"]).numeric)
        tables = [np.array([*range(len(values)), -1, -1], dtype=np.int32) for values in prepared["encoder"]["categories"]]
        for index, width in enumerate(Encoder(prepared["encoder"]).widths):
            tables[index] = tables[index][: width + 1]
        bins = joined_bins(union, tables)
        values = len(prepared.get("classes", [0]))
        set_bytes = (int(np.max(bins["widths"], initial=0)) + 7) // 8 + 1
        forest, importances = no_trees(values, set_bytes), np.zeros(len(bins["widths"]))
        for part in parts:
            forest = joined(forest, translated(part, prepared, bins, set_bytes), len(union))
            if "bins" in part:
                importances += part["trees"] * part["feature_importances"]
        total = float(np.add.reduce(importances))
        return {
            "parameters": self.parameters(),
            **prepared,
            "model": self.program.model,
            "estimator": self.program.estimator,
            "kind": "forest",
            "bins": bins,
            "trees": forest,
            "feature_importances": importances / (total if total > 0.0 else 1.0),
            "rounds": max(part.get("rounds", 1) for part in parts),
        }

    def _classes(self, parts: Sequence[Record]) -> list[Any]:
        classes = sorted({value: None for part in parts for value in part["classes"]})
        name = parts[0]["target"]["names"][0]
        if len(classes) == 1:
            raise CallerError(f"the target {name!r} has one class only, {classes[0]!r}: a classifier needs rows of two")
        if len(classes) > rows.CLASSES_MAX:
            raise CallerError(
                f"the target {name!r} has more than {rows.CLASSES_MAX} classes: is it an identifier, or a number?"
            )
        if isinstance(self.program.inputs.class_weight, tuple):
            for value, _ in self.program.inputs.class_weight:
                if value not in classes:
                    known = ", ".join(map(repr, classes))
                    raise CallerError(f"class_weight names {value!r}, which is no class: they are {known}")
        return classes


class ClassShardForest(ShardForest):
    """A forest of single shards that tells classes apart."""

    forest = ClassForestProgram


class NumberShardForest(ShardForest):
    """A forest of single shards that predicts a number."""

    forest = NumberForestProgram


def with_values(found: Record, numeric: int) -> None:
    """Let a numeric column without any value on this shard count as constant: other shards may have some."""
    empty = np.flatnonzero(found["count"][:numeric] == 0)
    for name, value in (("count", 1), ("mean", 0.0), ("squares", 0.0), ("low", 0.0), ("high", 0.0)):
        found[name][empty] = value


def looked_at(program: ForestProgram, state: Record, shard: Shard) -> Record:
    """Return what round 1 tells of a shard: the same for all its tasks, and so kept."""

    def look() -> Record:
        found: Record = normal(program.partial(state, shard, shard.blocks))["prepare"]
        columns = from_record(state["begun"]["columns"])
        with_values(found["statistics"], sum(not column.categorical for column in columns))
        return found

    return shard.cached(f"forest of a shard/look/{digest(state['begun'])}", look)


def grown(program: ForestProgram, state: Record, looked: Record, shard: Shard) -> Record:
    """Return the record of the forest that one shard makes, its first round being told already.

    The sample that tells the bins is the same for all tasks of the shard, and so kept.
    """
    after = program.update(state, {"prepare": looked})
    while not isinstance(after, Done):
        state = normal(after)

        def contribute(state: Record = state) -> Record:
            return normal(program.partial(state, shard, shard.blocks))

        is_sample = state["step"] == BIN
        key = f"{state['key']}/sample/{program.inputs.seed}"
        after = program.update(state, shard.cached(key, contribute) if is_sample else contribute())
    shard.forget(state["run_key"])
    return normal(after.result)


def common_encoder(encoders: Sequence[Record]) -> Record:
    """Return an encoder that knows the categories of all."""
    numeric = len(encoders[0]["mean"])
    return {
        **encoders[0],
        "mean": np.zeros(numeric),
        "scale": np.ones(numeric),
        "categories": [
            sorted({value: None for values in column for value in values})
            for column in zip(*(encoder["categories"] for encoder in encoders), strict=True)
        ],
        "missing": [any(seen) for seen in zip(*(encoder["missing"] for encoder in encoders), strict=True)],
    }


def common_edges(part: Record, numeric: int) -> list[Array]:
    return parts_of(part["bins"]["edges"], part["bins"]["edge_ends"])[:numeric]


def translated(part: Record, common: Record, bins: Record, set_bytes: int) -> Record:
    """Return the trees of one task in the classes, edges and categories of all."""
    columns = [common["classes"].index(value) for value in part["classes"]] if "classes" in part else [0]
    values = len(common.get("classes", [0]))
    if "forest" not in part:  # one class only: every tree is a leaf
        trees = no_trees(values, set_bytes)
        count = np.arange(part["trees"])
        leaves = np.zeros((part["trees"], values))
        leaves[:, columns] = 1.0
        grown_ = {"roots": count.astype(np.int64), "left": count.astype(np.int32), "leaves": leaves}
        ones = np.full(part["trees"], -1, dtype=np.int32)
        return {**trees, **grown_, "feature": ones, "cut": ones, "missing_left": np.zeros(part["trees"], dtype=np.uint8)}
    trees = dict(part["forest"])
    numeric = len(bins["edge_ends"]) - 1
    leaves = np.zeros((len(trees["leaves"]), values))
    leaves[:, columns] = trees["leaves"]
    cut, feature = trees["cut"].copy(), trees["feature"]
    for index, (own, whole) in enumerate(
        zip(common_edges(part, numeric), parts_of(bins["edges"], bins["edge_ends"]), strict=True)
    ):
        here = feature == index
        cut[here] = np.searchsorted(whole, np.append(own, np.inf)[cut[here]])  # beyond the last: all but missing
    sets = np.zeros((len(trees["sets"]), set_bytes), dtype=np.uint8)
    own_tables = parts_of(part["bins"]["tables"], part["bins"]["table_ends"])
    for index, table in enumerate(own_tables):
        known = {value: int(table[code]) for code, value in enumerate(part["encoder"]["categories"][index])}
        places = [known.get(value, -1) for value in common["encoder"]["categories"][index]]
        for node in np.flatnonzero(feature == numeric + index).tolist():
            own_set = trees["sets"][cut[node]]
            for code, place in enumerate(places):
                goes_left = (own_set[place >> 3] >> (place & 7)) & 1 if place >= 0 else trees["missing_left"][node]
                sets[cut[node], code >> 3] |= np.uint8(int(goes_left) << (code & 7))
    return {**trees, "cut": cut, "leaves": leaves, "sets": sets}
