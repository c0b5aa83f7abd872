"""The plainest models of each task, for tests of what is measured of them."""

from typing import Any

import numpy as np
import pytest

import muskox.learn
from muskox.records import Record


class Stub:
    """A model whose answers are columns of the rows themselves, named by its record."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.task = record["task"]
        self.target = None
        self.features = record["columns"]
        self.classes_ = np.array(record.get("classes", []))
        self.has_probabilities = record.get("has_probabilities", False)

    @classmethod
    def from_record(cls, record: Record) -> "Stub":
        return cls(record)

    def columns(self, batch: Any) -> np.ndarray:
        return np.stack([batch.column(name).to_numpy(zero_copy_only=False) for name in self.features], axis=1)

    def decide(self, batch: Any) -> tuple[np.ndarray, np.ndarray]:
        values = self.columns(batch)
        return np.argmax(values, axis=1), values

    def predict_batch(self, batch: Any) -> dict[str, np.ndarray]:
        values = self.columns(batch)
        match self.task:
            case "regression":
                return {"prediction": values[:, 0]}
            case "clustering":
                return {"cluster": values[:, 0].astype(np.int64), "distance": values[:, 1]}
            case "binary":
                return {"prediction": self.classes_[(values[:, 0] > 0).astype(int)], "score": values[:, 0]}
            case _:
                return {"prediction": self.classes_[np.argmax(values, axis=1)]}


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muskox.learn, "Stub", Stub, raising=False)


def model(task: str, *columns: str, **own: Any) -> Record:
    return {"model": "muskox.learn:Stub", "task": task, "columns": list(columns), **own}
