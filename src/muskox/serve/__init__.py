"""Models at work: the registry, batch prediction, the online endpoint. The front door.

Names are imported when first used: a worker that predicts a shard needs no web server.
"""

from typing import TYPE_CHECKING

from muskox.front_door import lazy

if TYPE_CHECKING:
    from muskox.serve.app import AppLimits, make_app
    from muskox.serve.batch import PredictProgram
    from muskox.serve.endpoint import bind, endpoint_key, serve
    from muskox.serve.inference import distributed_parallel_inference
    from muskox.serve.output import find_manifest, read_output
    from muskox.serve.registry import get_model, list_models, read_model

_HOMES = {
    "app": ("AppLimits", "make_app"),
    "batch": ("PredictProgram",),
    "endpoint": ("bind", "endpoint_key", "serve"),
    "inference": ("distributed_parallel_inference",),
    "output": ("find_manifest", "read_output"),
    "registry": ("get_model", "list_models", "read_model"),
}

__all__ = [
    "AppLimits",
    "PredictProgram",
    "bind",
    "distributed_parallel_inference",
    "endpoint_key",
    "find_manifest",
    "get_model",
    "list_models",
    "make_app",
    "read_model",
    "read_output",
    "serve",
]

__getattr__ = lazy(__name__, _HOMES)
