"""muskox keeper: a coordination server that speaks ZooKeeper's protocol and keeps ZooKeeper's files.

This is its front door; names are imported when they are first used, so that a server starts fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from muskox.keeper.disk.inspect import FolderReport, check
    from muskox.keeper.disk.listing import Line, NodeLine, SessionLine, TransactionLine, dump
    from muskox.keeper.disk.repair import RepairReport, repair
    from muskox.keeper.handover import Handover, plan_handover
    from muskox.keeper.process import Keeper, python
    from muskox.keeper.server.flags import EXAMPLES, FLAGS, options_of
    from muskox.keeper.server.options import Options
    from muskox.keeper.server.serve import serve

__all__ = [
    "EXAMPLES",
    "FLAGS",
    "FolderReport",
    "Handover",
    "Keeper",
    "Line",
    "NodeLine",
    "Options",
    "RepairReport",
    "SessionLine",
    "TransactionLine",
    "check",
    "dump",
    "options_of",
    "plan_handover",
    "python",
    "repair",
    "serve",
]

HOMES = {
    "disk.inspect": ("FolderReport", "check"),
    "disk.listing": ("Line", "NodeLine", "SessionLine", "TransactionLine", "dump"),
    "disk.repair": ("RepairReport", "repair"),
    "handover": ("Handover", "plan_handover"),
    "process": ("Keeper", "python"),
    "server.flags": ("EXAMPLES", "FLAGS", "options_of"),
    "server.options": ("Options",),
    "server.serve": ("serve",),
}


def __getattr__(name: str) -> Any:
    for home, names in HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
