"""TorchClassifier, TorchRegressor, and TorchEstimator, their common door: scikit-learn's API over PyTorch modules."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

from muskox.errors import CallerError
from muskox.learn.base import ClassifierEstimator, Probabilities, RegressorEstimator
from muskox.learn.encoder import CATEGORIES_MAX
from muskox.learn.inputs import Inputs
from muskox.learn.neural.mlp_estimators import AUTO, Stepped
from muskox.learn.neural.module import CPU, OWN_LOSS
from muskox.learn.neural.torch_program import TorchClassifierProgram, TorchProgram, TorchRegressorProgram
from muskox.records import Record
from muskox.trusted_code import Adopted, require_trust, trust


class Modular(Stepped):
    """What both estimators of modules share."""

    program_type: ClassVar[type[TorchProgram]]

    def build(self, inputs: Inputs) -> TorchProgram:
        told = self.settings(self.program_type)
        if callable(told["loss"]):
            told |= {"loss": OWN_LOSS, "own_loss": told["loss"]}
        source = told["source"]
        if isinstance(source, Adopted):
            require_trust({"source": source})
        elif source:
            trust(source)  # it is whoever calls us that has it run
        told["source"] = str(source)
        return self.program_type(inputs=inputs, **told)

    @classmethod
    def from_record(cls, record: Record, module: Any = None) -> Self:
        """Return the fitted model of `record`; `module` is what it was trained with, if that was an object."""
        fitted = super().from_record(record)
        fitted.source, fitted.module = Adopted(record["source"]), module
        fitted.model_.module = module
        return fitted

    def adopt(self, record: Record) -> None:
        super().adopt(record)
        self.model_.module = self.module

    def trained_module(self) -> Any:
        """Return the trained module, a torch.nn.Module on the CPU, in evaluation mode; it is the caller's own.

        Raises
        ------
        CallerError
            If the model holds code that nobody has trusted here.
        """
        return self.model_.trained()


class TorchClassifier(Modular, Probabilities, ClassifierEstimator):
    """A PyTorch module that tells classes, trained by synchronous mini-batch steps over all shards, the same bits everywhere.

    Parameters
    ----------
    module : a torch.nn.Module, or what returns one when called with the numbers of inputs and classes
    source : in its place Python that defines build(inputs, outputs); it travels with the model
    loss : cross_entropy, own (what the source calls loss(outputs, target), one loss a row), or such a function
    solver : adam, or sgd with momentum
    alpha : L2 penalty of parameters of two axes or more, divided by a batch's weight
    batch_size : rows of a batch over all shards, about; auto is 200, 0 takes all rows in every step
    learning_rate_init : the size of a step
    learning_rate : constant, invscaling (divided by step**power_t), or adaptive (by 5 when the loss stands still)
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
    dtype : of the module: float32 or float64
    device : cpu or cuda
    class_weight : balanced, or a factor for each class
    warm_start : go on from the former fit's parameters
    standardise : bring numeric columns to mean 0 and deviation 1
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error
    seed : of parameters, orders, dropout and rows held out

    Attributes
    ----------
    loss_, loss_curve_, validation_losses_ : as of MLPClassifier
    n_iter_ : epochs; n_rounds_ : steps
    classes_, digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> source = '''
    ... from torch import nn
    ... def build(inputs, outputs):
    ...     return nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))
    ... '''
    >>> X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], ["same", "other", "other", "same"]
    >>> model = TorchClassifier(source=source, learning_rate_init=0.05, max_rounds=300).fit(X, y)
    >>> model.predict(X).tolist()
    ['same', 'other', 'other', 'same']
    """

    program_type = TorchClassifierProgram

    def __init__(  # noqa: PLR0913  # an estimator's parameters
        self,
        module: Any = None,
        *,
        source: str = "",
        loss: str | Callable[..., Any] = "cross_entropy",
        solver: str = "adam",
        alpha: float = 0.0,
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
        dtype: str = "float32",
        device: str = CPU,
        class_weight: str | Mapping[Any, float] | None = None,
        warm_start: bool = False,
        standardise: bool = True,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
        seed: int = 0,
    ) -> None:
        self.module = module
        self.source = source
        self.loss = loss
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
        self.device = device
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.standardise = standardise
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max
        self.seed = seed


class TorchRegressor(Modular, RegressorEstimator):
    """A PyTorch module that tells a number, trained by synchronous mini-batch steps over all shards, the same bits everywhere.

    The target is brought to mean 0 and deviation 1 for training: losses are of that, predictions in the target's own unit.

    Parameters
    ----------
    module : a torch.nn.Module, or what returns one when called with the numbers of inputs and outputs, which is 1
    source : in its place Python that defines build(inputs, outputs); it travels with the model
    loss : mse, l1, smooth_l1, huber, own (what the source calls loss(outputs, target), one loss a row), or such a function
    solver : adam, or sgd with momentum
    alpha : L2 penalty of parameters of two axes or more, divided by a batch's weight
    batch_size : rows of a batch over all shards, about; auto is 200, 0 takes all rows in every step
    learning_rate_init : the size of a step
    learning_rate : constant, invscaling (divided by step**power_t), or adaptive (by 5 when the loss stands still)
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
    dtype : of the module: float32 or float64
    device : cpu or cuda
    warm_start : go on from the former fit's parameters
    standardise : bring numeric columns to mean 0 and deviation 1
    features : columns to learn from; None means all but the target
    categorical : int columns to take as categories; text and bool columns always are
    categories_max : of one column; more is an error
    seed : of parameters, orders, dropout and rows held out

    Attributes
    ----------
    loss_, loss_curve_, validation_losses_ : as of MLPRegressor
    n_iter_ : epochs; n_rounds_ : steps
    digest_, model_record_, feature_names_in_, n_features_in_

    Examples
    --------
    >>> from torch import nn
    >>> model = TorchRegressor(lambda inputs, outputs: nn.Linear(inputs, outputs), learning_rate_init=0.02, max_rounds=300)
    >>> model = model.fit([[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0])
    >>> bool(abs(model.predict([[2.0]])[0] - 5.0) < 0.1)
    True
    """

    program_type = TorchRegressorProgram

    def __init__(  # noqa: PLR0913  # an estimator's parameters
        self,
        module: Any = None,
        *,
        source: str = "",
        loss: str | Callable[..., Any] = "mse",
        solver: str = "adam",
        alpha: float = 0.0,
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
        dtype: str = "float32",
        device: str = CPU,
        warm_start: bool = False,
        standardise: bool = True,
        features: Sequence[str] | None = None,
        categorical: Sequence[str] = (),
        categories_max: int = CATEGORIES_MAX,
        seed: int = 0,
    ) -> None:
        self.module = module
        self.source = source
        self.loss = loss
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
        self.device = device
        self.warm_start = warm_start
        self.standardise = standardise
        self.features = features
        self.categorical = categorical
        self.categories_max = categories_max
        self.seed = seed


def TorchEstimator(module: Any = None, *, task: str | None = None, **parameters: Any) -> TorchClassifier | TorchRegressor:  # noqa: N802
    """Return a :class:`TorchClassifier` or a :class:`TorchRegressor`, as `task` or the loss says.

    Parameters
    ----------
    module : as of both
    task : "classification" or "regression"; None takes what goes with the loss: that of "cross_entropy", which is the usual
        one, is classification, that of "mse", "l1", "smooth_l1" and "huber" regression
    parameters : any others of theirs

    Examples
    --------
    >>> type(TorchEstimator(source="...", loss="mse")).__name__
    'TorchRegressor'
    """
    loss = parameters.get("loss", "cross_entropy")
    kinds = {"classification": TorchClassifier, "regression": TorchRegressor}
    if task is None:
        if loss == OWN_LOSS or not isinstance(loss, str):
            raise CallerError("a loss of your own is of classes or of numbers: say task='classification' or task='regression'")
        task = "classification" if loss == "cross_entropy" else "regression"
    if task not in kinds:
        raise CallerError(f"task={task!r}: it is one of classification, regression")
    estimator: TorchClassifier | TorchRegressor = kinds[task](module, **parameters)
    return estimator
