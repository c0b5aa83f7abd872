"""SGDClassifier and SGDRegressor: scikit-learn's API over the program of stochastic gradient descent."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Self

import numpy as np
from sklearn.utils.metaestimators import available_if

from muskox.errors import CallerError
from muskox.learn.base import ClassifierEstimator, EarlyStopping, Margins, Probabilities, RegressorEstimator, plain
from muskox.learn.columns import Floats
from muskox.learn.encoder import CATEGORIES_MAX
from muskox.learn.inputs import Inputs
from muskox.learn.linear.estimators import raw_coefficients
from muskox.learn.sgd.model import WITH_PROBABILITIES
from muskox.learn.sgd.options import Descent
from muskox.learn.sgd.program import SGDClassifierProgram, SGDProgram, SGDRegressorProgram
from muskox.learn.tables import to_table
from muskox.program import Runs
from muskox.records import Record


class DescentEstimator(EarlyStopping):
    """What both estimators share: how parameters become a program, and going on from a model."""

    program_class: type[SGDProgram]
    descent_names: Sequence[str]

    def build(self, inputs: Inputs) -> SGDProgram:
        begun = getattr(self, "_going_on", None)
        if begun is None and self.warm_start and hasattr(self, "model_record_"):
            begun = {"begin_with": self.model_record_}
        return self.program_class(inputs=inputs, descent=self.descent(), **(begun or {}))

    def descent(self) -> Descent:
        given = {each.name: plain(getattr(self, each.name)) for each in fields(Descent) if hasattr(self, each.name)}
        if isinstance(given["average"], bool):
            given["average"] = int(given["average"])
        return Descent(**given)

    def _go_on(self, rows: tuple[Any, Any, Any], classes: Any, fit: Mapping[str, Any]) -> Self:
        """Take one epoch over `rows` (X, y, sample_weight) from where the model stands, or from the start."""
        X, y, sample_weight = rows
        going_on: dict[str, Any] = {"resume": True}
        if hasattr(self, "model_record_"):
            going_on["begin_with"] = self.model_record_
            if not isinstance(X, Runs):
                X = to_table(X, list(self.feature_names_in_), type(self).__name__)
            self._check_classes(classes)
        elif classes is not None:
            going_on["classes"] = tuple(plain(value) for value in np.unique(np.asarray(classes)))
        whole = self.get_params()
        self._going_on = going_on
        try:
            return self.set_params(max_epochs=1, early_stopping=False).fit(X, y, sample_weight, **fit)  # type: ignore[no-any-return]
        finally:
            del self._going_on
            self.set_params(**{name: whole[name] for name in ("max_epochs", "early_stopping")})

    def _check_classes(self, classes: Any) -> None:
        learned = getattr(self, "classes_", None)
        if classes is not None and learned is not None and not np.array_equal(np.unique(np.asarray(classes)), learned):
            raise CallerError(f"classes={list(classes)!r} is not the same as on the first call: {learned.tolist()}")

    def adopt(self, record: Record) -> None:
        encoder = self.model_.encoder
        self.coef_, self.intercept_ = record["coef"].copy(), record["intercept"].copy()
        if encoder.record["standardise"]:
            self.coef_, self.intercept_ = raw_coefficients(encoder, self.coef_, self.intercept_)
        self.encoder_ = encoder
        self.status_ = str(record["status"])
        self.loss_ = record["loss"]
        self.held_out_loss_ = record["held_out_loss"]
        self.n_iter_ = int(record["epochs"])
        self.t_ = 1.0 + float(record["point"]["clock"][0])


class SGDClassifier(Probabilities, Margins, DescentEstimator, ClassifierEstimator):
    """A linear classifier learned by stochastic gradient descent, on tables of numbers, text and missing values.

    Parameters
    ----------
    loss : "hinge", "squared_hinge", "log_loss", "modified_huber" or "perceptron"
    penalty : "l2", "l1", "elasticnet" or None
    alpha : how strong the penalty is
    l1_ratio : of "elasticnet", the share of the L1 penalty
    fit_intercept : whether there is an intercept, which no penalty draws to 0
    solver : "sgd", "adam", or "average": each shard learns alone and the models are averaged, round by round
    batch_size : rows of a step; of "average" those of a local step. 1 is the textbook's formula
    steps_per_round : of "sgd" and "adam", how many batches travel at a time; 1 sends gradients; None finds a number
    local_epochs : of "average", over how many epochs a shard learns alone between averages
    max_rounds : rounds of steps or averages at most
    max_epochs : passes over the rows at most (scikit-learn's max_iter)
    tol : an epoch that lowers the loss by less is stale, an average that moves by less, too; None never stops before the end
    n_iter_no_change : stale epochs in a row before the end, or before "adaptive" lowers its rate
    early_stopping : hold rows out, let their loss tell when to stop, and keep the best epoch's coefficients
    validation_fraction : with early_stopping, the share of rows to hold out
    learning_rate : "constant", "optimal", "invscaling" or "adaptive"
    eta0 : the first rate; None takes one that suits the loss and the lengths of the rows
    power_t : of "invscaling": the rate is eta0 / step ** power_t
    momentum : of "sgd" and "average": how much of the last step each step keeps
    beta_1 : of "adam": how much of the mean gradient each step keeps
    beta_2 : of "adam": how much of the mean squared gradient each step keeps
    average : True gives the mean of all steps as the model, a number the mean from that step on
    shuffle : draw another order of the rows for each epoch; False takes them as they lie
    seed : of the orders, and of the rows held out
    warm_start : let `fit` begin with the coefficients, the encoder and the classes of the model so far
    class_weight : None, "balanced", or a factor for each class
    standardise : learn from columns of mean 0 and deviation 1; False learns from raw ones
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error

    Attributes
    ----------
    coef_ : for raw columns, shape (outputs, encoded features): one output for two classes, one for each of more
    intercept_ : shape (outputs,)
    loss_, held_out_loss_ : mean loss of the last epoch's steps without the penalty, and the least of held-out rows
    status_ : "converged", "max_epochs" or "max_rounds"
    n_iter_, t_ : epochs, and 1 + steps up to the coefficients
    classes_, encoder_, n_rounds_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> import numpy as np
    >>> X, y = np.array([[0.0], [1.0], [4.0], [5.0]]), np.array(["low", "low", "high", "high"])
    >>> SGDClassifier(loss="log_loss").fit(X, y).predict([[0.5], [4.5]]).tolist()
    ['low', 'high']
    """

    program_class = SGDClassifierProgram

    def __init__(  # noqa: PLR0913  # scikit-learn's contract: every parameter is an argument
        self,
        *,
        loss: str = "hinge",
        penalty: str | None = "l2",
        alpha: float = 1e-4,
        l1_ratio: float = 0.15,
        fit_intercept: bool = True,
        solver: str = "sgd",
        batch_size: int = 32,
        steps_per_round: int | None = None,
        local_epochs: int = 1,
        max_rounds: int = 10_000,
        max_epochs: int = 1000,
        tol: float | None = 1e-3,
        n_iter_no_change: int = 5,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        learning_rate: str = "optimal",
        eta0: float | None = None,
        power_t: float = 0.5,
        momentum: float = 0.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        average: bool | int = False,
        shuffle: bool = True,
        seed: int = 0,
        warm_start: bool = False,
        class_weight: str | Mapping[Any, float] | None = None,
        standardise: bool = True,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.batch_size = batch_size
        self.steps_per_round = steps_per_round
        self.local_epochs = local_epochs
        self.max_rounds = max_rounds
        self.max_epochs = max_epochs
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.momentum = momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.average = average
        self.shuffle = shuffle
        self.seed = seed
        self.warm_start = warm_start
        self.class_weight = class_weight
        self.standardise = standardise
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None, sample_weight: Any = None, **fit: Any) -> Self:
        """Take one epoch over further rows, or over a dataset to which rows were appended, from where the model stands.

        The encoder stays as the first rows have taught it: means, deviations, categories.

        Parameters
        ----------
        X, y, sample_weight, fit : as of `fit`
        classes : all that there may be, in the first call; later rows may hold no others
        """
        return self._go_on((X, y, sample_weight), classes, fit)

    def _has_probabilities(self) -> bool:
        if self.loss not in WITH_PROBABILITIES:
            raise AttributeError(f"probabilities are of loss='log_loss' and 'modified_huber', not of {self.loss!r}")
        return True

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each class, shape (rows, classes); of losses "log_loss" and "modified_huber"."""
        return super().predict_proba(X)

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Floats:
        """Return the logarithm of the probability of each class, shape (rows, classes)."""
        return super().predict_log_proba(X)


class SGDRegressor(DescentEstimator, RegressorEstimator):
    """A linear regressor learned by stochastic gradient descent, on tables of numbers, text and missing values.

    Parameters
    ----------
    loss : "squared_error", "huber", "epsilon_insensitive" or "squared_epsilon_insensitive"
    penalty : "l2", "l1", "elasticnet" or None
    alpha : how strong the penalty is
    l1_ratio : of "elasticnet", the share of the L1 penalty
    epsilon : of "huber", beyond which error the loss is linear; of "epsilon_insensitive", below which it is 0
    fit_intercept : whether there is an intercept, which no penalty draws to 0
    solver : "sgd", "adam", or "average": each shard learns alone and the models are averaged, round by round
    batch_size : rows of a step; of "average" those of a local step. 1 is the textbook's formula
    steps_per_round : of "sgd" and "adam", how many batches travel at a time; 1 sends gradients; None finds a number
    local_epochs : of "average", over how many epochs a shard learns alone between averages
    max_rounds : rounds of steps or averages at most
    max_epochs : passes over the rows at most (scikit-learn's max_iter)
    tol : an epoch that lowers the loss by less is stale, an average that moves by less, too; None never stops before the end
    n_iter_no_change : stale epochs in a row before the end, or before "adaptive" lowers its rate
    early_stopping : hold rows out, let their loss tell when to stop, and keep the best epoch's coefficients
    validation_fraction : with early_stopping, the share of rows to hold out
    learning_rate : "constant", "optimal", "invscaling" or "adaptive"
    eta0 : the first rate; None takes one that suits the loss and the lengths of the rows
    power_t : of "invscaling": the rate is eta0 / step ** power_t
    momentum : of "sgd" and "average": how much of the last step each step keeps
    beta_1 : of "adam": how much of the mean gradient each step keeps
    beta_2 : of "adam": how much of the mean squared gradient each step keeps
    average : True gives the mean of all steps as the model, a number the mean from that step on
    shuffle : draw another order of the rows for each epoch; False takes them as they lie
    seed : of the orders, and of the rows held out
    warm_start : let `fit` begin with the coefficients and the encoder of the model so far
    standardise : learn from columns of mean 0 and deviation 1; False learns from raw ones
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error

    Attributes
    ----------
    coef_ : for raw columns, shape (encoded features,)
    intercept_ : shape (1,)
    loss_, held_out_loss_ : mean loss of the last epoch's steps without the penalty, and the least of held-out rows
    status_ : "converged", "max_epochs" or "max_rounds"
    n_iter_, t_ : epochs, and 1 + steps up to the coefficients
    encoder_, n_rounds_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> import numpy as np
    >>> X = np.arange(10.0).reshape(-1, 1)
    >>> model = SGDRegressor(batch_size=2, learning_rate="adaptive", tol=1e-6).fit(X, 3.0 * X[:, 0] + 1.0)
    >>> model.predict([[4.0]]).round(1).tolist()
    [13.0]
    """

    program_class = SGDRegressorProgram

    def __init__(  # noqa: PLR0913  # scikit-learn's contract: every parameter is an argument
        self,
        *,
        loss: str = "squared_error",
        penalty: str | None = "l2",
        alpha: float = 1e-4,
        l1_ratio: float = 0.15,
        epsilon: float = 0.1,
        fit_intercept: bool = True,
        solver: str = "sgd",
        batch_size: int = 32,
        steps_per_round: int | None = None,
        local_epochs: int = 1,
        max_rounds: int = 10_000,
        max_epochs: int = 1000,
        tol: float | None = 1e-3,
        n_iter_no_change: int = 5,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        learning_rate: str = "invscaling",
        eta0: float | None = None,
        power_t: float = 0.25,
        momentum: float = 0.0,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        average: bool | int = False,
        shuffle: bool = True,
        seed: int = 0,
        warm_start: bool = False,
        standardise: bool = True,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.epsilon = epsilon
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.batch_size = batch_size
        self.steps_per_round = steps_per_round
        self.local_epochs = local_epochs
        self.max_rounds = max_rounds
        self.max_epochs = max_epochs
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.learning_rate = learning_rate
        self.eta0 = eta0
        self.power_t = power_t
        self.momentum = momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.average = average
        self.shuffle = shuffle
        self.seed = seed
        self.warm_start = warm_start
        self.standardise = standardise
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None, **fit: Any) -> Self:
        """Take one epoch over further rows, or over a dataset to which rows were appended, from where the model stands."""
        return self._go_on((X, y, sample_weight), None, fit)

    def adopt(self, record: Record) -> None:
        super().adopt(record)
        self.coef_ = self.coef_[0]
