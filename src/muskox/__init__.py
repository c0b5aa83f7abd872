"""muskox: distributed machine learning that nothing can stop.

Kill any process at any moment and the job still finishes with the same model, to the bit. Names are imported when they are
first used, so that ``import muskox`` and ``muskox --help`` stay fast.
"""

from typing import TYPE_CHECKING

from muskox.front_door import lazy

if TYPE_CHECKING:
    from muskox.client import (
        Cluster,
        GridSearch,
        LeakageWarning,
        OverfittingWarning,
        RandomizedSearch,
        check_leakage,
        coefficients,
        connect,
        cross_validate,
        local,
        permutation_importance,
        rounds,
        tasks,
    )
    from muskox.engines import in_process_dataset
    from muskox.errors import CallerError, Corrupt, MuskoxError, PeerError, Unavailable
    from muskox.keeper import Keeper
    from muskox.learn import (
        PCA,
        Encode,
        Encoder,
        GaussianNB,
        GradientBoostingClassifier,
        GradientBoostingRegressor,
        KMeans,
        LinearRegression,
        LinearSVC,
        LinearSVR,
        LogisticRegression,
        MLPClassifier,
        MLPRegressor,
        MultinomialNB,
        Pipeline,
        RandomForestClassifier,
        RandomForestRegressor,
        Ridge,
        SGDClassifier,
        SGDRegressor,
        TorchClassifier,
        TorchEstimator,
        TorchRegressor,
        distributed_gradient_descent,
    )
    from muskox.program import Block, Done, Manifest, RoundReport, RunOptions, Shard
    from muskox.serve import distributed_parallel_inference
    from muskox.store import hash_partition
    from muskox.streams import stream
    from muskox.task_list import Shards
    from muskox.together import Together

__version__ = "0.1.0"

_HOMES = {
    "client": (
        "Cluster",
        "GridSearch",
        "LeakageWarning",
        "OverfittingWarning",
        "RandomizedSearch",
        "check_leakage",
        "coefficients",
        "connect",
        "cross_validate",
        "local",
        "permutation_importance",
        "rounds",
        "tasks",
    ),
    "engines": ("in_process_dataset",),
    "errors": ("CallerError", "Corrupt", "MuskoxError", "PeerError", "Unavailable"),
    "keeper": ("Keeper",),
    "learn": (
        "Encode",
        "Encoder",
        "GaussianNB",
        "GradientBoostingClassifier",
        "GradientBoostingRegressor",
        "KMeans",
        "LinearRegression",
        "LinearSVC",
        "LinearSVR",
        "LogisticRegression",
        "MLPClassifier",
        "MLPRegressor",
        "MultinomialNB",
        "PCA",
        "Pipeline",
        "RandomForestClassifier",
        "RandomForestRegressor",
        "Ridge",
        "SGDClassifier",
        "SGDRegressor",
        "TorchClassifier",
        "TorchEstimator",
        "TorchRegressor",
        "distributed_gradient_descent",
    ),
    "program": ("Block", "Done", "Manifest", "RoundReport", "RunOptions", "Shard"),
    "serve": ("distributed_parallel_inference",),
    "store": ("hash_partition",),
    "streams": ("stream",),
    "task_list": ("Shards",),
    "together": ("Together",),
}

__all__ = [
    "PCA",
    "Block",
    "CallerError",
    "Cluster",
    "Corrupt",
    "Done",
    "Encode",
    "Encoder",
    "GaussianNB",
    "GradientBoostingClassifier",
    "GradientBoostingRegressor",
    "GridSearch",
    "KMeans",
    "Keeper",
    "LeakageWarning",
    "LinearRegression",
    "LinearSVC",
    "LinearSVR",
    "LogisticRegression",
    "MLPClassifier",
    "MLPRegressor",
    "Manifest",
    "MultinomialNB",
    "MuskoxError",
    "OverfittingWarning",
    "PeerError",
    "Pipeline",
    "RandomForestClassifier",
    "RandomForestRegressor",
    "RandomizedSearch",
    "Ridge",
    "RoundReport",
    "RunOptions",
    "SGDClassifier",
    "SGDRegressor",
    "Shard",
    "Shards",
    "Together",
    "TorchClassifier",
    "TorchEstimator",
    "TorchRegressor",
    "Unavailable",
    "check_leakage",
    "coefficients",
    "connect",
    "cross_validate",
    "distributed_gradient_descent",
    "distributed_parallel_inference",
    "hash_partition",
    "in_process_dataset",
    "local",
    "permutation_importance",
    "rounds",
    "stream",
    "tasks",
]

__getattr__ = lazy(__name__, _HOMES)
