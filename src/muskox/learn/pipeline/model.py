"""PipelineModel: a row goes through the models of all steps, by the pipeline's record alone."""

from typing import Any

from muskox.learn.columns import Floats, Kind
from muskox.learn.model import Model, Task, load_predictor
from muskox.records import Array, Record


class PipelineModel(Model):
    """The models of a pipeline's steps as one, made from its record: what the last one answers, of what the others leave.

    Attributes
    ----------
    steps : the models, in their order
    """

    def __init__(self, record: Record) -> None:
        super().__init__(record)
        self.steps: list[Any] = [load_predictor(record["steps"][str(index)]) for index in range(len(record["steps"]))]
        self.pinned = any(step.pinned for step in self.steps)

    @property
    def last(self) -> Any:
        return self.steps[-1]

    @property
    def task(self) -> Task:  # type: ignore[override]  # of a pipeline it is the last step's
        task: Task = self.last.task
        return task

    @property
    def outputs(self) -> dict[str, Kind]:
        outputs: dict[str, Kind] = self.last.outputs
        return outputs

    @property
    def classes_(self) -> Array:
        classes: Array = self.last.classes_
        return classes

    @property
    def has_probabilities(self) -> bool:
        return bool(self.last.has_probabilities)

    def before_last(self, batch: Any) -> Any:
        """Return an Arrow record batch as the last step sees it."""
        for model in self.steps[:-1]:
            batch = model.transform_batch(batch)
        return batch

    def predict_batch(self, batch: Any) -> dict[str, Array]:
        answer: dict[str, Array] = self.last.predict_batch(self.before_last(batch))
        return answer

    def transform_batch(self, batch: Any) -> Any:
        return self.last.transform_batch(self.before_last(batch))

    def transformed(self, batch: Any) -> Floats:
        found: Floats = self.last.transformed(self.before_last(batch))
        return found

    def decide(self, batch: Any) -> tuple[Array, Floats]:
        found: tuple[Array, Floats] = self.last.decide(self.before_last(batch))
        return found

    def probabilities(self, batch: Any) -> Floats:
        found: Floats = self.last.probabilities(self.before_last(batch))
        return found

    def scores(self, batch: Any) -> Floats:
        found: Floats = self.last.scores(self.before_last(batch))
        return found

    def values(self, batch: Any) -> Floats:
        found: Floats = self.last.values(self.before_last(batch))
        return found
