"""Learning: pure mathematics from rows to models. Data comes as shards, results go as records; a cluster is reached only
through a dataset that runs programs.

Names are imported when first used: a worker that runs a program need not load scikit-learn, which the estimator stands on.
"""

from typing import TYPE_CHECKING

from muskox.front_door import lazy

if TYPE_CHECKING:
    from muskox.learn.base import Estimator
    from muskox.learn.bayes.estimators import GaussianNB, MultinomialNB
    from muskox.learn.bayes.gaussian import GaussianModel, GaussianProgram
    from muskox.learn.bayes.multinomial import MultinomialModel, MultinomialProgram
    from muskox.learn.clusters.estimator import KMeans
    from muskox.learn.clusters.model import KMeansModel
    from muskox.learn.clusters.program import KMeansProgram
    from muskox.learn.components.estimator import PCA
    from muskox.learn.components.model import PCAModel
    from muskox.learn.components.program import PCAProgram
    from muskox.learn.encoder import Encoder
    from muskox.learn.linear.estimators import LogisticRegression
    from muskox.learn.linear.least_squares import LeastSquaresDescent, distributed_gradient_descent
    from muskox.learn.linear.logistic import LogisticProgram
    from muskox.learn.linear.model import LinearModel, LogisticModel, SupportModel
    from muskox.learn.linear.regression import RegressionProgram
    from muskox.learn.linear.regression_estimators import LinearRegression, Ridge
    from muskox.learn.linear.support import SupportProgram, SupportRegressionProgram
    from muskox.learn.linear.support_estimators import LinearSVC, LinearSVR
    from muskox.learn.model import load_model, load_predictor
    from muskox.learn.neural.mlp import MLPClassifierModel, MLPClassifierProgram, MLPRegressorModel, MLPRegressorProgram
    from muskox.learn.neural.mlp_estimators import MLPClassifier, MLPRegressor
    from muskox.learn.neural.torch_estimators import TorchClassifier, TorchEstimator, TorchRegressor
    from muskox.learn.neural.torch_program import (
        TorchClassifierModel,
        TorchClassifierProgram,
        TorchRegressorModel,
        TorchRegressorProgram,
    )
    from muskox.learn.pipeline.encode import EncodeModel, EncodeProgram
    from muskox.learn.pipeline.estimator import Encode, Pipeline
    from muskox.learn.pipeline.model import PipelineModel
    from muskox.learn.pipeline.program import PipelineProgram
    from muskox.learn.sgd.estimators import SGDClassifier, SGDRegressor
    from muskox.learn.sgd.model import SGDClassifierModel, SGDRegressorModel
    from muskox.learn.sgd.program import SGDClassifierProgram, SGDRegressorProgram
    from muskox.learn.training import in_rounds
    from muskox.learn.trees.boosting import ClassBoostingProgram, NumberBoostingProgram
    from muskox.learn.trees.boosting_estimators import GradientBoostingClassifier, GradientBoostingRegressor
    from muskox.learn.trees.forest_estimators import RandomForestClassifier, RandomForestRegressor
    from muskox.learn.trees.forest_kinds import ClassForestProgram, NumberForestProgram
    from muskox.learn.trees.models import (
        BoostingClassifierModel,
        BoostingRegressorModel,
        ForestClassifierModel,
        ForestRegressorModel,
    )
    from muskox.learn.trees.shard_forest import ClassShardForest, NumberShardForest

__all__ = [
    "PCA",
    "BoostingClassifierModel",
    "BoostingRegressorModel",
    "ClassBoostingProgram",
    "ClassForestProgram",
    "ClassShardForest",
    "Encode",
    "EncodeModel",
    "EncodeProgram",
    "Encoder",
    "Estimator",
    "ForestClassifierModel",
    "ForestRegressorModel",
    "GaussianModel",
    "GaussianNB",
    "GaussianProgram",
    "GradientBoostingClassifier",
    "GradientBoostingRegressor",
    "KMeans",
    "KMeansModel",
    "KMeansProgram",
    "LeastSquaresDescent",
    "LinearModel",
    "LinearRegression",
    "LinearSVC",
    "LinearSVR",
    "LogisticModel",
    "LogisticProgram",
    "LogisticRegression",
    "MLPClassifier",
    "MLPClassifierModel",
    "MLPClassifierProgram",
    "MLPRegressor",
    "MLPRegressorModel",
    "MLPRegressorProgram",
    "MultinomialModel",
    "MultinomialNB",
    "MultinomialProgram",
    "NumberBoostingProgram",
    "NumberForestProgram",
    "NumberShardForest",
    "PCAModel",
    "PCAProgram",
    "Pipeline",
    "PipelineModel",
    "PipelineProgram",
    "RandomForestClassifier",
    "RandomForestRegressor",
    "RegressionProgram",
    "Ridge",
    "SGDClassifier",
    "SGDClassifierModel",
    "SGDClassifierProgram",
    "SGDRegressor",
    "SGDRegressorModel",
    "SGDRegressorProgram",
    "SupportModel",
    "SupportProgram",
    "SupportRegressionProgram",
    "TorchClassifier",
    "TorchClassifierModel",
    "TorchClassifierProgram",
    "TorchEstimator",
    "TorchRegressor",
    "TorchRegressorModel",
    "TorchRegressorProgram",
    "distributed_gradient_descent",
    "in_rounds",
    "load_model",
    "load_predictor",
]

_HOMES = {
    "base": ("Estimator",),
    "bayes.estimators": ("GaussianNB", "MultinomialNB"),
    "bayes.gaussian": ("GaussianModel", "GaussianProgram"),
    "bayes.multinomial": ("MultinomialModel", "MultinomialProgram"),
    "clusters.estimator": ("KMeans",),
    "clusters.model": ("KMeansModel",),
    "clusters.program": ("KMeansProgram",),
    "components.estimator": ("PCA",),
    "components.model": ("PCAModel",),
    "components.program": ("PCAProgram",),
    "encoder": ("Encoder",),
    "linear.estimators": ("LogisticRegression",),
    "linear.least_squares": ("LeastSquaresDescent", "distributed_gradient_descent"),
    "linear.logistic": ("LogisticProgram",),
    "linear.model": ("LinearModel", "LogisticModel", "SupportModel"),
    "linear.regression": ("RegressionProgram",),
    "linear.regression_estimators": ("LinearRegression", "Ridge"),
    "linear.support": ("SupportProgram", "SupportRegressionProgram"),
    "linear.support_estimators": ("LinearSVC", "LinearSVR"),
    "model": ("load_model", "load_predictor"),
    "neural.mlp": ("MLPClassifierModel", "MLPClassifierProgram", "MLPRegressorModel", "MLPRegressorProgram"),
    "neural.mlp_estimators": ("MLPClassifier", "MLPRegressor"),
    "sgd.estimators": ("SGDClassifier", "SGDRegressor"),
    "sgd.model": ("SGDClassifierModel", "SGDRegressorModel"),
    "sgd.program": ("SGDClassifierProgram", "SGDRegressorProgram"),
    "neural.torch_estimators": ("TorchClassifier", "TorchEstimator", "TorchRegressor"),
    "neural.torch_program": (
        "TorchClassifierModel",
        "TorchClassifierProgram",
        "TorchRegressorModel",
        "TorchRegressorProgram",
    ),
    "training": ("in_rounds",),
    "trees.boosting": ("ClassBoostingProgram", "NumberBoostingProgram"),
    "trees.boosting_estimators": ("GradientBoostingClassifier", "GradientBoostingRegressor"),
    "trees.forest_kinds": ("ClassForestProgram", "NumberForestProgram"),
    "trees.forest_estimators": ("RandomForestClassifier", "RandomForestRegressor"),
    "trees.models": ("BoostingClassifierModel", "BoostingRegressorModel", "ForestClassifierModel", "ForestRegressorModel"),
    "trees.shard_forest": ("ClassShardForest", "NumberShardForest"),
    "pipeline.encode": ("EncodeModel", "EncodeProgram"),
    "pipeline.estimator": ("Encode", "Pipeline"),
    "pipeline.model": ("PipelineModel",),
    "pipeline.program": ("PipelineProgram",),
}

__getattr__ = lazy(__name__, _HOMES)
