"""The estimators that ``muskox train`` knows by a short word: which class each means, and how their parameters are told.

Nothing of the estimators is imported before one is asked for: scikit-learn, on which they stand, takes a second.
"""

import inspect
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from muskox.cli.options import names

if TYPE_CHECKING:
    from muskox.learn import Estimator

CLASSIFICATION, REGRESSION = "classification", "regression"
TaskOf = Annotated[str | None, typer.Option("--task", metavar="|".join((CLASSIFICATION, REGRESSION)), help="if both can be")]
PYTHON_NAMES = {"True": "true", "False": "false", "None": "null"}  # as people who know Python write them
COLUMN_LISTS = ("categorical", "sparse", "hashed")  # parameters that hold names of columns: A,B,...
TOLD_OTHERWISE = ("features",)  # parameters that have an option of their own
MEANING = re.compile(r"^    (\w[\w, ]*?) : (.*)$")


@dataclass(frozen=True, slots=True)
class Kind:
    """One word after ``muskox train``: what it learns, and the classes of muskox.learn by task; "" where there is but one."""

    word: str
    what: str
    classes: Mapping[str, str]
    has_target: bool = True

    def require_target(self, target: str | None) -> None:
        """Raise typer.BadParameter if a column to predict is missing, or is told where none is predicted."""
        if self.has_target and target is None:
            raise typer.BadParameter("Missing option '--target': the column to predict")
        if not self.has_target and target is not None:
            raise typer.BadParameter(f"--target: `{self.word}` predicts no column")

    def class_name(self, task: str | None, column_type: str) -> str:
        """Return the class for `task`, or for a target of this type where no task is given.

        Raises
        ------
        typer.BadParameter
            If the word has no such task, or the type leaves it open.
        """
        if "" in self.classes:
            return self.classes[""]
        if task is not None:
            if task not in self.classes:
                raise typer.BadParameter(f"--task {task}: `train {self.word}` does {' or '.join(sorted(self.classes))}")
            return self.classes[task]
        if len(self.classes) == 1:
            return next(iter(self.classes.values()))
        if column_type == "int":
            raise typer.BadParameter(
                "the target is a column of whole numbers: say --task classification if they are classes, "
                "--task regression if they are amounts"
            )
        return self.classes[REGRESSION if column_type == "float" else CLASSIFICATION]


def both(name: str) -> Mapping[str, str]:
    return {CLASSIFICATION: f"{name}Classifier", REGRESSION: f"{name}Regressor"}


KINDS = {
    kind.word: kind
    for kind in (
        Kind("linear", "least squares", {REGRESSION: "LinearRegression"}),
        Kind("ridge", "least squares with an L2 penalty", {REGRESSION: "Ridge"}),
        Kind("logistic", "logistic regression", {CLASSIFICATION: "LogisticRegression"}),
        Kind("svm", "a linear support vector machine", {CLASSIFICATION: "LinearSVC", REGRESSION: "LinearSVR"}),
        Kind("sgd", "a linear model by stochastic gradient descent", both("SGD")),
        Kind("forest", "a random forest", both("RandomForest")),
        Kind("boosting", "gradient boosted trees", both("GradientBoosting")),
        Kind("bayes", "Gaussian naive Bayes", {CLASSIFICATION: "GaussianNB"}),
        Kind("counts", "multinomial naive Bayes, of counts", {CLASSIFICATION: "MultinomialNB"}),
        Kind("mlp", "a multilayer perceptron", both("MLP")),
        Kind("kmeans", "clusters by k-means", {"": "KMeans"}, has_target=False),
        Kind("pca", "principal components", {"": "PCA"}, has_target=False),
        Kind("torch", "a PyTorch module: torch:FILE, whose build(inputs, outputs) returns it", both("Torch")),
    )
}


def estimator_class(name: str) -> "type[Estimator]":
    import muskox.learn

    found: type[Estimator] = getattr(muskox.learn, name)
    return found


def check(kind: Kind, settings: Mapping[str, str]) -> None:
    """Raise typer.BadParameter if a ``--set`` parameter is one of none of the word's classes."""
    known = {name: None for each in kind.classes.values() for name in settable(estimator_class(each))}
    for key in settings:
        require_known(key, list(known))


def require_known(key: str, known: Sequence[str]) -> None:
    if key not in known:
        raise typer.BadParameter(f"--set {key}: there is no such parameter; they are {', '.join(known)}")


def settable(estimator: Any) -> list[str]:
    """Return the parameters that ``--set`` takes."""
    return [name for name in inspect.signature(estimator).parameters if name not in TOLD_OTHERWISE]


def make(name: str, settings: Mapping[str, str]) -> "Estimator":
    """Return the estimator with these ``--set`` parameters, checked as far as names go."""
    kind = estimator_class(name)
    return kind(**{key: parameter(key, value, kind) for key, value in settings.items()})


def parameter(key: str, text: str, estimator: Any) -> Any:
    """Return the value of one ``--set``: names for a list of columns, JSON where it is JSON, else text."""
    require_known(key, settable(estimator))
    if key in COLUMN_LISTS:
        return names(text)
    try:
        value = json.loads(PYTHON_NAMES.get(text, text))
    except ValueError:
        return text
    return value


def parameters(estimator: Any) -> list[tuple[str, str, str]]:
    """Return name, default and meaning of each parameter that ``--set`` takes."""
    told = meanings(inspect.getdoc(estimator) or "")
    signature = inspect.signature(estimator).parameters
    return [(name, default(signature[name].default), told.get(name, "")) for name in settable(estimator)]


def default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "-"
    return value if isinstance(value, str) else str(list(value) if isinstance(value, tuple) else value)


def meanings(docstring: str) -> dict[str, str]:
    """Return what a docstring's section "Parameters" says of each name; "a, b : what" is told of both."""
    _, _, section = docstring.partition("Parameters\n----------\n")
    told: dict[str, str] = {}
    for line in section.partition("\n\n")[0].splitlines():
        entry = MEANING.match(f"    {line}")
        if entry is not None:
            latest = [name.strip() for name in entry[1].split(",")]
            told |= dict.fromkeys(latest, entry[2])
        elif line.startswith("    ") and told:
            for name in latest:
                told[name] += " " + line.strip()
    return told
