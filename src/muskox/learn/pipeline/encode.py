"""The encoder as a step: missing numbers filled, numbers standardised, categories as indicators, in one round.

Every estimator encodes its columns itself; as a step of its own this serves what comes after it, principal components say, with
columns of numbers only.
"""

from dataclasses import dataclass
from typing import Any

from muskox.learn.columns import Floats, Kind
from muskox.learn.encoder import Encoder
from muskox.learn.inputs import Target
from muskox.learn.model import Transformer
from muskox.learn.training import TrainingProgram
from muskox.program import Done
from muskox.records import Record


@dataclass(frozen=True, kw_only=True)
class EncodeProgram(TrainingProgram):
    """Learn an encoder; the result is the model's record, after the round that every training begins with."""

    target_kind = Target.NONE

    def start(self, prepared: Record) -> Done:
        record = self.model_record(
            prepared, model="muskox.learn:EncodeModel", estimator="muskox.learn:Encode", kind="encoder", rounds=1
        )
        return Done(record)


class EncodeModel(Transformer):
    """An encoder, made from its record; its columns are called as :meth:`Encoder.feature_names_out` tells."""

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self.encoder = Encoder(record["encoder"])

    @property
    def outputs(self) -> dict[str, Kind]:
        return dict.fromkeys(self.encoder.feature_names_out(), Kind.FLOAT)

    def transformed(self, batch: Any) -> Floats:
        """Return the encoded columns of each row of an Arrow record batch, shape (rows, encoded columns)."""
        return self.encoder.transform_batch(batch)
