"""MLPClassifier and MLPRegressor: scikit-learn's API over the programs of perceptrons."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

from muskox.errors import CallerError
from muskox.learn.base import ClassifierEstimator, EarlyStopping, Probabilities, RegressorEstimator, plain
from muskox.learn.encoder import CATEGORIES_MAX
from muskox.learn.inputs import Inputs
from muskox.learn.neural.mlp import MLPClassifierProgram, MLPProgram, MLPRegressorProgram
from muskox.records import Array, Record

AUTO = "auto"
BATCH_ROWS = 200  # of "auto", at most as many as there are


class Stepped(EarlyStopping):
    """What estimators trained by mini-batch steps share: when rows are held out, what they go on from, what they show."""

    def inputs(self, *args: Any, **given: Any) -> Inputs:
        found = super().inputs(*args, **given)
        if self.early_stopping and not found.holds_out:
            raise CallerError("early_stopping needs rows to judge by: validation_fraction above 0, or fit(validation=...)")
        return found

    def settings(self, program: type) -> dict[str, Any]:
        """Return this estimator's parameters that `program` has, as it wants them."""
        known = {each.name for each in fields(program)}
        told = {name: plain(value) for name, value in self.get_params(deep=False).items() if name in known}
        size = told["batch_size"]
        if self.warm_start and hasattr(self, "model_record_"):
            places = {"parameters": "weights", "buffers": "buffers"}
            told["begin"] = {name: self.model_record_[place] for name, place in places.items() if place in self.model_record_}
        return {**told, "batch_size": BATCH_ROWS if size == AUTO else size}

    def adopt(self, record: Record) -> None:
        self.n_iter_ = max(1, int(record["epochs"]))
        self.loss_ = float(record["loss"])
        self.loss_curve_ = record["loss_curve"].tolist()
        self.validation_losses_ = record["held_out_curve"].tolist() or None


class Perceptron(Stepped):
    """What both perceptrons share."""

    program_type: ClassVar[type[MLPProgram]]

    def build(self, inputs: Inputs) -> MLPProgram:
        told = self.settings(self.program_type)
        sizes = told["hidden_layer_sizes"]
        told["hidden_layer_sizes"] = tuple(map(plain, sizes)) if hasattr(sizes, "__iter__") else (sizes,)
        return self.program_type(inputs=inputs, **told)

    def adopt(self, record: Record) -> None:
        super().adopt(record)
        network = self.model_.network
        layers = network.layers(record["weights"])
        self.coefs_: list[Array] = [weights.copy() for weights, _ in layers]
        self.intercepts_: list[Array] = [biases.copy() for _, biases in layers]
        self.n_layers_ = len(network.widths)
        self.n_outputs_ = network.widths[-1]
        self.out_activation_ = {"squared": "identity"}.get(network.loss, network.loss)


class MLPClassifier(Perceptron, Probabilities, ClassifierEstimator):
    """A multilayer perceptron that tells classes, trained by synchronous mini-batch steps over all shards.

    Parameters
    ----------
    hidden_layer_sizes : widths of the hidden layers
    activation : of the hidden layers: relu, tanh, logistic or identity
    solver : adam, or sgd with momentum
    alpha : L2 penalty of the weights, divided by a batch's weight
    batch_size : rows of a batch over all shards, about; auto is 200, 0 takes all rows in every step
    learning_rate_init : the size of a step
    learning_rate : of the step: constant, invscaling (divided by step**power_t), or adaptive (by 5 when the loss stands still)
    power_t : of invscaling
    max_rounds : steps at most; one step is one round
    tol : how much better than the best the loss of an epoch must be to count
    n_iter_no_change : stop after so many epochs that did not count
    early_stopping : stop by the loss of rows held out, and keep the best epoch's parameters
    validation_fraction : the share of rows to hold out for it
    momentum : of sgd
    nesterovs_momentum : of sgd: whether to look ahead
    beta_1 : of adam: decay of the gradient's mean
    beta_2 : of adam: decay of its square's mean
    epsilon : of adam: what keeps a division by 0 away
    dtype : of the arithmetic: float64 or float32
    class_weight : balanced, or a factor for each class
    warm_start : go on from the former fit's parameters
    standardise : bring numeric columns to mean 0 and deviation 1
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error
    seed : of parameters, orders and rows held out

    Attributes
    ----------
    coefs_, intercepts_ : of each layer
    loss_, loss_curve_ : the last batch's mean loss, and the mean of each epoch
    validation_losses_ : of the rows held out after each epoch, or None
    n_iter_ : epochs; n_rounds_ : steps
    classes_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], ["same", "other", "other", "same"]
    >>> model = MLPClassifier(hidden_layer_sizes=(8,), learning_rate_init=0.05, max_rounds=300).fit(X, y)
    >>> model.predict(X).tolist()
    ['same', 'other', 'other', 'same']
    """

    program_type = MLPClassifierProgram

    def __init__(  # noqa: PLR0913  # an estimator's parameters
        self,
        *,
        hidden_layer_sizes: Sequence[int] | int = (100,),
        activation: str = "relu",
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = AUTO,
        learning_rate_init: float = 0.001,
        learning_rate: str = "constant",
        power_t: float = 0.5,
        max_rounds: int = 2000,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        dtype: str = "float64",
        class_weight: str | Mapping[Any, float] | None = None,
        warm_start: bool = False,
        standardise: bool = True,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
        seed: int = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.power_t = power_t
        self.max_rounds = max_rounds
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.dtype = dtype
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.standardise = standardise
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max
        self.seed = seed


class MLPRegressor(Perceptron, RegressorEstimator):
    """A multilayer perceptron that tells a number, trained by synchronous mini-batch steps over all shards.

    The target is brought to mean 0 and deviation 1 for training: losses are of that, predictions in the target's own unit.

    Parameters
    ----------
    hidden_layer_sizes : widths of the hidden layers
    activation : of the hidden layers: relu, tanh, logistic or identity
    solver : adam, or sgd with momentum
    alpha : L2 penalty of the weights, divided by a batch's weight
    batch_size : rows of a batch over all shards, about; auto is 200, 0 takes all rows in every step
    learning_rate_init : the size of a step
    learning_rate : of the step: constant, invscaling (divided by step**power_t), or adaptive (by 5 when the loss stands still)
    power_t : of invscaling
    max_rounds : steps at most; one step is one round
    tol : how much better than the best the loss of an epoch must be to count
    n_iter_no_change : stop after so many epochs that did not count
    early_stopping : stop by the loss of rows held out, and keep the best epoch's parameters
    validation_fraction : the share of rows to hold out for it
    momentum : of sgd
    nesterovs_momentum : of sgd: whether to look ahead
    beta_1 : of adam: decay of the gradient's mean
    beta_2 : of adam: decay of its square's mean
    epsilon : of adam: what keeps a division by 0 away
    dtype : of the arithmetic: float64 or float32
    warm_start : go on from the former fit's parameters
    standardise : bring numeric columns to mean 0 and deviation 1
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error
    seed : of parameters, orders and rows held out

    Attributes
    ----------
    coefs_, intercepts_ : of each layer
    loss_, loss_curve_ : the last batch's mean loss, and the mean of each epoch
    validation_losses_ : of the rows held out after each epoch, or None
    n_iter_ : epochs; n_rounds_ : steps
    digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> model = MLPRegressor(hidden_layer_sizes=(8,), learning_rate_init=0.05, max_rounds=200)
    >>> model = model.fit([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0])
    >>> bool(abs(model.predict([[2.0]])[0] - 5.0) < 0.2)
    True
    """

    program_type = MLPRegressorProgram

    def __init__(  # noqa: PLR0913  # an estimator's parameters
        self,
        *,
        hidden_layer_sizes: Sequence[int] | int = (100,),
        activation: str = "relu",
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = AUTO,
        learning_rate_init: float = 0.001,
        learning_rate: str = "constant",
        power_t: float = 0.5,
        max_rounds: int = 2000,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        dtype: str = "float64",
        warm_start: bool = False,
        standardise: bool = True,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
        seed: int = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.power_t = power_t
        self.max_rounds = max_rounds
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.dtype = dtype
        self.warm_start = warm_start
        self.standardise = standardise
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max
        self.seed = seed
