"""The clusters of the rows that a model was just trained on: a program of one round over the grid as training left it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from muskox.learn.clusters.grid import Matrix, key_of
from muskox.learn.clusters.model import KMeansModel
from muskox.learn.inputs import Inputs, Target
from muskox.program import Block, Done, Manifest, Program, Shard
from muskox.records import Record


@dataclass(frozen=True, eq=False)  # the model holds arrays, which do not compare to one bool
class LabelProgram:
    """Tell the cluster of every row, in the order of the shards: "labels", shape (rows,). For data of one process.

    model : of a training without weights, nothing held out
    """

    kind: ClassVar[str] = "label"

    model: Mapping[str, Any]

    def parameters(self) -> Record:
        return {"model": dict(self.model)}

    @classmethod
    def from_parameters(cls, parameters: Record) -> Program:
        return cls(parameters["model"])

    @cached_property
    def _predictor(self) -> KMeansModel:
        return KMeansModel(dict(self.model))

    def initial(self, manifest: Manifest) -> Record:  # noqa: ARG002  # the contract's
        return {}

    def partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:  # noqa: ARG002  # the contract's
        model, record = self._predictor, self.model
        key = key_of(Inputs.from_parameters(record["parameters"]), record["encoder"], record["unit"])
        matrix: Matrix = shard.cached(key, lambda: model.grid.shard(EVERY_ROW, shard, blocks))
        return {"labels": model.nearest(matrix.tiles, len(matrix.high))}

    def merge(self, left: Record, right: Record) -> Record:
        return {"labels": np.concatenate([left["labels"], right["labels"]])}

    def update(self, state: Record, total: Record) -> Record | Done:  # noqa: ARG002  # the contract's
        return Done(total)


EVERY_ROW: Record = {
    "weight": None,
    "validation": {"column": None, "share": 0.0, "seed": 0},
    "class_weights": None,
    "kind": str(Target.NONE),
}
