"""What predicts by the record of a forest or of boosted trees: bins of a row, then a walk down every tree."""

from typing import Any

import numpy as np

from muskox.learn.columns import Floats
from muskox.learn.encoder import Encoder
from muskox.learn.functions import softmax
from muskox.learn.model import Classifier, Regressor
from muskox.learn.trees.binning import Binner
from muskox.learn.trees.kernels import add_leaves, writable
from muskox.records import Record


class Walker:
    """Trees and the bins that they look at, made from a model's record."""

    def __init__(self, record: Record) -> None:
        self._binner = Binner(Encoder(record["encoder"]), record["bins"])
        self._trees: Record = record["trees"]

    def scores(self, batch: Any, base: Floats, values: int = 1) -> Floats:
        """Return `base` plus what the trees add, shape (rows, numbers): `values` numbers of each tree, in turn."""
        bins, trees = self._binner.bins(batch), {name: writable(part) for name, part in self._trees.items()}
        out = np.tile(base, (len(bins), 1))
        outputs = (np.arange(len(trees["roots"])) * values) % base.size
        split = (trees["feature"], trees["cut"], trees["missing_left"], trees["left"])
        widths, numeric = writable(self._binner.widths), self._binner.numeric
        add_leaves(bins, trees["roots"], *split, trees["sets"], trees["leaves"], widths, numeric, outputs, out)
        return out


class ForestClassifierModel(Classifier):
    """A random forest of classes: the mean of the trees' shares of each class."""

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self._walker = Walker(record)

    def probabilities(self, batch: Any) -> Floats:
        classes, trees = len(self.classes_), len(self.record["trees"]["roots"])
        shares: Floats = self._walker.scores(batch, np.zeros(classes), classes) / trees
        return shares


class ForestRegressorModel(Regressor):
    """A random forest of numbers: the mean of the trees' means."""

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self._walker = Walker(record)

    def values(self, batch: Any) -> Floats:
        means: Floats = self._walker.scores(batch, np.zeros(1))[:, 0] / len(self.record["trees"]["roots"])
        return means


class BoostingClassifierModel(Classifier):
    """Boosted trees of classes: log odds of the second of two, or a score of each of more."""

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self._walker = Walker(record)

    def scores(self, batch: Any) -> Floats:
        found = self._walker.scores(batch, self.record["base"])
        return found[:, 0] if len(self.classes_) == 2 else found

    def probabilities(self, batch: Any) -> Floats:
        found = self.scores(batch)
        if found.ndim == 1:
            found = np.column_stack([np.zeros_like(found), found])
        return softmax(found)


class BoostingRegressorModel(Regressor):
    """Boosted trees of a number."""

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self._walker = Walker(record)

    def values(self, batch: Any) -> Floats:
        return self._walker.scores(batch, self.record["base"])[:, 0]
