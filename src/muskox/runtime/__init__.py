"""Our own engine's machinery: nodes, jobs, generations, workers, the collective, checkpoints. The front door.

Names are imported when first used: a forkserver that imports a worker must not start gRPC.
"""

from typing import TYPE_CHECKING

from muskox.front_door import lazy

if TYPE_CHECKING:
    from muskox.runtime.agent import Node, NodeOptions
    from muskox.runtime.changes import change, changes_of, parameters_of
    from muskox.runtime.devices import find_memory_bytes, offered_gpus
    from muskox.runtime.following import follow, run
    from muskox.runtime.guard import KeeperCommand, ensure_keeper, is_being_started, is_serving, try_lock
    from muskox.runtime.jobs import JobSpec, cancel, job_state, program_record, result, submit, wait
    from muskox.runtime.pins import pin_environment
    from muskox.runtime.processes import LIFELINE, hold_lifeline, start_detached

_HOMES = {
    "agent": ("Node", "NodeOptions"),
    "devices": ("find_memory_bytes", "offered_gpus"),
    "changes": ("change", "changes_of", "parameters_of"),
    "following": ("follow", "run"),
    "guard": ("KeeperCommand", "ensure_keeper", "is_being_started", "is_serving", "try_lock"),
    "jobs": ("JobSpec", "cancel", "job_state", "program_record", "result", "submit", "wait"),
    "pins": ("pin_environment",),
    "processes": ("LIFELINE", "hold_lifeline", "start_detached"),
}

__all__ = [
    "LIFELINE",
    "JobSpec",
    "KeeperCommand",
    "Node",
    "NodeOptions",
    "cancel",
    "change",
    "changes_of",
    "ensure_keeper",
    "find_memory_bytes",
    "follow",
    "hold_lifeline",
    "is_being_started",
    "is_serving",
    "job_state",
    "offered_gpus",
    "parameters_of",
    "pin_environment",
    "program_record",
    "result",
    "run",
    "start_detached",
    "submit",
    "try_lock",
    "wait",
]

__getattr__ = lazy(__name__, _HOMES)
