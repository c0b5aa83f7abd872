"""muskox keeper: a coordination server that speaks ZooKeeper's protocol and keeps ZooKeeper's files.

This is its front door; names are imported when they are first used, so that a server starts fast.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from muskox.keeper.process import Keeper
    from muskox.keeper.server.options import Options
    from muskox.keeper.server.serve import serve

__all__ = ["Keeper", "Options", "serve"]


def __getattr__(name: str) -> Any:
    match name:
        case "Keeper":
            from muskox.keeper.process import Keeper

            return Keeper
        case "Options":
            from muskox.keeper.server.options import Options

            return Options
        case "serve":
            from muskox.keeper.server.serve import serve

            return serve
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
