"""PCAModel: the principal components of a row, by the record alone."""

from typing import Any

import numpy as np

from muskox.learn.columns import Floats, Kind
from muskox.learn.encoder import Encoder
from muskox.learn.model import Transformer
from muskox.records import Record


class PCAModel(Transformer):
    """Principal components, made from their record; a row's are ``component_0``, ``component_1`` and so on."""

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self.encoder = Encoder(record["encoder"])
        self.mean: Floats = record["mean"]
        self._axes = np.ascontiguousarray(record["components"].T)
        if record["parameters"]["whiten"]:
            self._axes = self._axes * whitening(record["explained_variance"])

    @property
    def outputs(self) -> dict[str, Kind]:
        return {f"component_{index}": Kind.FLOAT for index in range(self._axes.shape[1])}

    def transformed(self, batch: Any) -> Floats:
        """Return the components of each row of an Arrow record batch, shape (rows, components)."""
        from muskox.learn.products import product

        return product(self.encoder.transform_batch(batch) - self.mean, self._axes)


def whitening(variances: Floats) -> Floats:
    """Return what brings each component to deviation 1; one of no variance is left as it is."""
    deviation = np.sqrt(variances)
    return np.where(deviation > 0.0, 1.0 / np.where(deviation > 0.0, deviation, 1.0), 1.0)
